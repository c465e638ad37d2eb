"""The launcher's command line, on one machine and over several."""

from __future__ import annotations

import os
import stat

import pytest

from relayllm.errors import ConfigError
from relayllm.training.launching import deepspeed_command, hosts_of
from tests.support.hosts import two_hosts


@pytest.fixture
def hosts(tmp_path, monkeypatch):
    return two_hosts(tmp_path, monkeypatch)


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
