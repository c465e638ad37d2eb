"""The processes of the bench: vLLM servers on this machine, and gateways before them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.timing import multiplies_bfloat16
from relayllm.engines.commands import add_command_tokens
from tests.support.real_models import smollm2_folder

STUDENT, TEACHER = "student", "teacher"
FLAGS = ("--max-model-len=1024", "--block-size=32", "--enable-prefix-caching",
         "--enable-prompt-tokens-details", "--generation-config=vllm", "--max-num-seqs=32",
         "--logprobs-mode=processed_logprobs")
PATIENCE = 1200.0
"""Seconds that a server has to start in."""
OFTEN = " the"
"""The student's `<call>` is as likely as this word, so that every answer calls."""


@dataclass(frozen=True)
class Server:
    """A process that answers HTTP once it is up, and leads a group of its own."""

    process: subprocess.Popen[str]
    port: int
    log: Path

    @property
    def url(self) -> str:
        """Its root address."""
        return f"http://127.0.0.1:{self.port}"

    def processor_seconds(self) -> float:
        """Processor time of the process so far, all threads."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(") ")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def wait(self) -> None:
        """Wait until it answers.

        Raises:
            SystemExit: it ended, or takes too long.
        """
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and self.process.poll() is None:
            try:
                if httpx.get(self.url + "/health", timeout=10).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.5)
        raise SystemExit(f"a server did not start:\n{self.log.read_text()[-3000:]}")

    def kill(self) -> None:
        """End the whole group at once, as a machine that is lost does."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def write_models(place: Path) -> None:
    """SmolLM2-135M-Instruct as the teacher, and with commands as the student."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(smollm2_folder(), dtype=torch.bfloat16)
    tokenizer = AutoTokenizer.from_pretrained(smollm2_folder())
    model.save_pretrained(place / TEACHER)
    tokenizer.save_pretrained(place / TEACHER)
    [often] = tokenizer.encode(OFTEN, add_special_tokens=False)
    commands = add_command_tokens(model, tokenizer)
    with torch.no_grad():
        table = model.get_input_embeddings().weight  # tied to the head
        table[commands.call] = table[often]
        table[tokenizer.eos_token_id] = table.mean(dim=0)  # answers are as long as they are told to be
    model.save_pretrained(place / STUDENT)
    tokenizer.save_pretrained(place / STUDENT)


def dtype() -> str:
    """The type of numbers that this processor multiplies at speed."""
    return "bfloat16" if multiplies_bfloat16() else "float32"


@contextmanager
def vllm(python: str, folder: Path, log: Path, flags: Sequence[str] = ()) -> Iterator[Server]:
    """A vLLM server of a folder, named as it is, with one thread for the model."""
    more = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1",
            "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_ENGINE_READY_TIMEOUT_S": f"{PATIENCE:.0f}",
            "VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS": f"{PATIENCE:.0f}"}
    if "--enforce-eager" in flags:
        more["TORCH_COMPILE_DISABLE"] = "1"  # the kernel that counts ranks for log-probabilities is compiled anyhow
    words = [python, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder), "--served-model-name",
             folder.name, "--host", "127.0.0.1", "--dtype", dtype(), *FLAGS, *flags]
    with _started(words, log, more) as server:
        yield server


@contextmanager
def gateway(place: Path, students: Sequence[Server], teacher: Server, slots: int, log: Path) -> Iterator[Server]:
    """`relay serve` before vLLM servers."""
    words = [sys.executable, "-m", "relayllm.cli", "serve", str(place / STUDENT), "--teacher", teacher.url, "--slots",
             str(slots), *(word for one in students for word in ("--student", one.url))]
    with _started(words, log, {"RELAY_ROOT": str(place)}) as server:
        yield server


@contextmanager
def _started(words: Sequence[str], log: Path, more: Mapping[str, str]) -> Iterator[Server]:
    """Start it on a free port; who wants its answers waits."""
    keys = ("RELAY_API_KEYS", "RELAY_STUDENT_API_KEY", "RELAY_TEACHER_API_KEY", "VLLM_API_KEY")
    environment = {name: value for name, value in os.environ.items() if name not in keys} | dict(more)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with log.open("w") as out:
        process = subprocess.Popen([*words, "--port", str(port)], stdout=out, stderr=out, text=True, env=environment,
                                   start_new_session=True)
    server = Server(process, port, log)
    try:
        yield server
    finally:
        server.kill()
