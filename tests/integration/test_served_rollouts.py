"""Roll-outs before servers: they get the weights in training, and a server that cannot take them is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from relayllm.config import load_params
from relayllm.engines.loading import load_tokenizer
from relayllm.engines.openai.weights import ServedWeights
from relayllm.errors import ConfigError, StudentError
from relayllm.training.served import ServedDecoders
from tests.support.fake_student import FakeStudent
from tests.support.fake_teacher import FakeTeacher
from tests.support.grpo_process import LORA, TRAIN, prepare
from tests.support.places import ROOT
from tests.support.reference import greedy
from tests.support.small_models import pair


class Stubborn(FakeStudent):
    """Says that it has read new weights, and has not."""

    def other(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        return (200, {"results": [None]}) if path == "/collective_rpc" else super().other(path, body)


class RawLogprobs(FakeStudent):
    """Tells log-probabilities before the mask."""

    def more(self, body: dict[str, Any], token: int) -> dict[str, Any]:
        told = super().more(body, token)
        if told:
            told["logprobs"]["token_logprobs"] = [-5.0]
        return told


@pytest.fixture
def teacher(monkeypatch):
    _, tokenizer, network, _ = pair()
    with FakeTeacher(tokenizer, greedy(network)) as server:
        monkeypatch.setenv("RELAY_TEACHER_URL", server.url)
        yield server


def student(kind: type[FakeStudent] = FakeStudent, **options: Any) -> FakeStudent:
    network, tokenizer, _, _ = pair()
    return kind(network, tokenizer, **{"takes_weights": True, **options})


def train(place: Path, *servers: FakeStudent) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", TRAIN, str(place), "0"], cwd=ROOT, check=False, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env={**os.environ, "RELAY_ROOT": str(ROOT), "OMP_NUM_THREADS": "1",
                               "RELAY_ROLLOUT_URLS": ",".join(f"relay-difficulty={server.url}" for server in servers)})


def decoders(place: Path, *urls: str) -> ServedDecoders:
    run = load_params(place / "params.yaml").grpo.runs["relay-difficulty"]
    return ServedDecoders(urls, load_tokenizer(place / "student"), place / "student", place / "teacher", run,
                          place / "run")


@pytest.mark.slow
def test_train_before_two_servers_samples_from_the_policy_of_every_step(tmp_path, teacher):
    place = prepare(tmp_path, learning_rate=1e-2)
    with student() as one, student() as other:
        done = train(place, one, other)
        assert done.returncode == 0, done.stdout[-4000:]
        asked = [len(server.asked) for server in (one, other)]
    history = json.loads((place / "result.json").read_text())["history"]
    assert [row["step"] for row in history] == [1, 2, 3, 4]
    assert all(row["logprob_gap"] < 1e-4 for row in history)
    assert all(asked), asked
    before = load_file(place / "student/model.safetensors")
    last = load_file(place / "run/checkpoint-8/model.safetensors")
    assert max((last[name] - before[name]).abs().max() for name in last) > 1e-3
    for server in (one, other):
        held = server.network.state_dict()
        assert all(torch.equal(held[name], weight) for name, weight in last.items())


@pytest.mark.slow
def test_train_before_a_server_that_keeps_its_weights_is_stopped(tmp_path, teacher):
    place = prepare(tmp_path, learning_rate=5e-2)
    with student(Stubborn) as server:
        done = train(place, server)
    assert done.returncode == 1
    assert "TrainingError: the log-probabilities that the roll-outs' servers give differ by" in done.stdout
    assert not (place / "model").exists()


def test_server_without_routes_for_weights_is_refused(tmp_path, teacher):
    with student(takes_weights=False) as server:
        with pytest.raises(StudentError, match=r"takes no weights .*VLLM_SERVER_DEV_MODE=1"):
            decoders(prepare(tmp_path), server.url)


def test_server_that_tells_raw_logprobs_is_refused(tmp_path, teacher):
    with student(RawLogprobs) as server:
        with pytest.raises(StudentError, match="--logprobs-mode processed_logprobs"):
            decoders(prepare(tmp_path), server.url)


def test_teacher_in_a_folder_is_refused(tmp_path, monkeypatch):
    monkeypatch.delenv("RELAY_TEACHER_URL", raising=False)
    with pytest.raises(ConfigError, match="name it in RELAY_TEACHER_URL"):
        decoders(prepare(tmp_path), "http://127.0.0.1:9")


@pytest.mark.slow
def test_train_of_an_adapter_sends_it_merged(tmp_path, teacher):
    place = prepare(tmp_path, lora=LORA, learning_rate=1e-2)
    with student() as server:
        done = train(place, server)
        assert done.returncode == 0, done.stdout[-4000:]
        history = json.loads((place / "result.json").read_text())["history"]
        assert all(row["logprob_gap"] < 1e-4 for row in history)
        held = server.network.state_dict()
    before = load_file(place / "student/model.safetensors")
    assert {name for name in before if not torch.equal(held[name], before[name])} > {"model.embed_tokens.weight"}


def test_server_that_was_started_again_in_a_batch_is_noticed(tmp_path, teacher):
    place = prepare(tmp_path)
    network = pair()[0]
    with student() as server:
        served = decoders(place, server.url)
        with pytest.raises(StudentError, match=r"has the weights 'default', training gave it '[0-9a-f]{64}'"):
            with served.of(network):
                server.weight_version = "default"
        served.close()


def test_folder_that_the_server_does_not_see_is_named(tmp_path):
    with student() as server:
        weights = ServedWeights([server.url])
        with pytest.raises(StudentError, match=f"with 500: .*{tmp_path}/nothing.*same folders"):
            weights.load(tmp_path / "nothing", "1")
        weights.close()


def test_address_where_nobody_listens_is_named():
    weights = ServedWeights(["http://127.0.0.1:9"])
    with pytest.raises(StudentError, match=r"http://127.0.0.1:9 did not answer /weight_info: ConnectError"):
        weights.check()
    weights.close()
