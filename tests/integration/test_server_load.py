"""Sixteen clients at once against a server process: no error, the speed of the decoder itself, time to first token."""

from __future__ import annotations

import statistics
import subprocess
import sys
import threading
import time

import httpx
import pytest

from tests.integration.test_server_process import folders, process  # noqa: F401

CLIENTS, ROUNDS, TOKENS = 16, 8, 150
QUESTION = "A shelf holds 17 boxes with 14 pens each. How many pens are there?"
ALONE = """
import sys, time
from relayllm import RelayDecoder
decoder = RelayDecoder.from_pretrained(sys.argv[1] + "/student", sys.argv[1] + "/teacher")
def run(seed):
    started = time.perf_counter()
    traces = decoder.generate(["{question}"] * {clients}, max_new_tokens={tokens}, temperature=1.0, seed=seed,
                              slots={clients})
    return sum(len(trace.token_ids) for trace in traces), time.perf_counter() - started
run(0)
rows = [run(seed) for seed in range(1, 9)]
print(sum(tokens for tokens, _ in rows) / sum(seconds for _, seconds in rows))
"""


def alone(place) -> float:
    """Tokens per second of the decoder in a process of its own, 16 rows."""
    code = ALONE.format(question=QUESTION, clients=CLIENTS, tokens=TOKENS)
    done = subprocess.run([sys.executable, "-c", code, str(place)], capture_output=True, text=True, check=True,
                          env={"PYTHONPATH": "src", "OMP_NUM_THREADS": "1", "PATH": "/usr/bin"})
    return float(done.stdout.split()[-1])


def load(url: str, *, stream: bool) -> tuple[float, list[float], list[int]]:
    """Tokens per second, seconds to first token, statuses, of 16 clients that ask one question after the other."""
    firsts, statuses, tokens = [], [], []
    limits = httpx.Limits(max_connections=CLIENTS)

    def client(number: int) -> None:
        for turn in range(ROUNDS):
            body = {"messages": [{"role": "user", "content": QUESTION}], "max_tokens": TOKENS, "temperature": 1.0,
                    "seed": 100 * number + turn, "stream": stream}
            started = time.perf_counter()
            if not stream:
                answer = http.post("/v1/chat/completions", json=body)
                statuses.append(answer.status_code)
                tokens.append(answer.json()["usage"]["completion_tokens"])
                continue
            body["stream_options"] = {"include_usage": True}
            with http.stream("POST", "/v1/chat/completions", json=body) as answer:
                statuses.append(answer.status_code)
                lines = (line for line in answer.iter_lines() if line.startswith("data: {"))
                next(lines)
                next(lines)
                firsts.append(time.perf_counter() - started)
                *_, last = lines
                tokens.append(int(last.split('"completion_tokens":')[1].split(",")[0]))

    with httpx.Client(base_url=url, timeout=120, trust_env=False, limits=limits) as http:
        threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
        started = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(tokens) / (time.perf_counter() - started), firsts, statuses


@pytest.mark.slow
def test_sixteen_clients_get_the_decoders_own_speed(folders, capsys):  # noqa: F811
    with process(folders, "--slots", str(CLIENTS)) as server:
        load(server.url, stream=False)
        whole, _, statuses = load(server.url, stream=False)
        streamed, firsts, more = load(server.url, stream=True)
    reference = alone(folders)
    p95 = statistics.quantiles(firsts, n=20)[-1]
    with capsys.disabled():
        print(f"\ndecoder alone {reference:.0f} tokens/s; server {whole:.0f} ({whole / reference:.2f}), "
              f"streamed {streamed:.0f} ({streamed / reference:.2f}); first token p50 "
              f"{1000 * statistics.median(firsts):.0f} ms, p95 {1000 * p95:.0f} ms")
    assert set(statuses + more) == {200}
    assert whole > 0.5 * reference
    if whole < 0.9 * reference:
        pytest.xfail(f"{whole / reference:.2f} of the decoder's speed; the goal of 0.9 is not met, docs/guides/serving.md")
