"""A prompt that leaves no room for its answer is found before training starts."""

from __future__ import annotations

import pytest

from relayllm.engines.prompts import encode_prompt
from relayllm.errors import ConfigError
from relayllm.problems.problem import Problem
from relayllm.problems.prompting import messages
from relayllm.training.context import check_context
from tests.support.small_models import base_tokenizer, make_model

SHORT, LONG = Problem("short", "How many pens?", "3", "pens"), Problem("long", "How many pens? " * 20, "3", "pens")


def test_check_context_names_the_longest_problem_and_the_model_that_cannot_read_it(tmp_path):
    for name, context in (("student", 512), ("teacher", 300)):
        model = make_model("qwen3", base_tokenizer(), seed=1)
        model.config.max_position_embeddings = context
        model.save_pretrained(tmp_path / name)
        base_tokenizer().save_pretrained(tmp_path / name)
    student, teacher = tmp_path / "student", tmp_path / "teacher"
    room = 300 - len(encode_prompt(base_tokenizer(), messages(LONG)))
    check_context([SHORT, LONG], student, teacher, room, "grpo")
    with pytest.raises(ConfigError, match=r"problem long takes .* the 300 that the teacher can read"):
        check_context([SHORT, LONG], student, teacher, room + 1, "grpo")
    check_context([SHORT, LONG], student, None, room + 1, "grpo")
