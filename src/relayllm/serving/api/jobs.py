"""One HTTP request at work: its completions are queued, awaited, and let go again, whatever route it came by."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial

from relayllm.relay.options import GenerationRequest
from relayllm.relay.trace import Trace
from relayllm.serving.api.fields import RelayOptions
from relayllm.serving.api.limits import HttpLimits
from relayllm.serving.auth import OPEN, Key
from relayllm.serving.budgets.allowance import Allowance
from relayllm.serving.budgets.local import Budgets
from relayllm.serving.engine.prompts import EncodedPrompt
from relayllm.serving.engine.requests import (
    EngineDeadError,
    EngineRequest,
    QueueFull,
    RequestOutput,
    RequestOutputCollector,
)
from relayllm.serving.engine.scoring import PromptLogprobs
from relayllm.serving.errors import ApiError, decoder_failed, unavailable
from relayllm.serving.metrics import Metrics
from relayllm.serving.models.router import Deployment, ModelRouter


@dataclass
class Job:
    """One HTTP request while it is answered."""

    deployment: Deployment
    prompts: Sequence[EncodedPrompt]
    created: int = field(default_factory=lambda: int(time.time()))
    collector: RequestOutputCollector = field(default_factory=RequestOutputCollector)
    requests: list[EngineRequest] = field(default_factory=list)
    scores: list[Future[PromptLogprobs]] = field(default_factory=list)
    """Scores of the prompts, where the request asks for them."""
    closed: bool = False

    async def outputs(self, silence: float | None = None) -> AsyncIterator[list[RequestOutput]]:
        """What happens to the completions, until all are done; an empty list after so many seconds without.

        Raises:
            ApiError: the decoder failed.
        """
        left = len(self.requests)
        while left:
            outputs = await self.collector.take(silence)
            for output in outputs:
                if output.error is not None:
                    raise decoder_failed(output.error)
                left -= output.ends
            yield outputs

    async def traces(self) -> list[Trace]:
        """All completions, in the order of the requests.

        Raises:
            ApiError: the decoder failed.
        """
        done: dict[int, Trace] = {}
        async for outputs in self.outputs():
            done |= {output.request.index: output.trace for output in outputs if output.trace is not None}
        return [done[index] for index in range(len(self.requests))]

    def end(self) -> None:
        """Free what the job holds: slots of unfinished completions, and teacher tokens they did not use."""
        if self.closed:
            return
        self.closed = True
        self.deployment.engine.cancel([request for request in self.requests if not request.ended])
        for future in self.scores:
            future.cancel()
        for request in self.requests:
            request.settle()


class Jobs:
    """Queues the completions of jobs in their engines, within what a key may spend."""

    def __init__(self, model_router: ModelRouter, budgets: Budgets, metrics: Metrics, limits: HttpLimits) -> None:
        self.model_router, self._budgets, self._metrics, self.limits = model_router, budgets, metrics, limits

    def submit(self, job: Job, generations: Sequence[GenerationRequest], key: Key, asked: RelayOptions, *,
               streamed: bool) -> None:
        """Queue the completions of a job, all or none.

        Raises:
            ApiError: the queue is full, or the engine has ended.
        """
        allowances = self._allowances(job, key, len(generations), asked.teacher_tokens)
        caller = "" if key is OPEN else key.name
        for index, (generation, allowance) in enumerate(zip(generations, allowances, strict=True)):
            generation = replace(generation, caller=caller)
            if allowance is not None:
                generation = replace(generation, options=replace(generation.options, policy=allowance))
            job.requests.append(EngineRequest(generation, job.collector, index, streamed, self.model_router.watched,
                                              allowance=allowance))
        with self._ended_unless_taken(job):
            job.deployment.engine.submit(job.requests)

    def score_prompts(self, job: Job, work: Iterable[Callable[[], PromptLogprobs]], key: Key) -> None:
        """Queue the scoring of prompts, which runs before completions that wait and is paid for like reading them.

        Raises:
            ApiError: the engine has ended.
        """
        with self._ended_unless_taken(job):
            job.scores += [job.deployment.engine.run_between_steps(partial(self._score, job.deployment, one, key))
                           for one in work]

    def _score(self, deployment: Deployment, work: Callable[[], PromptLogprobs], key: Key) -> PromptLogprobs:
        """Score a prompt and book it at once: who asked may have hung up."""
        scored = work()
        Allowance(self._budgets, key, prices=deployment.prices).book(scored.ledger)
        self._metrics.count_cost(deployment.prices, scored.ledger, deployment.version, deployment.alias)
        return scored

    @contextmanager
    def _ended_unless_taken(self, job: Job) -> Iterator[None]:
        try:
            yield
        except QueueFull as error:
            job.end()
            self._metrics.refused.labels("busy").inc()
            raise ApiError(429, f"{error}: come back in a moment", code="rate_limit_exceeded",
                           headers={"Retry-After": str(job.deployment.engine.retry_after)}) from error
        except EngineDeadError as error:
            job.end()
            raise unavailable(str(error)) from error

    def _allowances(self, job: Job, key: Key, count: int, teacher_tokens: int | None) -> list[Allowance | None]:
        """What limits each completion besides its options: its part of the request's limit, and the key's budget.

        Of a key with a budget every completion has one: without help, too, an answer costs money.
        """
        prices = job.deployment.prices
        if teacher_tokens is None:
            return [Allowance(self._budgets, key, prices=prices) if key.limited else None for _ in range(count)]
        share, rest = divmod(teacher_tokens, max(1, count))
        return [Allowance(self._budgets, key, share + (index < rest), prices) for index in range(count)]
