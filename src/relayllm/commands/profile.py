"""Write a shipped profile to `params.yaml`, so that git and DVC see the change."""

from __future__ import annotations

import argparse

from relayllm.config import load_params
from relayllm.errors import ConfigError
from relayllm.files import atomic_write
from relayllm.settings import current_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `relay profile`."""
    parser.add_argument("name", nargs="?", help="a file in params/, without .yaml; none: list them")


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
    write_profile(arguments.name)
    return 0


def write_profile(name: str) -> None:
    """Check `params/NAME.yaml` and copy it over `params.yaml`, byte for byte."""
    source = current_settings().root / "params" / f"{name}.yaml"
    load_params(source)
    text = source.read_bytes()
    target = current_settings().root / "params.yaml"
    if not target.is_file() or target.read_bytes() != text:
        with atomic_write(target) as part:
            part.write_bytes(text)
