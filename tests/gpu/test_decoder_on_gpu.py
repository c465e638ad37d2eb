"""The decoder on an accelerator: the same tokens as on the CPU, and the benchmark's table."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch

from benchmarks import models
from benchmarks.decode import main
from benchmarks.work import draw, relay
from relayllm import RelayDecoder
from relayllm.relay.command import ALL_DIGITS
from relayllm.relay.engine import StepInput

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


def test_greedy_in_float32_equals_the_cpu():
    work = draw(4, prompt=(10, 30), length=(24, 40), calls=3, n=1, words=models.SMALL.words)
    here = models.make_decoder(models.SMALL)
    there = models.make_decoder(replace(models.SMALL, device="cuda"))
    for model, twin in ((here.student.model, there.student.model), (here.teacher.engine.model,
                                                                     there.teacher.engine.model)):
        twin.load_state_dict(model.state_dict())
    assert [trace.token_ids for trace in relay(here, work)] == [trace.token_ids for trace in relay(there, work)]


@pytest.mark.parametrize("slots", [1, 3, 4])
def test_graphs_write_the_tokens_of_ordinary_steps(slots):
    """Float32: another order of sums must not change a choice."""
    work = draw(6, prompt=(10, 280), length=(24, 40), calls=3, n=2, words=models.SMALL.words)
    plain = models.make_decoder(replace(models.SMALL, device="cuda"))
    graphs = RelayDecoder.from_models(plain.student.model, plain.tokenizer, plain.teacher.engine.model,
                                      plain.teacher_tokenizer, cuda_graphs=True)
    graphs.student.ends = graphs.teacher.engine.ends = frozenset()
    told = [[trace.token_ids for trace in relay(decoder, work, slots=slots)] for decoder in (plain, graphs)]
    assert told[0] == told[1]


def test_forward_seconds_hold_what_the_device_does_and_not_only_its_launches():
    """The head's kernels are queued behind a tenth of a second or so of nothing: to queue them takes no time."""
    engine = models.make_decoder(replace(models.SMALL, device="cuda")).student
    row, busy = engine.open(), 200_000_000
    engine.step([StepInput(row, [5, 6, 7], ALL_DIGITS)])
    engine.model.get_output_embeddings().register_forward_pre_hook(lambda *_: torch.cuda._sleep(busy))
    engine.measuring = True
    engine.step([StepInput(row, [8], ALL_DIGITS)])
    assert engine.forward_seconds > 0.05


@pytest.mark.slow
def test_bench_measures_all_that_it_names(tmp_path):
    target = tmp_path / "bench.json"
    main(["--pair", "gpu", "--json", str(target)])
    measures = json.loads(target.read_text())["measures"]
    assert measures
    assert all(math.isfinite(one["value"]) for one in measures.values()), measures
