"""Versions and aliases, on a real SQLite registry."""

import fcntl
import json
import shutil
from dataclasses import replace

import pytest

from relayllm.errors import ConfigError, ModelError, NoSuchVersion, RegistryError
from relayllm.registry.champions import promote
from relayllm.registry.client import Registry
from relayllm.tracking.run import flush
from tests.support.small_packages import DATA, hollow_package, register


@pytest.fixture(scope="module")
def registry(settings):
    return Registry(settings)


def test_register_stores_scores_params_and_data_set(registry, settings, name, tmp_path, store):
    version = register(registry, tmp_path, name)
    model = store.get_logged_model(version.model_id)
    found = {(metric.key, metric.value, metric.dataset_digest) for metric in model.metrics}
    assert ("pens/accuracy", 0.5, DATA) in found
    assert ("accuracy", 0.5, DATA) in found
    assert registry.params(version)["grpo.kl"] == "0.03"
    run = store.get_run(version.run_id)
    assert [given.dataset.digest for given in run.inputs.dataset_inputs] == [DATA]


def test_register_names_the_commit_and_the_params_it_ran_with(registry, name, tmp_path, store):
    folder = hollow_package(tmp_path / "p", registered_name=name, git_commit="0123456789abcdef-dirty",
                            params_md5="a" * 32)
    version = registry.register(folder)
    for tags in (version.tags, store.get_run(version.run_id).data.tags):
        assert (tags["git_commit"], tags["params"]) == ("0123456789abcdef-dirty", "a" * 32)


def test_find_where_nothing_was_ever_registered_says_so_and_makes_no_store(settings, tmp_path):
    store = tmp_path / "mlflow.db"
    empty = Registry(replace(settings, root=tmp_path, tracking_uri=f"sqlite:///{store}", registry_uri=f"sqlite:///{store}"))
    Registry(settings)  # MLflow's own address, which is one for the process, is that of the other tests again
    with pytest.raises(NoSuchVersion, match=r"no registry at .* yet: `make pipeline`"):
        empty.resolve("models:/relay-decoder@champion")
    assert not store.exists()


def test_register_nests_under_the_pipelines_run(registry, settings, name, tmp_path, store):
    first = register(registry, tmp_path, name, 4)
    note_pipeline(settings, first.run_id)
    version = register(registry, tmp_path, name, 5)
    assert store.get_run(version.run_id).data.tags["mlflow.parentRunId"] == first.run_id


def test_register_beside_the_note_of_another_store_nests_under_nothing(registry, settings, name, tmp_path, store):
    note_pipeline(settings, "0123456789abcdef0123456789abcdef")
    version = register(registry, tmp_path, name)
    assert "mlflow.parentRunId" not in store.get_run(version.run_id).data.tags


def note_pipeline(settings, run):
    """The experiment's number is the same in every store of one experiment."""
    settings.runs.mkdir(exist_ok=True)
    (settings.runs / "pipeline.json").write_text(json.dumps({"run_id": run, "experiment_id": "1"}))


def test_register_same_package_twice_is_one_version(registry, name, tmp_path):
    first = register(registry, tmp_path, name)
    assert registry.register(tmp_path / "p5").number == first.number
    assert [version.number for version in registry.versions(name)] == [1]


def test_register_half_a_package_is_refused(registry, name, tmp_path):
    folder = hollow_package(tmp_path / "p", registered_name=name)
    (folder / "artifacts/student/model.safetensors").unlink()
    with pytest.raises(ModelError, match="safetensors"):
        registry.register(folder)


def test_champion_before_any_promotion_is_none(registry, name, tmp_path):
    register(registry, tmp_path, name)
    assert registry.champion(name) is None


def test_find_unknown_version_names_those_there_are(registry, name, tmp_path):
    register(registry, tmp_path, name)
    with pytest.raises(NoSuchVersion, match="there is: 1"):
        registry.find(name, "champion")


def test_resolve_reads_alias_and_number(registry, name, tmp_path):
    promote(registry, register(registry, tmp_path, name), "first")
    assert registry.resolve(f"models:/{name}@champion").number == registry.resolve(f"models:/{name}/1").number == 1
    with pytest.raises(ConfigError, match="ALIAS"):
        registry.resolve(name)


def test_fetch_gives_the_packages_files(registry, name, tmp_path):
    version = register(registry, tmp_path, name)
    folder = registry.fetch(version)
    assert (folder / "artifacts/relay.json").read_bytes() == (tmp_path / "p5/artifacts/relay.json").read_bytes()
    assert version.model_id in (folder / "MLmodel").read_text()


def test_fetch_of_files_on_another_machine_says_how_to_reach_them(registry, name, tmp_path):
    version = register(registry, tmp_path, name)
    shutil.rmtree(registry.fetch(version))
    with pytest.raises(RegistryError, match="--artifacts-destination"):
        registry.fetch(version)


def test_params_are_those_that_relay_params_names(settings, name, tmp_path):
    (tmp_path / "other.yaml").write_text("grpo: {kl: 0.5}\n")
    registry = Registry(replace(settings, params=tmp_path / "other.yaml"))
    assert registry.params(register(registry, tmp_path, name))["grpo.kl"] == "0.5"


def test_note_writes_tags_numbers_and_files(registry, name, tmp_path, store):
    version = register(registry, tmp_path, name)
    registry.annotate(version, tags={"a": "b"}, metrics={"seconds": 2.0}, files={"comparison.md": "# text"})
    assert registry.find(name, 1).tags["a"] == "b"
    assert store.get_run(version.run_id).data.metrics["seconds"] == 2.0


def test_settle_waits_for_the_writers(settings):
    assert flush(settings, seconds=0.0)
    with (settings.runs / "tracking.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        assert not flush(settings, seconds=0.2)
    assert flush(settings, seconds=0.0)
