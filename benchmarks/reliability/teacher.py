"""A teacher killed and started again under load: every answer is finished, and flagged where it lost its help."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from relayllm import RelayDecoder
from relayllm.engines.openai.options import RemoteOptions
from relayllm.engines.openai.teacher import OpenAITeacher
from relayllm.relay.teacher import RemoteTeacher
from tests.support.fakes_serving import STUDENT_SCRIPT, ScriptedEngine, serving, tokenizers

CLIENTS = 8
QUICK = RemoteOptions(stall_seconds=1.0, attempts=2, backoff_seconds=0.02, breaker_failures=4, breaker_seconds=0.2)
LAUNCHER = """
import os, signal, sys, time
from relayllm.problems.tiny_world.tokenizer import build_tokenizer
from tests.support.fake_teacher import FakeTeacher
tokenizer = build_tokenizer()
answer = tokenizer.encode("12" * 20, add_special_tokens=False)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
while line := sys.stdin.readline():
    if os.fork() == 0:
        with FakeTeacher(tokenizer, lambda ids: answer, port=int(line)) as teacher:
            teacher.token_seconds = 0.002
            print(os.getpid(), teacher.url, flush=True)
            time.sleep(3600)
"""
"""Forks a teacher for each port that it reads: a new one is there at once."""


class KilledTeacher:
    """A server in a process of its own, always on the same port."""

    def __init__(self) -> None:
        self._launcher = subprocess.Popen([sys.executable, "-c", LAUNCHER], stdin=subprocess.PIPE,
                                          stdout=subprocess.PIPE, text=True,
                                          env={**os.environ, "PYTHONPATH": f"src{os.pathsep}."})
        self._pid, self.url = self._started(0)

    def replace(self, seconds_down: float) -> None:
        """Kill -9, and start anew a moment later."""
        os.kill(self._pid, signal.SIGKILL)
        time.sleep(seconds_down)
        self._pid, self.url = self._started(int(self.url.rsplit(":", 1)[1]))

    def close(self) -> None:
        """End both processes."""
        os.kill(self._pid, signal.SIGKILL)
        self._launcher.kill()
        self._launcher.wait()

    def _started(self, port: int) -> tuple[int, str]:
        assert self._launcher.stdin is not None
        assert self._launcher.stdout is not None
        self._launcher.stdin.write(f"{port}\n")
        self._launcher.stdin.flush()
        pid, url = self._launcher.stdout.readline().split()
        return int(pid), url


def run(count: int, folder: Path) -> dict[str, Any]:
    """Restart the teacher `count` times while clients ask one question after the other."""
    chance, teacher = random.Random(0), KilledTeacher()
    ours, _ = tokenizers()
    commands = [ours.convert_tokens_to_ids(name) for name in ("<call>", "</call>")]
    remote = OpenAITeacher(teacher.url, ours, forbidden_ids=commands, options=QUICK)
    decoder = RelayDecoder(ScriptedEngine(ours, STUDENT_SCRIPT, seconds=0.001), ours,
                           RemoteTeacher(remote), ours, teacher_name=teacher.url, context_length=512)
    seen: list[tuple[int, bool, bool]] = []
    stopping = threading.Event()
    try:
        with serving(decoder, queue=64) as server:
            clients = [threading.Thread(target=_ask_on, args=(server, seen, stopping)) for _ in range(CLIENTS)]
            for client in clients:
                client.start()
            for _ in range(count):
                time.sleep(chance.uniform(0.5, 2.0))
                teacher.replace(seconds_down=chance.uniform(0.0, 0.5))
            stopping.set()
            for client in clients:
                client.join()
    finally:
        teacher.close()
    finished = sum(status == 200 and whole for status, whole, _ in seen)
    return {"restarts": count, "answers": len(seen), "finished": finished, "degraded": sum(lost for *_, lost in seen),
            "faults": len(seen) - finished}


def _ask_on(server: Any, seen: list[tuple[int, bool, bool]], stopping: threading.Event) -> None:
    """(status, whether the answer came to its end, whether it lost help) of one answer after the other."""
    while not stopping.is_set():
        answer = server.chat()
        body = answer.json()
        whole = answer.status_code == 200 and body["choices"][0]["message"]["content"].endswith(".")
        seen.append((answer.status_code, whole, bool(answer.status_code == 200 and body["relay"]["degraded"])))
