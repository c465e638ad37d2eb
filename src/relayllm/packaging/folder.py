"""The packaged relay decoder as a folder: where its parts lie, and what it says about itself.

Plain files, read without MLflow or torch: the registry, the server and the monitor all need them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from relayllm.errors import ConfigError, ModelError
from relayllm.relay.bias_curve import BiasCurve, CallSetting
from relayllm.relay.prices import Prices
from relayllm.settings import current_settings

RECORD, PROBLEM_SCORES = "relay.json", "problem_scores.json"
FORMAT = 2
FORMAT_1 = {"bias_curve": "dial", PROBLEM_SCORES: "outcomes.json"}
"""Names that packages of format 1 have for the same things: they are still read."""
ProblemScore = tuple[float, float, float]
"""One problem, averaged over its samples: share correct, teacher tokens, completion tokens."""
ProblemScores = Mapping[str, Mapping[str, ProblemScore]]
"""benchmark -> problem id -> score: what two versions are compared on, problem by problem."""


@dataclass(frozen=True, slots=True)
class TeacherSource:
    """Where a package finds its teacher."""

    kind: Literal["embedded", "hub", "endpoint"]
    id: str = ""
    """Hub id (hub)."""
    revision: str = ""

    def address(self, folder: Path) -> str:
        """What to load: a folder, a hub id, or what RELAY_TEACHERS or RELAY_TEACHER_URL names, which wins.

        Raises:
            ModelError: the package leaves the teacher to the environment, and the environment does not say.
        """
        if url := current_settings().remote_teacher:
            return url
        if self.kind == "endpoint":
            raise ModelError(f"the package in {folder} brings no teacher and RELAY_TEACHER_URL is not set: set it to "
                             "the address of an OpenAI-compatible server, for example http://teacher:8001/v1")
        return self.id if self.kind == "hub" else str(folder / "artifacts" / "teacher")


@dataclass(frozen=True, slots=True)
class ParityCase:
    """One question with the answer that the decoder gave before it was packed, greedy."""

    benchmark: str
    problem_id: str
    prompt: str
    text: str
    token_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Package:
    """A package folder, opened."""

    folder: Path
    record: Mapping[str, Any]
    """What relay.json says: method, decoding, metrics, data_md5, git_commit, teacher, parity."""

    @property
    def student(self) -> Path:
        """The student's model folder."""
        return self.folder / "artifacts" / "student"

    @property
    def teacher(self) -> TeacherSource:
        """Where the package finds its teacher."""
        return TeacherSource(**self.record["teacher"])

    @property
    def decoding(self) -> Mapping[str, Any]:
        """The decoding options it was evaluated for, `slots` among them."""
        return dict(self.record["decoding"])

    @property
    def bias_curve(self) -> BiasCurve | None:
        """What other settings spend; None when nobody measured it."""
        found = self.record.get(self._name("bias_curve"))
        return BiasCurve.from_points(found["training"]) if found else None

    @property
    def prices(self) -> Prices:
        """What tokens and seconds cost when it was evaluated; all 0 when nobody said."""
        return Prices.of(self.record.get("prices") or {}, f"{self.folder}/artifacts/{RECORD}")

    @property
    def cost(self) -> Mapping[str, Any] | None:
        """What so many of its `answers` cost in the report, in its `currency`; None when there were no prices."""
        found: Mapping[str, Any] | None = self.record.get("cost")
        return found

    @property
    def metrics(self) -> Mapping[str, Any]:
        """`average` and `benchmarks`, in the shape of a method in summary.json."""
        return dict(self.record["metrics"])

    @property
    def parity(self) -> tuple[ParityCase, ...]:
        """The questions that packaged and in-process answers are compared on."""
        return tuple(ParityCase(**{**case, "token_ids": tuple(case["token_ids"])}) for case in self.record["parity"])

    def problem_scores(self) -> ProblemScores:
        """Per benchmark and problem: share correct, teacher tokens, completion tokens."""
        found = json.loads((self.folder / "artifacts" / self._name(PROBLEM_SCORES)).read_text(encoding="utf-8"))
        return {bench: {key: tuple(row) for key, row in rows.items()} for bench, rows in found.items()}

    def _name(self, name: str) -> str:
        return FORMAT_1[name] if self.record["format"] == 1 else name


def setting_for(bias_curve: BiasCurve | None, call_ratio: float) -> CallSetting:
    """The call setting that spends a wanted call ratio, by the package's bias curve.

    Raises:
        ConfigError: out of the curve's reach, or there is no curve.
    """
    if bias_curve is None:
        raise ConfigError(f"call_ratio is {call_ratio:g}, but this model was packed without a measured bias curve: "
                          "list a call-ratio-Mx in evaluate.methods and make the package again, or set "
                          "call_bias or min_call_tokens")
    return bias_curve.setting_for(call_ratio)


def open_package(folder: Path) -> Package:
    """Open a package folder and check that it is whole.

    Raises:
        ModelError: a part is missing or unreadable, or a later version wrote it.
    """
    path = folder / "artifacts" / RECORD
    if not path.is_file():
        raise ModelError(f"{folder} is no packaged relay decoder, it has no artifacts/{RECORD}: give the folder that "
                         "`relay package` wrote, a model's folder with its config.json, or a registered version such "
                         "as models:/relay-decoder@champion")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        package, found = Package(folder, record), record["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} cannot be read ({error}): make the package again, `dvc repro -f package`") from error
    if found not in (1, FORMAT):
        raise ModelError(f"{path} has format {found}, this version reads 1 to {FORMAT}: use the relayllm it was made "
                         "with")
    _check_weights(package)
    return package


def content_hash(folder: Path, leave_out: Sequence[str] = ()) -> str:
    """One hash for the names and bytes of all files in a folder; what Python caches there does not count."""
    total = hashlib.md5()
    for path in sorted(item for item in folder.rglob("*") if item.is_file() and "__pycache__" not in item.parts):
        name = path.relative_to(folder).as_posix()
        if name not in leave_out:
            with path.open("rb") as file:
                total.update(f"{name}\0{hashlib.file_digest(file, 'md5').hexdigest()}\n".encode())
    return total.hexdigest()


def _check_weights(package: Package) -> None:
    folders = [package.student]
    if package.teacher.kind == "embedded" and not current_settings().remote_teacher:
        folders.append(package.folder / "artifacts" / "teacher")
    for folder in folders:
        if not list(folder.glob("*.safetensors")):
            raise ModelError(f"{folder} holds no *.safetensors: the package is not whole; copy it again, or make it "
                             "again with `dvc repro -f package`")
