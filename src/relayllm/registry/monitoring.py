"""Hold a served version to its own record: ask it benchmark problems again, and say whether it drifted."""

from __future__ import annotations

import json
import random
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from relayllm.errors import DataError, ServingError
from relayllm.grading import grade
from relayllm.packaging.folder import ProblemScores
from relayllm.problems.problem import Problem, read_problems
from relayllm.problems.prompting import messages
from relayllm.registry.comparison import GateResult, resampled
from relayllm.registry.gates import MonitorConfig

CLIENTS = 4
"""Questions asked at a time: the server's other users come first."""
DRAWS = 2000


@dataclass(frozen=True, slots=True)
class Observation:
    """One answer of the endpoint, graded."""

    benchmark: str
    problem_id: str
    correct: bool
    teacher_tokens: int
    completion_tokens: int
    degraded: bool
    version: str
    """Who answered, as the server says."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An OpenAI-compatible relay server."""

    url: str
    key: str = ""
    timeout: float = 120.0

    def ask(self, problem: Problem, benchmark: str, max_tokens: int) -> Observation:
        """Ask one problem, greedy, and grade the answer.

        Raises:
            ServingError: no answer, or one of something else than a relay server.
        """
        body = {"messages": messages(problem), "temperature": 0, "max_tokens": max_tokens, "seed": 0}
        head = {"content-type": "application/json"} | ({"authorization": f"Bearer {self.key}"} if self.key else {})
        address = f"{self.url.rstrip('/').removesuffix('/v1')}/v1/chat/completions"
        request = urllib.request.Request(address, json.dumps(body).encode(), head)
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as reply:
                found = json.load(reply)
            return _observation(found, problem, benchmark)
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")[:300]
            raise ServingError(f"{address} answered {error.code}: {said}") from error
        except (OSError, ValueError) as error:
            raise ServingError(f"{address} does not answer ({error}): start it with `relay serve`, or give the flow "
                               "its address") from error
        except (KeyError, IndexError, TypeError) as error:
            raise ServingError(f"{address} is no relay server, its answer has no {error}: give the flow the address of "
                               "`relay serve`") from error


def _observation(found: Mapping[str, Any], problem: Problem, benchmark: str) -> Observation:
    text, relay = found["choices"][0]["message"]["content"] or "", found["relay"]
    ledger = relay["ledger"]
    return Observation(benchmark, problem.id, grade(text, problem).correct, int(ledger["teacher_tokens"]),
                       int(ledger["completion_tokens"]), bool(relay["degraded"]), str(relay.get("version", "")))


def choose(data: Path, problem_scores: ProblemScores, count: int, seed: int) -> list[tuple[str, Problem]]:
    """Problems of every benchmark that the version was scored on, drawn by the seed.

    Raises:
        DataError: data/ holds none of them.
    """
    drawn: list[tuple[str, Problem]] = []
    for benchmark, rows in problem_scores.items():
        path = data / "benchmarks" / f"{benchmark}.jsonl"
        known = [problem for problem in read_problems(path) if problem.id in rows] if path.is_file() else []
        drawn += [(benchmark, problem) for problem in random.Random(seed).sample(known, min(count, len(known)))]
    if not drawn:
        raise DataError(f"{data}/benchmarks holds none of the problems that the version was scored on: `dvc pull`, or "
                        "`relay ingest` with the params it was made with")
    return drawn


def observe(endpoint: Endpoint, problems: Sequence[tuple[str, Problem]], max_tokens: int) -> list[Observation]:
    """Ask the endpoint every problem, a few at a time, and grade its answers."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(lambda item: endpoint.ask(item[1], item[0], max_tokens), problems))


def drift(seen: Sequence[Observation], problem_scores: ProblemScores, config: MonitorConfig) -> tuple[GateResult, ...]:
    """Accuracy and call ratio against the record of the same problems, and the share of degraded answers.

    Answers that lost their teacher count for the last only: they say how the teacher is, not the version. When they are
    too many the few others are too few to judge by.
    """
    degraded, whole = _degraded(seen, config), [item for item in seen if not item.degraded]
    if not degraded.passed or not whole:
        unknown = f"not judged: {len(seen) - len(whole)} of {len(seen)} answers lost their teacher"
        return (GateResult("accuracy", True, unknown), GateResult("call_ratio", True, unknown), degraded)
    recorded = np.array([problem_scores[item.benchmark][item.problem_id] for item in whole])  # (answers, 3)
    return (_accuracy(whole, recorded, config), _call_ratio(whole, recorded, config), degraded)


def _accuracy(seen: Sequence[Observation], recorded: np.ndarray, config: MonitorConfig) -> GateResult:
    """Drift is what the interval says beyond doubt: a slice is small."""
    change = np.array([float(item.correct) for item in seen]) - recorded[:, 0]
    draws = resampled(change, DRAWS, np.random.default_rng(0))
    low, high = np.quantile(draws, [(1 - config.confidence) / 2, (1 + config.confidence) / 2])
    return GateResult("accuracy", bool(high >= -config.max_drop),
                      f"{100 * change.mean():+.1f} [{100 * low:+.1f}, {100 * high:+.1f}] points against the record of "
                      f"the same {len(seen)} problems; the interval must reach {-100 * config.max_drop:.1f}")


def _call_ratio(seen: Sequence[Observation], recorded: np.ndarray, config: MonitorConfig) -> GateResult:
    now = sum(item.teacher_tokens for item in seen) / max(1, sum(item.completion_tokens for item in seen))
    before = float(recorded[:, 1].sum() / max(1.0, recorded[:, 2].sum()))
    limit = config.max_call_ratio_change
    return GateResult("call_ratio", abs(now - before) <= limit,
                      f"{100 * now:.1f} %, recorded {100 * before:.1f} %; {100 * limit:.0f} points of change are "
                      f"allowed")


def _degraded(seen: Sequence[Observation], config: MonitorConfig) -> GateResult:
    share = sum(item.degraded for item in seen) / len(seen)
    return GateResult("degraded", share <= config.max_degraded_share,
                      f"{100 * share:.0f} % of the answers lost their teacher; {100 * config.max_degraded_share:.0f} % "
                      f"may")
