"""Every error the platform raises on purpose, named after the boundary that was crossed.

A message states the fact, both values and the remedy. A malformed or unhelpful completion is data
(a stop reason, a reward), never one of these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


class RelayError(Exception):
    """The root of all errors raised on purpose."""


class ConfigError(RelayError):
    """`params.yaml`, a setting or an option does not say what it must."""


class DataError(RelayError):
    """A file of problems, records or roll-outs is not what its reader needs; names file and row."""


class ModelError(RelayError):
    """A model folder is missing, unreadable, or does not fit its role."""


class TeacherError(RelayError):
    """The teacher did not answer, or answered something that is not an answer."""


class PolicyRefusal(TeacherError):
    """A governance rule keeps a call from being sent; the answer goes on without that help."""


class StudentError(RelayError):
    """A student behind a server did not answer, or is not the student that was expected."""


class JudgeError(RelayError):
    """The judge of the evaluation is out of reach, or cannot be asked as params.yaml says."""


class TrainingError(RelayError):
    """Training cannot go on, or would go on wrongly."""


class TrackingError(RelayError):
    """The tracking server is out of reach; what a stage measured is kept."""


class RegistryError(RelayError):
    """The model registry is out of reach, or holds something else than expected."""


class NoSuchVersion(RegistryError):
    """The registry answers, and knows no such version or alias."""


class StageError(RelayError):
    """A pipeline stage failed; carries the reason, then the last lines it printed."""

    def __init__(self, message: str, *, can_heal: bool = True) -> None:
        super().__init__(message)
        self.can_heal = can_heal
        """Whether another try could succeed."""


class ServingError(RelayError):
    """The server cannot start or serve as asked."""


def fault_in_words(message: str) -> str:
    """What is wrong with a field, as pydantic says it, without the names of its validators."""
    said = message.removeprefix("Value error, ")
    for begins in ("Input should", "String should", "List should", "Tuple should"):
        if said.startswith(begins):
            return "must" + said.removeprefix(begins).replace(" after validation", "")
    return said


def faults_in_words(faults: Iterable[Mapping[str, Any]]) -> str:
    """All of pydantic's faults of a file, each with its key."""
    return "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'file'}: {fault_in_words(fault['msg'])}"
                     for fault in faults)
