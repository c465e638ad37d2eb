"""Load models and tokenizers from a folder or the hub, and say clearly what is wrong with them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers.utils import logging as bars

from relayllm.engines.checkpoints.adapters import refuse_adapter
from relayllm.engines.checkpoints.gguf import names_gguf, read_tokenizer
from relayllm.errors import ModelError
from relayllm.relay.protocols import CausalLM, Tokenizer
from relayllm.settings import current_settings

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase


def no_progress_bars() -> None:
    """Keep transformers from drawing bars while it loads or saves weights: commands and stages say how far they are.

    Bars of downloads from the hub stay; they are drawn in a terminal only.
    """
    bars.set_tqdm_hook(lambda bar, args, named: bar(*args, **{**named, "disable": True}))


no_progress_bars()  # here, since whoever loads, trains or saves a model imports this module

TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tekken.json",
              "sentencepiece.bpe.model")
"""Files of which a tokenizer has at least one: where its vocabulary is."""
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load_tokenizer(source: str | Path, revision: str | None = None) -> PreTrainedTokenizerBase:
    """The tokenizer of a model folder, a GGUF file or a hub id.

    Raises:
        ModelError: it is missing or unreadable.
    """
    from transformers import AutoTokenizer

    if names_gguf(source):
        return read_tokenizer(Path(source))
    _check_folder(source)
    if (folder := Path(source)).is_dir() and not any((folder / name).is_file() for name in TOKENIZERS):
        raise ModelError(f"{source} has no tokenizer: none of {', '.join(TOKENIZERS)}; copy the folder whole, every "
                         "file of it")
    try:
        return AutoTokenizer.from_pretrained(str(source), revision=revision)
    except Exception as error:  # json, tokenizers, sentencepiece: each has errors of its own for a broken file
        raise ModelError(_message(source, "tokenizer", error)) from error


def load_config(source: str | Path) -> PreTrainedConfig:
    """The config of a model folder or hub id.

    Raises:
        ModelError: it is missing, unreadable, or of an architecture that transformers does not know.
    """
    from transformers import AutoConfig

    _check_folder(source)
    try:
        return AutoConfig.from_pretrained(str(source))
    except Exception as error:  # values that do not fit each other have an error of their own
        raise ModelError(_message(source, "config", error)) from error


def load_model(source: str | Path, *, dtype: str | torch.dtype | None = None, device: str | None = None,
               revision: str | None = None) -> PreTrainedModel:
    """A causal LM in eval mode, on `device` (the accelerator when there is one, else the CPU).

    Raises:
        ModelError: it is missing or unreadable, or lacks weights that its config speaks of.
    """
    _check_folder(source)
    model, _ = _loaded(source, dtype=DTYPES[dtype] if isinstance(dtype, str) else dtype or "auto", revision=revision)
    return model.to(device or best_device()).eval()


def check_weights(folder: Path) -> None:
    """Hold the weights of a folder against its config: names and shapes alone, nothing is read.

    Raises:
        ModelError: one of them has what the other does not know, or another shape.
    """
    _, unexpected = _loaded(folder, device_map="meta")
    if unexpected:
        raise ModelError(f"the config of {folder} knows nothing of {len(unexpected)} weights that are there, like "
                         f"{unexpected[0]}: the two do not belong together; copy the folder again, every file of it")


def _loaded(source: str | Path, **more: Any) -> tuple[PreTrainedModel, list[str]]:
    """(model, weights that it has no place for)."""
    from transformers import AutoModelForCausalLM

    try:
        model, found = AutoModelForCausalLM.from_pretrained(
            str(source), output_loading_info=True, ignore_mismatched_sizes=True, **more)
    except Exception as error:  # safetensors, json, torch: each has errors of its own for a broken file
        raise ModelError(_message(source, "model", error)) from error
    if missing := sorted(found["missing_keys"]):
        raise ModelError(f"{source} lacks {len(missing)} weights of which its config speaks, like {missing[0]}: they "
                         "would be random numbers; copy the folder again, every file of it")
    for name, there, wanted in sorted(found["mismatched_keys"]):
        raise ModelError(f"{name} of {source} has the shape {tuple(there)}, and its config wants {tuple(wanted)}: the "
                         "two do not belong together; copy the folder again, every file of it")
    return model, sorted(found["unexpected_keys"])


def load_teacher(folder: Path, *, dtype: str | None = None) -> tuple[PreTrainedModel | str, PreTrainedTokenizerBase]:
    """(teacher, its tokenizer): a server's address, or the model in the folder; the tokenizer is always the folder's.

    Raises:
        ModelError: the folder is missing or unreadable.
    """
    source = current_settings().teacher_at(folder)
    return source if isinstance(source, str) else load_model(source, dtype=dtype), load_tokenizer(folder)


def best_device() -> str:
    """cuda when there is one; of several, this process' own, as its launcher numbers them."""
    if not torch.cuda.is_available():
        return "cpu"
    return f"cuda:{os.environ['LOCAL_RANK']}" if "LOCAL_RANK" in os.environ else "cuda"


def end_ids(model: CausalLM, tokenizer: Tokenizer) -> frozenset[int]:
    """The ids that end a text: the tokenizer's, and those of the generation config."""
    ids: set[int] = {tokenizer.eos_token_id} if tokenizer.eos_token_id is not None else set()
    config = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    if config is not None:
        ids |= set(config) if isinstance(config, Iterable) else {config}
    return frozenset(ids)


def _check_folder(source: str | Path) -> None:
    path = Path(source)
    looks_local = isinstance(source, Path) or path.is_absolute() or str(source).startswith(("./", "../", "artifacts/"))
    refuse_adapter(path)
    if looks_local and not (path / "config.json").is_file():
        there = "exists but holds no config.json" if path.exists() else "does not exist"
        raise ModelError(f"no model at {path}: the folder {there}; run the stage that makes it (`dvc repro`, or "
                         "`make pipeline`), or name a folder that transformers can read")


def _message(source: str | Path, what: str, error: BaseException) -> str:
    local = Path(source).exists()
    remedy = ("the folder is damaged, or of a kind that cannot be read here: take a good copy, or, if a stage made it, "
              "run that again (`dvc repro --force STAGE`)" if local else
              "check the name; without a network only local folders and what the hub's cache holds can be loaded")
    said = " ".join(str(error).split())[:300]
    return f"cannot load the {what} {source}: {type(error).__name__}: {said}; {remedy}"
