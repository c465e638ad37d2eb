"""Roll-outs before vLLM servers, which get the weights in training before every batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from relayllm.config import GrpoRun
from relayllm.engines.checkpoints.weights import weights_digest
from relayllm.engines.decoder import RelayDecoder
from relayllm.engines.openai.student import OpenAIStudent
from relayllm.engines.openai.weights import ServedWeights
from relayllm.errors import ConfigError, StudentError
from relayllm.files import atomic_write
from relayllm.settings import current_settings
from relayllm.training.launching import is_main_process
from relayllm.training.lora import merged_weights, without_wrapper

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

SERVED = "served"
"""Folder of the weights that the servers read, in that of the run."""


class ServedDecoders:
    """One decoder over the servers of a run of GRPO and the teacher's; no model of its own."""

    def __init__(self, urls: Sequence[str], tokenizer: PreTrainedTokenizerBase, student: Path, teacher: Path,
                 run: GrpoRun, folder: Path) -> None:
        """Do the handshake with the servers, before anything is trained.

        Raises:
            ConfigError: the teacher is not served.
            StudentError: a server cannot be used for training.
        """
        helper = current_settings().teacher_at(teacher) if run.max_calls else None
        _refuse(urls, helper)
        self._tokenizer, self._folder = tokenizer, folder / SERVED
        self._weights = ServedWeights(urls)
        self._weights.check()
        self._decoder = RelayDecoder.from_servers(urls, student, helper if isinstance(helper, str) else None,
                                                  fixed_weights=False)
        self._check_logprobs()

    @contextmanager
    def of(self, model: torch.nn.Module) -> Iterator[RelayDecoder]:
        """The decoder over servers that have this model's weights: they are written, an adapter merged, and loaded.

        Raises:
            StudentError: a server did not take the weights, or lost them.
        """
        from accelerate import PartialState

        processes = PartialState()
        if is_main_process():
            self._write(model)
            self._weights.load(self._folder, weights_digest(self._folder))
        processes.wait_for_everyone()
        yield self._decoder
        self._weights.expect(weights_digest(self._folder))
        processes.wait_for_everyone()  # who is first to be done may write the next weights

    def close(self) -> None:
        """Close the connections to the servers."""
        self._decoder.close()
        self._weights.close()

    def _write(self, model: torch.nn.Module) -> None:
        with atomic_write(self._folder) as part:
            without_wrapper(model).save_pretrained(part, state_dict=merged_weights(model))
            self._tokenizer.save_pretrained(part)

    def _check_logprobs(self) -> None:
        student = self._decoder.student
        assert isinstance(student, OpenAIStudent)  # as `from_servers` makes it
        if not all(info.processed_logprobs for info in student.verify()):
            self.close()
            raise StudentError(f"student at {student.name} tells log-probabilities before the grammar's "
                               "mask and the temperature: start it with --logprobs-mode processed_logprobs")


def _refuse(urls: Sequence[str], teacher: str | Path | None) -> None:
    if isinstance(teacher, Path):
        raise ConfigError(f"RELAY_ROLLOUT_URLS names {', '.join(urls)}, and the teacher is the folder {teacher}: serve "
                          "the teacher, too, and name it in RELAY_TEACHER_URL, or unset RELAY_ROLLOUT_URLS")
