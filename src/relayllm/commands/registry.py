"""The commands that act on the registry: compare, promote, rollback, fetch, check."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from relayllm.config import load_params
from relayllm.errors import ConfigError, RegistryError
from relayllm.files import atomic_write
from relayllm.settings import current_settings

if TYPE_CHECKING:
    from relayllm.registry.client import Registry, Version

NAME = "--name"


def _add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(NAME, help="the registered model; default: package.registered_name of params.yaml")


def _name(arguments: argparse.Namespace) -> str:
    return arguments.name or load_params(current_settings().params).package.registered_name


def _registry() -> Registry:
    from relayllm.registry.client import Registry
    from relayllm.registry.faults import check_registry

    check_registry()
    return Registry()


def _open(arguments: argparse.Namespace, which: str) -> tuple[Registry, Version]:
    registry = _registry()
    return registry, registry.find(_name(arguments), which)


class _Compare:
    """Two versions side by side: metrics with intervals, call ratio, latency, data set, parameters."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("old", metavar="A", help="a version's number or alias")
        parser.add_argument("new", metavar="B", help="another")
        parser.add_argument("--format", choices=["text", "markdown", "json"], default="text")
        _add_name(parser)

    def main(self, arguments: argparse.Namespace) -> int:
        from relayllm.registry import release
        from relayllm.registry.comparison_text import to_json, to_markdown, to_text
        from relayllm.registry.gates import load_gates

        registry, old = _open(arguments, arguments.old)
        new = registry.find(old.name, arguments.new)
        comparison = release.side_by_side(registry, old, new, load_gates())
        registry.annotate(new, files={f"comparison-with-{old.number}.md": to_markdown(comparison)})
        shown = {"text": to_text, "markdown": to_markdown, "json": lambda it: json.dumps(to_json(it), indent=2)}
        print(shown[arguments.format](comparison))
        return 0


class _Promote:
    """Give a version the champion alias if every gate holds."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("version", help="a version's number or alias; `candidate` is what the last release held")
        parser.add_argument("--force", metavar="REASON", help="promote although a gate fails; the reason is kept")
        _add_name(parser)

    def main(self, arguments: argparse.Namespace) -> int:
        from relayllm.registry import release
        from relayllm.registry.champions import FORCED, promote
        from relayllm.registry.comparison_text import to_text
        from relayllm.registry.gates import load_gates

        registry, version = _open(arguments, arguments.version)
        decision = release.evaluate_candidate(registry, version, load_gates())
        print(to_text(decision.comparison, decision.gates))
        if not decision.passes and not arguments.force:
            raise RegistryError(f"version {version.number} stays as it is, {decision.reason}; "
                                "--force REASON promotes it all the same")
        because = decision.reason if decision.passes else f"{FORCED}{arguments.force}"
        print(f"\nchampion is version {promote(registry, decision.version, because).number}")
        return 0


class _Rollback:
    """Give the champion alias back to the version before."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--because", default="by hand", help="kept as a tag of the version that goes")
        _add_name(parser)

    def main(self, arguments: argparse.Namespace) -> int:
        from relayllm.registry.champions import rollback

        now = rollback(_registry(), _name(arguments), arguments.because)
        print(f"champion is version {now.number}" if now else "there was no version before: nothing is champion now")
        return 0


class _Fetch:
    """Copy the student's weights of a version into a folder, for servers of the student."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("version", help="models:/NAME@ALIAS or models:/NAME/NUMBER")
        parser.add_argument("--student", type=Path, required=True, metavar="FOLDER", help="must not exist yet")

    def main(self, arguments: argparse.Namespace) -> int:
        from relayllm.packaging.folder import open_package
        from relayllm.registry.client import Registry

        if arguments.student.exists():
            raise ConfigError(f"{arguments.student} exists: give a folder that does not, or remove it first")
        registry = Registry()
        version = registry.resolve(arguments.version)
        source = open_package(registry.fetch(version)).student
        with atomic_write(arguments.student) as part:
            shutil.copytree(source, part)
        print(f"the student of {version.name} version {version.number} is in {arguments.student}")
        return 0


class _Check:
    """Serve a version with MLflow, ask it one question, stop it."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("version", nargs="?", default="champion", help="number, alias, or a package folder")
        parser.add_argument("--prompt", help="default: the first question it was packed with")
        _add_name(parser)

    def main(self, arguments: argparse.Namespace) -> int:
        from relayllm.packaging.smoke_test import check
        from relayllm.registry import release

        if (Path(arguments.version) / "MLmodel").is_file():
            folder, uri = Path(arguments.version), str(Path(arguments.version).resolve())
        else:
            registry, version = _open(arguments, arguments.version)
            folder, uri = registry.fetch(version), version.uri
        prompt = arguments.prompt or release.question(folder)
        print(f"{uri}: starting `mlflow models serve` ...", file=sys.stderr, flush=True)
        row = check(uri, prompt)
        print(f"asked    {prompt}\nanswered {row['text']}\n"
              f"calls    {row['calls']}, {100 * row['call_ratio']:.1f} % of the tokens are the teacher's")
        return 0


compare, promote, rollback, fetch, check = _Compare(), _Promote(), _Rollback(), _Fetch(), _Check()
