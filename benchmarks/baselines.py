"""Whom the relay decoder is timed against, each doing the same work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from benchmarks.work import Work
from relayllm.engines.decoder import RelayDecoder
from relayllm.relay.command import ALL_DIGITS
from relayllm.relay.engine import Engine, StepInput


def generate(model: Any, prompts: Sequence[Sequence[int]], lengths: Sequence[int]) -> list[list[int]]:
    """transformers' `generate`, greedy: pads on the left, and waits for the longest row."""
    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(prompt)) + list(prompt) for prompt in prompts], device=model.device)
    mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=model.device)
    with torch.inference_mode():
        out = model.generate(input_ids=ids, attention_mask=mask, do_sample=False, max_new_tokens=max(lengths),
                             pad_token_id=0)
    return [row[width:width + length].tolist() for row, length in zip(out, lengths, strict=True)]


@dataclass
class _Row:
    student: list[int]
    """Everything that the student has to read."""
    teacher: list[int]
    calls: list[tuple[int, int]]
    left: int
    """Completion tokens still to come."""
    ids: list[int] = field(default_factory=list)

    def wants_call(self) -> bool:
        return bool(self.calls) and len(self.ids) >= self.calls[0][0]


def released(decoder: RelayDecoder, work: Work) -> list[list[int]]:
    """The released algorithm, on our engine: all rows write until each calls or ends, then all calls are served.

    Every turn re-reads everything, on both sides (github.com/ChengsongHuang/RelayLLM, as of the paper).
    """
    rows = [_Row([*prompt], [*prompt], [*calls], length)
            for prompt, calls, length in zip(work.prompts, work.calls, work.lengths, strict=True)]
    teacher = decoder.teacher.engine  # type: ignore[union-attr]
    while any(row.left for row in rows):
        _student_turn(decoder.student, [row for row in rows if row.left])
        calling = [row for row in rows if row.left and row.wants_call()]
        for row in calling:
            command = decoder.commands.write(row.calls[0][1])
            row.student, row.ids, row.left = row.student + command, row.ids + command, row.left - len(command)
        _teacher_turn(teacher, calling)
    return [row.ids for row in rows]


def _student_turn(engine: Engine, rows: list[_Row]) -> None:
    pending = {id(row): (engine.open(), list(row.student)) for row in rows if not row.wants_call()}
    writing = [row for row in rows if id(row) in pending]
    while writing:
        output = engine.step([StepInput(*pending[id(row)], ALL_DIGITS) for row in writing])
        for row, token in zip(writing, output.tokens, strict=True):
            handle = pending[id(row)][0]
            row.student, row.teacher, row.ids = [*row.student, token], [*row.teacher, token], [*row.ids, token]
            row.left -= 1
            pending[id(row)] = (handle, [token])
            if not row.left or row.wants_call():
                engine.close(handle)
        writing = [row for row in writing if row.left and not row.wants_call()]


def _teacher_turn(engine: Engine, rows: list[_Row]) -> None:
    pending = {id(row): (engine.open(), list(row.teacher)) for row in rows}
    serving = {id(row): row.calls.pop(0)[1] for row in rows}
    while rows:
        output = engine.step([StepInput(*pending[id(row)], ALL_DIGITS) for row in rows])
        for row, token in zip(rows, output.tokens, strict=True):
            handle = pending[id(row)][0]
            row.student, row.teacher, row.ids = [*row.student, token], [*row.teacher, token], [*row.ids, token]
            row.left -= 1
            serving[id(row)] -= 1
            pending[id(row)] = (handle, [token])
            if not row.left or not serving[id(row)]:
                engine.close(handle)
        rows = [row for row in rows if row.left and serving[id(row)]]


class Trl:
    """TRL's own generation: the method that its GRPO trainer calls when no roll-out function is given."""

    def __init__(self, model: Any, tokenizer: Any, folder: str, *, group: int, tokens: int) -> None:
        from datasets import Dataset
        from trl import GRPOConfig, GRPOTrainer

        device = {"use_cpu": True} if model.device.type == "cpu" else {}
        arguments = GRPOConfig(output_dir=folder, per_device_train_batch_size=group, num_generations=group,
                               max_completion_length=tokens, temperature=1.0, bf16=False, report_to="none",
                               gradient_checkpointing=False, disable_tqdm=True,
                               generation_kwargs={"min_new_tokens": tokens}, **device)  # nothing ends early
        self._group = group
        self._trainer = GRPOTrainer(
            model=model, args=arguments, processing_class=tokenizer,
            train_dataset=Dataset.from_dict({"prompt": ["w1"]}),
            reward_funcs=lambda completions, **_: [0.0] * len(completions))

    def __call__(self, prompts: Sequence[Sequence[int]]) -> list[list[int]]:
        """`group` roll-outs of every prompt, with temperature 1."""
        repeated = [list(prompt) for prompt in prompts for _ in range(self._group)]
        return self._trainer._generate_single_turn(repeated, None, {}, self._group)[0]
