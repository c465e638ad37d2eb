"""A share of the answers as MLflow traces: a span per segment with its author, tokens and seconds, and of a call its n,
its teacher, and whether it failed or was refused."""

from __future__ import annotations

import logging
import queue
import random
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from relayllm.packaging.teacher_names import shown_teacher
from relayllm.relay.prices import Prices
from relayllm.relay.trace import Author, Segment, Trace
from relayllm.serving.engine.requests import EngineRequest
from relayllm.serving.errors import Json
from relayllm.settings import Settings

if TYPE_CHECKING:
    from relayllm.serving.models.router import Deployment

LOG = logging.getLogger("relayllm.serving")
WAITING = 256
"""Traces that wait to be written at most; more are dropped: watching must not slow the answers."""


class Tracer:
    """Writes a share of the answers to MLflow, in a thread of its own; the model router calls it with each of them."""

    def __init__(self, share: float, settings: Settings, *, write: Callable[..., None] | None = None,
                 chance: Callable[[], float] = random.random) -> None:
        self._share, self._settings, self._chance = share, settings, chance
        self._write = write or write_trace
        self._queue: queue.Queue[tuple[Any, ...] | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._run, name="tracer", daemon=True)
        self._thread.start()

    def __call__(self, deployment: Deployment, request: EngineRequest, trace: Trace, degraded: bool) -> None:
        """Queue an answer to be written, by chance."""
        if self._chance() >= self._share:
            return
        offset = time.time() - time.monotonic()
        try:
            self._queue.put_nowait((deployment.name, deployment.version, deployment.alias, request, trace, degraded,
                                    offset, deployment.prices))
        except queue.Full:
            LOG.warning("a trace was dropped: MLflow takes them slower than they come; lower --trace-share")

    def close(self, seconds: float = 10.0) -> None:
        """Write the traces that wait, then end the thread."""
        self._queue.put(None)
        self._thread.join(seconds)

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            try:
                self._write(self._settings, *item)
            except Exception as error:
                LOG.warning("a trace was not written: %s", error)
        _flush()


def segments_with_times(request: EngineRequest, trace: Trace) -> list[Json]:
    """The segments of an answer with begin and end, in seconds of the request's clock; with the call, where one is said
    or answered."""
    begins = [request.created, *(at for at, _ in request.marks[1:])]
    ends = [*begins[1:], request.ended]
    return [{"author": run.author.value, "tokens": run.tokens, "text": trace.text[run.text_start:run.text_stop],
             **_call_attributes(trace, run), "begin": begins[min(place, len(begins) - 1)],
             "end": ends[min(place, len(ends) - 1)]} for place, run in enumerate(trace.segments)]


def _call_attributes(trace: Trace, run: Segment) -> Json:
    """What became of the call that a segment says or answers; nothing of what the student writes."""
    begun = [] if run.author is Author.STUDENT else [call for call in trace.calls if call.position < run.stop]
    if not begun:
        return {}
    call = begun[-1]
    return {"n": call.requested, "teacher": shown_teacher(call.teacher), "failed": call.failed,
            "refused": call.refused}


def write_trace(settings: Settings, name: str, version: str, alias: str, request: EngineRequest, trace: Trace,
                degraded: bool, offset: float, prices: Prices) -> None:
    """Write one answer as an MLflow trace."""
    import mlflow

    mlflow.set_tracking_uri(settings.tracking_uri)
    if mlflow.get_experiment_by_name(settings.experiment) is None:  # by itself it would keep files in ./mlruns
        mlflow.create_experiment(settings.experiment, settings.artifact_root)
    experiment = mlflow.set_experiment(settings.experiment).experiment_id

    def at(seconds: float) -> int:
        return int((seconds + offset) * 1e9)

    tags = {"model": name, "version": version, "alias": alias, "degraded": str(degraded).lower()}
    root = mlflow.start_span_no_context("relay answer", span_type="LLM", start_time_ns=at(request.created), tags=tags,
                                        inputs={"prompt_tokens": len(trace.prompt_ids)}, experiment_id=experiment)
    for row in segments_with_times(request, trace):
        span = mlflow.start_span_no_context(row["author"], parent_span=root, start_time_ns=at(row["begin"]),
                                            attributes={**{name: one for name, one in row.items() if name not in (
                                                "text", "begin", "end")}, "seconds": row["end"] - row["begin"]})
        span.set_outputs(row["text"])
        span.end(end_time_ns=at(row["end"]))
    root.set_attributes({"call_ratio": trace.call_ratio, "stop_reason": trace.stop_reason.value,
                         "ledger": asdict(trace.ledger), "calls": len(trace.calls),
                         "teachers": [shown_teacher(call.teacher) for call in trace.calls],
                         "degraded_by": request.degraded_by(trace), **tags})
    if prices.known:
        root.set_attributes({"cost": prices.cost(trace.ledger, trace.calls),
                             "cost_parts": prices.parts(trace.ledger, trace.calls),
                             "currency": prices.currency})
    root.set_outputs(trace.text)
    root.end(end_time_ns=at(request.ended))


def _flush() -> None:
    """Wait for MLflow, which writes in a thread of its own."""
    if "mlflow" in sys.modules:
        with suppress(Exception):
            sys.modules["mlflow"].flush_trace_async_logging()
