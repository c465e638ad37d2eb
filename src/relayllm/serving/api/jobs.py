"""One HTTP request at work: its completions are ordered, awaited, and let go again, whatever route it came by."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from relayllm.relay.options import Options
from relayllm.relay.running import GenerationRequest
from relayllm.relay.trace import Trace
from relayllm.serving.api.protocol import RelayOptions
from relayllm.serving.api.responses import ResponseMeta
from relayllm.serving.auth import Allowance, Key, Keys
from relayllm.serving.engine.prompts import EncodedPrompt
from relayllm.serving.engine.requests import (
    EngineDeadError,
    EngineRequest,
    ModelReplaced,
    QueueFull,
    RequestOutputCollector,
)
from relayllm.serving.errors import ApiError, unavailable
from relayllm.serving.metrics import Metrics
from relayllm.serving.models.router import Deployment, ModelRouter


@dataclass(frozen=True, slots=True)
class Plan:
    """One completion to write. Row and sample are what its random numbers hang on, besides the seed."""

    prompt: EncodedPrompt
    options: Options
    row: int = 0
    sample: int = 0


@dataclass
class Job:
    """One HTTP request while it is answered."""

    deployment: Deployment
    key: Key
    meta: ResponseMeta
    prompts: list[EncodedPrompt]
    collector: RequestOutputCollector = field(default_factory=RequestOutputCollector)
    requests: list[EngineRequest] = field(default_factory=list)
    asides: list[Future[Any]] = field(default_factory=list)
    """What is asked of the models besides completions."""
    closed: bool = False


async def begun(begin: Callable[[], Awaitable[Job]]) -> Job:
    """Begin a job; once more when its model was replaced while its prompts were read.

    Raises:
        ApiError: it was replaced again.
    """
    try:
        return await begin()
    except ModelReplaced:
        try:
            return await begin()
        except ModelReplaced as error:
            raise unavailable(str(error)) from error


class Jobs:
    """Takes jobs in, and lets them go again."""

    def __init__(self, model_router: ModelRouter, keys: Keys, metrics: Metrics) -> None:
        self.model_router, self._keys, self._metrics = model_router, keys, metrics

    def request(self, job: Job, plans: Sequence[Plan], seed: int, asked: RelayOptions, *, streamed: bool) -> None:
        """Queue the completions of a job, all or none.

        Raises:
            ApiError: the queue is full, or the engine has ended.
            ModelReplaced: the model has been replaced since it was picked.
        """
        allowances = self._allowances(job.key, len(plans), asked)
        for index, (plan, allowance) in enumerate(zip(plans, allowances, strict=True)):
            options = plan.options if allowance is None else replace(plan.options, policy=allowance)
            generation = GenerationRequest(plan.prompt.ids, options, seed, plan.row, plan.sample,
                                           plan.prompt.teacher_ids)
            job.requests.append(EngineRequest(generation, job.collector, index, streamed, self.model_router.watched,
                                              allowance=allowance))
        with self._ended_unless_taken(job):
            job.deployment.engine.submit(job.requests)

    def ask_aside(self, job: Job, work: Iterable[Callable[[], Any]]) -> None:
        """Ask the models something else, before the completions if those wait.

        Raises:
            ApiError: the engine has ended.
            ModelReplaced: the model has been replaced since it was picked.
        """
        with self._ended_unless_taken(job):
            job.asides += [job.deployment.engine.aside(one) for one in work]

    async def traces(self, job: Job) -> list[Trace]:
        """All completions of a job, in their request.

        Raises:
            ApiError: the engine failed.
        """
        done: dict[int, Trace] = {}
        while len(done) < len(job.requests):
            for outputs in await job.collector.take():
                if outputs.error is not None:
                    raise unavailable(f"the decoder failed on this request: {outputs.error}")
                if outputs.trace is not None:
                    done[outputs.request.index] = outputs.trace
        return [done[index] for index in range(len(job.requests))]

    def end(self, job: Job) -> None:
        """Free what a job holds: slots of unfinished completions, and teacher tokens it did not use."""
        if job.closed:
            return
        job.closed = True
        job.deployment.engine.cancel([request for request in job.requests if not request.ended])
        for future in job.asides:
            future.cancel()
        for request in job.requests:
            request.settle()

    @contextmanager
    def _ended_unless_taken(self, job: Job) -> Iterator[None]:
        try:
            yield
        except QueueFull as error:
            self.end(job)
            self._metrics.refused.labels("busy").inc()
            raise ApiError(429, f"{error}: come back in a moment", code="rate_limit_exceeded",
                           headers={"Retry-After": str(job.deployment.engine.retry_after)}) from error
        except ModelReplaced:
            self.end(job)
            raise
        except EngineDeadError as error:
            self.end(job)
            raise unavailable(str(error)) from error

    def _allowances(self, key: Key, count: int, asked: RelayOptions) -> list[Allowance | None]:
        """What limits each completion besides its options: its part of the request's limit, and the key's budget."""
        if not asked.teacher or (asked.teacher_tokens is None and key.per_day is None):
            return [None] * count
        if asked.teacher_tokens is None:
            return [Allowance(self._keys, key) for _ in range(count)]
        share, rest = divmod(asked.teacher_tokens, max(1, count))
        return [Allowance(self._keys, key, share + (index < rest)) for index in range(count)]
