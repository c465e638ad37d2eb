"""Write a shipped profile to `params.yaml`, with models and problems of one's own where they are given."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from types import MappingProxyType

from ruamel.yaml import YAML
from ruamel.yaml.representer import RoundTripRepresenter

from relayllm.config import load_params
from relayllm.errors import ConfigError
from relayllm.files import atomic_write
from relayllm.problems.catalogue import BENCHMARKS
from relayllm.settings import current_settings

LINE = 4096
"""Characters; lists of the profiles stay on theirs."""


class _Representer(RoundTripRepresenter):
    """Nulls are written as such, as the profiles have them."""


_Representer.add_representer(type(None), lambda made, _: made.represent_scalar("tag:yaml.org,2002:null", "null"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `relay profile`."""
    parser.add_argument("name", nargs="?", help="a file in params/, without .yaml; none: list them")
    parser.add_argument("--student", type=Path, metavar="MODEL", help="your student: a folder with weights, or GGUF")
    parser.add_argument("--teacher", type=Path, metavar="MODEL", help="your teacher, likewise")
    parser.add_argument("--train", type=Path, metavar="FILE", help="your training problems: a file or folder of shards")
    parser.add_argument("--benchmarks", nargs="+", metavar="FILE", help="what to measure on, likewise; or sets by name")


def main(arguments: argparse.Namespace) -> int:
    """List the profiles, or write one."""
    folder = current_settings().root / "params"
    names = sorted(path.stem for path in folder.glob("*.yaml"))
    if not names:
        raise ConfigError(f"no profiles in {folder}: run in the project's root, or set RELAY_ROOT to it")
    if arguments.name is None:
        print("\n".join(names))
        return 0
    if arguments.name not in names:
        raise ConfigError(f"no profile {arguments.name!r}: there are {', '.join(names)}")
    models = {role: path for role in ("student", "teacher") if (path := getattr(arguments, role))}
    write_profile(folder / f"{arguments.name}.yaml", models, arguments.train, arguments.benchmarks or ())
    return 0


def write_profile(source: Path, models: Mapping[str, Path] = MappingProxyType({}), train: Path | None = None,
                  benchmarks: Sequence[str] = ()) -> None:
    """Check a profile and copy it over `params.yaml`: byte for byte, but for the models and problems that are given.

    Raises:
        ConfigError: the profile does not fit this version, or there is nothing at one of the paths.
    """
    load_params(source)
    given = models or train or benchmarks
    text = _with_own(source, models, train, benchmarks) if given else source.read_bytes()
    target = current_settings().root / "params.yaml"
    if not target.is_file() or target.read_bytes() != text:
        with atomic_write(target) as part:
            part.write_bytes(text)
            load_params(part)


def _with_own(source: Path, models: Mapping[str, Path], train: Path | None, benchmarks: Sequence[str]) -> bytes:
    """The profile with other models and problems; its comments and its style stay."""
    yaml, text = YAML(), BytesIO()
    yaml.width, yaml.Representer = LINE, _Representer
    values = yaml.load(source)
    for role, path in models.items():
        values["base_models"][role] = {"kind": "local", "path": _from_root(path), "digest": None}
    if "teacher" in models:
        values["package"]["teacher"] = "embedded"  # it is on no hub
    if train:
        values["ingest"].update(source="files", train=_from_root(train))
    if benchmarks:
        named = [name if name in BENCHMARKS else _from_root(Path(name)) for name in benchmarks]
        values["ingest"]["benchmarks"][:] = named
    yaml.dump(values, text)
    return text.getvalue()


def _from_root(path: Path) -> str:
    """A path as params.yaml names it: from the project's root where it lies in it, else whole."""
    if not path.exists():
        raise ConfigError(f"there is nothing at {path}: give a folder or a file that is there")
    whole, root = path.absolute(), current_settings().root.absolute()
    return str(whole.relative_to(root) if whole.is_relative_to(root) else whole)
