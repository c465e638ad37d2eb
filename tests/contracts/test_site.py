"""The documentation's site: every page is in it, every environment variable is told, it builds without a warning."""

import re
import subprocess
import sys
from pathlib import Path
from pkgutil import resolve_name

import pytest
import yaml

from relayllm.serving.api.app import EXPOSED, create_app
from relayllm.serving.api.limits import HttpLimits
from relayllm.serving.auth import Keys
from relayllm.serving.budgets.local import Budgets
from relayllm.serving.metrics import Metrics
from relayllm.serving.models.router import Capacity, ModelRouter

ROOT = Path(__file__).resolve().parents[2]
BUILT = {"RELAY_TEACHER_", "RELAY_TEACHER_PORT", "RELAY_PARENT", "RELAY_SUPERVISED"}
"""A prefix, what Kubernetes would set by itself, and what our processes tell their children."""
OTHERS = {"PATH", "PYTHONPATH", "RANK", "DVC_STAGE", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR",
          "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "PREFECT_UI_API_URL"}
"""What systems and launchers set, and what we set for libraries: nobody else has a reason to."""


def named_pages(nav) -> set[str]:
    if isinstance(nav, str):
        return {nav}
    return set().union(*(named_pages(one) for one in (nav.values() if isinstance(nav, dict) else nav)))


def test_navigation_has_every_page():
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    decisions = {page for page in pages if page.startswith("decisions/")}  # put in by infra/docs/hooks.py
    assert pages - decisions <= named_pages(config["nav"])


def test_environment_page_has_every_variable_of_the_code():
    page = (ROOT / "docs/reference/environment.md").read_text()
    sources = [path for folder in ("src", "flows", "infra", "benchmarks") for path in (ROOT / folder).rglob("*")
               if path.suffix in (".py", ".sh", ".yaml") or path.name == ".env.example"]
    used = {name for path in sources for name in re.findall(r"\bRELAY_[A-Z_]+", path.read_text(encoding="utf-8"))}
    assert len(used) > 20
    assert {name for name in used - BUILT if f"`{name}`" not in page} == set()


def test_environment_page_has_every_variable_of_others_that_the_code_reads():
    page = (ROOT / "docs/reference/environment.md").read_text()
    read = {name for folder in ("src", "flows", "infra", "benchmarks") for path in (ROOT / folder).rglob("*.py")
            for name in re.findall(r"""\benviron(?:\.get\(|\.setdefault\(|\[)"([A-Z_]+)\"""", path.read_text())}
    assert len(read) > 20
    assert {name for name in read - OTHERS if f"`{name}`" not in page} == set()


@pytest.fixture(scope="module")
def described():
    metrics = Metrics()
    return create_app(ModelRouter(metrics, Capacity(1, 1)), Keys.from_environment({}), Budgets(), metrics,
                      HttpLimits()).openapi()


def test_page_of_the_http_api_tells_every_field_of_its_routes_and_what_they_are_made_of(described, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "infra/docs")
    from http_api import http_api_page

    page = http_api_page(described)
    for name in ("ChatRequest", "CompletionRequest", "ResponseRequest", "RelayOptions", "RelayEntry", "ChatMessage"):
        assert [field for field in described["components"]["schemas"][name]["properties"]
                if f"`{field}`" not in page] == []
    assert set(re.findall(r"\]\(#(\w+)\)", page)) == {
        head.lower() for head in re.findall(r"^### (\w+)$", page, re.M)}
    assert re.search(r"\| `messages` \| .* \| \*\*needed\*\*", page)
    assert not re.search(r"^\| `tools` \|", page.split("## POST /v1/completions")[0], re.M)


def test_page_of_the_http_api_has_an_example_of_every_request_answer_and_stream_and_of_a_fault(described, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "infra/docs")
    from http_api import http_api_page

    parts = re.split(r"^## (.+)$", http_api_page(described), flags=re.M)
    told = dict(zip(parts[1::2], parts[2::2], strict=True))
    operations = {f"{method.upper()} {path}": one for path, methods in described["paths"].items()
                  for method, one in methods.items()}
    assert [route for route in operations if "An answer:" not in told[route]] == []
    assert [route for route, one in operations.items() if "requestBody" in one
            and not ("A request:" in told[route] and "Of its stream:" in told[route])] == []
    assert '"type": "invalid_request_error"' in told["Errors"]
    assert "[ErrorEntry](#errorentry)" in told["Errors"]


def test_page_of_the_http_api_names_every_header_that_pages_elsewhere_may_read():
    page = (ROOT / "docs/reference/http-api.md").read_text()
    assert [name for name in EXPOSED if f"`{name}`" not in page] == []


def test_page_of_python_has_every_reward_and_names_only_what_there_is():
    named = re.findall(r"^::: (\S+)$", (ROOT / "docs/reference/python.md").read_text(), re.M)
    rewards = {path.stem for path in (ROOT / "src/relayllm/rewards").glob("*.py")} - {"__init__"}
    assert {f"relayllm.rewards.{name}" for name in rewards} <= set(named)
    assert [name for name in named if not getattr(resolve_name(name), "__doc__", "")] == []
    assert len(set(named)) == len(named)


def test_page_of_python_has_every_engine():
    page = (ROOT / "docs/reference/python.md").read_text()
    engines = [f"{path.relative_to(ROOT / 'src').with_suffix('').as_posix().replace('/', '.')}.{name}"
               for path in (ROOT / "src/relayllm/engines").rglob("*.py")
               for name in re.findall(r'^class (\w+)[^\n]*:\n    """Implements `relay\.', path.read_text(), re.M)]
    assert len(engines) >= 3
    assert [name for name in engines if f"::: {name}\n" not in page] == []


@pytest.mark.slow
def test_site_builds_without_a_warning_and_asks_no_other_host(tmp_path):
    done = subprocess.run([sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path / "site")],
                          cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 15
    fetched = [match for page in pages for match in re.findall(r'(?:src|<link[^>]*href)="(https?://[^"]+)"',
                                                               page.read_text(encoding="utf-8"))]
    assert fetched == []
