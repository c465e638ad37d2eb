"""Generated call patterns: greedy text of the decoder equals the reference loop's, token for token."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch

from relayllm import RelayDecoder
from relayllm.engines.prompts import encode_prompt
from relayllm.relay.policy import Scripted
from tests.support.reference import reference
from tests.support.small_models import pair

AT_ONCE = 50
"""Rows decoded in one session."""
WORDS = ("There", "are", "pens", "in", "12", "boxes", "ok.", "ß🙂", "\n", "x=7*8")


def run(count: int, folder: Path) -> dict[str, Any]:
    """Decode `count` rows, half of them with a teacher of another tokenizer, each with calls of its own."""
    torch.set_num_threads(1)
    wrong, calls = 0, 0
    for start in range(0, count, AT_ONCE):
        chance = random.Random(start)
        found, made = _session(chance, min(AT_ONCE, count - start), same=start // AT_ONCE % 2 == 0)
        wrong, calls = wrong + found, calls + made
    return {"rows": count, "calls": calls, "faults": wrong}


def _session(chance: random.Random, rows: int, *, same: bool) -> tuple[int, int]:
    """Rows that differ from the reference, and calls made."""
    student, tokenizer, teacher, theirs = pair("qwen3", same)
    decoder = RelayDecoder.from_models(student, tokenizer, teacher, theirs)
    prompts = [" ".join(chance.choices(WORDS, k=chance.randint(1, 12))) for _ in range(rows)]
    scripts = [sorted((chance.randrange(20), chance.choice((1, 2, 3, 9, 30))) for _ in range(chance.randrange(4)))
               for _ in range(rows)]
    new = chance.randint(1, 24)
    traces = decoder.generate(prompts, slots=chance.randint(1, rows), max_new_tokens=new, max_calls=3,
                              policy=Scripted(script=dict(enumerate(scripts))))
    wrong = 0
    for prompt, script, trace in zip(prompts, scripts, traces, strict=True):
        ids, _ = reference(student, tokenizer, teacher, tokenizer if same else theirs, decoder.encode(prompt),
                           encode_prompt(theirs, prompt), max_new_tokens=new, max_calls=3, max_call_tokens=99,
                           script=script, student_ends=decoder.student.ends, teacher_ends=decoder.teacher.engine.ends)
        wrong += list(trace.token_ids) != ids
    return wrong, sum(len(trace.calls) for trace in traces)
