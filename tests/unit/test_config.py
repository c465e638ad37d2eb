"""params.yaml as types: what does not fit is named, all of it at once."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from relayllm.config import load_params
from relayllm.errors import ConfigError

TINY = Path("params/tiny.yaml").read_text()


def changed(tmp_path: Path, change) -> Path:
    """A copy of the tiny profile after a change to its values."""
    values = yaml.safe_load(TINY)
    change(values)
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_load_reads_the_section_of_each_stage():
    params = load_params(Path("params/tiny.yaml"))
    assert params.section("validate").near_duplicate_similarity == 0.8
    assert params.section("grpo").runs["relay-difficulty"].reward.independence_bonus == 1.5


def test_key_that_is_there_twice_is_refused_with_its_line(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(TINY + "\nseed: 1\n")
    with pytest.raises(ConfigError, match='duplicate key "seed"'):
        load_params(path)


@pytest.mark.parametrize("path", sorted(Path("params").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_profile_is_read(path):
    assert load_params(path).profile


def test_unknown_and_missing_keys_are_all_named(tmp_path):
    def change(values):
        values["warmup"]["learning_rat"] = values["warmup"].pop("learning_rate")
        values["grpo"]["decoding"]["beams"] = 4
        del values["report"]
        values["surprise"] = {}

    with pytest.raises(ConfigError) as caught:
        load_params(changed(tmp_path, change))
    message = str(caught.value)
    for name in ("warmup.learning_rat:", "warmup.learning_rate:", "grpo.decoding.beams:", "report:", "surprise:"):
        assert name in message
    assert "relay profile" in message


@pytest.mark.parametrize(("change", "named"), [
    (lambda values: values["grpo"].update(group_size=1), ["grpo.group_size", "got 1"]),
    (lambda values: values["filter"].update(min_pass_rate=1.2), ["filter.min_pass_rate", "got 1.2"]),
    (lambda values: values["warmup"].update(zero_stage=4), ["warmup.zero_stage", "got 4"]),
    (lambda values: values["evaluate"]["decoding"].update(top_p=0), ["evaluate.decoding.top_p", "got 0"]),
    (lambda values: values["grpo"].update(steps="many"), ["grpo.steps", "'many'"]),
    (lambda values: values["grpo"]["runs"]["relay-difficulty"]["reward"].update(name="kind"),
     ["grpo.runs.relay-difficulty.reward", "'kind'", "'money'"]),
    (lambda values: values["package"].update(teacher="elsewhere"), ["package.teacher", "'elsewhere'"]),
])
def test_wrong_value_is_named_with_what_was_given(tmp_path, change, named):
    with pytest.raises(ConfigError) as caught:
        load_params(changed(tmp_path, change))
    assert all(part in str(caught.value) for part in named)


def test_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(ConfigError, match="relay profile tiny"):
        load_params(tmp_path / "params.yaml")


@pytest.mark.parametrize("text", ["a: [", "", "- 1\n- 2\n", "just words"])
def test_file_that_is_no_mapping_raises(tmp_path, text):
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"params\.yaml"):
        load_params(path)


def test_sections_cannot_be_changed():
    params = load_params(Path("params/tiny.yaml"))
    with pytest.raises(ValueError, match="frozen"):
        params.grpo.steps = 1
