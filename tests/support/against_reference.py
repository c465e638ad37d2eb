"""A relay's greedy answers held against the reference, token for token."""

from __future__ import annotations

from relayllm import RelayDecoder
from relayllm.engines.prompts import encode_prompt
from relayllm.relay.policy import Scripted
from relayllm.relay.trace import Author
from tests.support.reference import reference
from tests.support.small_models import pair

WORDS = ["There", "are", "pens", "in", "12", "boxes", "ok.", "ß🙂", "\n", "x=7*8"]
LETTER = {Author.STUDENT: "s", Author.COMMAND: "c", Author.TEACHER: "t"}


def check_against_reference(decoder: RelayDecoder, kind: str, same: bool, prompts: list[str], scripts: list | None,
                            slots: int, max_new_tokens: int) -> None:
    """Tokens, authors and ledger of a decoder over the models of `pair(kind, same)`."""
    student, tokenizer, teacher, theirs = pair(kind, same)
    policy = None if scripts is None else Scripted(script=dict(enumerate(scripts)))
    traces = decoder.generate(prompts, slots=slots, max_new_tokens=max_new_tokens, max_calls=3, policy=policy)
    for index, (prompt, trace) in enumerate(zip(prompts, traces, strict=True)):
        ids, authors = reference(
            student, tokenizer, teacher, tokenizer if same else theirs, decoder.encode(prompt),
            encode_prompt(theirs, prompt), max_new_tokens=max_new_tokens, max_calls=3, max_call_tokens=99,
            script=None if scripts is None else scripts[index], student_ends=decoder.student.ends,
            teacher_ends=decoder.teacher.engine.ends)
        assert list(trace.token_ids) == ids
        assert "".join(LETTER[author] for author in trace.authors) == authors
        ledger = trace.ledger
        assert ledger.completion_tokens == len(ids)
        assert (ledger.student_tokens, ledger.command_tokens, ledger.teacher_tokens) == tuple(
            authors.count(letter) for letter in "sct")
