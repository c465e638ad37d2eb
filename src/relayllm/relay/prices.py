"""Prices: what tokens and seconds cost, and so what one answer costs. One currency, whichever the prices are in.

`RELAY_PRICES` holds them as `student=0.05,teacher=2.4,teacher_read=0.6`, or names a YAML or JSON file of the same keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from math import isfinite
from pathlib import Path
from typing import Any, Self

import yaml

from relayllm.errors import ConfigError
from relayllm.relay.trace import Call, Ledger

VARIABLE = "RELAY_PRICES"
MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices per million tokens, and per second for hardware of one's own; what is left out is free.

    Raises:
        ConfigError: a price that is negative or no number.
    """

    student: float = 0.0
    """Per million tokens that the student writes, commands included."""
    student_read: float = 0.0
    """Per million tokens that it reads and did not write: the prompt, the teacher's tokens. Of a student elsewhere
    those that its server read at the beginnings of segments."""
    student_cached: float = 0.0
    """Per million tokens that the server of a student elsewhere found in its cache."""
    teacher: float = 0.0
    """Per million tokens that the teacher writes."""
    teacher_read: float = 0.0
    """Per million tokens that it reads fresh: every call pays for what was written since the last one."""
    teacher_cached: float = 0.0
    """Per million tokens that a call finds in the teacher's cache: every call pays for all that stands before it."""
    student_second: float = 0.0
    """Per second that a row takes of the student's batches."""
    teacher_second: float = 0.0
    """Per second that a row takes of the teacher's batches, or waits for a teacher elsewhere."""
    currency: str = "USD"
    teachers: Mapping[str, Prices] = field(default_factory=dict, hash=False)
    """By name, those of a pool's teachers whose calls have prices of their own."""

    def __post_init__(self) -> None:
        for name in PRICED:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value) or value < 0:
                raise ConfigError(f"the price {name} is {value!r}: give a number of 0 or more")

    @property
    def known(self) -> bool:
        """Whether anything costs anything; without, nothing speaks of money."""
        return any(getattr(self, name) for name in PRICED) or any(one.known for one in self.teachers.values())

    def cost(self, ledger: Ledger, calls: Sequence[Call] = ()) -> float:
        """What one completion cost, reading included."""
        return sum(self.parts(ledger, calls).values())

    def parts(self, ledger: Ledger, calls: Sequence[Call] = ()) -> dict[str, float]:
        """The cost of one completion, by what it was paid for; the keys are the prices' names.

        With its calls, each is counted at the prices of its teacher.
        """
        tokens = {"student": ledger.student_tokens + ledger.command_tokens,
                  "student_read": ledger.student_reread or ledger.student_prefilled,
                  "student_cached": ledger.student_cached, "teacher": ledger.teacher_tokens,
                  "teacher_read": ledger.teacher_prefilled, "teacher_cached": ledger.teacher_cached}
        seconds = {"student_second": ledger.student_seconds, "teacher_second": ledger.teacher_seconds}
        return ({name: self._price(name, calls) * count / MILLION for name, count in tokens.items()}
                | {name: self._price(name, calls) * count for name, count in seconds.items()})

    def _price(self, name: str, calls: Sequence[Call]) -> float:
        """The mean over calls, weighted by what they are counted in: the ledger holds their sum."""
        own: float = getattr(self, name)
        weigh = CALL_FIELDS.get(name)
        weights = [getattr(call, weigh) for call in calls] if weigh and self.teachers else []
        if not sum(weights):
            return own
        prices = [getattr(self.of_teacher(call.teacher), name) for call in calls]
        return float(sum(price * weight for price, weight in zip(prices, weights, strict=True)) / sum(weights))

    def of_teacher(self, name: str) -> Prices:
        """The prices of this teacher's calls: its own where it has some."""
        return self.teachers.get(name, self)

    def as_dict(self) -> dict[str, Any]:
        """The prices as a mapping, as files hold them."""
        return {name: value for name, value in asdict(self).items() if name != "teachers"}

    @classmethod
    def of(cls, given: Mapping[str, Any], source: str = "prices") -> Self:
        """Prices from a mapping, such as a file holds.

        Raises:
            ConfigError: an unknown key, or a value that is no price.
        """
        known = [one.name for one in fields(cls) if one.name != "teachers"]
        unknown = sorted(str(name) for name in set(given) - set(known))
        if unknown:
            raise ConfigError(f"{source}: unknown price {', '.join(unknown)}; known are {', '.join(known)}")
        if not isinstance(given.get("currency", ""), str):
            raise ConfigError(f"{source}: currency is {given['currency']!r}; give a name such as USD")
        return cls(**given)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Prices as RELAY_PRICES has them: in its text, or in the file that it names; all 0 without it.

        Raises:
            ConfigError: the file cannot be read, or an entry is no price.
        """
        text = environment.get(VARIABLE, "").strip()
        if not text:
            return cls()
        return cls.of(_of_text(text) if "=" in text else _of_file(Path(text)), VARIABLE)


PRICED = tuple(one.name for one in fields(Prices) if one.name not in ("currency", "teachers"))
CALL_FIELDS = {"teacher": "delivered", "teacher_read": "read", "teacher_cached": "cached", "teacher_second": "seconds"}
"""What of a call each price of a teacher is counted in."""
CALL_TOKENS = ("teacher", "teacher_read", "teacher_cached")
"""The prices per token that a call is paid for."""


def _of_text(text: str) -> dict[str, Any]:
    entries = [entry.strip().partition("=") for entry in text.split(",") if entry.strip()]
    return {name.strip(): _number(name.strip(), value.strip()) for name, _, value in entries}


def _number(name: str, value: str) -> float | str:
    if name == "currency":
        return value
    try:
        return float(value)
    except ValueError:
        raise ConfigError(f"{VARIABLE}: {name} is '{value}': give a number, as in {name}=0.5") from None


def _of_file(path: Path) -> dict[str, Any]:
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{VARIABLE} names {path}, which cannot be read ({error}): give a YAML or JSON file of "
                          "prices, or the prices themselves, as in student=0.05,teacher=2.4") from error
    if not isinstance(given, dict):
        raise ConfigError(f"{path} holds no table of prices: write lines such as 'teacher: 2.4'")
    return given
