"""The answer cache: keys by content, values that outlive a process, a bound on what is kept."""

from __future__ import annotations

from contextlib import closing

import pytest

from relayllm.errors import DataError
from relayllm.evaluation.answer_cache import AnswerCache, answer_cache, key_of, model_digest
from relayllm.relay.options import Options
from relayllm.relay.policy import EntropyThreshold, RandomPosition, StepEntropy
from relayllm.relay.trace import Author, Prefix


def test_value_is_there_in_the_next_process_once_committed(tmp_path):
    with closing(AnswerCache(tmp_path / "answers.sqlite")) as first:
        first.put("a", b"1")
        first.commit()
        first.put("b", b"2")
        other = AnswerCache(tmp_path / "answers.sqlite")
        assert other.get(["a", "b", "c"]) == {"a": b"1"}
    assert AnswerCache(tmp_path / "answers.sqlite").get(["a", "b"]) == {"a": b"1", "b": b"2"}


def test_what_was_put_before_a_fault_is_kept(tmp_path):
    def fail():
        with answer_cache(tmp_path) as answers:
            answers.put("a", b"1")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with answer_cache(tmp_path) as answers:
        assert answers.get(["a"]) == {"a": b"1"}


def test_get_of_more_keys_than_one_statement_takes(tmp_path):
    answers = AnswerCache(tmp_path / "answers.sqlite")
    keys = [str(number) for number in range(1203)]
    for key in keys:
        answers.put(key, key.encode())
    assert answers.get(keys) == {key: key.encode() for key in keys}
    answers.commit()
    assert len(answers) == 1203


def test_longest_unused_go_first_beyond_the_bound(tmp_path):
    first = AnswerCache(tmp_path / "answers.sqlite")
    for key in "abc":
        first.put(key, bytes(100))
    first.commit()
    first.get(["a"])
    first.close()
    AnswerCache(tmp_path / "answers.sqlite", most_bytes=250).close()
    assert set(AnswerCache(tmp_path / "answers.sqlite").get(list("abc"))) == {"a", "c"}


def test_file_that_the_system_refuses_is_not_told_to_be_removed(tmp_path):
    (tmp_path / "answers.sqlite").mkdir()
    with pytest.raises(DataError, match=r"cannot be opened.*disk has room.*run the same command again") as caught:
        AnswerCache(tmp_path / "answers.sqlite")
    assert "remove" not in str(caught.value)


def test_file_that_is_no_cache_is_named_with_what_to_do(tmp_path):
    (tmp_path / "answers.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(DataError, match=r"answers\.sqlite cannot be read.*remove it"):
        AnswerCache(tmp_path / "answers.sqlite")


PARTS = {"made_by": ["x"], "prompt": [{"role": "user", "content": "hi"}], "options": Options(), "seed": 0, "row": 0,
         "sample": 0}


@pytest.mark.parametrize("change", [
    {"made_by": ["y"]}, {"prompt": [{"role": "user", "content": "ho"}]}, {"seed": 1}, {"row": 1}, {"sample": 1},
    {"options": Options(temperature=0.5)}, {"options": Options(call_bias=-1.0)},
    {"options": Options(policy=EntropyThreshold(1.0))}, {"options": Options(policy=EntropyThreshold(1.5))},
    {"options": Options(policy=RandomPosition(0.1))}, {"options": Options(policy=StepEntropy(1.0))},
    {"options": Options(policy=StepEntropy(1.0, step_ends=frozenset({4})))},
    {"options": Options(call_stop_ids=frozenset({4}))},
    {"prefix": Prefix((1, 2), (Author.STUDENT,) * 2)}, {"prefix": Prefix((1, 2), (Author.STUDENT, Author.TEACHER))}])
def test_key_changes_with_whatever_an_answer_depends_on(change):
    assert key_of(**PARTS, **change) != key_of(**PARTS) if "prefix" in change else (
        key_of(**{**PARTS, **change}) != key_of(**PARTS))


def test_key_is_the_same_for_equal_parts_in_any_order():
    assert key_of(**dict(reversed(PARTS.items()))) == key_of(**PARTS)
    assert key_of(ends=frozenset([3, 1, 2])) == key_of(ends=frozenset([2, 3, 1]))


def test_model_digest_changes_with_any_file_and_not_with_the_folders_place(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_bytes(b"1")
        (tmp_path / name / "chat_template.jinja").write_text("{{ x }}")
    before = model_digest(tmp_path / "a")
    assert before == model_digest(tmp_path / "b")
    (tmp_path / "a/chat_template.jinja").write_text("{{ xy }}")
    assert model_digest(tmp_path / "a") != before
