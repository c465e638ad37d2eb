"""API keys, and what each may spend in a day: teacher tokens, money, or both.

`RELAY_API_KEYS` holds `NAME:SECRET`, `NAME:SECRET:TOKENS_PER_DAY` or `NAME:SECRET:TOKENS_PER_DAY:MONEY_PER_DAY`,
separated by commas; TOKENS_PER_DAY may be empty. Without it the server is open to whoever reaches it, which by default
is this machine. Budgets count per server process and UTC day. A spent budget costs an answer the teacher's help, never
its end.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock

from relayllm.errors import ConfigError
from relayllm.relay.prices import MILLION, Prices
from relayllm.relay.trace import Call, Ledger
from relayllm.serving.errors import ApiError

VARIABLE = "RELAY_API_KEYS"
DAY = 86400


@dataclass(frozen=True, slots=True)
class Key:
    """An API key: whose it is, and what it may spend in a day."""

    name: str
    secret: str
    per_day: int | None = None
    """Teacher tokens per day; None: as many as asked."""
    money_per_day: float | None = None
    """What all its answers may cost a day, in the currency of the prices; None: as much as they do."""

    @property
    def limited(self) -> bool:
        """Whether it has a budget at all."""
        return self.per_day is not None or self.money_per_day is not None


OPEN = Key("anonymous", "")


@dataclass(frozen=True, slots=True)
class Taken:
    """Teacher tokens set aside from a key's budget, what each costs, and the day whose budget it was."""

    tokens: int
    day: int
    price: float = 0.0


class Keys:
    """The API keys of a server, and what each has spent today. Thread-safe."""

    def __init__(self, keys: tuple[Key, ...] = (), clock: Callable[[], float] = time.time) -> None:
        self._keys, self._clock = keys, clock
        self._spent: dict[str, int] = {}
        self._money: dict[str, float] = {}
        self._day = 0
        self._lock = Lock()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], clock: Callable[[], float] = time.time) -> Keys:
        """The keys that the variable holds.

        Raises:
            ConfigError: an entry is malformed, or a name is given twice.
        """
        entries = [entry.strip() for entry in environment.get(VARIABLE, "").split(",") if entry.strip()]
        keys = tuple(_key(place, entry) for place, entry in enumerate(entries, start=1))
        names = [key.name for key in keys]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ConfigError(f"{VARIABLE} names '{twice}' twice: give every key a name of its own")
        return cls(keys, clock)

    @property
    def required(self) -> bool:
        """Whether a request must bring a key."""
        return bool(self._keys)

    def who(self, authorization: str | None) -> Key:
        """The key of an Authorization header.

        Raises:
            ApiError: 401, none or an unknown one.
        """
        if not self._keys:
            return OPEN
        scheme, _, secret = (authorization or "").strip().partition(" ")
        given = secret.strip().encode("utf-8", "replace")
        found = [key for key in self._keys if hmac.compare_digest(key.secret.encode(), given)
                 and scheme.lower() == "bearer"]
        if not found:
            raise ApiError(401, "no valid API key came with the request: send 'Authorization: Bearer KEY'",
                           code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})
        return found[0]

    def take(self, key: Key, wanted: int, price: float = 0.0) -> Taken:
        """Set aside up to `wanted` teacher tokens of a price each. Give back what is left over."""
        with self._lock:
            self._turn_day()
            granted = max(0, min(wanted, self._left(key, wanted, price)))
            self._book(key, granted, granted * price)
            return Taken(granted, self._day, price)

    def give_back(self, key: Key, tokens: int, taken: Taken) -> None:
        """What was set aside on a day and not spent: the next day's budget gains nothing."""
        with self._lock:
            self._turn_day()
            if taken.day == self._day:
                self._book(key, -tokens, -tokens * taken.price)

    def book(self, key: Key, money: float) -> None:
        """What an answer cost besides the teacher tokens that were set aside for it."""
        with self._lock:
            self._turn_day()
            self._book(key, 0, money)

    def has(self, key: Key) -> bool:
        """Whether anything is left of today's budget."""
        with self._lock:
            self._turn_day()
            return self._left(key, 1, 0.0) > 0

    def spent(self) -> dict[str, int]:
        """Teacher tokens of today, set aside ones included, by the name of the key."""
        with self._lock:
            self._turn_day()
            return {key.name: self._spent.get(key.name, 0) for key in self._keys if key.limited}

    def money(self) -> dict[str, float]:
        """Money of today, by the name of the key."""
        with self._lock:
            self._turn_day()
            return {key.name: self._money.get(key.name, 0.0) for key in self._keys if key.limited}

    def _book(self, key: Key, tokens: int, money: float) -> None:
        self._spent[key.name] = max(0, self._spent.get(key.name, 0) + tokens)
        self._money[key.name] = max(0.0, self._money.get(key.name, 0.0) + money)

    def _left(self, key: Key, wanted: int, price: float) -> int:
        """How many of the wanted tokens both budgets have left."""
        tokens = wanted if key.per_day is None else key.per_day - self._spent.get(key.name, 0)
        if key.money_per_day is None:
            return tokens
        money = key.money_per_day - self._money.get(key.name, 0.0)
        return min(tokens, int(money / price + 1e-9) if price else wanted) if money > 0 else 0

    def _turn_day(self) -> None:
        today = int(self._clock() // DAY)
        if today != self._day:
            self._day, self._spent, self._money = today, {}, {}


class Allowance:
    """A policy of the decoder: the student decides, within its key's budget and a limit. One per completion.

    Tokens are set aside call by call, and what a call did not use goes back when it ends: so requests side by side do
    not wait for what none of them spends. Decoded in the engine's thread, closed in the event loop's.
    """

    written = True
    reads_entropy = False

    def __init__(self, keys: Keys, key: Key, limit: int | None = None, prices: Prices | None = None) -> None:
        self._keys, self._key, self._limit, self._prices = keys, key, limit, prices or Prices()
        self._running = Taken(0, 0)
        self._closed = False
        self._lock = Lock()
        self.short = False
        """A call got less than it asked for, because the key's budget had no more."""

    @property
    def student_calls(self) -> bool:
        """While the request's own limit has something left, and the key has, or has refused no call yet.

        A call that the key refuses is written like one that fails: only so is it known that help was wanted.
        """
        if self._limit is not None and self._limit <= 0:
            return False
        return not self.short or self._keys.has(self._key)

    def decide(self, row: object, entropy: float) -> int:
        """Never: the student decides."""
        return 0

    def length(self, requested: int) -> int:
        """As asked, while there is enough; 0 when other requests have spent the rest since the call began."""
        with self._lock:
            if self._closed:
                return 0
            wanted = requested if self._limit is None else min(requested, self._limit)
            self._running = self._keys.take(self._key, wanted, self._prices.teacher / MILLION)
            self.short = self.short or self._running.tokens < wanted
            return self._running.tokens

    def settle(self, delivered: int) -> None:
        """The call is over: what the teacher did not write goes back."""
        with self._lock:
            taken, self._running = self._running, Taken(0, 0)
            self._keys.give_back(self._key, max(0, taken.tokens - delivered), taken)
            if self._limit is not None:
                self._limit -= min(delivered, taken.tokens)

    def close(self, delivered: int) -> None:
        """The completion is over, perhaps in the middle of a call that got so far."""
        self._closed = True
        self.settle(delivered)

    def book(self, ledger: Ledger, calls: Sequence[Call] = ()) -> None:
        """The completion is over: what it cost besides the tokens of its calls, reading included."""
        taken = self._prices.parts(ledger)["teacher"]  # what `take` has counted, at the price of one teacher
        self._keys.book(self._key, self._prices.cost(ledger, calls) - taken)


def _key(place: int, entry: str) -> Key:
    parts = entry.split(":")
    if len(parts) not in (2, 3, 4) or not all(parts[:2]) or not parts[-1]:
        raise ConfigError(f"entry {place} of {VARIABLE} is not NAME:SECRET, NAME:SECRET:TOKENS_PER_DAY or "
                          "NAME:SECRET:TOKENS_PER_DAY:MONEY_PER_DAY")
    tokens, money = [*parts[2:], "", ""][:2]
    if tokens and not tokens.isdigit():
        raise ConfigError(f"entry {place} of {VARIABLE}: '{tokens}' teacher tokens per day; give a whole number")
    return Key(parts[0], parts[1], int(tokens) if tokens else None, _money(place, money) if money else None)


def _money(place: int, text: str) -> float:
    try:
        money = float(text)
    except ValueError:
        money = -1.0
    if not 0 <= money < float("inf"):
        raise ConfigError(f"entry {place} of {VARIABLE}: '{text}' of money per day; give a number of 0 or more")
    return money
