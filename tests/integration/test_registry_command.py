"""The commands that act on the registry read the params that the stages read."""

from __future__ import annotations

import pytest

from relayllm.cli import main
from tests.support.other_params import project_with_other_params


@pytest.mark.slow
def test_registry_command_takes_its_name_from_relay_params(tmp_path, monkeypatch, capsys):
    project_with_other_params(tmp_path, monkeypatch)
    assert main(["rollback"]) == 1
    assert "RegistryError: theirs has no champion" in capsys.readouterr().err
