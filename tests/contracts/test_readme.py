"""What the README says about the folder is true."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def tree() -> list[str]:
    """Paths of the README's tree, folders with their slash."""
    block = re.search(r"## Where things are\n+```text\n(.*?)```", README, re.S)
    assert block
    paths: list[str] = []
    above = ""
    for line in block[1].splitlines():
        name = line.split()[0]
        above = above if line.startswith(" ") else ""
        paths.append(above + name)
        above = above or (name if name.endswith("/") else "")
    return paths


def tracked() -> list[str]:
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, text=True, capture_output=True, check=True)
    return [path for path in done.stdout.splitlines() if not path.startswith(".")]


@pytest.mark.parametrize("path", tree())
def test_tree_entry_exists(path):
    found = ROOT / path
    assert found.is_dir() if path.endswith("/") else found.is_file()


def test_tree_names_everything_at_the_root():
    """A team's own dvc.lock excepted: docs/decisions/0007-no-lock-of-another-machine.md."""
    at_root = {path.split("/")[0] + "/" * ("/" in path) for path in tracked()}
    named = {path if path.count("/") < 2 else path.split("/")[0] + "/" for path in tree()}
    assert at_root - {"dvc.lock"} == named


def test_tree_names_every_folder_of_the_package():
    inside = {f"src/relayllm/{path.split('/')[2]}/" for path in tracked()
              if path.startswith("src/relayllm/") and path.count("/") > 2}
    assert inside == {path for path in tree() if path.startswith("src/relayllm/") and path != "src/relayllm/"}


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\bmake ([a-z-]+)", README))))
def test_make_target_exists(target):
    assert re.search(rf"^{target}:.*## \S", (ROOT / "Makefile").read_text(), re.M)


def test_readme_names_every_make_target_a_person_needs():
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.M))
    assert targets - {"help", "env", "repro"} <= set(re.findall(r"\bmake ([a-z-]+)", README))


def test_artifacts_in_the_table_are_made_by_a_stage():
    made = (ROOT / "dvc.yaml").read_text().replace("${key}", "NAME")
    named = re.findall(r"^\| `(artifacts/[^`]+)`", README, re.M)
    assert named
    assert not [path for path in named if path.rstrip("/") not in made and path.rpartition("/")[0] not in made]


def test_python_example_uses_names_that_exist():
    from relayllm.engines.decoder import RelayDecoder
    from relayllm.relay.trace import Trace

    code = "".join(re.findall(r"```python\n(.*?)```", README, re.S))
    compile(code, "README.md", "exec")
    assert {name for name in re.findall(r"\btrace\.(\w+)", code) if not hasattr(Trace, name)} == set()
    used = re.findall(r"\b(?:RelayDecoder|decoder)\.(\w+)", code)
    assert {name for name in used if not hasattr(RelayDecoder, name)} == set()


def test_question_of_the_readme_is_one_that_the_tiny_world_asks():
    """What a reader copies first must be answered: a held-out problem of the benchmark `boxes`, and its answer."""
    from relayllm.problems.tiny_world import benchmark_problems

    asked = set(re.findall(r"[A-Z][^\"\n]* How many [^\"\n]*\?", README))
    golds = {problem.question: problem.answer for problem in benchmark_problems("boxes", 100, 0)}
    assert asked
    assert asked <= set(golds)
    assert all(f": {golds[question]}\n" in README for question in asked)


def test_badges_say_what_the_package_says():
    """They are files of ours: a reader's machine asks no other host."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    shown = {name: re.search(r"<title>\w+: (.*)</title>", (ROOT / f"docs/images/badge-{name}.svg").read_text())[1]
             for name in re.findall(r"badge-(\w+)\.svg", README)}
    first, last = (int(minor) for minor in re.fullmatch(r">=3\.(\d+),<3\.(\d+)", project["requires-python"]).groups())
    assert shown == {"licence": project["license"], "paper": "arXiv 2601.05167",
                     "python": ", ".join(f"3.{minor}" for minor in range(first, last))}


def test_picture_of_the_pipeline_has_the_stages_in_their_order():
    stages = re.findall(r"^  ([a-z_]+):$", (ROOT / "dvc.yaml").read_text(), re.M)
    picture = (ROOT / "docs/images/pipeline.svg").read_text()
    drawn = re.findall(r'class="n file-n"[^>]*>([a-z_]+)<', picture)
    assert drawn == ["ingest", *stages]


def test_how_long_and_how_large_stands_before_the_first_command():
    before = README[:README.index("```bash")]
    for wanted in (r"\d minutes", r"downloads some [\d.]+ [GM]B", r"[\d.]+ GB of disk"):
        assert re.search(wanted, before), wanted
