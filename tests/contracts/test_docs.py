"""Links and commands in the documents lead somewhere."""

import argparse
import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest

from relayllm.cli import COMMANDS, stage_names

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
FENCED = re.compile(r"```.*?```", re.S)
EXPLAINED_ELSEWHERE = ("config/", "settings.py", "errors.py", "commands/", "engines/openai/options.py",
                       "engines/openai/pool_config.py", "registry/gates.py", "serving/api/", "serving/errors.py")
"""Modules whose classes the glossary leaves out: settings, the models of HTTP bodies, errors, parts of one command."""
OF_ONE_MODULE = {
    "Checked", "GgufHeader", "Shape", "Tensor", "Int8Linear", "Context", "Batch", "GgufModel", "Part", "Reading",
    "Masks", "Circuit", "Rule", "OnceHandshake", "ServedWeights",
    "PaperRow", "SheetRow", "Answers", "Provenance", "Limits", "Found", "Evaluation", "BaseAndTeacher", "Generator",
    "Search", "Place", "Models", "Example", "Material", "Fit", "TokenizerPair", "RouteThreshold",
    "Kind", "ParsedAnswer", "Parts", "Files", "FileFormat", "HuggingFace", "SourceRow", "TinyWorld", "Numbers", "Story",
    "Rate", "Progress", "Difference", "ReleaseStatus",
    "SpareCommandTokens", "TokenWriter", "TextWriter", "EventEmitter", "RowState", "Tokenizer", "CausalLM", "Usage",
    "WrittenToken", "ServedSegment",
    "Visit", "BudgetTable", "Sink", "CheckpointMarker", "Device", "RolloutTrainer", "WarmupTrainer", "Match", "Text",
    "Check"}
"""Classes that nobody meets who does not read their module; it says there what they are."""


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


def shown_commands(page: Path) -> list[list[str]]:
    """Lines of code blocks that begin with `relay`, as words; lines that end in a backslash go on."""
    blocks = "\n".join(FENCED.findall(page.read_text(encoding="utf-8"))).replace("\\\n", " ")
    lines = [line.split(" && ")[0] for line in blocks.splitlines() if line.startswith("relay ")]
    return [shlex.split(line, comments=True)[1:] for line in lines]


@pytest.mark.parametrize("page", [page for page in PAGES if shown_commands(page)], ids=lambda page: page.stem)
def test_every_relay_command_that_a_page_shows_has_the_arguments_that_it_needs(page):
    for name, *words in shown_commands(page):
        if name in COMMANDS:
            target, _, prefix = COMMANDS[name][0].partition(":")
            module, parser = importlib.import_module(target), argparse.ArgumentParser(f"{page.name}: relay {name}")
            (getattr(module, prefix) if prefix else module).add_arguments(parser)
            parser.parse_args(words)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_block_of_code_names_its_language(page):
    fences = re.findall(r"^ *```(.*)$", page.read_text(encoding="utf-8"), re.M)
    assert [opened for opened in fences[::2] if not opened] == []
    assert set(fences[1::2]) <= {""}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_no_block_of_a_shell_exports_a_variable_twice(page):
    """What is copied whole must mean what it says: of two values the second would win."""
    blocks = FENCED.findall(page.read_text(encoding="utf-8"))
    exported = [re.findall(r"^ *export (\w+)=", block, re.M) for block in blocks]
    assert [names for names in exported if len(set(names)) < len(names)] == []


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


def test_modules_that_pages_and_code_name_exist():
    """A path from the root, or in pages one from `src/relayllm/`."""
    folders = ("src", "flows", "infra", "tests", "benchmarks")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    whole = r"\b(?:src/relayllm|flows|infra|tests|benchmarks)/[\w/]+\.(?:py|sh)\b"
    named = {(file, path) for file in [*files, *PAGES] for path in re.findall(whole, file.read_text(encoding="utf-8"))}
    rooms = "|".join(path.name for path in (ROOT / "src/relayllm").iterdir() if path.is_dir())
    named |= {(page, f"src/relayllm/{path}") for page in PAGES
              for path in re.findall(rf"`((?:{rooms})/[\w/]+\.py)\b", page.read_text(encoding="utf-8"))}
    assert len(named) > 50
    history = ROOT / "CHANGELOG.md"
    assert {(file, path) for file, path in named if file != history and not (ROOT / path).is_file()} == set()


@pytest.mark.parametrize("page", ["decoder.md", "architecture.md"])
def test_names_in_pages_about_the_code_are_names_of_the_code(page):
    """What stands there as `a_name`, `AClass` or `a.name(...)`."""
    text = FENCED.sub("", (ROOT / "docs" / page).read_text(encoding="utf-8"))
    named = {word for quoted in re.findall(r"`([A-Za-z_][\w.]*)(?:\(.*?\)|=\w+)?`", text) for word in quoted.split(".")}
    sources = [path for folder in ("src", "flows", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    known = {word for path in [*sources, ROOT / "dvc.yaml", ROOT / "params.yaml"]
             for word in re.findall(r"\w+", f"{path.relative_to(ROOT)} {path.read_text(encoding='utf-8')}")}
    assert len(named) > 50
    assert named - known == set()


def test_glossary_names_classes_and_aliases_of_types_that_exist():
    words = (ROOT / "docs/architecture.md").read_text().split("## Words")[1]
    named = set(re.findall(r"`([A-Z][A-Za-z]+)`", words))
    there = {match for path in (ROOT / "src").rglob("*.py")
             for match in re.findall(r"^(?:class )?([A-Z]\w*[a-z]\w*)(?=[(:]| = )", path.read_text(), re.M)}
    assert len(named) > 30
    assert named - there == set()


def test_architecture_names_every_folder_of_the_package_and_every_module_of_the_relay():
    page = (ROOT / "docs/architecture.md").read_text()
    package = ROOT / "src/relayllm"
    folders = {f"{path.parent.name}/" for path in package.rglob("__init__.py") if path.parent not in (
        package, package / "serving/api/schemas")}
    modules = {f"`{path.name}`" for path in (package / "relay").glob("*.py")} - {"`__init__.py`"}
    assert {name for name in folders | modules if name not in page} == set()


def unexplained(glossary: str) -> set[str]:
    """Public classes without a word in the glossary, of the modules that ought to have one."""
    source = ROOT / "src/relayllm"
    paths = [path for path in source.rglob("*.py")
             if not path.relative_to(source).as_posix().startswith(EXPLAINED_ELSEWHERE)]
    classes = {node.name for path in paths for node in ast.parse(path.read_text(encoding="utf-8")).body
               if isinstance(node, ast.ClassDef) and not node.name.startswith("_")}
    return classes - set(re.findall(r"`(\w+)`", glossary))


def test_glossary_has_every_class_that_a_newcomer_meets():
    glossary = (ROOT / "docs/architecture.md").read_text(encoding="utf-8").partition("## Words")[2]
    assert unexplained(glossary) - OF_ONE_MODULE == set()
    assert "Row" in unexplained(glossary.replace("`Row`", ""))
