"""A package of real models with random weights, and the project that it lies in."""

from __future__ import annotations

from pathlib import Path

import pytest

from relayllm.packaging.write import Parts, write_package
from relayllm.settings import Settings
from tests.support.real_packages import project, real_parts


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    return real_parts(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def package(parts: Parts, settings: Settings) -> Path:
    write_package(parts, settings.root / "artifacts/package", settings)
    return settings.root / "artifacts/package"
