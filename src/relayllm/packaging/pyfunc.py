"""The relay decoder as an MLflow model: a table of prompts in, a table of answers out.

MLflow's scoring server answers requests from several threads and the decoder is used by one at a time: a lock.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PythonModel
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from mlflow.types.schema import Array, Object, Property

from relayllm.errors import ConfigError, DataError
from relayllm.packaging.folder import Package, open_package, setting_for
from relayllm.packaging.teacher_names import shown_teacher
from relayllm.relay.bias_curve import OWN, BiasCurve, CallSetting, refuse_two_settings

if TYPE_CHECKING:
    from types import TracebackType

    from mlflow.models import ModelSignature
    from mlflow.pyfunc import PythonModelContext

    from relayllm.engines.decoder import RelayDecoder
    from relayllm.relay.events import Event
    from relayllm.relay.trace import Trace

LoadPackage = Callable[[Package], "RelayDecoder"]
PARAMS = {"max_new_tokens": int, "temperature": float, "top_p": float, "seed": int, "max_calls": int,
          "max_call_tokens": int, "teacher_temperature": float, "teacher_enabled": bool, "call_bias": float,
          "min_call_tokens": int, "call_ratio": float}
"""What a request may set; the defaults are the package's own decoding. `call_ratio` sets call_bias and min_call_tokens
by what they spend."""
_TYPES = {int: DataType.long, float: DataType.double, bool: DataType.boolean}
_WORDS = {int: "a whole number", float: "a number", bool: "true or false"}


def load_decoder(package: Package) -> RelayDecoder:
    """The decoder of a package, with the teacher where the package says."""
    from relayllm import RelayDecoder

    source = package.teacher
    address = source.address(package.folder)
    revision = source.revision if source.kind == "hub" and address == source.id else None
    return RelayDecoder.from_pretrained(package.student, address, teacher_revision=revision or None)


class RelayModel(PythonModel):
    """What MLflow loads. `predict` answers a table of prompts, `predict_stream` one prompt token by token."""

    def __init__(self, load: LoadPackage = load_decoder) -> None:
        self._load = load
        self._alone = threading.Lock()

    def load_context(self, context: PythonModelContext) -> None:
        """Open the package around the artifacts and load both models."""
        self._package = open_package(Path(context.artifacts["record"]).parent.parent)
        self._decoder = self._load(self._package)
        refuse_unknown_params()

    # Type hints would replace the signature.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        """Answer every prompt, in one batch.

        Raises:
            MlflowException: a prompt that is no text, an unknown parameter, a value out of range (HTTP 400).
        """
        prompts, options = read_prompts(model_input), self._options(params)
        with self._alone, _BadRequest():
            traces = self._decoder.generate(prompts, slots=int(self._package.decoding["slots"]), **options)
        return answer_table([answer_row(trace) for trace in traces])

    def predict_stream(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        """Answer one prompt and yield each token with its author as it is written."""
        prompts, options = read_prompts(model_input), self._options(params)
        if len(prompts) != 1:
            raise MlflowException.invalid_parameter_value(
                f"predict_stream writes one answer and got {len(prompts)} prompts: call it once for each")
        with self._alone, _BadRequest():
            for event in self._decoder.stream(prompts[0], **options):
                yield event_row(event)

    def _options(self, params: Mapping[str, Any] | None) -> dict[str, Any]:
        with _BadRequest():
            return with_call_setting(read_params(params, self._package.decoding), self._package.bias_curve)


class _BadRequest:
    """What the request got wrong is the caller's fault to MLflow: HTTP 400, with our message."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if isinstance(error, ConfigError | DataError):
            raise MlflowException.invalid_parameter_value(str(error)) from error


def with_call_setting(options: Mapping[str, Any], curve: BiasCurve | None) -> dict[str, Any]:
    """Options of the decoder: a wanted call ratio as the setting that spends it.

    Raises:
        ConfigError: a setting is given besides, or none is known to spend so much.
    """
    wanted, left = options.get("call_ratio"), {name: one for name, one in options.items() if name != "call_ratio"}
    if wanted is None:
        return left
    given = CallSetting(left.get("call_bias", OWN.call_bias), left.get("min_call_tokens", OWN.min_call_tokens))
    refuse_two_settings(wanted, given)
    return {**left, **setting_for(curve, wanted).options()}


def read_prompts(given: Any) -> list[str]:
    """The prompts of a request: a table with a column `prompt`, a list of texts, or one text.

    Raises:
        MlflowException: there are none, or one is no text.
    """
    if isinstance(given, pd.DataFrame):
        if "prompt" not in given.columns:
            raise MlflowException.invalid_parameter_value(
                f"no column 'prompt', only {', '.join(map(str, given.columns)) or 'none'}: name it so")
        given = given["prompt"].tolist()
    rows = [given] if isinstance(given, str | Mapping) else list(given)  # MLflow streams one row as a mapping
    prompts: list[Any] = [row.get("prompt") if isinstance(row, Mapping) else row for row in rows]
    for number, prompt in enumerate(prompts):
        if not isinstance(prompt, str) or not prompt.strip():
            raise MlflowException.invalid_parameter_value(f"prompt {number} is {prompt!r:.60}: give a text")
    return prompts


def read_params(given: Mapping[str, Any] | None, decoding: Mapping[str, Any]) -> dict[str, Any]:
    """Options for the decoder: the package's own, changed by what the request sets.

    Raises:
        MlflowException: an unknown name, or a value of the wrong type.
    """
    own = (*PARAMS, "enable_thinking")
    chosen = {**OWN.options(), **{name: decoding[name] for name in own if name in decoding}, "seed": 0}
    for name, value in (given or {}).items():
        kind = PARAMS.get(name)
        if kind is None:
            raise _unknown([name])
        if value is None:  # MLflow hands over the default of call_ratio so, too
            continue
        if not _fits(value, kind):
            raise MlflowException.invalid_parameter_value(f"{name} is {value!r:.60}: give {_WORDS[kind]}")
        chosen[name] = kind(value)
    return chosen


def _fits(value: Any, kind: type) -> bool:
    if kind is bool or isinstance(value, bool):
        return kind is bool and isinstance(value, bool)
    return isinstance(value, int) if kind is int else isinstance(value, int | float)


def _unknown(names: Sequence[str]) -> MlflowException:
    return MlflowException.invalid_parameter_value(
        f"unknown parameter {', '.join(names)}: known are {', '.join(PARAMS)}")


def refuse_unknown_params() -> None:
    """Make MLflow's warning about unknown parameters an error, whatever others made of logging."""
    logger = logging.getLogger("mlflow.models.utils")
    logger.addFilter(_refuse_unknown)  # the same one is added once
    logger.setLevel(logging.WARNING)
    logger.disabled = False
    logger.isEnabledFor = _is_warning  # type: ignore[method-assign]  # `logging.disable` would keep the filter from it


def _is_warning(level: int) -> bool:
    return level >= logging.WARNING


def _refuse_unknown(record: logging.LogRecord) -> bool:
    """Raise for unknown parameters of this model.

    MLflow drops what the signature does not name and only logs it, before the model sees the request.
    """
    message = record.getMessage()
    if message.startswith("Unrecognized params") and all(name in message for name in PARAMS):
        raise _unknown([message.removeprefix("Unrecognized params ").split("]")[0].strip("[").replace("'", "")])
    return record.levelno > logging.root.manager.disable


def answer_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Answers as the table that `predict` returns."""
    return pd.DataFrame(rows, columns=list(answer_columns()))


def event_row(event: Event) -> dict[str, Any]:
    """One token of a stream as the mapping that `predict_stream` yields."""
    return {"token_id": int(event.token_id), "text": event.text, "author": str(event.author.value),
            "position": int(event.position)}


def answer_row(trace: Trace, degraded_by: Sequence[str] | None = None, cost: float | None = None) -> dict[str, Any]:
    """One answer as a row of the table: a server knows besides which help it withheld itself, and the cost."""
    ledger, withheld = trace.ledger, list(trace.degraded_by if degraded_by is None else degraded_by)
    return {
        "text": trace.text, "call_ratio": float(trace.call_ratio), "calls": len(trace.calls),
        "completion_tokens": ledger.completion_tokens, "student_tokens": ledger.student_tokens,
        "command_tokens": ledger.command_tokens, "teacher_tokens": ledger.teacher_tokens,
        "stop_reason": str(trace.stop_reason.value), "degraded": bool(withheld), "degraded_by": withheld,
        "teachers": [shown_teacher(call.teacher) for call in trace.calls], "cost": cost,
        "segments": segments_of(trace), "token_ids": [int(token) for token in trace.token_ids],
    }


def segments_of(trace: Trace) -> list[dict[str, str]]:
    """Who wrote which part of the text, in order; commands leave no text."""
    return [{"author": str(part.author.value), "text": trace.text[part.text_start:part.text_stop]}
            for part in trace.segments if part.text_stop > part.text_start]


def answer_columns() -> dict[str, Any]:
    """Column -> MLflow type, in the order of the table."""
    segment = Object([Property("author", DataType.string), Property("text", DataType.string)])
    counts = ("completion_tokens", "student_tokens", "command_tokens", "teacher_tokens")
    return {"text": DataType.string, "call_ratio": DataType.double, "calls": DataType.long,
            **dict.fromkeys(counts, DataType.long), "stop_reason": DataType.string, "degraded": DataType.boolean,
            "degraded_by": Array(DataType.string), "teachers": Array(DataType.string), "cost": DataType.double,
            "segments": Array(segment), "token_ids": Array(DataType.long)}


def signature(decoding: Mapping[str, Any]) -> ModelSignature:
    """MLflow's signature: inputs, outputs, and parameters with the package's own values as defaults."""
    from mlflow.models import ModelSignature

    defaults = {**read_params(None, decoding), "teacher_enabled": True}
    params = [ParamSpec(name, _TYPES[kind], kind(defaults[name]) if name in defaults else None)
              for name, kind in PARAMS.items()]
    outputs = [ColSpec(kind, name, required=name != "cost") for name, kind in answer_columns().items()]
    return ModelSignature(Schema([ColSpec(DataType.string, "prompt")]), Schema(outputs), ParamSchema(params))
