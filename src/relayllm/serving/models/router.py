"""The models that are served: the champion, and a candidate that gets a share of the requests."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from relayllm.packaging.teacher_names import shown_teacher
from relayllm.relay.bias_curve import BiasCurve
from relayllm.relay.options import Options
from relayllm.relay.prices import Prices
from relayllm.relay.remote_session import RemoteStudent
from relayllm.relay.trace import Trace
from relayllm.serving.engine.engine_thread import EngineThread, engine_of
from relayllm.serving.engine.prompts import PromptEncoder, ResponseTokenizer
from relayllm.serving.engine.requests import EngineRequest
from relayllm.serving.errors import ApiError, unavailable
from relayllm.serving.metrics import Metrics

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from relayllm.engines.decoder import RelayDecoder
    from relayllm.serving.models.loading import LoadedModel

CHAMPION, CANDIDATE = "champion", "candidate"
AnswerWatcher = Callable[["Deployment", EngineRequest, Trace, bool], None]


@dataclass(frozen=True, slots=True)
class Capacity:
    """How many completions are decoded side by side, and how many may wait."""

    slots: int
    queue: int


@dataclass(eq=False)
class Deployment:
    """One version of the model, loaded and with an engine that answers."""

    name: str
    version: str
    alias: str
    decoder: RelayDecoder
    engine: EngineThread
    prompt_encoder: PromptEncoder
    response_tokenizer: ResponseTokenizer
    defaults: Options = field(default_factory=Options)
    created: int = field(default_factory=lambda: int(time.time()))
    bias_curve: BiasCurve | None = None
    prices: Prices = field(default_factory=Prices)
    withdrawn: bool = False
    """The registry answers, and its alias is nobody's now."""
    holders: int = 0
    closing: bool = False

    @property
    def teacher_label(self) -> str | None:
        """The teacher's name as others may know it."""
        return shown_teacher(self.decoder.teacher_name) or None

    @property
    def last_teacher(self) -> str | None:
        """The pool's teacher that is asked when no other helps; empty for one that is no pool, None without any."""
        teacher = self.decoder.teacher
        pool = getattr(getattr(teacher, "server", None), "teachers", None)
        return None if teacher is None else pool[-1].config.name if pool else ""

    @property
    def call_ratios(self) -> list[float]:
        """Call ratios that were measured for this model, from the lowest; each can be asked for."""
        if self.bias_curve is None:
            return []
        low, *_, high = (*self.bias_curve.call_ratios, *self.bias_curve.call_ratios)
        return sorted({ratio for one in self.bias_curve.call_ratios if low <= (ratio := float(f"{one:.2g}")) <= high})

    @property
    def teacher_up(self) -> bool:
        """Whether calls reach a teacher."""
        return self.decoder.teacher is not None and self.decoder.teacher.up

    @property
    def students_up(self) -> list[bool]:
        """Of each server of the student whether it may be asked; empty where the student is in this process."""
        student = self.decoder.student
        return student.replicas_up if isinstance(student, RemoteStudent) else []

    @property
    def ready(self) -> bool:
        """Whether requests are answered: by a student, here or behind a server, or by the teacher in its stead."""
        students = self.students_up
        return self.engine.alive and (not students or any(students) or self.teacher_up)

    @contextmanager
    def held(self) -> Iterator[Deployment]:
        """Stay open while a request is read and queued, even when another version takes over meanwhile."""
        self.holders += 1
        try:
            yield self
        finally:
            self.holders -= 1
            if self.closing:
                self.close()

    def close(self) -> None:
        """Finish what runs and what is being read, then end."""
        self.closing = True
        if not self.holders:
            self.engine.close()
            self.prompt_encoder.close()


class ModelRouter:
    """The deployments by alias: which of them answers a request; every answer is counted."""

    def __init__(self, metrics: Metrics, size: Capacity, *, share: float = 0.0, watchers: Iterable[AnswerWatcher] = (),
                 chance: Callable[[], float] = random.random) -> None:
        self.metrics, self.size, self.share = metrics, size, share
        self._watchers, self._chance = tuple(watchers), chance
        self.champion: Deployment | None = None
        self.candidate: Deployment | None = None
        self.draining = False

    def add(self, alias: str, loaded: LoadedModel, loop: AbstractEventLoop, *, name: str = "") -> Deployment:
        """Serve a model under an alias, and another name than its own where one is given; the one before finishes
        what it has."""
        found, decoder, defaults = loaded.found, loaded.decoder, loaded.defaults
        engine = engine_of(decoder, slots=self.size.slots, queue=self.size.queue, name=f"engine-{found.version}",
                           on_finished=lambda request, trace: self._finished(deployment, request, trace))
        deployment = Deployment(name or found.name, found.version, alias, decoder, engine,
                                PromptEncoder(decoder, enable_thinking=defaults.enable_thinking),
                                ResponseTokenizer.of(decoder), defaults, bias_curve=loaded.bias_curve,
                                prices=loaded.prices)
        engine.start(loop)
        before = getattr(self, alias)
        setattr(self, alias, deployment)
        if before is not None:
            before.close()
        return deployment

    def retire(self, alias: str) -> None:
        """Take a model out of service; it finishes what it has."""
        before = getattr(self, alias)
        setattr(self, alias, None)
        if before is not None:
            before.close()

    def pick(self, model: str | None) -> Deployment:
        """The deployment that answers a request for this model.

        Raises:
            ApiError: 404 for another model's name, 503 when nothing is ready.
        """
        if self.champion is None or self.draining or not self.champion.engine.alive:
            raise unavailable("no model is ready: see /ready")
        name, _, alias = (model or self.champion.name).partition("@")
        if name != self.champion.name or alias not in ("", CHAMPION, CANDIDATE):
            raise ApiError(404, f"the model '{model}' is not served here: '{self.champion.name}' is",
                           code="model_not_found", param="model")
        if alias == CANDIDATE and self.candidate is None:
            raise ApiError(404, "no candidate is served now", code="model_not_found", param="model")
        lucky = self.candidate is not None and not alias and self._chance() < self.share
        chosen = self.candidate if alias == CANDIDATE or lucky else self.champion
        return chosen if chosen is not None and chosen.engine.alive else self.champion

    @property
    def models(self) -> list[Deployment]:
        """The deployments that are at work."""
        return [deployment for deployment in (self.champion, self.candidate) if deployment is not None]

    @property
    def watched(self) -> bool:
        """Whether anything, such as the tracer, is called with every answer."""
        return bool(self._watchers)

    @property
    def ready(self) -> bool:
        """Whether requests are answered."""
        return self.champion is not None and self.champion.ready and not self.draining

    def gauges(self) -> Iterable[tuple[str, str, dict[str, str], float]]:
        """Queue, slots and circuit, as they are now."""
        for deployment in self.models:
            which = {"version": deployment.version, "alias": deployment.alias}
            yield "relay_queue_waiting", "Completions without a slot", which, deployment.engine.waiting
            yield "relay_slots_running", "Completions in slots", which, deployment.engine.running
            yield "relay_slots", "Slots", which, deployment.engine.slots
            yield "relay_teacher_up", "1: calls reach the teacher", which, deployment.teacher_up
            for place, up in enumerate(deployment.students_up):
                labels = {**which, "replica": str(place)}
                yield "relay_student_up", "1: this server of the student may be asked", labels, up

    def _finished(self, deployment: Deployment, request: EngineRequest, trace: Trace) -> None:
        degraded = bool(request.degraded_by(trace))
        if request.allowance is not None:
            request.allowance.book(trace.ledger, trace.calls)
        self.metrics.count(trace, deployment.version, deployment.alias, prices=deployment.prices,
                           first=request.first and request.first - request.created,
                           total=request.ended - request.created, degraded=degraded)
        for watch in self._watchers:
            watch(deployment, request, trace, degraded)
