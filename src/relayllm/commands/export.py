"""`relay export`: the trained student as a GGUF file, for llama.cpp."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from relayllm.errors import ConfigError
from relayllm.serving.models.loading import CHAMPION
from relayllm.settings import current_settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of `relay export`."""
    add = parser.add_argument
    add("model", nargs="?", default=CHAMPION,
        help=f"models:/NAME@ALIAS, a package's folder, or a model's folder; default {CHAMPION}")
    add("--gguf", type=Path, required=True, metavar="FILE", help="what to write, NAME.gguf; must not exist yet")
    add("--quantise", default="F16", metavar="TYPE",
        help="F32, F16 or BF16, or a type of llama.cpp: Q8_0, Q4_K_M ... (with llama-cpp-python); default F16")


def main(arguments: argparse.Namespace) -> int:
    """Write the student of a version, package or folder as a GGUF file."""
    file, kind = arguments.gguf, arguments.quantise.upper()
    if file.suffix != ".gguf" or file.exists():
        raise ConfigError(f"--gguf is {file}, which {'exists' if file.exists() else 'does not end in .gguf'}: name a "
                          "new file, student.gguf")
    write(student_folder(arguments.model), file, kind)
    print(f"{file}: the student of {arguments.model} as {kind}, {file.stat().st_size / 2**20:,.1f} MiB\n"
          f"try it: relay generate --model {file} --teacher URL \"...\"")
    return 0


def write(source: Path, file: Path, kind: str) -> None:
    """Write a model's folder as a GGUF file, its matrices as floats or rounded by llama.cpp.

    Raises:
        ConfigError: there is no such type, or a package that is needed is not installed.
        ModelError: the folder is no model, or cannot be written so.
    """
    from relayllm.engines.checkpoints.gguf_export import FLOATS, export
    from relayllm.engines.llama_cpp.quantise import check_type, quantise

    if kind in FLOATS:
        return export(source, file, kind)
    check_type(kind)
    with tempfile.TemporaryDirectory(prefix="relay-export-", dir=file.resolve().parent) as folder:
        whole = Path(folder) / "whole.gguf"
        export(source, whole)
        quantise(whole, file, kind)


def student_folder(model: str) -> Path:
    """Where the student's weights lie: of a registered version, a package, or a bare model folder."""
    from relayllm.packaging.folder import RECORD, open_package
    from relayllm.registry.client import Registry
    from relayllm.serving.models.loading import find

    folder = find(model, current_settings(), Registry).folder
    return open_package(folder).student if (folder / "artifacts" / RECORD).is_file() else folder
