"""vLLM servers on this machine's CPU, as infra/ starts them."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

KEY = "sesame"
PATIENCE = 1200.0
"""Seconds that a server has to start in: half a minute is enough, but not on a machine that is shared with others."""
FLAGS = ("--max-model-len=512", "--dtype=float32", "--enable-prefix-caching", "--enable-prompt-tokens-details",
         "--generation-config=vllm", "--enforce-eager")
STUDENT_FLAGS = ("--block-size=32", "--logprobs-mode=processed_logprobs")
"""What a student's server needs besides; the CPU build's own block has 128 tokens."""
SETTINGS = {"VLLM_API_KEY": KEY, "VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1",
            "TORCH_COMPILE_DISABLE": "1", "VLLM_ENGINE_READY_TIMEOUT_S": f"{PATIENCE:.0f}",
            "VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS": f"{PATIENCE:.0f}"}
"""Environment of a server. The first request for log-probabilities compiles a kernel even where vLLM is eager: on a
machine with much else to do that took longer than the five minutes that vLLM gives a step, and the server died."""
TRAINED_FLAGS = (*STUDENT_FLAGS, "--worker-extension-cls=relayllm_vllm.weights.WeightReader")
"""What it needs where training replaces its weights."""


@contextmanager
def vllm_server(folder: Path, name: str, *flags: str, log: Path, **more: str) -> Iterator[str]:
    """A server of a model folder on a free port, with more in its environment; yields its address."""
    if "RELAY_VLLM_PYTHON" not in os.environ:
        pytest.skip("RELAY_VLLM_PYTHON names no Python with vLLM: use `make test-vllm`")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with log.open("w") as out:
        server = subprocess.Popen(
            [os.environ["RELAY_VLLM_PYTHON"], "-m", "vllm.entrypoints.openai.api_server", f"--model={folder}",
             f"--served-model-name={name}", "--host=127.0.0.1", f"--port={port}", *FLAGS, *flags],
            stdout=out, stderr=out, env={**os.environ, **SETTINGS, **more})
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_well(server, url, log)
        yield url
    finally:
        server.terminate()
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:  # one that is still starting takes no notice
            server.kill()


def _wait_until_well(server: subprocess.Popen, url: str, log: Path) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and server.poll() is None:
        try:
            if httpx.get(url + "/health", timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    pytest.fail("vLLM did not start:\n" + log.read_text()[-4000:])
