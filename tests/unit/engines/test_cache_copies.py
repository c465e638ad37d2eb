"""What a cache copies is counted: a hand-over of a lone row copies nothing, many rows no more than a move each."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relayllm import RelayDecoder
from relayllm.engines.cache import SlotCache
from relayllm.relay.policy import Scripted
from tests.support.small_models import pair


class Copies:
    """Counts what a cache copies from its making on, in tokens of one row."""

    def __init__(self, cache: SlotCache) -> None:
        self.cache, self.copied, self.swapped = cache, [], []
        self._copy, self._swap = cache.copy, cache.swap
        cache.copy, cache.swap = self.copy, self.swap

    def copy(self, source: int, target: int, tokens: int) -> None:
        self.copied.append(tokens)
        self._copy(source, target, tokens)

    def swap(self, one: int, other: int, tokens: int) -> None:
        self.swapped.append(tokens)
        self._swap(one, other, tokens)


def watched() -> tuple[RelayDecoder, Copies, Copies]:
    student, tokenizer, teacher, theirs = pair()
    decoder = RelayDecoder.from_models(student, tokenizer, teacher, theirs)
    return decoder, Copies(decoder.student.cache), Copies(decoder.teacher.engine.cache)


def test_cache_of_a_lone_row_copies_nothing_and_grows_once():
    decoder, student, teacher = watched()
    trace, = decoder.generate(["There are pens in 12 boxes"], max_new_tokens=60,
                              policy=Scripted(script={0: [(2, 3), (10, 9), (30, 2)]}), max_calls=3)
    assert len(trace.calls) == 3
    for seen in (student, teacher):
        assert (seen.copied, seen.swapped, seen.cache.moves) == ([], [], 1)


def test_cache_of_a_group_copies_its_prompt_once_for_each_further_row():
    decoder, student, teacher = watched()
    prompt = decoder.encode("There are pens in 12 boxes")
    decoder.generate([prompt], n=8, max_new_tokens=4, temperature=1.0, policy=Scripted(script={}))
    assert student.copied == [len(prompt)] * 7
    assert (student.swapped, student.cache.moves) == ([], 1)
    assert (teacher.copied, teacher.swapped) == ([], [])


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.lists(st.tuples(st.integers(0, 24), st.sampled_from([1, 2, 3, 9])), max_size=3).map(sorted),
                min_size=2, max_size=8), st.integers(2, 8))
def test_cache_moves_at_most_one_row_for_each_that_joins_or_leaves_the_batch(scripts, slots):
    """A row joins and leaves the student's batch once, and once more for each call; the teacher's for each call."""
    decoder, student, teacher = watched()
    prompts = ["pens " * (1 + index) for index in range(len(scripts))]
    traces = decoder.generate(prompts, slots=slots, max_new_tokens=30, max_calls=3,
                              policy=Scripted(script=dict(enumerate(scripts))))
    calls = sum(len(trace.calls) for trace in traces)
    assert len(student.copied) + len(student.swapped) <= 2 * (calls + len(traces))
    assert len(teacher.copied) + len(teacher.swapped) <= 2 * calls
    assert student.cache.moves <= 2
    longest = max(len(trace.prompt_ids) + len(trace.token_ids) for trace in traces)
    assert max([*student.copied, *student.swapped, *teacher.copied, *teacher.swapped], default=0) <= longest
