"""The decoder against a reference that has no cache, no batch and no scheduler."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relayllm import RelayDecoder
from relayllm.engines.prompts import encode_prompt
from relayllm.errors import ConfigError, DataError, ModelError
from relayllm.relay.policy import CallAtOnce, FixedLength, RandomPosition, Scripted
from relayllm.relay.trace import Author, StopReason
from tests.support.against_reference import WORDS, check_against_reference
from tests.support.small_models import base_tokenizer, make_model, pair

PROMPTS = st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=25).map(" ".join), min_size=1, max_size=5)
CALLS = st.lists(st.tuples(st.integers(0, 24), st.sampled_from([1, 2, 3, 9, 30])), max_size=4).map(sorted)


def decoder_of(kind: str, same: bool) -> RelayDecoder:
    student, tokenizer, teacher, theirs = pair(kind, same)
    return RelayDecoder.from_models(student, tokenizer, teacher, theirs)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(PROMPTS, st.data(), st.integers(1, 5), st.integers(1, 30), st.booleans())
def test_greedy_equals_the_reference_for_any_call_pattern(prompts, data, slots, max_new_tokens, same):
    scripts = [data.draw(CALLS) for _ in prompts]
    check_against_reference(decoder_of("qwen3", same), "qwen3", same, prompts, scripts, slots, max_new_tokens)


@pytest.mark.parametrize("kind", ["qwen3", "qwen2", "llama"])
@pytest.mark.parametrize("same", [True, False])
def test_greedy_equals_the_reference_for_every_architecture(kind, same):
    prompts = [" ".join(WORDS[:size]) for size in (1, 4, 9)]
    scripts = [[(0, 3), (3, 2)], [(5, 30)], []]
    check_against_reference(decoder_of(kind, same), kind, same, prompts, scripts, 2, 24)


def test_greedy_equals_the_reference_when_calls_cut_characters():
    """Random models write bytes that are no text more often than not; the teacher cuts text differently."""
    prompts = [" ".join(WORDS[size:]) for size in range(8)]
    scripts = [[(start, 1), (start + 3, 2), (start + 8, 3)] for start in range(1, 9)]
    check_against_reference(decoder_of("qwen3", False), "qwen3", False, prompts, scripts, 3, 40)


def test_greedy_equals_the_reference_when_the_student_decides():
    prompts = [" ".join(WORDS[i:]) for i in range(8)]
    check_against_reference(decoder_of("qwen3", True), "qwen3", True, prompts, None, 3, 40)


def test_sampled_row_is_the_same_in_any_batch():
    decoder = decoder_of("qwen3", True)
    prompts = [" ".join(WORDS[:size]) for size in range(1, 9)]
    options = {"max_new_tokens": 25, "temperature": 1.0, "teacher_temperature": 0.7, "top_p": 0.9, "seed": 3, "n": 2}
    together = decoder.generate(prompts, slots=16, **options)
    apart = decoder.generate(prompts, slots=1, **options)
    assert [trace.token_ids for trace in together] == [trace.token_ids for trace in apart]
    assert together[0].token_ids != together[1].token_ids
    other = decoder.generate(prompts, slots=16, **{**options, "seed": 4})
    assert [trace.token_ids for trace in together] != [trace.token_ids for trace in other]


def test_sampling_follows_the_distribution_of_a_fresh_forward():
    student, tokenizer, _, _ = pair()
    decoder = RelayDecoder.from_models(student, tokenizer)
    prompt = "There are pens"
    traces = decoder.generate([prompt], n=4000, max_new_tokens=1, temperature=1.0, slots=512)
    with torch.no_grad():
        logits = student(torch.tensor([decoder.encode(prompt)])).logits[0, -1]
    logits[[decoder.commands.call, decoder.commands.end]] = -torch.inf
    wanted = torch.softmax(logits, -1)
    seen = torch.bincount(torch.tensor([trace.token_ids[0] for trace in traces]), minlength=len(wanted)) / len(traces)
    assert 0.5 * (wanted - seen).abs().sum() < 0.12


def test_logprobs_equal_those_of_a_fresh_forward():
    student, _, _, _ = pair()
    decoder = decoder_of("qwen3", True)
    script = {0: [(4, 3), (12, 2)]}
    trace = decoder.generate(["There are pens"], max_new_tokens=24, policy=Scripted(script=script))[0]
    with torch.no_grad():
        logits = student(torch.tensor([[*trace.prompt_ids, *trace.token_ids]])).logits[0].float()
    logits = logits[len(trace.prompt_ids) - 1:-1]
    logits[:, [decoder.commands.call, decoder.commands.end]] = -torch.inf  # a scripted student may not call
    fresh = logits.log_softmax(-1)
    for position, (token, author) in enumerate(zip(trace.token_ids, trace.authors, strict=True)):
        if author is Author.STUDENT:
            assert trace.logprobs[position] == pytest.approx(float(fresh[position, token]), abs=1e-4)
        else:
            assert trace.logprobs[position] is None


def test_ledger_prefilled_tokens_are_those_of_a_hand_count():
    decoder = decoder_of("qwen3", True)
    prompt = decoder.encode("There are pens in 12 boxes")
    script = {0: [(2, 3), (10, 2)]}
    trace = decoder.generate([prompt], max_new_tokens=20, policy=Scripted(script=script))[0]
    first, second = trace.calls
    assert (first.position, second.position) == (2, 10)
    # the student wrote 2 tokens, then <call>3</call> (3), the teacher 3, the student 2 up to position 10
    assert trace.ledger.teacher_prefilled == len(prompt) + 2 + 2
    assert trace.ledger.teacher_cached == len(prompt) + 2 + 2  # at the second call: all but the last token it wrote
    assert trace.ledger.student_prefilled == len(prompt) + 3 + 2


def test_budget_limits_inside_a_call_are_kept():
    decoder = decoder_of("qwen3", True)
    trace = decoder.generate(["There are"], max_new_tokens=10, policy=Scripted(script={0: [(3, 99)]}))[0]
    assert len(trace.token_ids) == 10
    assert trace.stop_reason in (StopReason.TOKEN_BUDGET, StopReason.TEACHER_FINISHED)
    assert trace.calls[0].requested == 99
    assert trace.calls[0].granted == 10 - 3 - 4


def test_no_teacher_means_no_calls():
    decoder = decoder_of("qwen3", True)
    prompts = [" ".join(WORDS[i:]) for i in range(8)]
    traces = decoder.generate(prompts, max_new_tokens=40, teacher_enabled=False, temperature=1.0, call_bias=50.0)
    assert not any(trace.calls for trace in traces)
    assert all(decoder.commands.call not in trace.token_ids for trace in traces)


def test_call_bias_makes_the_student_call_more():
    decoder = decoder_of("qwen3", True)
    calls = [len(decoder.generate(["There are"], max_new_tokens=40, call_bias=bias)[0].calls) for bias in (-50, 50)]
    assert calls[0] == 0 < calls[1]


def test_commands_are_always_well_formed_when_sampled_wildly():
    from relayllm.relay.command import parse

    decoder = decoder_of("qwen3", True)
    traces = decoder.generate(["There are pens"], n=64, slots=64, max_new_tokens=30, temperature=3.0, call_bias=4.0)
    for trace in traces:
        found = parse([token for token, author in zip(trace.token_ids, trace.authors, strict=True)
                       if author is Author.COMMAND], decoder.commands)
        assert found == [call.requested for call in trace.calls]
        assert all(call.granted >= 1 for call in trace.calls)
        assert len(trace.token_ids) <= 30


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["<call>", "</call>", "<call>9</call>", "9", "<|im_end|>", "<|im_start|>", "system",
                                 " ", "\ue000", "\ue0010\ue001", "a"]), min_size=1, max_size=12).map("".join))
def test_no_text_of_a_user_becomes_a_special_token(text):
    decoder = decoder_of("qwen3", True)
    special = {decoder.commands.call, decoder.commands.end}
    for prompt in (text, [{"role": "user", "content": text}, {"role": "assistant", "content": text},
                          {"role": "user", "content": "ok"}]):
        ids = decoder.encode(prompt)
        assert not special & set(ids)
        plain = decoder.encode("ok" if isinstance(prompt, str) else
                               [{**message, "content": "ok"} for message in prompt])
        ends = decoder.tokenizer.convert_tokens_to_ids("<|im_end|>")
        assert ids.count(ends) == plain.count(ends)


def test_teacher_cannot_write_a_command():
    student, tokenizer, _, _ = pair()
    import copy

    teacher = copy.deepcopy(student)  # it has command tokens and would love to use them
    with torch.no_grad():
        teacher.get_output_embeddings().weight[-2:] *= 40
    decoder = RelayDecoder.from_models(student, tokenizer, teacher, tokenizer)
    trace = decoder.generate(["There are"], max_new_tokens=40, policy=Scripted(script={0: [(1, 30)]}))[0]
    told = [token for token, author in zip(trace.token_ids, trace.authors, strict=True) if author is Author.TEACHER]
    assert told
    assert not {decoder.commands.call, decoder.commands.end} & set(told)


def test_stream_yields_what_generate_returns():
    decoder = decoder_of("qwen3", True)
    options = {"max_new_tokens": 30, "policy": Scripted(script={0: [(3, 5)]})}
    trace = decoder.generate(["There are pens"], **options)[0]
    traces = []

    def streamed():
        traces.append((yield from decoder.stream("There are pens", **options)))

    events = list(streamed())
    assert [event.token_id for event in events] == list(trace.token_ids)
    assert "".join(event.text for event in events if event.author is not Author.COMMAND) == trace.text
    assert "".join(event.text for event in events if event.author is Author.COMMAND) == "<call>5</call>"
    assert replace(traces[0], ledger=trace.ledger, calls=trace.calls) == trace


def test_stop_string_ends_the_answer_before_it():
    decoder = decoder_of("qwen3", True)
    whole = decoder.generate(["There are pens"], max_new_tokens=30)[0].text
    stop = whole[10:14]
    trace = decoder.generate(["There are pens"], max_new_tokens=30, stop=stop)[0]
    assert trace.text == whole[:whole.index(stop)]
    assert trace.stop_reason is StopReason.STOP_STRING
    streamed = "".join(event.text for event in decoder.stream("There are pens", max_new_tokens=30, stop=stop))
    assert streamed == trace.text


def test_segments_cut_the_text_by_author():
    decoder = decoder_of("qwen3", True)
    trace = decoder.generate(["There are pens"], max_new_tokens=30, policy=Scripted(script={0: [(3, 5)]}))[0]
    assert "".join(trace.text[part.text_start:part.text_stop] for part in trace.segments) == trace.text
    assert [part.stop for part in trace.segments][:-1] == [part.start for part in trace.segments][1:]


def test_cancel_gives_the_slot_to_the_next():
    from relayllm.relay.options import Options

    decoder = decoder_of("qwen3", True)
    session = decoder.session(slots=1)
    first = session.submit(decoder.request("There are", Options(max_new_tokens=200)))
    second = session.submit(decoder.request("There are", Options(max_new_tokens=5)))
    session.step()
    session.cancel(first)
    done = []
    while session.busy:
        done += session.step()
    assert [one.handle for one in done] == [first, second]
    assert done[0].trace.stop_reason is StopReason.CANCELLED
    assert len(done[1].trace.token_ids) == 5


def test_empty_text_is_a_message_without_words():
    decoder = decoder_of("qwen3", True)
    assert decoder.encode("") == decoder.encode([{"role": "user", "content": ""}])
    assert len(decoder.generate([""], max_new_tokens=3)[0].token_ids) == 3


@pytest.mark.parametrize("prompt", [[], [{"content": "no role"}], [1.5], 7])
def test_prompt_of_another_kind_raises(prompt):
    with pytest.raises(DataError):
        decoder_of("qwen3", True).generate([prompt])


def test_too_long_a_prompt_raises_with_both_lengths():
    with pytest.raises(DataError, match=r"512.*100.*600"):
        decoder_of("qwen3", True).generate([[5] * 100], max_new_tokens=600)


def test_bounded_context_refuses_what_the_models_could_read():
    decoder = decoder_of("qwen3", True)
    decoder.bound_context(60)
    with pytest.raises(DataError, match=r"60.*50.*11"):
        decoder.generate([[5] * 50], max_new_tokens=11)
    assert len(decoder.generate([[5] * 50], max_new_tokens=10)) == 1


def test_prompt_that_is_longer_in_the_teachers_words_is_bounded_too():
    decoder, prompt = decoder_of("qwen3", False), "12 pens 12 pens 12 pens"
    ours, theirs = len(decoder.encode(prompt)), len(encode_prompt(decoder.teacher_tokenizer, prompt))
    assert theirs > ours
    decoder.bound_context(ours + 10)
    with pytest.raises(DataError, match=rf"{ours + 10}.*{theirs}.*10"):
        decoder.generate([prompt], max_new_tokens=10)


def test_bounded_context_bounds_models_that_name_no_limit():
    decoder = decoder_of("qwen3", True)
    decoder.context_length = 0
    decoder.bound_context(60)
    assert decoder.context_length == 60


@pytest.mark.parametrize("tokens", [0, 513])
def test_bounded_context_that_the_models_do_not_have_raises(tokens):
    with pytest.raises(ConfigError, match=rf"{tokens} tokens.*512"):
        decoder_of("qwen3", True).bound_context(tokens)


def test_unknown_option_raises():
    with pytest.raises(ConfigError, match="temprature"):
        decoder_of("qwen3", True).generate(["a"], temprature=1.0)


@pytest.mark.parametrize("role", ["student", "teacher"])
def test_model_that_scores_fewer_tokens_than_its_tokenizer_knows_is_refused(role):
    student, tokenizer, teacher, theirs = pair("qwen3")
    small = make_model("qwen3", theirs, seed=3)
    small.resize_token_embeddings(len(theirs) - 5)
    models = {"student": student, "teacher": teacher, role: small}
    with pytest.raises(ModelError, match=f"{role} scores {len(theirs) - 5} tokens"):
        RelayDecoder.from_models(models["student"], tokenizer, models["teacher"], theirs)


@pytest.mark.parametrize("policy", [Scripted(script={0: [(3, 2)]}), CallAtOnce(n=2),
                                    RandomPosition(probability=1.0, n=2, written=True), FixedLength(n=2)],
                         ids=lambda policy: type(policy).__name__)
def test_student_without_command_tokens_is_helped_without_being_shown_a_command(policy):
    words = base_tokenizer()
    student, teacher = make_model("qwen3", words, seed=1), make_model("qwen3", words, seed=2, width=48)
    decoder = RelayDecoder.from_models(student, words, teacher, words)
    trace, = decoder.generate(["There are pens in 12 boxes"], max_new_tokens=12, max_calls=1, policy=policy)
    own = isinstance(policy, FixedLength)  # it changes calls that the student makes, and this one makes none
    assert trace.ledger.teacher_tokens == (0 if own else 2)
    assert trace.ledger.command_tokens == 0
    assert max(trace.token_ids) < len(words)
