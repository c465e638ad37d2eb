"""API keys: who asks, and what each may spend in a day: teacher tokens, money, or both.

`RELAY_API_KEYS` holds `NAME:SECRET`, `NAME:SECRET:TOKENS_PER_DAY` or `NAME:SECRET:TOKENS_PER_DAY:MONEY_PER_DAY`,
separated by commas; TOKENS_PER_DAY may be empty. Without it the server is open to whoever reaches it, which by default
is this machine. `budgets/` counts what they spend.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from relayllm.errors import ConfigError
from relayllm.serving.errors import ApiError

VARIABLE = "RELAY_API_KEYS"


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
        """Whether the key has a budget at all."""
        return self.per_day is not None or self.money_per_day is not None


OPEN = Key("anonymous", "")


class Keys:
    """The API keys of a server."""

    def __init__(self, keys: tuple[Key, ...] = ()) -> None:
        self._keys = keys

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Keys:
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
        scheme, _, secret = (authorization or "").strip().partition(" ")
        given = secret.strip().encode("utf-8", "replace")
        found = [key for key in self._keys if hmac.compare_digest(key.secret.encode(), given)
                 and scheme.lower() == "bearer"]
        if not found:
            raise ApiError(401, "no valid API key came with the request: send 'Authorization: Bearer KEY'",
                           code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})
        return found[0]


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
