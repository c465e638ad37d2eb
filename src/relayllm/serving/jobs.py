"""One HTTP request at work: its completions are ordered, awaited, and let go again, whatever route it came by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from relayllm.relay.options import Options
from relayllm.relay.scheduler import Request
from relayllm.relay.trace import Trace
from relayllm.serving.answers import Head
from relayllm.serving.api import RelayOptions
from relayllm.serving.budgets import Allowance, Key, Keys
from relayllm.serving.errors import ApiError, unavailable
from relayllm.serving.fleet import Fleet, Served
from relayllm.serving.metrics import Metrics
from relayllm.serving.orders import Broken, Busy, Inbox, Order
from relayllm.serving.prompts import ReadPrompt


@dataclass(frozen=True, slots=True)
class Plan:
    """One completion to write. Row and sample are what its random numbers hang on, besides the seed."""

    prompt: ReadPrompt
    options: Options
    row: int = 0
    sample: int = 0


@dataclass
class Job:
    """One HTTP request while it is answered."""

    served: Served
    key: Key
    head: Head
    prompts: list[ReadPrompt]
    inbox: Inbox = field(default_factory=Inbox)
    orders: list[Order] = field(default_factory=list)
    taken: int = 0
    """Teacher tokens set aside from the key's budget."""
    closed: bool = False


class Jobs:
    """Takes jobs in, and lets them go again."""

    def __init__(self, fleet: Fleet, keys: Keys, metrics: Metrics) -> None:
        self.fleet, self._keys, self._metrics = fleet, keys, metrics

    def order(self, job: Job, plans: Sequence[Plan], seed: int, asked: RelayOptions, *, streamed: bool) -> None:
        """Queue the completions of a job, all or none.

        Raises:
            ApiError: the queue is full, or the engine has ended.
        """
        allowances = self._allowances(job, [plan.options for plan in plans], asked)
        for index, (plan, (allowed, short)) in enumerate(zip(plans, allowances, strict=True)):
            options = plan.options
            if allowed is not None:
                options = replace(options, policy=Allowance(allowed), teacher_enabled=allowed > 0)
            request = Request(plan.prompt.ids, options, seed, plan.row, plan.sample, plan.prompt.teacher_ids)
            job.orders.append(Order(request, job.inbox, index, streamed, self.fleet.watched,
                                    short=allowed if short else None))
        self._submit(job)

    async def traces(self, job: Job) -> list[Trace]:
        """All completions of a job, in their order.

        Raises:
            ApiError: the engine failed.
        """
        done: dict[int, Trace] = {}
        while len(done) < len(job.orders):
            for news in await job.inbox.take():
                if news.error is not None:
                    raise unavailable(f"the decoder failed on this request: {news.error}")
                if news.trace is not None:
                    done[news.order.index] = news.trace
        return [done[index] for index in range(len(job.orders))]

    def end(self, job: Job) -> None:
        """Free what a job holds: slots of unfinished completions, and teacher tokens it did not use."""
        if job.closed:
            return
        job.closed = True
        job.served.engine.cancel([order for order in job.orders if not order.ended])
        self._keys.give_back(job.key, job.taken - sum(order.teacher_tokens for order in job.orders))

    def _submit(self, job: Job) -> None:
        engine = job.served.engine
        try:
            engine.submit(job.orders)
        except Busy as error:
            self.end(job)
            self._metrics.refused.labels("busy").inc()
            raise ApiError(429, f"{error}: come back in a moment", code="rate_limit_exceeded",
                           headers={"Retry-After": str(engine.retry_after)}) from error
        except Broken as error:
            self.end(job)
            raise unavailable(str(error)) from error

    def _allowances(self, job: Job, options: Sequence[Options], asked: RelayOptions) -> list[tuple[int | None, bool]]:
        """Teacher tokens for each completion (None: no limit but the options'), and whether the key cut them."""
        cap = job.key.per_day
        if not options or not asked.teacher or (asked.teacher_tokens is None and cap is None):
            return [(None, False)] * len(options)
        most = sum(min(one.max_calls * one.max_call_tokens, one.max_new_tokens) for one in options)
        wanted = most if asked.teacher_tokens is None else min(asked.teacher_tokens, most)
        job.taken = self._keys.take(job.key, wanted)
        share, rest = divmod(job.taken, len(options))
        return [(share + (index < rest), job.taken < wanted) for index in range(len(options))]
