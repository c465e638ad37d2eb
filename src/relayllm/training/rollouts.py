"""The border to TRL: from the trainer's prompts to traces of the relay, and back as what a roll-out function returns.

TRL calls roll-out functions experimental; everything that depends on their shape is in this file.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from relayllm.config import Decoding, GrpoConfig, GrpoRun, MoneyRewardConfig
from relayllm.engines.decoder import RelayDecoder
from relayllm.engines.openai.pool_config import read_pool
from relayllm.engines.prompts import Prompt
from relayllm.errors import TrainingError
from relayllm.grading import grade
from relayllm.problems.problem import Problem
from relayllm.relay.prices import Prices
from relayllm.relay.randomness import key_of
from relayllm.relay.trace import Author, Trace
from relayllm.rewards import REWARDS, Outcome, Scenario, scenario_of
from relayllm.settings import current_settings

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator
    from transformers import TrainerState


LOGPROB_GAP = "sampling/sampling_logp_difference/mean"
"""TRL's name among its logs for what a server's log-probabilities of its tokens differ from the policy's."""


class RolloutTrainer(Protocol):
    """The trainer that asks for roll-outs, as far as they read it; see `training.trainer.RelayTrainer`."""

    model_wrapped: torch.nn.Module
    accelerator: Accelerator
    state: TrainerState
    problem_ids: list[str]
    """Of the prompts of the batch, one each."""


@dataclass(frozen=True, slots=True)
class Graded:
    """One roll-out with everything the reward looked at."""

    problem: Problem
    trace: Trace
    outcome: Outcome
    reward: float | None
    """None when the group was dropped: its teacher failed."""
    scenario: Scenario


@dataclass
class Rollouts:
    """A `rollout_func` for TRL: decodes with the relay, grades, rewards whole groups."""

    config: GrpoConfig
    run: GrpoRun
    problems: dict[str, Problem]
    """By id."""
    decoder: Callable[[torch.nn.Module], AbstractContextManager[RelayDecoder]]
    """From the model that is being trained, for as long as it decodes."""
    last: list[Graded] = field(default_factory=list)
    """The last batch, of all processes."""
    seconds: dict[str, float] = field(default_factory=dict)

    def __call__(self, prompts: Sequence[Prompt], trainer: RolloutTrainer) -> dict[str, Any]:
        """Roll out one generation batch; the trainer knows the ids of its problems."""
        from accelerate.utils import gather_object
        from trl.models import unwrap_model_for_generation

        started = time.perf_counter()
        with unwrap_model_for_generation(trainer.model_wrapped, trainer.accelerator) as model:
            with self.decoder(model) as decoder:
                traces = self.decode(decoder, prompts, key_of(self.config.seed, trainer.state.global_step,
                                                              trainer.accelerator.process_index))
        decoded = time.perf_counter()
        graded = self.grade(trainer.problem_ids, traces)
        self.last = gather_object(graded)
        self.seconds = {"rollout": decoded - started, "grade": time.perf_counter() - decoded,
                        "student": sum(trace.ledger.student_seconds for trace in traces),
                        "teacher": sum(trace.ledger.teacher_seconds for trace in traces)}
        return as_trl(graded)

    def decode(self, decoder: RelayDecoder, prompts: Sequence[Prompt], seed: int) -> list[Trace]:
        """Sample one completion per prompt."""
        return decoder.generate(prompts, seed=seed, **decoding_of(self.config, self.run).options())

    def grade(self, problem_ids: Sequence[str], traces: Sequence[Trace]) -> list[Graded]:
        """Reward groups of neighbours that answer one problem.

        Raises:
            TrainingError: a group is not whole, so that its scenario cannot be told.
        """
        graded: list[Graded] = []
        size = self.config.group_size
        for start in range(0, len(problem_ids), size):
            ids = problem_ids[start:start + size]
            if len({*ids}) != 1 or len(ids) != size:
                raise TrainingError(f"a group of {size} roll-outs holds {len(ids)} of {len({*ids})} problems: "
                                    "problems_per_step x group_size must divide among the processes in whole groups")
            graded += self._reward(self.problems[ids[0]], traces[start:start + size])
        return graded

    @cached_property
    def _prices(self) -> Prices:
        """What a reward in money counts at; the calls of a pool's teachers at their own prices."""
        if not isinstance(self.run.reward, MoneyRewardConfig):
            return Prices()
        pool = current_settings().teachers
        return Prices(**self.run.reward.prices.model_dump(), teachers=read_pool(pool).prices if pool else {})

    def _reward(self, problem: Problem, traces: Sequence[Trace]) -> list[Graded]:
        wanted, prices = self.run.reward, self._prices
        outcomes = [Outcome(grade(trace.text, problem).correct, trace.called, trace.call_ratio,
                            prices.cost(trace.ledger, trace.calls)) for trace in traces]
        rewards: list[float] | list[None] = REWARDS[wanted.name](outcomes, **wanted.options())
        if any(trace.degraded for trace in traces):
            rewards = [None] * len(traces)
        scenario = scenario_of(outcomes)
        return [Graded(problem, trace, outcome, reward, scenario)
                for trace, outcome, reward in zip(traces, outcomes, rewards, strict=True)]


def decoding_of(config: GrpoConfig, run: GrpoRun) -> Decoding:
    """How one run samples: the section's decoding with the run's own limit of calls."""
    return config.decoding.model_copy(update={"max_calls": run.max_calls})


def as_trl(graded: Sequence[Graded]) -> dict[str, Any]:
    """What TRL wants: ids, log-probabilities, and a mask with 1 for the student's tokens and its commands."""
    traces = [one.trace for one in graded]
    return {
        "prompt_ids": [list(trace.prompt_ids) for trace in traces],
        "completion_ids": [list(trace.token_ids) for trace in traces],
        "logprobs": [[0.0 if logprob is None else logprob for logprob in trace.logprobs] for trace in traces],
        "env_mask": [[int(author is not Author.TEACHER) for author in trace.authors] for trace in traces],
        "relay_reward": [one.reward for one in graded],
    }


def reward_of_relay(prompts: object, completions: object, relay_reward: list[float | None],
                    **_: object) -> list[float | None]:
    """TRL's reward function: the roll-out has decided already."""
    return relay_reward
