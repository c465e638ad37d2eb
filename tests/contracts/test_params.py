"""Every shipped profile fits this version, and says nothing the stages would reject later."""

import ast
import re
from pathlib import Path

import pytest

from relayllm.config import HubModel, Section, load_params
from relayllm.problems.catalogue import BENCHMARKS

ROOT = Path(__file__).resolve().parents[2]
PROFILES = sorted((ROOT / "params").glob("*.yaml"))
NAMES = [path.stem for path in PROFILES]


def test_readme_lists_the_profiles():
    listed = re.search(r"^params/ .*: (.+)$", (ROOT / "README.md").read_text(), re.M)
    assert listed
    assert sorted(listed[1].split(", ")) == NAMES


@pytest.mark.parametrize("path", PROFILES, ids=NAMES)
def test_profile_loads_and_is_named_for_its_file(path):
    assert load_params(path).profile == path.stem


@pytest.mark.parametrize("path", PROFILES, ids=NAMES)
def test_profile_names_runs_methods_and_benchmarks_that_exist(path):
    from relayllm.evaluation.methods import method

    params = load_params(path)
    runs = list(params.grpo.runs)
    assert params.evaluate.relay in runs
    assert params.package.method in runs
    assert params.package.method in params.evaluate.methods
    teachers = list(params.base_models.other_teachers)
    assert [method(name, runs, params.evaluate.relay, teachers).name for name in params.evaluate.methods] == (
        params.evaluate.methods)
    assert [name for name in teachers if f"other-teacher-{name}" not in params.evaluate.methods] == []
    own = {name for name in params.ingest.benchmarks if params.ingest.source == "files" and Path(name).suffix}
    assert set(params.ingest.benchmarks) - own <= set(BENCHMARKS)


@pytest.mark.parametrize("path", PROFILES, ids=NAMES)
def test_profile_batches_divide(path):
    params = load_params(path)
    grpo, warmup = params.grpo, params.warmup
    roll_outs = grpo.problems_per_step * grpo.group_size
    assert roll_outs % (grpo.mini_batches * grpo.processes * grpo.micro_batch_size) == 0
    assert roll_outs // grpo.processes % grpo.group_size == 0
    assert warmup.batch_size % (warmup.micro_batch_size * warmup.processes) == 0


@pytest.mark.parametrize("path", PROFILES, ids=NAMES)
def test_profile_deepspeed_config_is_there(path):
    stage = load_params(path).warmup.zero_stage
    assert stage == 0 or (ROOT / f"infra/deepspeed/zero{stage}.json").is_file()


@pytest.mark.parametrize("path", PROFILES, ids=NAMES)
def test_profile_asks_for_no_call_the_warm_up_never_showed(path):
    """The grammar's largest n has as many digits as the warm-up's commands."""
    params = load_params(path)
    assert params.grpo.decoding.max_call_tokens == 10 ** params.warmup_set.digits - 1


@pytest.mark.parametrize("path", PROFILES, ids=NAMES)
def test_profile_pins_hub_models_to_a_commit(path):
    models = load_params(path).base_models
    every = (models.student, models.teacher, *models.other_teachers.values())
    hub = [model for model in every if isinstance(model, HubModel)]
    assert all(re.fullmatch("[0-9a-f]{40}", model.revision) for model in hub)


def test_params_yaml_is_a_shipped_profile_byte_for_byte():
    text = (ROOT / "params.yaml").read_bytes()
    assert text in [path.read_bytes() for path in PROFILES]


def sections(kind: type = Section) -> list[type[Section]]:
    return [found for child in kind.__subclasses__() for found in (child, *sections(child))]


@pytest.mark.parametrize("section", sections(), ids=lambda section: section.__name__)
def test_nothing_is_defaulted_in_python(section):
    assert [name for name, field in section.model_fields.items() if not field.is_required()] == []


@pytest.mark.parametrize("path", sorted((ROOT / "src/relayllm/config").glob("*.py")), ids=lambda path: path.stem)
def test_every_section_and_key_says_what_it_is(path):
    """The site's page of params.yaml is made of these docstrings."""
    classes = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)]
    bare = [node.name for node in classes if not ast.get_docstring(node)]
    for node in classes:
        for field, after in zip(node.body, [*node.body[1:], None], strict=True):
            told = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            if isinstance(field, ast.AnnAssign) and not told:
                bare.append(f"{node.name}.{field.target.id}")
    assert bare == []
