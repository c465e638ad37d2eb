"""What a model is asked."""

from __future__ import annotations

from relayllm.problems.problem import Problem
from relayllm.problems.prompting import messages


def test_messages_tiny_world_is_the_bare_question() -> None:
    assert messages(Problem("1", "How many pens?", "3", "pens")) == [{"role": "user", "content": "How many pens?"}]


def test_messages_mathematics_asks_for_a_box() -> None:
    [message] = messages(Problem("1", "What is 1+1? ", "2", "gsm8k"))
    assert message["content"] == (
        "What is 1+1?\n\nPlease reason step by step, and put your final answer within \\boxed{}.")


def test_messages_choice_lists_its_options() -> None:
    [message] = messages(Problem("1", "Which?", "B", "mmlu-pro", meta={"choices": ["one", "two"]}))
    assert "A. one\nB. two" in message["content"]
    assert "letter" in message["content"]


def test_messages_own_file_is_asked_like_mathematics() -> None:
    assert "boxed" in messages(Problem("1", "What?", "2", "mine"))[0]["content"]


def test_messages_a_problems_own_instruction_stands_for_the_sets() -> None:
    ask = "Write only: The answer is, and the number."
    assert messages(Problem("1", "What?", "2", "mine", meta={"instruction": ask}))[0]["content"] == f"What?\n\n{ask}"
    assert messages(Problem("1", "What?", "2", "mine", meta={"instruction": ""}))[0]["content"] == "What?"


def test_messages_training_set_and_benchmark_are_asked_alike() -> None:
    training, benchmark = (messages(Problem("1", "What?", "2", family))[0]["content"] for family in
                           ("dapo-17k", "math-500"))
    assert training == benchmark
