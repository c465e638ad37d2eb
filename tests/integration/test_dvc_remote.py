"""What is pushed comes back, byte for byte: from the folder that is the default, and from S3 as the guide says."""

from __future__ import annotations

import hashlib
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.support.places import environment, run

ROOT = Path(__file__).resolve().parents[2]
KEYS = {"KEY": "AKIARELAYLLMTEST0001", "SECRET": "relayllm-test-secret-of-real-length-00001"}
pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path) -> Path:
    """A repository with this project's DVC configuration, a pinned folder, and a stage's output in dvc.lock."""
    folder = tmp_path / "project"
    (folder / "data/benchmarks").mkdir(parents=True)
    (folder / "data/train.jsonl").write_text('{"id": "p1"}\n' * 100)
    (folder / "data/benchmarks/pens.jsonl").write_text('{"id": "b1"}\n')
    (folder / ".gitignore").write_text("/data/\n/model.bin\n/.store/\n/.dvc-remote/\n")
    (folder / "dvc.yaml").write_text("stages:\n  copy:\n    cmd: cp data/train.jsonl model.bin\n    deps: [data]\n"
                                     "    outs: [model.bin]\n")
    shutil.copytree(ROOT / ".dvc", folder / ".dvc", ignore=shutil.ignore_patterns("tmp", "cache", "config.local"))
    run(folder, "git", "init", "-q", ".")
    run(folder, "dvc", "add", "data")
    run(folder, "dvc", "repro")
    return folder


@pytest.fixture
def s3(tmp_path):
    """The address of an S3 server on this machine, with one bucket named team."""
    (tmp_path / "s3/team").mkdir(parents=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    words = [str(Path(sys.executable).parent / "rclone"), "serve", "s3", "--addr", address, "--vfs-cache-mode", "off",
             "--auth-key", ",".join(KEYS.values()), str(tmp_path / "s3")]
    with (tmp_path / "rclone.log").open("wb") as log:
        server = subprocess.Popen(words, stdout=log, stderr=log, env=environment(tmp_path))
    try:
        deadline = time.monotonic() + 60
        while not _answers(address):
            assert server.poll() is None, (tmp_path / "rclone.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield f"http://{address}"
    finally:
        server.terminate()
        server.wait()


def _answers(address: str) -> bool:
    try:
        urllib.request.urlopen(f"http://{address}", timeout=2).close()
    except urllib.error.HTTPError:
        return True  # it wants a signature
    except OSError:
        return False
    return True


def hashes(folder: Path) -> dict[str, str]:
    """Every file of data, and the stage's output."""
    files = [*sorted((folder / "data").rglob("*.jsonl")), folder / "model.bin"]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def lose(folder: Path) -> None:
    """All that DVC keeps here."""
    for name in ("data", ".dvc/cache"):
        shutil.rmtree(folder / name)
    (folder / "model.bin").unlink()


def test_pushed_to_the_default_folder_comes_back(project):
    before = hashes(project)
    run(project, "dvc", "push")
    lose(project)
    run(project, "dvc", "pull")
    assert hashes(project) == before
    assert len(before) == 3


@pytest.mark.parametrize("target", ["clean", "clean-all"])
def test_pushed_to_the_default_folder_outlives_every_way_to_clean(project, target):
    before = hashes(project)
    run(project, "dvc", "push")
    shutil.copy(ROOT / "Makefile", project)
    for folder in (".store/registry", "artifacts", "runs"):
        (project / folder).mkdir(parents=True)
    run(project, "make", target)
    assert not any((project / name).exists() for name in ("data", ".dvc/cache", "artifacts", "runs"))
    assert (project / ".store/registry").exists() == (target == "clean")
    run(project, "dvc", "pull", "--force")
    assert hashes(project) == before


def guide() -> list[list[str]]:
    """The guide's commands."""
    text = (ROOT / "docs/guides/team.md").read_text(encoding="utf-8")
    block = next(block for block in re.findall(r"```bash\n(.*?)```", text, re.S) if "dvc remote add" in block)
    return [line.split() for line in block.splitlines()]


def test_pushed_to_s3_by_the_guide_comes_back(project, s3, tmp_path):
    before = hashes(project)
    meant = {**KEYS, "s3://BUCKET/relayllm": "s3://team/relayllm", "https://STORE": s3}
    commands = [[meant.get(word, word) for word in words] for words in guide()]
    assert [words[1] for words in commands] == ["remote", "remote", "remote", "remote", "push", "pull"]
    for words in commands[:-1]:
        run(project, *words)
    lose(project)
    shutil.rmtree(project / ".dvc-remote", ignore_errors=True)
    run(project, *commands[-1])
    assert hashes(project) == before
    assert sum(path.is_file() for path in (tmp_path / "s3/team/relayllm").rglob("*")) >= 3
    assert KEYS["SECRET"] not in (project / ".dvc/config").read_text()
