"""`python -m benchmarks.server`: sixteen clients of a server process beside the decoder itself, whole and streamed.

Server and decoder take turns on the same questions, so that whoever else is on the machine slows both. Prints, and
judges nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.load_client import Load, load
from benchmarks.models import CPU, SMALL, Pair, make_decoder

CLIENTS = 16
PROMPT = "w1 w2 w3 w4 w5 w6 w7 w8"
ALONE = """
import json, sys, time
from relayllm import RelayDecoder
from relayllm.relay.options import GenerationRequest, Options
from relayllm.relay.vocabulary import plain_ids
decoder = RelayDecoder.from_pretrained(sys.argv[1] + "/student", sys.argv[1] + "/teacher")
for line in sys.stdin:
    started, session, tokens = time.perf_counter(), decoder.session(slots=int(sys.argv[2])), 0
    for body in json.loads(line):
        options = Options(max_new_tokens=body["max_tokens"], temperature=body["temperature"],
                          max_calls=body["relay"]["max_calls"], call_bias=body["relay"]["call_bias"])
        ids = tuple(plain_ids(decoder.tokenizer, body["prompt"]))
        session.submit(GenerationRequest(ids, options, body["seed"]))
    while session.busy:
        tokens += sum(len(done.trace.token_ids) for done in session.step())
    print(tokens, time.perf_counter() - started, flush=True)
"""


class Race(NamedTuple):
    """What server and decoder did in turns; a share is the server's speed by the decoder's, median of the rounds."""

    share: float
    streamed_share: float
    alone: Load
    whole: Load
    streamed: Load


def race(place: Path, tokens: int, turns: int, rounds: int) -> Race:
    """Let the server answer whole, the decoder alone, and the server in streams, round by round."""
    found = []
    with _server(place) as port, _alone(place) as answer:
        load(port, bodies(tokens, 1, 77, stream=False))
        answer(bodies(tokens, 1, 77, stream=False))
        for turn in range(rounds):
            found.append((load(port, bodies(tokens, turns, 10 * turn, stream=False)),
                          answer(bodies(tokens, turns, 10 * turn, stream=False)),
                          load(port, bodies(tokens, turns, 10 * turn, stream=True))))
    whole, alone, streamed = (sum(loads, Load()) for loads in zip(*found, strict=True))
    return Race(statistics.median(once.speed / base.speed for once, base, _ in found),
                statistics.median(once.speed / base.speed for _, base, once in found), alone, whole, streamed)


def bodies(tokens: int, turns: int, seed: int, *, stream: bool) -> list[list[dict[str, Any]]]:
    """What each client asks, one after the other."""
    more: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    return [[{"prompt": PROMPT, "max_tokens": tokens, "temperature": 1.0, "seed": seed + 1000 * client + turn,
              "relay": {"max_calls": 1, "call_bias": 5.0}, **more} for turn in range(turns)]
            for client in range(CLIENTS)]


@contextmanager
def _server(place: Path) -> Iterator[int]:
    """A server process; yields its port."""
    words = [sys.executable, "-m", "relayllm.cli", "serve", str(place / "student"), "--teacher",
             str(place / "teacher"), "--port", "0", "--slots", str(CLIENTS)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RELAY_ROOT": str(place)}
    environment.pop("RELAY_API_KEYS", None)
    running = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert running.stdout is not None
        line = next(line for line in running.stdout if line.startswith("serving"))
        yield int(line.split(" on http://")[1].split()[0].rsplit(":", 1)[1])
    finally:
        running.kill()
        running.wait()


@contextmanager
def _alone(place: Path) -> Iterator[Any]:
    """The decoder in a process of its own; yields a function that answers bodies without a server."""
    running = subprocess.Popen([sys.executable, "-c", ALONE, str(place), str(CLIENTS)], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert running.stdin is not None
    assert running.stdout is not None
    into, out = running.stdin, running.stdout

    def answer(asked: list[list[dict[str, Any]]]) -> Load:
        into.write(json.dumps([body for its in zip(*asked, strict=True) for body in its]) + "\n")
        into.flush()
        tokens, seconds = out.readline().split()
        return Load(int(tokens), float(seconds))

    try:
        yield answer
    finally:
        running.kill()
        running.wait()


def write_pair(pair: Pair, place: Path) -> None:
    """A student and a teacher of random weights as folders."""
    decoder: Any = make_decoder(pair)
    for name, model, tokenizer in (("student", decoder.student.model, decoder.tokenizer),
                                   ("teacher", decoder.teacher.engine.model, decoder.teacher_tokenizer)):
        model.save_pretrained(place / name)
        tokenizer.save_pretrained(place / name)


def report(title: str, found: Race) -> str:
    """One line for people."""
    firsts = found.streamed.firsts
    return (f"{title}: decoder alone {found.alone.speed:.0f} tokens/s; server {found.share:.2f} of it, "
            f"streamed {found.streamed_share:.2f}; first token p50 {1000 * statistics.median(firsts):.0f} ms, "
            f"p95 {1000 * statistics.quantiles(firsts, n=20)[-1]:.0f} ms")


def main() -> None:
    """Read the command line, which has --help alone, and race."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    races()


def races() -> None:
    """Race for a pair whose step takes tens of milliseconds, and for one whose step takes two."""
    for title, pair, tokens, turns, rounds in (("25 and 200 million weights", CPU, 32, 1, 5),
                                               ("tiny models", SMALL, 150, 2, 4)):
        with tempfile.TemporaryDirectory() as folder:
            write_pair(pair, Path(folder))
            print(report(title, race(Path(folder), tokens, turns, rounds)), flush=True)


if __name__ == "__main__":
    main()
