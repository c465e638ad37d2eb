"""The file of a pool: its teachers in their order, with prices, and the rules of what they may be sent."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from relayllm.engines.openai.addresses import base_url
from relayllm.errors import ConfigError, faults_in_words
from relayllm.relay.prices import Prices


class PoolSection(BaseModel):
    """A part of the file: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class When(PoolSection):
    """Which calls this teacher is asked first; for others it is the last resort."""

    min_tokens: int = Field(default=1, ge=1)
    """Calls of at least n tokens."""
    from_call: int = Field(default=1, ge=1)
    """From this call of an answer on."""


class TeacherPrices(PoolSection):
    """As `relay.prices.Prices` has them, for this teacher's calls; what is left out is free."""

    teacher: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    teacher_read: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    teacher_cached: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    teacher_second: float = Field(default=0.0, ge=0, allow_inf_nan=False)


class TeacherConfig(PoolSection):
    """One teacher: the replicas that serve it."""

    name: str = Field(pattern=r"^[\w.:-]+$")
    urls: tuple[str, ...] = Field(min_length=1)
    model: str | None = None
    mode: Literal["auto", "ids", "messages", "text"] | None = None
    key_variable: str | None = None
    """The environment variable that holds its API key; left out: no key is sent."""
    trusted: bool = False
    """In one's own house: the governance rules do not read what it is sent."""
    when: When | None = None
    prices: TeacherPrices | None = None

    @property
    def content(self) -> dict[str, Any]:
        """What decides its answers: a model that is named is known by its name, wherever its replicas are."""
        where = {} if self.model else {"urls": self.urls}
        return {**self.model_dump(include={"name", "model", "mode", "when", "trusted"}), **where}

    def rank(self, n: int, call: int) -> int:
        """Of an answer's call for n tokens: 0 where `when` gives it this teacher, 2 where it does not; 1 without."""
        if self.when is None:
            return 1
        return 0 if n >= self.when.min_tokens and call >= self.when.from_call else 2


class RuleConfig(PoolSection):
    """`email` and `card` are known by name; any other name brings a regular expression."""

    name: str = Field(pattern=r"^[\w-]+$")
    pattern: str | None = None
    action: Literal["mask", "refuse"] = "mask"

    @model_validator(mode="after")
    def _compiles(self) -> Self:
        if self.pattern is None and self.name not in ("email", "card"):
            raise ValueError(f"rule {self.name} has no pattern: give one, or name it email or card")
        try:
            matches_nothing = re.compile("x" if self.pattern is None else self.pattern).search("")
        except re.error as error:
            raise ValueError(f"pattern of rule {self.name} is no regular expression ({error})") from error
        if matches_nothing:
            raise ValueError(f"pattern of rule {self.name} matches the empty text: make it need a character")
        return self


class GovernanceConfig(PoolSection):
    """What is masked or refused, and where the audit is kept."""

    rules: tuple[RuleConfig, ...] = ()
    audit: str | None = None
    key_variable: str | None = None
    """The environment variable with the key of the audit's hashes; left out: plain sha256."""


class PoolConfig(PoolSection):
    """The whole file; teachers are asked in its order."""

    teachers: tuple[TeacherConfig, ...] = Field(min_length=1)
    governance: GovernanceConfig | None = None

    @property
    def prices(self) -> dict[str, Prices]:
        """By name, of the teachers that have prices of their own."""
        return {one.name: Prices(**one.prices.model_dump()) for one in self.teachers if one.prices}

    def alone(self, url: str | None = None) -> str:
        """Who gives whole answers: the one that this address is a replica of, else the only one; empty: none of it."""
        able = self.teachers if url is None else self.at(url)
        return able[0].name if len(able) == 1 else ""

    def at(self, url: str) -> list[TeacherConfig]:
        """The teachers that this address is a replica of: several, where one server has several models."""
        return [one for one in self.teachers if base_url(url) in map(base_url, one.urls)]

    @property
    def content(self) -> str:
        """What decides the answers of a student that calls this pool: not prices, keys or the audit."""
        rules = self.governance.rules if self.governance else ()
        return json.dumps({"teachers": [one.content for one in self.teachers],
                           "rules": [one.model_dump() for one in rules]}, sort_keys=True)

    @model_validator(mode="after")
    def _unique(self) -> Self:
        names = [teacher.name for teacher in self.teachers]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two teachers are named {', '.join(twice)}: give each a name of its own")
        return self


def is_pool(teacher: str | Path) -> bool:
    """Whether this names the YAML file of a pool of teachers."""
    return str(teacher).endswith((".yaml", ".yml"))


def replicas(urls: Sequence[str]) -> PoolConfig:
    """A pool of one model that several servers serve."""
    return PoolConfig(teachers=(TeacherConfig(name="served", urls=tuple(urls)),))


def read_pool(path: str | Path) -> PoolConfig:
    """The pool that a YAML file describes.

    Raises:
        ConfigError: the file cannot be read, or an entry is not what it must be.
    """
    try:
        return PoolConfig.model_validate(yaml.safe_load(Path(path).read_text(encoding="utf-8")))
    except ValidationError as error:
        raise ConfigError(f"{path} is no pool of teachers: {faults_in_words(error.errors())}") from error
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise ConfigError(f"the pool of teachers {path} cannot be read ({error}): give a YAML file with a list "
                          "`teachers`, or the address of one teacher") from error
