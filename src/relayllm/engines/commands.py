"""The two command tokens of a student: added to a vocabulary once, found again by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from relayllm.errors import ModelError
from relayllm.relay.command import CALL, DIGITS, END_CALL, CommandTokens, SpareCommandTokens
from relayllm.relay.protocols import Tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def command_tokens(tokenizer: Tokenizer) -> CommandTokens | None:
    """The command ids of a tokenizer, None when it has none.

    Raises:
        ModelError: digits are not single tokens, so that n could not be written digit by digit.
    """
    vocabulary = tokenizer.get_vocab()
    if CALL not in vocabulary or END_CALL not in vocabulary:
        return None
    digits = [tokenizer.encode(digit, add_special_tokens=False)[-1:] for digit in DIGITS]
    flat = tuple(ids[0] for ids in digits if ids)
    if len(set(flat)) != len(DIGITS):
        raise ModelError(f"the tokenizer of {tokenizer.name_or_path} has {len(set(flat))} single-digit tokens, a "
                         "command needs 10: use a tokenizer that splits digits (Qwen3, Qwen2.5, Llama)")
    return CommandTokens(vocabulary[CALL], vocabulary[END_CALL], flat)


def add_command_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> CommandTokens:
    """Give a student its two command tokens; their embeddings start at the mean of all others.

    Random rows cost the warm-up accuracy. Rows that the embedding has to spare (Qwen pads it) are used before it grows.
    """
    known = command_tokens(tokenizer)
    if known is not None:
        return known
    size = len(tokenizer)
    commands = add_to_tokenizer(tokenizer)
    if model.get_input_embeddings().weight.shape[0] < len(tokenizer):
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    with torch.no_grad():
        for table in {id(t): t for t in (model.get_input_embeddings().weight,
                                         model.get_output_embeddings().weight)}.values():
            table[size:len(tokenizer)] = table[:size].mean(dim=0)
    return commands


def add_to_tokenizer(tokenizer: PreTrainedTokenizerBase) -> CommandTokens:
    """The ids that `add_command_tokens` will give, for data that is made before the model learns them."""
    tokenizer.add_special_tokens({"additional_special_tokens": [CALL, END_CALL]})
    found = command_tokens(tokenizer)
    assert found is not None
    return found


def spare_command_tokens(tokenizer: Tokenizer) -> SpareCommandTokens:
    """Ids for a student that has never seen a command."""
    size = len(tokenizer)
    digits = tuple(tokenizer.encode(digit, add_special_tokens=False)[-1] for digit in DIGITS)
    return SpareCommandTokens(size + 1_000_000, size + 1_000_001, digits)
