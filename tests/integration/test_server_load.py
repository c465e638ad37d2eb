"""Sixteen clients at once against a server process: no error, the speed of the decoder itself, time to first token.

Server and decoder take turns on the same questions, so that whoever else is on the machine slows both.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from typing import NamedTuple

import pytest

from tests.integration.test_server_process import folders, process  # noqa: F401
from tests.support.load_client import Load, load

CLIENTS = 16
ALONE = """
import json, sys, time
from relayllm import RelayDecoder
from relayllm.relay.options import Options
from relayllm.relay.running import GenerationRequest
from relayllm.relay.vocabulary import plain_ids
decoder = RelayDecoder.from_pretrained(sys.argv[1] + "/student", sys.argv[1] + "/teacher")
for line in sys.stdin:
    bodies, slots = json.loads(line), {clients}
    started, session, tokens = time.perf_counter(), decoder.session(slots=slots), 0
    for body in bodies:
        options = Options(max_new_tokens=body["max_tokens"], temperature=body["temperature"],
                          max_calls=body["relay"]["max_calls"], call_bias=body["relay"]["call_bias"])
        session.submit(GenerationRequest(tuple(plain_ids(decoder.tokenizer, body["prompt"])), options, body["seed"]))
    while session.busy:
        tokens += sum(len(done.trace.token_ids) for done in session.step())
    print(tokens, time.perf_counter() - started, flush=True)
"""


class Alone:
    """The decoder in a process of its own, 16 rows; answers the same bodies without a server."""

    def __init__(self, place) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", ALONE.replace("{clients}", str(CLIENTS)), str(place)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": "src", "OMP_NUM_THREADS": "1", "PATH": "/usr/bin"})

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self._process.kill()
        self._process.wait()

    def answer(self, bodies) -> Load:
        self._process.stdin.write(json.dumps([body for its in zip(*bodies, strict=True) for body in its]) + "\n")
        self._process.stdin.flush()
        tokens, seconds = self._process.stdout.readline().split()
        return Load(int(tokens), float(seconds))


@pytest.fixture(scope="module")
def realistic(tmp_path_factory):
    """The pair of the benchmarks, 25 and 200 million weights: a step takes tens of milliseconds."""
    from benchmarks.models import CPU, make_decoder

    place = tmp_path_factory.mktemp("realistic")
    decoder = make_decoder(CPU)
    for name, model, tokenizer in (("student", decoder.student.model, decoder.tokenizer),
                                   ("teacher", decoder.teacher.engine.model, decoder.teacher_tokenizer)):
        model.save_pretrained(place / name)
        tokenizer.save_pretrained(place / name)
    return place


def bodies(prompt: str, tokens: int, turns: int, seed: int, *, stream: bool):
    more = {"stream": True, "stream_options": {"include_usage": True}} if stream else {}
    return [[{"prompt": prompt, "max_tokens": tokens, "temperature": 1.0, "seed": seed + 1000 * client + turn,
              "relay": {"max_calls": 1, "call_bias": 5.0}, **more} for turn in range(turns)]
            for client in range(CLIENTS)]


class Race(NamedTuple):
    """What server and decoder did in turns; a share is the server's speed by the decoder's, median of the rounds."""

    share: float
    streamed_share: float
    alone: Load
    whole: Load
    streamed: Load


def race(place, prompt: str, tokens: int, turns: int, rounds: int) -> Race:
    found = []
    with process(place, "--slots", str(CLIENTS)) as server, Alone(place) as decoder:
        port = int(server.url.rsplit(":", 1)[1])
        load(port, bodies(prompt, tokens, 1, 77, stream=False))
        decoder.answer(bodies(prompt, tokens, 1, 77, stream=False))
        for turn in range(rounds):
            found.append((load(port, bodies(prompt, tokens, turns, 10 * turn, stream=False)),
                          decoder.answer(bodies(prompt, tokens, turns, 10 * turn, stream=False)),
                          load(port, bodies(prompt, tokens, turns, 10 * turn, stream=True))))
    whole, alone, streamed = (sum(loads, Load()) for loads in zip(*found, strict=True))
    return Race(statistics.median(once.speed / base.speed for once, base, _ in found),
                statistics.median(once.speed / base.speed for _, base, once in found), alone, whole, streamed)


def report(capsys, title: str, found: Race) -> None:
    firsts = found.streamed.firsts
    with capsys.disabled():
        print(f"\n{title}: decoder alone {found.alone.speed:.0f} tokens/s; server {found.share:.2f} of it, "
              f"streamed {found.streamed_share:.2f}; first token p50 {1000 * statistics.median(firsts):.0f} ms, "
              f"p95 {1000 * statistics.quantiles(firsts, n=20)[-1]:.0f} ms")


@pytest.mark.slow
@pytest.mark.timing
@pytest.mark.timeout(1800)
def test_sixteen_clients_get_the_decoders_own_speed(realistic, capsys):
    found = race(realistic, "w1 w2 w3 w4 w5 w6 w7 w8", 32, 1, 5)
    report(capsys, "25 and 200 million weights", found)
    assert found.whole.faults + found.streamed.faults == []
    assert found.alone.tokens == found.whole.tokens == found.streamed.tokens
    assert found.share >= 0.9
    assert found.streamed_share >= 0.9


@pytest.mark.slow
@pytest.mark.timing
@pytest.mark.timeout(900)
def test_sixteen_clients_of_a_tiny_model_get_no_error(folders, capsys):  # noqa: F811
    found = race(folders, "A shelf holds 17 boxes with 14 pens each. How many pens are there?", 150, 2, 4)
    report(capsys, "tiny models, two milliseconds a step", found)
    assert found.whole.faults + found.streamed.faults == []
    assert found.alone.tokens == found.whole.tokens == found.streamed.tokens
    assert found.share > 0.5
