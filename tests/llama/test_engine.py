"""The relay over llama.cpp against the reference without cache, batch and scheduler: float32, token for token."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relayllm import RelayDecoder
from relayllm.engines.llama_cpp.engine import BATCH, LlamaCppEngine
from relayllm.engines.llama_cpp.library import library
from relayllm.engines.llama_cpp.model import GgufModel
from relayllm.errors import ConfigError, ModelError
from relayllm.relay.engine import StepInput
from relayllm.relay.policy import Scripted
from tests.support.against_reference import WORDS, check_against_reference
from tests.support.small_models import pair

pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed: run `make test-llama`")

PROMPTS = st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=25).map(" ".join), min_size=1, max_size=5)
CALLS = st.lists(st.tuples(st.integers(0, 24), st.sampled_from([1, 2, 3, 9, 30])), max_size=4).map(sorted)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(prompts=PROMPTS, data=st.data(), slots=st.integers(1, 5), max_new_tokens=st.integers(1, 30), same=st.booleans())
def test_greedy_equals_the_reference_for_any_call_pattern(decoder_of, prompts, data, slots, max_new_tokens, same):
    scripts = [data.draw(CALLS) for _ in prompts]
    check_against_reference(decoder_of("qwen3", same), "qwen3", same, prompts, scripts, slots, max_new_tokens)


@pytest.mark.parametrize("kind", ["qwen3", "qwen2", "llama"])
def test_greedy_equals_the_reference_for_every_architecture(decoder_of, kind):
    prompts = [" ".join(WORDS[:size]) for size in (1, 4, 9)]
    check_against_reference(decoder_of(kind), kind, True, prompts, [[(0, 3), (3, 2)], [(5, 30)], []], 2, 24)
    check_against_reference(decoder_of(kind), kind, True, prompts, None, 3, 40)


@pytest.mark.parametrize("student_is_gguf", [True, False])
def test_one_side_may_be_a_folder(gguf, student_is_gguf):
    student, teacher = gguf("qwen3", False)
    sides = ((student, teacher.with_suffix("")) if student_is_gguf else (student.with_suffix(""), teacher))
    prompts = [" ".join(WORDS[size:]) for size in range(4)]
    scripts = [[(start, 2), (start + 4, 3)] for start in range(4)]
    check_against_reference(RelayDecoder.from_pretrained(*sides), "qwen3", False, prompts, scripts, 4, 24)


def test_a_sampled_row_depends_on_seed_and_row_alone(decoder_of):
    decoder = decoder_of()
    prompts = [" ".join(WORDS[:size]) for size in range(1, 6)]
    options = {"max_new_tokens": 20, "temperature": 1.0, "teacher_temperature": 0.7, "seed": 3}
    together, apart = (decoder.generate(prompts, slots=slots, **options) for slots in (5, 1))
    assert [trace.token_ids for trace in together] == [trace.token_ids for trace in apart]


def test_log_probabilities_are_those_of_the_engine_in_torch(decoder_of):
    ours = RelayDecoder.from_models(*pair())
    options = {"max_new_tokens": 24, "max_calls": 2, "policy": Scripted(script={0: [(2, 5), (9, 3)]})}
    found, wanted = (one.generate([WORDS[0]], **options)[0] for one in (decoder_of(), ours))
    assert found.token_ids == wanted.token_ids
    assert found.logprobs == pytest.approx(wanted.logprobs, abs=1e-4)


@pytest.fixture
def engine(gguf):
    model = GgufModel(gguf()[0])
    return LlamaCppEngine(model, name="student", ends=model.ends)


def test_caches_that_grow_are_read_again_and_nothing_changes(engine):
    def ask(row, tokens):
        return engine.step([StepInput(row, tokens, allowed=(1 << 12) - 1)]).logprobs[0]

    first = engine.open()
    engine.reserve(1, 8)
    begun = ask(first, [5, 6, 7])
    others = [engine.open() for _ in range(4)]  # more rows than there was room for
    for row in others:
        assert ask(row, [5, 6, 7]) == pytest.approx(begun, abs=1e-5)
    went_on = ask(first, [8])
    ask(others[0], list(range(8, 8 + 300)))  # longer than there was room for
    assert ask(others[1], [8]) == pytest.approx(went_on, abs=1e-5)
    assert engine.length(first) == 4


def test_a_forward_that_failed_costs_no_row_what_it_had_read(engine, monkeypatch):
    row = engine.open()
    engine.step([StepInput(row, [5, 6, 7], allowed=(1 << 12) - 1)])
    monkeypatch.setattr(library(), "llama_decode", lambda *_: 2)
    with pytest.raises(ModelError, match=r"could not read 1 tokens of student \(code 2\)"):
        engine.step([StepInput(row, [8], allowed=(1 << 12) - 1)])
    monkeypatch.undo()
    fresh = engine.open()
    output = engine.step([StepInput(row, [8], allowed=(1 << 12) - 1),
                          StepInput(fresh, [5, 6, 7, 8], allowed=(1 << 12) - 1)])
    assert output.logprobs[0] == pytest.approx(output.logprobs[1], abs=1e-5)


def test_a_slot_that_was_freed_holds_nothing_of_the_row_before(engine):
    one = engine.open()
    engine.step([StepInput(one, [9, 9, 9, 9], allowed=(1 << 12) - 1)])
    engine.close(one)
    again, fresh = engine.open(), engine.open()
    output = engine.step([StepInput(row, [5, 6], allowed=(1 << 12) - 1) for row in (again, fresh)])
    assert output.logprobs[0] == pytest.approx(output.logprobs[1], abs=1e-6)


def test_a_prompt_longer_than_a_batch_is_read_in_parts(gguf):
    student = pair()[0]
    model = GgufModel(gguf()[0])
    engine = LlamaCppEngine(model, name="student", ends=model.ends)
    ids = [5 + position % 200 for position in range(BATCH + 50)]
    output = engine.step([StepInput(engine.open(), ids, allowed=(1 << 12) - 1)])
    with torch.no_grad():
        wanted = student(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
    assert output.logprobs[0] == pytest.approx(float(wanted.max()), abs=1e-3)


def test_rows_that_do_not_fit_into_one_batch_keep_their_own_logits(engine):
    prompts = [[5 + (3 * row + position) % 200 for position in range(BATCH // 4)] for row in range(6)]
    rows = [engine.open() for _ in prompts]
    together = engine.step([StepInput(row, ids, allowed=(1 << 12) - 1) for row, ids in zip(rows, prompts, strict=True)])
    for row, ids, token, logprob in zip(rows, prompts, together.tokens, together.logprobs, strict=True):
        engine.close(row)
        alone = engine.step([StepInput(engine.open(), ids, allowed=(1 << 12) - 1)])
        assert (alone.tokens[0], alone.logprobs[0]) == (token, pytest.approx(logprob, abs=1e-4))


def test_tokens_of_another_are_scored_in_the_forward_that_reads_them(engine):
    student = pair()[0]
    ids = [5, 6, 7, 8, 9]
    output = engine.step([StepInput(engine.open(), ids, allowed=(1 << 12) - 1, score=3),
                          StepInput(engine.open(), [5, 6], allowed=(1 << 12) - 1)])
    with torch.no_grad():
        logp = student(torch.tensor([ids])).logits[0].log_softmax(-1)
    assert output.scores[0] == pytest.approx([float(logp[at - 1, ids[at]]) for at in (2, 3, 4)], abs=1e-3)
    assert output.scores[1] == ()


def test_what_llama_cpp_cannot_do_is_said(engine, gguf, tmp_path):
    with pytest.raises(ConfigError, match="hidden states cannot be read: learned routers need the model as a folder"):
        engine.step([StepInput(engine.open(), [5], allowed=(1 << 12) - 1, probe=(1.0, 0.0))])
    with pytest.raises(ConfigError, match=r"100000 rows side by side, and llama\.cpp takes \d+: give fewer slots"):
        engine.reserve(100_000, 8)
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(gguf()[0].read_bytes()[:-4000])
    with pytest.raises(ModelError, match=r"broken\.gguf"):
        GgufModel(broken)
