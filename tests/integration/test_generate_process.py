"""`relay generate` as people start it: the answer and what it cost, and nothing that a library would add."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.support.small_models import save_pair


def test_terminal_shows_the_answer_and_no_librarys_lines(tmp_path):
    save_pair(tmp_path)
    words = [sys.executable, "-m", "relayllm.cli", "generate", "How many pens?", "--model", str(tmp_path / "student"),
             "--teacher", str(tmp_path / "teacher"), "--max-new-tokens", "12", "--call-bias", "12", "--colour", "never"]
    environment = {**os.environ, "RELAY_ROOT": str(tmp_path), "RELAY_PRICES": "student=1,teacher=1"}
    done = subprocess.run(words, env=environment, text=True, capture_output=True, check=True)
    answer, last = done.stdout.rstrip("\n").rsplit("\n\n", 1)
    assert answer.startswith("<call>")
    assert last.startswith("12 tokens:")
    assert last.endswith("; 0.000012 USD")
    assert done.stderr == ""
