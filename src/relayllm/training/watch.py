"""What a GRPO run logs: numbers per step, held-out scores, samples of roll-outs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from relayllm.config import Decoding
from relayllm.engines.decoder import RelayDecoder
from relayllm.grading import grade
from relayllm.problems.problem import Problem
from relayllm.problems.prompting import messages
from relayllm.rewards import Scenario
from relayllm.training.rollouts import Graded


def step_numbers(graded: Sequence[Graded], seconds: dict[str, float]) -> dict[str, float]:
    """Means over one batch of roll-outs. The ways to cheat are among them: length, n, calls per answer."""
    count = len(graded)
    kept = [one for one in graded if one.reward is not None]
    calls = [call for one in graded for call in one.trace.calls]
    scenarios = Counter(one.scenario for one in graded)
    tokens = sum(len(one.trace.token_ids) for one in graded)
    return {
        "reward": sum(one.reward or 0.0 for one in kept) / max(1, len(kept)),
        "accuracy": sum(one.outcome.correct for one in graded) / count,
        "call_ratio": sum(one.outcome.call_ratio for one in graded) / count,
        "callers": sum(one.outcome.called for one in graded) / count,
        **{scenario.value: scenarios[scenario] / count for scenario in Scenario},
        "truncated": sum(one.trace.truncated for one in graded) / count,
        "dropped": 1 - len(kept) / count,
        "length": tokens / count,
        "calls_per_answer": len(calls) / count,
        "mean_n": sum(call.requested for call in calls) / max(1, len(calls)),
        "rollout_tokens_per_second": tokens / max(1e-9, seconds["rollout"]),
        **{f"seconds_{name}": value for name, value in seconds.items()},
    }


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A greedy score on problems that are not trained on."""

    accuracy: float
    call_ratio: float
    score: float
    """Mean of right x (1 - call ratio): what decides which checkpoint is kept."""


def held_out(decoder: RelayDecoder, problems: Sequence[Problem], decoding: Decoding) -> HeldOut:
    """Score a policy on problems that it is not trained on, answered greedily."""
    traces = decoder.generate([messages(problem) for problem in problems], **decoding.greedy().options())
    right = [grade(trace.text, problem).correct for trace, problem in zip(traces, problems, strict=True)]
    ratios = [trace.call_ratio for trace in traces]
    count = len(problems)
    return HeldOut(sum(right) / count, sum(ratios) / count,
                   sum(one * (1 - ratio) for one, ratio in zip(right, ratios, strict=True)) / count)


def samples(graded: Sequence[Graded], step: int, count: int) -> list[dict[str, Any]]:
    """A few roll-outs as rows of a table."""
    stride = max(1, len(graded) // count)
    return [{"step": step, "problem": one.problem.question, "answer": one.problem.answer, "text": one.trace.text,
             "correct": one.outcome.correct, "reward": one.reward, "call_ratio": one.outcome.call_ratio,
             "calls": ", ".join(f"{call.requested} at {call.position}" for call in one.trace.calls),
             "scenario": one.scenario.value} for one in graded[::stride][:count]]
