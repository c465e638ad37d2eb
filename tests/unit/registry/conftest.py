"""A project with a SQLite registry, and what MLflow itself says of it."""

from dataclasses import replace

import pytest

from mlflow import MlflowClient
from relayllm.settings import current_settings


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    root = tmp_path_factory.mktemp("project")
    (root / "params.yaml").write_text("profile: tiny\ngrpo: {kl: 0.03}\n")
    store = f"sqlite:///{root}/mlflow.db"
    return replace(current_settings(), root=root, params=root / "params.yaml", runs=root / "runs", tracking_uri=store,
                   registry_uri=store, experiment="test")


@pytest.fixture(scope="module")
def store(settings):
    """MLflow's own client of the same registry."""
    return MlflowClient(settings.tracking_uri, settings.registry_uri)


@pytest.fixture
def name(request):
    return request.node.name.replace("[", "-").rstrip("]")[:60]
