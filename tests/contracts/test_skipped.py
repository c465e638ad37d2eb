"""What a machine lacks is said by the tests that need it, once, with how to get it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.places import ROOT


def test_without_chromium_the_tests_of_the_page_say_in_one_line_how_to_get_it():
    words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n", "2",
             "tests/integration/page/test_page_docs.py"]
    done = subprocess.run(words, cwd=ROOT, env={**os.environ, "PATH": str(Path(sys.executable).parent)}, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert done.returncode == 0, done.stdout
    [line] = [line for line in done.stdout.splitlines() if "hromium" in line]
    assert line.endswith(" skipped: no Chromium, and the page was not tried in it: apt-get install chromium")
