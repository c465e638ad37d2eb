"""How `relay serve` and `relay generate` load the models of this process."""

from __future__ import annotations

import argparse
from typing import Any

DTYPES = ("bfloat16", "float32", "int8")


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that both commands have."""
    parser.add_argument("--dtype", choices=DTYPES,
                        help="of both models' weights, except a GGUF file's; int8 is for a CPU; default: as they "
                             "were saved")
    parser.add_argument("--text-commands", action="store_true",
                        help="the student writes its commands as plain text: it was trained without command tokens")


def model_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """What was asked for, as `RelayDecoder.from_pretrained` takes it."""
    asked = {"dtype": arguments.dtype, "text_commands": arguments.text_commands}
    return {name: value for name, value in asked.items() if value}
