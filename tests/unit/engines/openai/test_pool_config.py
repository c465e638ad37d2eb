"""The file of a pool of teachers: what it may say, and what its errors name."""

from __future__ import annotations

import pytest

from relayllm.engines.openai.pool_config import read_pool
from relayllm.errors import ConfigError

GOOD = """
teachers:
  - name: cheap
    urls: [http://cheap:8000]
    prices: {teacher: 0.4}
  - name: strong
    urls: [http://one:8000, http://two:8000]
    when: {min_tokens: 20}
governance:
  rules: [{name: email}, {name: staff, pattern: 'S-\\d+', action: refuse}]
"""


def test_pool_file_keeps_the_order(tmp_path):
    path = tmp_path / "teachers.yaml"
    path.write_text(GOOD)
    assert [teacher.name for teacher in read_pool(path).teachers] == ["cheap", "strong"]


@pytest.mark.parametrize(("old", "new", "same"), [
    ("teacher: 0.4", "teacher: 4", True), ("governance:", "governance:\n  audit: a.jsonl", True),
    ("name: cheap", "name: dear", False), ("http://cheap:8000", "http://other:8000", False),
    ("min_tokens: 20", "min_tokens: 21", False), ("S-\\d+", "P-\\d+", False), ("action: refuse", "action: mask", False),
    ("http://one:8000, http://two:8000", "http://three:8000", False),
    ("[http://one:8000, http://two:8000]", "[http://one:8000, http://two:8000]\n    model: big", False)])
def test_content_is_what_decides_an_answer(tmp_path, old, new, same):
    assert (content_of(tmp_path, GOOD) == content_of(tmp_path, GOOD.replace(old, new))) is same


@pytest.mark.parametrize(("url", "name"), [
    ("http://cheap:8000", "cheap"), ("http://two:8000/v1/", "strong"), ("http://cheap:8001", ""), (None, "")])
def test_pool_knows_who_answers_alone_by_its_address(tmp_path, url, name):
    (tmp_path / "teachers.yaml").write_text(GOOD)
    assert read_pool(tmp_path / "teachers.yaml").alone(url) == name


def test_model_that_is_named_is_the_same_wherever_its_replicas_are(tmp_path):
    one, other = (GOOD.replace("urls: [http://one:8000, http://two:8000]", f"urls: [{urls}]\n    model: big")
                  for urls in ("http://one:8000", "http://two:8000, http://three:8000"))
    assert content_of(tmp_path, one) == content_of(tmp_path, other)


def content_of(folder, text):
    (folder / "teachers.yaml").write_text(text)
    return read_pool(folder / "teachers.yaml").content


@pytest.mark.parametrize(("old", "new", "says"), [
    ("strong", "cheap", "two teachers are named cheap"), ("urls: [http://cheap:8000]", "url: x", "teachers.0.urls"),
    ("teacher: 0.4", "teacher: -1", "prices.teacher"), ("email", "mail", "rule mail has no pattern"),
    ("S-\\\\d+", "(", "no regular expression"), ("S-\\\\d+", "a*", "empty text"), ("S-\\\\d+", "", "empty text"),
    (GOOD, "[", "cannot be read"),
    (GOOD, "", "file")])
def test_pool_file_fault_is_named(tmp_path, old, new, says):
    path = tmp_path / "teachers.yaml"
    text = GOOD.replace(old.replace("\\\\", "\\"), new)
    assert text != GOOD
    path.write_text(text)
    with pytest.raises(ConfigError, match=says) as raised:
        read_pool(path)
    assert "Value error" not in str(raised.value)
    assert "Input should" not in str(raised.value)
