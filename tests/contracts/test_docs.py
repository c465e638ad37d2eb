"""Links and commands in the documents lead somewhere."""

import re
from pathlib import Path

import pytest

from relayllm.cli import COMMANDS, stage_names

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
FENCED = re.compile(r"```.*?```", re.S)


def anchors(page: Path) -> set[str]:
    """Headings as GitHub names them."""
    heads = re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text(encoding="utf-8")), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


def dead_links(page: Path) -> list[str]:
    dead = []
    for link in re.findall(r"\]\(([^)\s]+)\)", FENCED.sub("", page.read_text(encoding="utf-8"))):
        path, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", link):
            continue
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            dead.append(link)
    return dead


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_leads_somewhere(page):
    assert dead_links(page) == []


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_relay_command_exists(page):
    known = {name.replace("_", "-") for name in stage_names()} | set(COMMANDS)
    text = page.read_text(encoding="utf-8")
    asked = re.findall(r"`relay ([a-z][a-z-]+)", text)
    asked += [name for block in FENCED.findall(text) for name in re.findall(r"^relay ([a-z][a-z-]+)", block, re.M)]
    assert set(asked) <= known


def test_index_lists_every_page_of_docs():
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / link.partition("#")[0]).resolve()
              for link in re.findall(r"\]\(([^)\s]+)\)", index.read_text(encoding="utf-8"))}
    assert {page for page in PAGES if page.is_relative_to(ROOT / "docs") and page != index} <= linked


@pytest.mark.parametrize("folder", ["src", "flows", "infra", "tests", "params"])
def test_pages_that_code_refers_to_exist(folder):
    files = [path for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".yaml", ".html")]
    named = {(str(file.relative_to(ROOT)), page) for file in files
             for page in re.findall(r"\bdocs/[\w/-]+\.md", file.read_text(encoding="utf-8"))}
    assert {(file, page) for file, page in named if not (ROOT / page).is_file()} == set()


def test_glossary_names_classes_that_exist():
    words = (ROOT / "docs/architecture.md").read_text().split("## Words")[1]
    named = set(re.findall(r"`([A-Z][A-Za-z]+)`", words))
    there = {match for path in (ROOT / "src").rglob("*.py")
             for match in re.findall(r"^class (\w+)", path.read_text(), re.M)}
    assert len(named) > 30
    assert named - there == set()
