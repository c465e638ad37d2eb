"""Adapters over models of random weights."""

from __future__ import annotations

import copy

import torch
from peft import get_peft_model

from relayllm.config import LoraConfig
from relayllm.engines.commands import add_command_tokens, command_tokens
from relayllm.training.lora import adapter_config, give_bias
from tests.support.small_models import base_tokenizer, make_model

LORA = LoraConfig(rank=4, alpha=8, dropout=0.0, target_modules="all-linear", command_rows=True)


def student(kind: str = "qwen3", seed: int = 1):
    tokenizer = copy.deepcopy(base_tokenizer())
    network = make_model(kind, tokenizer, seed=seed)
    add_command_tokens(network, tokenizer)
    return network, tokenizer


def adapted(network, tokenizer, config: LoraConfig = LORA, seed: int = 3):
    """The network under an adapter of random numbers, as after some training."""
    wrapped = get_peft_model(network, adapter_config(config, network, command_tokens(tokenizer)))
    give_bias(wrapped)
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, weight in wrapped.named_parameters():
            if weight.requires_grad:
                weight.add_(torch.randn_like(weight) * (0.02 if "lora" in name else 0.3))
    return wrapped.eval()


def saved(kind: str, folder, config: LoraConfig = LORA):
    """(folder of the base, folder of the adapter, the model with the adapter over it)."""
    network, tokenizer = student(kind)
    network.save_pretrained(folder / "base")
    tokenizer.save_pretrained(folder / "base")
    wrapped = adapted(network, tokenizer, config)
    wrapped.save_pretrained(folder / "adapter")
    return folder / "base", folder / "adapter", wrapped
