"""The launcher's command line, on one machine and over several."""

from __future__ import annotations

import os
import stat
import subprocess
import sys

import pytest

from relayllm.errors import ConfigError
from relayllm.training.launching import deepspeed_command, hosts_of


@pytest.fixture
def hosts(tmp_path, monkeypatch):
    """A hostfile of two machines with two slots each, named by the environment."""
    path = tmp_path / "hosts"
    path.write_text("# ours\nnode-1 slots=2\n\nnode-2 slots=2  # the new one\n")
    monkeypatch.setenv("RELAY_HOSTFILE", str(path))
    monkeypatch.setenv("RELAY_ROOT", str(tmp_path))
    monkeypatch.setenv("RELAY_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("RELAY_PARENT", "1")
    return path


def test_without_a_hostfile_processes_share_this_machine(monkeypatch):
    monkeypatch.delenv("RELAY_HOSTFILE", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    command = deepspeed_command(2)
    assert command[:2] == ["env", f"OMP_NUM_THREADS={max(1, len(os.sched_getaffinity(0)) // 2)}"]
    assert command[command.index("--num_accelerators") + 1] == "2"
    assert "--hostfile" not in command


def test_hostfile_is_handed_to_the_launcher_with_what_we_were_told(hosts, tmp_path):
    command = deepspeed_command(4)
    told = tmp_path / "runs/deepspeed.env"
    assert command[:2] == ["env", f"DS_ENV_FILE={told}"]
    assert command[3:] == ["--hostfile", str(hosts)]
    lines = told.read_text().splitlines()
    assert f"RELAY_ROOT={tmp_path}" in lines
    assert not [line for line in lines if line.startswith(("RELAY_HOSTFILE", "RELAY_PARENT", "PATH"))]
    assert stat.S_IMODE(told.stat().st_mode) == 0o600


def test_slots_that_are_not_the_processes_are_refused(hosts):
    with pytest.raises(ConfigError, match=r"4 slots, params\.yaml has 8 processes"):
        deepspeed_command(8)


@pytest.mark.parametrize("line", ["node-1", "node-1 slots=", "node-1 slots=2 x", "node-1 slots=1\nnode-1 slots=1"])
def test_line_that_is_no_host_is_refused(tmp_path, line):
    (tmp_path / "hosts").write_text(line)
    with pytest.raises(ConfigError, match="slots=PROCESSES"):
        hosts_of(tmp_path / "hosts")


def test_hostfile_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        hosts_of(tmp_path / "hosts")


def test_value_that_a_shell_elsewhere_would_change_is_refused_without_it(hosts, monkeypatch):
    monkeypatch.setenv("RELAY_TEACHER_API_KEY", "se$cret")
    with pytest.raises(ConfigError, match="RELAY_TEACHER_API_KEY") as error:
        deepspeed_command(4)
    assert "se$cret" not in str(error.value)


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
