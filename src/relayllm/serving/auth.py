"""API keys, and how many teacher tokens each may spend in a day.

`RELAY_API_KEYS` holds `NAME:SECRET` or `NAME:SECRET:TOKENS_PER_DAY`, separated by commas. Without it the server is
open to whoever reaches it, which by default is this machine. Budgets count per server process and UTC day.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock

from relayllm.errors import ConfigError
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


OPEN = Key("anonymous", "")


@dataclass(frozen=True, slots=True)
class Taken:
    """Teacher tokens set aside from a key's budget, and the day whose budget it was."""

    tokens: int
    day: int


class Keys:
    """The API keys of a server, and what each has spent today. Thread-safe."""

    def __init__(self, keys: tuple[Key, ...] = (), clock: Callable[[], float] = time.time) -> None:
        self._keys, self._clock = keys, clock
        self._spent: dict[str, int] = {}
        self._day = 0
        self._lock = Lock()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Keys:
        """Read the variable.

        Raises:
            ConfigError: an entry is malformed, or a name is given twice.
        """
        entries = [entry.strip() for entry in environment.get(VARIABLE, "").split(",") if entry.strip()]
        keys = tuple(_key(place, entry) for place, entry in enumerate(entries, start=1))
        names = [key.name for key in keys]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ConfigError(f"{VARIABLE} names '{twice}' twice: give every key a name of its own")
        return cls(keys)

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
        given = (authorization or "").removeprefix("Bearer ").strip().encode("utf-8", "replace")
        found = [key for key in self._keys if hmac.compare_digest(key.secret.encode(), given)]
        if not found:
            raise ApiError(401, "no valid API key came with the request: send 'Authorization: Bearer KEY'",
                           code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})
        return found[0]

    def take(self, key: Key, wanted: int) -> Taken:
        """Set aside up to `wanted` teacher tokens. Give back what is left over."""
        with self._lock:
            self._turn_day()
            granted = max(0, min(wanted, self._left(key, wanted)))
            self._spent[key.name] = self._spent.get(key.name, 0) + granted
            return Taken(granted, self._day)

    def give_back(self, key: Key, tokens: int, day: int) -> None:
        """What was set aside on a day and not spent: the next day's budget gains nothing."""
        with self._lock:
            self._turn_day()
            if day == self._day:
                self._spent[key.name] = max(0, self._spent.get(key.name, 0) - tokens)

    def has(self, key: Key) -> bool:
        """Whether anything is left of today's budget."""
        with self._lock:
            self._turn_day()
            return self._left(key, 1) > 0

    def spent(self) -> dict[str, int]:
        """Teacher tokens of today, set aside ones included, by the name of the key."""
        with self._lock:
            self._turn_day()
            return {key.name: self._spent.get(key.name, 0) for key in self._keys if key.per_day is not None}

    def _left(self, key: Key, wanted: int) -> int:
        return wanted if key.per_day is None else key.per_day - self._spent.get(key.name, 0)

    def _turn_day(self) -> None:
        today = int(self._clock() // DAY)
        if today != self._day:
            self._day, self._spent = today, {}


class Allowance:
    """A policy of the decoder: the student decides, within its key's budget and a limit. One per completion.

    Tokens are set aside call by call, and what a call did not use goes back when it ends: so requests side by side do
    not wait for what none of them spends. Decoded in the engine's thread, closed in the event loop's.
    """

    written = True
    reads_entropy = False

    def __init__(self, keys: Keys, key: Key, limit: int | None = None) -> None:
        self._keys, self._key, self._limit = keys, key, limit
        self._running = Taken(0, 0)
        self._closed = False
        self._lock = Lock()
        self.short = False
        """The key's budget had nothing left, or too little, when a call was possible."""

    @property
    def student_calls(self) -> bool:
        """While there is something left; asked where a call is possible, it notes that the key had nothing."""
        if self._limit is not None and self._limit <= 0:
            return False
        there = self._keys.has(self._key)
        self.short = self.short or not there
        return there

    def decide(self, row: object, entropy: float) -> int:
        """Never: the student decides."""
        return 0

    def length(self, requested: int) -> int:
        """As asked, while there is enough; 0 when other requests have spent the rest since the call began."""
        with self._lock:
            if self._closed:
                return 0
            wanted = requested if self._limit is None else min(requested, self._limit)
            self._running = self._keys.take(self._key, wanted)
            self.short = self.short or self._running.tokens < wanted
            return self._running.tokens

    def settle(self, delivered: int) -> None:
        """The call is over: what the teacher did not write goes back."""
        with self._lock:
            taken, self._running = self._running, Taken(0, 0)
            self._keys.give_back(self._key, max(0, taken.tokens - delivered), taken.day)
            if self._limit is not None:
                self._limit -= min(delivered, taken.tokens)

    def close(self, delivered: int) -> None:
        """The completion is over, perhaps in the middle of a call that got so far."""
        self._closed = True
        self.settle(delivered)


def _key(place: int, entry: str) -> Key:
    parts = entry.split(":")
    if len(parts) not in (2, 3) or not all(parts):
        raise ConfigError(f"entry {place} of {VARIABLE} is not NAME:SECRET or NAME:SECRET:TOKENS_PER_DAY")
    if len(parts) == 3 and not parts[2].isdigit():
        raise ConfigError(f"entry {place} of {VARIABLE}: '{parts[2]}' teacher tokens per day; give a whole number")
    return Key(parts[0], parts[1], int(parts[2]) if len(parts) == 3 else None)
