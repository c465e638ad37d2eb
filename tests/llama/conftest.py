"""Small models as GGUF files, and relays of them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from relayllm import RelayDecoder
from relayllm.engines.checkpoints.gguf_export import export
from tests.support.small_models import save_pair


@pytest.fixture(scope="session")
def gguf(tmp_path_factory):
    """Small models of one architecture as float32 GGUF files: (student, teacher)."""
    @cache
    def files(kind: str = "qwen3", same: bool = True) -> tuple[Path, Path]:
        place = save_pair(tmp_path_factory.mktemp("gguf"), kind, same)
        for name in ("student", "teacher"):
            export(place / name, place / f"{name}.gguf")
        return place / "student.gguf", place / "teacher.gguf"

    return files


@pytest.fixture(scope="session")
def decoder_of(gguf):
    """A relay of two GGUF files."""
    @cache
    def make(kind: str = "qwen3", same: bool = True) -> RelayDecoder:
        return RelayDecoder.from_pretrained(*gguf(kind, same))

    return make
