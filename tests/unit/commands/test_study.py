from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from relayllm.cli import main
from relayllm.commands.study import PART, environment, seeded, steps
from relayllm.errors import ConfigError
from relayllm.evaluation.analysis.summary import Limits, Provenance, build_summary
from relayllm.evaluation.records import read_records, write_records
from relayllm.evaluation.report.study_report import MARK, missing_seeds, write_results
from relayllm.settings import current_settings
from tests.support.make_records import MIXES, make_records

ROOT = Path(__file__).resolve().parents[3]


def test_seeded_moves_every_seed_but_the_data_s(tmp_path: Path):
    first = seeded(ROOT / "params/study.yaml", tmp_path / "0.yaml", 0)
    third = seeded(ROOT / "params/study.yaml", tmp_path / "2.yaml", 2)
    assert third.grpo.seed == first.grpo.seed + 200
    assert third.base_models.student.seed == first.base_models.student.seed + 200
    assert third.ingest == first.ingest


@pytest.mark.parametrize("text", [None, "filter: {}\n", "- a\n"])
def test_seeded_params_that_are_none_are_refused(tmp_path: Path, text: str | None):
    if text:
        (tmp_path / "study.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"study\.yaml"):
        seeded(tmp_path / "study.yaml", tmp_path / "0.yaml", 0)


@pytest.mark.parametrize(("words", "said"), [
    (["--seeds", "0", "1", "0"], "--seeds has 0: give numbers from 0 to 999,999, each once"),
    (["--seeds", "-1"], "--seeds has -1"), (["--seeds", "1000000"], "--seeds has 1000000"),
    (["--results", "FOLDER"], "name a file in it"),
])
def test_study_that_would_count_wrongly_or_fail_in_the_end_is_refused(tmp_path: Path, capsys, words, said):
    words = [str(tmp_path) if word == "FOLDER" else word for word in words]
    assert main(["study", "--report-only", "--folder", str(tmp_path), *words]) == 1
    assert said in capsys.readouterr().err


def test_steps_cover_every_run_and_the_unfiltered_one_reads_as_many_problems_unfiltered(tmp_path: Path):
    params = seeded(ROOT / "params/study.yaml", tmp_path / "params.yaml", 0)
    planned = list(steps(params, tmp_path))
    trained = {step.words[step.words.index("--run") + 1]: step for step in planned if step.words[0] == "grpo"}
    assert set(trained) == set(params.grpo.runs)
    for name, step in trained.items():
        problems = step.words[step.words.index("--problems") + 1]
        assert ("unfiltered" in problems) == (name == PART)
    off = next(step for step in planned if "filter" in step.words and "--params" in step.words)
    other = seeded(ROOT / "params/study.yaml", tmp_path / "unfiltered.yaml", 0, filtered=False)
    assert off.words[off.words.index("--params") + 1] == str(tmp_path / "unfiltered.yaml")
    assert off.outputs[0] == Path(trained[PART].words[trained[PART].words.index("--problems") + 1])
    assert other.filter == params.filter.model_copy(update={"enabled": False})


def test_evaluation_is_given_the_other_teachers_that_base_models_makes(tmp_path: Path):
    params = seeded(ROOT / "params/study.yaml", tmp_path / "params.yaml", 0)
    planned = {step.words[0]: step for step in steps(params, tmp_path)}
    words = [planned[name].words for name in ("base-models", "evaluate")]
    made, given = (row[row.index("--others") + 1] for row in words)
    assert made == given
    assert Path(made) in planned["base-models"].outputs


def test_seeds_that_run_side_by_side_share_the_store_and_no_checkpoint(tmp_path: Path):
    here, places = current_settings(), []
    for seed in (0, 1):
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment(tmp_path / f"seed-{seed}").items():
                patch.setenv(name, value)
            places.append(current_settings())
    assert len({here.runs, *(place.runs for place in places)}) == 3
    assert {place.tracking_uri for place in places} == {here.tracking_uri}


def finish(step) -> None:
    """What running a step leaves."""
    for path in step.outputs:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    step.note.write_text(step.key)


def test_step_is_done_when_its_outputs_are_there_and_its_params_made_them(tmp_path: Path):
    step = next(iter(steps(seeded(ROOT / "params/study.yaml", tmp_path / "params.yaml", 0), tmp_path)))
    assert not step.done
    finish(step)
    assert step.done
    step.note.write_text("another key")
    assert not step.done
    finish(step)
    step.outputs[0].unlink()
    assert not step.done


def test_another_run_costs_itself_and_the_evaluation(tmp_path: Path):
    few = seeded(ROOT / "params/study.yaml", tmp_path / "few.yaml", 0, runs=["relay-difficulty"])
    for step in steps(few, tmp_path):
        finish(step)
    wider = seeded(ROOT / "params/study.yaml", tmp_path / "more.yaml", 0, runs=["relay-difficulty", "no-bonus"])
    left = [step.words for step in steps(wider, tmp_path) if not step.done]
    assert [words[0] for words in left] == ["grpo", "evaluate", "report"]
    assert "no-bonus" in left[0]


@pytest.mark.parametrize(("section", "first"), [("warmup_set", "warmup-set"), ("grpo", "grpo"),
                                                ("evaluate", "evaluate")])
def test_changed_params_cost_their_step_and_what_reads_it(tmp_path: Path, section, first):
    params = seeded(ROOT / "params/study.yaml", tmp_path / "params.yaml", 0, runs=["relay-difficulty"])
    names = [step.words[0] for step in steps(params, tmp_path)]
    for step in steps(params, tmp_path):
        finish(step)
    moved = getattr(params, section).model_copy(update={"seed": 77})
    left = [step.words[0] for step in steps(params.model_copy(update={section: moved}), tmp_path) if not step.done]
    assert left == names[names.index(first):]


def test_runs_keep_their_methods_and_those_that_need_no_run(tmp_path: Path):
    params = seeded(ROOT / "params/study.yaml", tmp_path / "params.yaml", 0, runs=["relay-difficulty"])
    assert [*params.grpo.runs] == ["relay-difficulty"]
    assert {"base", "teacher", "entropy", "relay-difficulty"} <= {*params.evaluate.methods}
    assert not {"grpo", "no-bonus", "relay-simple"} & {*params.evaluate.methods}


@pytest.mark.parametrize(("runs", "said"), [(["relay-dificulty"], "relay-dificulty"), (["grpo"], "evaluate.relay")])
def test_runs_that_cannot_be_are_refused(tmp_path: Path, runs, said):
    with pytest.raises(ConfigError, match=said):
        seeded(ROOT / "params/study.yaml", tmp_path / "params.yaml", 0, runs=runs)


def summary(accuracy: float, *others: str):
    score = {"accuracy": accuracy, "call_ratio": 0.03, "calls_per_answer": 1.0, "completion_tokens": 80.0}
    return {"methods": {name: {"average": score} for name in ("relay", *others)},
            "reward_hacking": {name: {"mean_n": 4 + accuracy, "alarms": [f"{name} shouts"]}
                               for name in ("relay", *others)},
            "comparisons": {"against": {name: {"difference": accuracy - 1, "ci": [-0.25, 0.3]} for name in others}},
            "gap_recovered": {"method": "relay", "value": accuracy, "ci": [accuracy - 0.05, accuracy + 0.05]}}


def test_write_results_keeps_what_people_wrote_and_shows_the_spread(tmp_path: Path):
    results = tmp_path / "docs/results.md"
    results.parent.mkdir()
    results.write_text(f"# Results\n\nSeen by hand.\n\n{MARK}\nold")
    for seed, found in enumerate((summary(0.9, "grpo", "no-bonus"), summary(0.8, "grpo"))):
        report = tmp_path / f"study/seed-{seed}/report/summary.json"
        report.parent.mkdir(parents=True)
        report.write_text(json.dumps(found))
        report.with_name("call_value.json").write_text('{"relay": {"spent_per_needed": {"value": 1.25}}}')
    write_results(tmp_path / "study", results)
    text = results.read_text()
    assert "Seen by hand." in text
    assert "old" not in text
    assert "| relay | 2 | 85.0 ± 7.1 | 3.00 ± 0.00 | 1.00 ± 0.00 | 4.8 ± 0.1 | 80.0 ± 0.0 |" in text
    assert "| 0 |  |  | 90.0 | 90.0 | 3.00 |  | 1.25 |" in text
    assert "| lowest |  |  | 80.0 | 80.0 | 3.00 |  | 1.25 |" in text
    assert "| no-bonus | 1 | 90.0 | 3.00 | 1.00 | 4.9 | 80.0 |" in text
    assert "| against | seed 0 | seed 1 |" in text
    assert "| grpo | -10.0 [-25, 30] | -20.0 [-25, 30] |" in text
    assert "| no-bonus | -10.0 [-25, 30] |  |" in text
    assert "- seed 0, no-bonus: no-bonus shouts" in text
    assert "| gap recovered | 90.0 [85, 95] | 80.0 [75, 85] |" in text
    assert "Over " not in text  # without records nothing is drawn again


def test_write_results_over_seeds_is_less_sure_than_over_problems(tmp_path: Path):
    for seed, relay in enumerate((0.9, 0.5, 0.95)):
        folder = tmp_path / f"study/seed-{seed}"
        for name in ("base", "teacher"):
            write_records(folder / f"evaluate/{name}.parquet", make_records(name, problems=40, seed=seed))
        mix = replace(MIXES["relay-difficulty"], hard=relay)
        write_records(folder / "evaluate/relay-difficulty.parquet",
                      make_records("relay-difficulty", problems=40, seed=seed, mix=mix))
        (folder / "report").mkdir()
        (folder / "report/summary.json").write_text(json.dumps(build_summary(
            read_records(folder / "evaluate"), Provenance("study", seed, "", "", {}), Limits(4, 9), bootstrap=200,
            relay="relay-difficulty")))
    write_results(tmp_path / "study", tmp_path / "results.md", [0, 1, 2, 3, 7])
    text = (tmp_path / "results.md").read_text()
    assert "Over 3 seeds" in text
    assert "seeds 3, 7." in text
    assert (tmp_path / "images/study-pareto.png").is_file()
    [row] = [line for line in text.splitlines() if line.startswith("| relay-difficulty | ") and "[" in line]
    low, high = (float(part) for part in row.split("[")[1].split("]")[0].split(","))
    assert high - low > 10  # one seed's problems alone give about 4


def test_missing_seeds_are_those_without_a_report(tmp_path: Path):
    (tmp_path / "seed-1/report").mkdir(parents=True)
    (tmp_path / "seed-1/report/summary.json").write_text("{}")
    assert missing_seeds(tmp_path, [0, 1, 12]) == [0, 12]
