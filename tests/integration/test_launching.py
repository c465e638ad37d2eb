"""The launcher's command, as DeepSpeed's own launcher takes it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from relayllm.training.launching import deepspeed_command
from tests.support.hosts import two_hosts


@pytest.fixture
def hosts(tmp_path, monkeypatch):
    return two_hosts(tmp_path, monkeypatch)


@pytest.mark.slow
def test_deepspeed_sends_the_command_to_the_hosts_with_our_settings(hosts, tmp_path):
    """The real launcher; ssh and pdsh write down what they were asked."""
    for name, text in {"ssh": "echo 10.0.0.1", "pdsh": f'printf "%s\\n" "$@" > {tmp_path}/asked'}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run([*deepspeed_command(4), "--module", "relayllm.cli", "grpo", "--run", "one"], cwd=tmp_path,
                          env={**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    asked = (tmp_path / "asked").read_text()
    assert "node-1,node-2" in asked.splitlines()
    assert f"export RELAY_ROOT={tmp_path};" in asked
    assert f"cd {tmp_path};" in asked
    assert "--master_addr=10.0.0.1" in asked
    assert asked.splitlines()[-4:] == ["relayllm.cli", "grpo", "--run", "one"]
    assert sys.executable in asked
