"""A real package of random models through registry, gates, promotion, scoring server and roll-back."""

import logging
from collections.abc import Iterator
from pathlib import Path

import mlflow.pyfunc
import pytest

from mlflow import MlflowClient
from relayllm.cli import main
from relayllm.errors import ModelError, ServingError
from relayllm.packaging.folder import content_hash, open_package
from relayllm.packaging.parity import ParityResult, measure
from relayllm.packaging.smoke_test import check
from relayllm.packaging.write import write_package
from relayllm.registry import release
from relayllm.registry.champions import rollback
from relayllm.registry.client import Registry
from relayllm.registry.gates import read_gates
from tests.support.places import ROOT
from tests.support.real_packages import QUESTIONS, varied

CONFIG = read_gates(ROOT / "mlflow/registry.yaml")


def test_package_same_parts_give_the_same_bytes(parts, settings, package, tmp_path):
    write_package(parts, tmp_path / "again", settings)
    assert content_hash(tmp_path / "again") == content_hash(package)


def test_package_holds_no_pickles_and_exact_pins(package):
    assert not [path for path in package.rglob("*") if path.suffix in (".pkl", ".pickle", ".bin", ".pt")]
    lines = (package / "requirements.txt").read_text().splitlines()
    assert "torch==2.13.0" in lines
    assert all("==" in line for line in lines)


def test_package_answers_token_for_token_as_in_process(package):
    measured = measure(package, CONFIG.gates.latency.prompts)
    assert (measured.same, measured.asked, measured.strays) == (3, 3, ())


@pytest.fixture(params=["as it is", "its logger disabled", "all logging disabled"])
def silenced(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a library or a program makes of logging."""
    logger, level = logging.getLogger("mlflow.models.utils"), logging.root.manager.disable
    logger.disabled = request.param == "its logger disabled"
    logging.disable(logging.CRITICAL if request.param == "all logging disabled" else level)
    yield
    logging.disable(level)
    logger.disabled = False


@pytest.mark.usefixtures("silenced")
def test_package_loaded_by_mlflow_refuses_unknown_and_bad_params(package):
    model = mlflow.pyfunc.load_model(str(package))
    ask = [{"prompt": QUESTIONS[0]}]
    for params, word in (({"nonsense": 1}, "nonsense"), ({"temperature": -1.0}, "temperature"),
                         ({"max_new_tokens": "many"}, "max_new_tokens")):
        with pytest.raises(mlflow.MlflowException, match=word):
            model.predict(ask, params=params)


def test_package_streams_what_it_predicts(package):
    model = mlflow.pyfunc.load_model(str(package))
    ids = model.predict([{"prompt": QUESTIONS[0]}])["token_ids"][0]
    assert [event["token_id"] for event in model.predict_stream([{"prompt": QUESTIONS[0]}])] == ids


def test_package_damaged_weights_are_named(parts, settings):
    folder = varied(parts, settings, "damaged", 5)
    (folder / "artifacts/student/model.safetensors").write_bytes(b"not weights")
    with pytest.raises(ModelError, match="damaged"):
        measure(folder, CONFIG.gates.latency.prompts)


@pytest.mark.slow
def test_check_of_a_package_that_cannot_be_loaded_says_why(parts, settings):
    folder = varied(parts, settings, "halved", 6)
    (folder / "code/relayllm/packaging/folder.py").unlink()
    with pytest.raises(ServingError, match=r"ended with 1: .*relayllm\.packaging\.folder"):
        check(str(folder), QUESTIONS[0], settings)


def test_release_promotes_holds_and_rolls_back(parts, settings, package):
    registry = Registry(settings)
    first = release.promote_or_hold(registry, release.evaluate_candidate(registry, registry.register(package), CONFIG))
    assert first.aliases == ("champion",)

    fine = ParityResult(3, 3, 0.1)
    worse = registry.register(varied(parts, settings, "worse", 2))
    held = release.promote_or_hold(registry, release.decide(registry, worse, CONFIG, fine))
    assert held.aliases == ("candidate",)
    assert "accuracy" in held.tags["held_because"]
    assert registry.champion("relay-decoder").number == first.number

    better = registry.register(varied(parts, settings, "better", 8))
    strayed = release.decide(registry, better, CONFIG, ParityResult(2, 3, 0.1, ("pens-1",)))
    assert "parity" in strayed.reason
    now = release.promote_or_hold(registry, release.decide(registry, better, CONFIG, fine))
    assert now.aliases == ("champion",)

    assert rollback(registry, "relay-decoder", "drift").number == first.number
    again = release.promote_or_hold(registry, release.decide(registry, better, CONFIG, fine))
    assert "champion" not in again.aliases
    assert MlflowClient(settings.tracking_uri).get_run(again.run_id).info.run_id == better.run_id


@pytest.mark.slow
def test_check_serves_the_registered_version_and_leaves_nothing_running(parts, settings, package):
    registry = Registry(settings)
    version = registry.register(package)
    row = check(version.uri, QUESTIONS[0], settings)
    assert tuple(row["token_ids"]) == open_package(package).parity[0].token_ids
    running = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not [words for words in running if version.uri.encode() in words]


@pytest.mark.slow
def test_check_of_what_cannot_be_loaded_shows_the_servers_last_lines(settings):
    with pytest.raises(ServingError, match=r"ended with|last lines"):
        check(str(settings.root / "nothing"), "How many?", settings, patience=60)


def test_fetch_copies_the_students_weights_of_a_version(parts, settings, package, tmp_path, monkeypatch, capsys):
    registry = Registry(settings)
    version = registry.register(package)
    monkeypatch.setenv("RELAY_ROOT", str(settings.root))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", settings.tracking_uri)
    words = ["fetch", version.uri, "--student", str(tmp_path / "student")]
    assert main(words) == 0
    assert (tmp_path / "student/config.json").read_bytes() == (parts.student / "config.json").read_bytes()
    assert list((tmp_path / "student").glob("*.safetensors"))
    assert main(words) == 1
    assert "exists" in capsys.readouterr().err
