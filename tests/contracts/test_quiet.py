"""No tool calls home: the lists agree, and DVC's own config says so as well."""

import configparser
import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

from relayllm.settings import QUIET

ROOT = Path(__file__).resolve().parents[2]
TELEMETRY = re.compile(r"ANALYTICS|TELEMETRY|DO_NOT_TRACK")


def test_makefile_exports_the_same_list():
    exports = dict(re.findall(r"^export (\w+) := (\S+)$", (ROOT / "Makefile").read_text(), re.M))
    assert {name: exports.get(name) for name in QUIET} == QUIET


def test_dvc_neither_reports_nor_looks_for_updates():
    config = configparser.ConfigParser()
    config.read_string(re.sub(r"^\s+", "", (ROOT / ".dvc/config").read_text(), flags=re.M))
    assert config["core"]["analytics"] == config["core"]["check_update"] == "false"


def test_command_line_is_quiet_for_its_children():
    code = ("import contextlib, io, os\nfrom relayllm.cli import main\n"
            "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n    main(['--help'])\n"
            f"print(*[os.environ.get(name) for name in {list(QUIET)!r}])")
    bare = {name: value for name, value in os.environ.items() if name not in QUIET}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=bare, text=True, capture_output=True, check=True)
    assert done.stdout.split() == list(QUIET.values())


def test_data_sets_draw_no_bars():
    code = ("from relayllm.settings import quiet\nquiet()\nimport datasets\n"
            "print(datasets.are_progress_bars_disabled())")
    bare = {name: value for name, value in os.environ.items() if name not in QUIET}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=bare, text=True, capture_output=True, check=True)
    assert done.stdout.strip() == "True"


def test_what_the_user_says_wins(monkeypatch):
    from relayllm.settings import quiet

    for name in (*QUIET, "PREFECT_HOME", "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW"):
        monkeypatch.setenv(name, "mine")
    quiet()
    assert {os.environ[name] for name in QUIET} == {"mine"}


def test_compose_services_do_not_call_home():
    services = yaml.safe_load((ROOT / "infra/compose/compose.yaml").read_text())["services"]
    given = [str(service.get("environment", {})) for name, service in services.items() if name in ("mlflow", "prefect")]
    assert given
    assert all(TELEMETRY.search(text) for text in given)
