"""A build that was killed holds nobody up."""

from __future__ import annotations

import os

import pytest
from torch.utils.file_baton import FileBaton

from relayllm.training.builds import drop_stale_locks


@pytest.fixture
def baton(tmp_path):
    (tmp_path / "py311_cpu/cpu_adam").mkdir(parents=True)
    baton = FileBaton(str(tmp_path / "py311_cpu/cpu_adam/lock"))
    assert baton.try_acquire()
    return baton


def test_lock_of_a_running_build_stays(tmp_path, baton):
    assert drop_stale_locks(tmp_path) == []
    baton.release()


def test_lock_of_a_killed_build_goes(tmp_path, baton):
    os.close(baton.fd)  # as the kernel does when its process is killed
    assert [path.name for path in drop_stale_locks(tmp_path)] == ["lock"]
    assert FileBaton(baton.lock_file_path).try_acquire()
