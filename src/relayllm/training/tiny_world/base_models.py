"""Train the tiny world's models side by side, a process and a thread each."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from relayllm.config import TinyModel
from relayllm.errors import TrainingError
from relayllm.files import atomic_write
from relayllm.progress import print_line

if TYPE_CHECKING:
    from multiprocessing.queues import SimpleQueue


def train_all(models: Mapping[str, tuple[TinyModel, Path]]) -> dict[str, float]:
    """Write a model folder for each role; returns the seconds each took.

    Raises:
        TrainingError: one of the processes failed; the message says why.
    """
    context = multiprocessing.get_context("spawn")
    faults = context.SimpleQueue()
    workers = {role: context.Process(target=_train_and_report, args=(faults, role, shape, folder), name=role)
               for role, (shape, folder) in models.items()}
    started = time.monotonic()
    seconds: dict[str, float] = {}
    for worker in workers.values():
        worker.start()
    try:
        while len(seconds) < len(workers):
            for role, worker in workers.items():
                worker.join(0.1)
                if worker.exitcode is not None:
                    seconds.setdefault(role, time.monotonic() - started)
                if worker.exitcode:
                    why = "killed before it could say why" if faults.empty() else faults.get()
                    raise TrainingError(f"training the tiny {role} ended with exit code {worker.exitcode}: {why}")
    finally:
        for worker in workers.values():
            worker.kill()
    return seconds


def _train_and_report(faults: SimpleQueue[str], role: str, config: TinyModel, folder: Path) -> None:
    try:
        _train_one(role, config, folder)
    except BaseException as error:
        faults.put(f"{type(error).__name__}: {error}")
        raise


def _train_one(role: str, config: TinyModel, folder: Path) -> None:
    import torch

    from relayllm.problems.tiny_world.tokenizer import build_tokenizer
    from relayllm.training.tiny_world.trainer import train

    torch.set_num_threads(1)
    tokenizer = build_tokenizer()
    model = train(config, tokenizer, lambda line: print_line(f"{role}: {line}"))
    with atomic_write(folder) as part:
        model.save_pretrained(part)
        tokenizer.save_pretrained(part)
    print_line(f"{role}: {model.num_parameters():,} parameters in {folder}")
