"""`python -m benchmarks.gateway --vllm PYTHON`: `relay serve` before vLLM servers, beside the student's server alone.

Student and teacher are SmolLM2-135M in the CPU build of vLLM, a thread each; sixteen clients stream, and the ways to
answer take turns. Prints a table; judges nothing. `make test-vllm` makes the environment whose Python it wants.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.gateway.measures import CLIENTS, HandOvers, Leg, hand_overs, killed, race
from benchmarks.gateway.servers import STUDENT, TEACHER, Server, dtype, gateway, vllm, write_models
from benchmarks.timing import machine

ALONE, ONE = "student alone", "gateway, 1 % calls"


def main() -> None:
    """Start everything, measure, print, write the JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vllm", default=os.environ.get("RELAY_VLLM_PYTHON", ".venv-vllm/bin/python"),
                        help="a Python that has vLLM and infra/vllm")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=100, help="of each answer")
    parser.add_argument("--eager", action="store_true", help="let vLLM compile nothing: a quick look")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="relay-gateway-") as folder:
        found = measure(Path(folder), given)
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def measure(place: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Run every measurement, and print each as it comes."""
    tokens, rounds = given.tokens, given.rounds
    found: dict[str, Any] = {"machine": machine(), "tokens": tokens, "rounds": rounds, "dtype": dtype(),
                             "eager": given.eager, "ways": {}, "hand_overs": {}}
    with ExitStack() as stack:
        student, teacher, replica, *fronts = start(stack, place, given)
        legs = race(student, fronts[0], fronts[:2], tokens, rounds)
        for name, leg in legs.items():
            found["ways"][name] = figures(leg, legs[ALONE])
            print(f"{name:26} {json.dumps(found['ways'][name])}", flush=True)
        for rows in (1, CLIENTS):
            found["hand_overs"][rows] = summary(hand_overs(place, student, teacher, rows, tokens, rounds))
            print(f"hand-over, {rows:2} rows         {json.dumps(found['hand_overs'][rows])}", flush=True)
        once = CLIENTS * tokens / statistics.median(legs[ONE].speeds)
        found["killed"] = asdict(killed(fronts[2], replica, tokens, after=once / 2))
        print(f"a replica is killed        {json.dumps(found['killed'])}", flush=True)
    return found


def start(stack: ExitStack, place: Path, given: argparse.Namespace) -> list[Server]:
    """Student, teacher, another replica of the student; two gateways before the first, one before both."""
    write_models(place)
    flags = ["--enforce-eager"] if given.eager else []
    pool = [stack.enter_context(vllm(given.vllm, place / folder, place / f"vllm-{count}.log", flags))
            for count, folder in enumerate((STUDENT, TEACHER, STUDENT))]
    for server in pool:
        server.wait()
    student, teacher, replica = pool
    fronts = [stack.enter_context(gateway(place, its, teacher, CLIENTS, place / f"gateway-{count}.log"))
              for count, its in enumerate(([student], [student], [replica, student]))]
    for server in fronts:
        server.wait()
    return pool + fronts


def figures(leg: Leg, alone: Leg) -> dict[str, float]:
    """The figures of one way to answer."""
    return {"tokens_per_second": round(statistics.median(leg.speeds), 1), "share": round(leg.share_of(alone), 3),
            "first_token_ms": round(1000 * statistics.median(leg.firsts)),
            "processor_ms_per_token": round(1000 * statistics.median(leg.costs), 3)}


def summary(seen: HandOvers) -> dict[str, float]:
    """Medians over the hand-overs, in gaps between two tokens of the student.

    Raises:
        SystemExit: no answer called twice.
    """
    if not seen.to_teacher or not seen.back:
        raise SystemExit(f"{seen.calls} calls, and none after an answer's first: give --tokens more for each answer")
    gap = statistics.fmean(seen.gaps)
    return {"gap_ms": round(1000 * gap, 1), "to_teacher_gaps": round(statistics.median(seen.to_teacher) / gap, 2),
            "back_gaps": round(statistics.median(seen.back) / gap, 2),
            "tokens_read_again": round(seen.reread / seen.calls, 1), "hand_overs": len(seen.back)}


if __name__ == "__main__":
    main()
