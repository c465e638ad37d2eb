"""GlimpRouter: steps, and who writes them."""

from __future__ import annotations

from pathlib import Path

from relayllm import RelayDecoder
from relayllm.config import load_params
from relayllm.evaluation.cost import Cost
from relayllm.evaluation.routers.glimp import GlimpRouter, step_ends
from relayllm.evaluation.routers.router import TokenizerPair
from relayllm.relay.trace import Author
from tests.support.small_models import base_tokenizer, other_tokenizer, pair

ROUTERS = load_params(Path("params/smoke.yaml")).evaluate.routers


def test_step_ends_are_line_ends_and_full_stops_by_themselves():
    tokenizer = base_tokenizer()
    ends = {tokenizer.decode([token]) for token in step_ends(tokenizer)}
    assert "." in {text.strip() for text in ends}
    assert all("\n" in text or text.strip() in ".!?。" for text in ends)


def test_router_gives_whole_steps_to_the_teacher_of_another_tokenizer_too():
    for same in (True, False):
        student, tokenizer, teacher, theirs = pair("qwen3", same)
        decoder = RelayDecoder.from_models(student, tokenizer, teacher, theirs)
        tokenizers = TokenizerPair(tokenizer, theirs, True)
        options = GlimpRouter().options(0.0, Cost(0.1, 3), tokenizers, ROUTERS)
        [trace] = decoder.generate(["There are 12 pens in 3 boxes."], max_new_tokens=48, **options)
        assert trace.calls[0].position == 0
        assert all(call.requested == ROUTERS.step_tokens for call in trace.calls)
        ends = step_ends(tokenizer)
        for call in trace.calls[1:]:
            assert trace.token_ids[call.position - 1] in ends


def test_nothing_passes_the_highest_threshold():
    tokenizers = TokenizerPair(base_tokenizer(), other_tokenizer(), True)
    router = GlimpRouter()
    student, tokenizer, teacher, theirs = pair()
    decoder = RelayDecoder.from_models(student, tokenizer, teacher, theirs)
    options = router.options(router.highest(tokenizers), Cost(0.1, 3), tokenizers, ROUTERS)
    [trace] = decoder.generate(["There are"], max_new_tokens=24, **options)
    assert Author.TEACHER not in trace.authors


def test_teacher_on_a_server_writes_the_whole_n():
    tokenizers = TokenizerPair(base_tokenizer(), base_tokenizer(), False)
    assert GlimpRouter().options(0.5, Cost(0.1, 3), tokenizers, ROUTERS)["call_stop_ids"] == frozenset()
