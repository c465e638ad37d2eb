"""params.yaml as types: what does not fit is named, all of it at once."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from relayllm.config import load_params
from relayllm.errors import ConfigError

TINY = Path("params/tiny.yaml").read_text()
RUN = {"reward": {"name": "accuracy", "independence_bonus": 1.0, "exploration": False}, "max_calls": 0}


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
    with pytest.raises(ConfigError, match=r'params\.yaml:\d+: not YAML.*duplicate key "seed"'):
        load_params(path)


def test_tab_is_named_with_its_line(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(TINY.replace("  source:", "\tsource:", 1))
    line = TINY[:TINY.index("  source:")].count("\n") + 1
    with pytest.raises(ConfigError, match=rf"params\.yaml:{line}: not YAML.* spaces, and this is a tab"):
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
    assert "did you mean learning_rate?" in message
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
    (lambda values: values["warmup"].update(learning_rate=float("nan")), ["warmup.learning_rate", "got nan"]),
    (lambda values: values["warmup"].update(learning_rate=-0.1), ["warmup.learning_rate", "greater than 0"]),
    (lambda values: values["grpo"].update(kl=float("inf")), ["grpo.kl", "finite"]),
    (lambda values: values["grpo"].update(clip_low=-1), ["grpo.clip_low", "got -1"]),
    (lambda values: values["grpo"].update(steps=True), ["grpo.steps", "got True"]),
    (lambda values: values["grpo"].update(steps="3"), ["grpo.steps", "got '3'"]),
    (lambda values: values["evaluate"].update(grading_seconds=0), ["evaluate.grading_seconds", "greater than 0"]),
    (lambda values: values["evaluate"]["decoding"].update(temperature=float("inf")), ["temperature", "finite"]),
    (lambda values: values["filter"].update(seed=-1), ["filter.seed", "got -1"]),
    (lambda values: values.update(seed=2 ** 32), ["seed", "less than"]),
    (lambda values: values["ingest"].update(benchmarks=[]), ["ingest.benchmarks", "got []"]),
    (lambda values: values["grpo"].update(runs={}), ["grpo.runs", "got {}"]),
    (lambda values: values["grpo"]["runs"].update({"a.b": RUN}), ["grpo.runs.a.b"]),
    (lambda values: values["package"].update(registered_name="a/b"), ["package.registered_name", "'a/b'"]),
    (lambda values: values["base_models"]["student"].update(heads=5), ["base_models.student", "heads 5", "even share"]),
])
def test_wrong_value_is_named_with_what_was_given(tmp_path, change, named):
    with pytest.raises(ConfigError) as caught:
        load_params(changed(tmp_path, change))
    assert all(part in str(caught.value) for part in named)
    assert not any(word in str(caught.value) for word in ("Value error", "Input should"))


@pytest.mark.parametrize(("change", "said"), [
    (lambda values: values["evaluate"].update(relay="relay"), "evaluate.relay is 'relay', grpo.runs has relay-diff"),
    (lambda values: values["evaluate"]["methods"].append("base"), "evaluate.methods has base twice"),
    (lambda values: values["evaluate"]["methods"].append("relay-simple"), "no method 'relay-simple'"),
    (lambda values: values["evaluate"]["methods"].append("other-teacher-big"), "no method 'other-teacher-big'"),
    (lambda values: values["evaluate"]["methods"].append("fixed-0"), "no method 'fixed-0'"),
    (lambda values: values["evaluate"].update(methods=["relay-difficulty", "cascade"]),
     "cascade, which is held against base, teacher: add them"),
    (lambda values: values["evaluate"].update(methods=["base", "fixed-8"]), "fixed-8, which is held against relay"),
    (lambda values: values["grpo"]["runs"].update(base=RUN), "grpo.runs has base, which is the name of another"),
    (lambda values: values["package"].update(method="warmup"), "package.method is 'warmup', grpo.runs has relay-diff"),
    (lambda values: values["package"].update(teacher="hub"), "base_models.teacher is of kind 'tiny'"),
    (lambda values: values["warmup"].update(batch_size=33), "a batch of 33 does not divide into 1 processes x 32"),
    (lambda values: values["grpo"].update(group_size=7), "224 roll-outs do not divide into 4 mini-batches x 2"),
    (lambda values: values["grpo"].update(evaluate_problems=1000), "holds out 1000 .* leave at most 1000"),
    (lambda values: values["grpo"]["decoding"].update(temperature=0), "would be alike"),
    (lambda values: values["package"]["decoding"].update(max_new_tokens=3), "package.decoding.max_new_tokens is 3"),
])
def test_sections_that_cannot_go_together_are_named_when_the_file_is_read(tmp_path, change, said):
    with pytest.raises(ConfigError, match=said):
        load_params(changed(tmp_path, change))


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
