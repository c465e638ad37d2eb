"""Random-weight models and tokenizers for tests: small, varied, made in milliseconds."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch

from relayllm.engines.commands import add_command_tokens
from relayllm.problems.tiny_world.tokenizer import build_tokenizer


@cache
def base_tokenizer():
    """The tiny world's tokenizer, without commands."""
    return build_tokenizer()


@cache
def other_tokenizer():
    """Another byte-level BPE, that cuts the same text differently."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    texts = ["There are pens in the boxes, and 12 apples on the table.", "The answer is 42. It rains in the morning."]
    core.train_from_iterator(texts * 3, trainers.BpeTrainer(
        vocab_size=300, show_progress=False, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"]))
    return PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<|im_end|>", pad_token="<|endoftext|>",
                                   chat_template=base_tokenizer().chat_template)


def make_model(kind: str, tokenizer, seed: int, *, width: int = 32, layers: int = 2):
    """A random model of one architecture; weights large enough that its choices vary."""
    import transformers as hf

    torch.manual_seed(seed)
    shape = {"vocab_size": len(tokenizer), "hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": 4,
             "num_key_value_heads": 2, "intermediate_size": 2 * width, "max_position_embeddings": 512,
             "tie_word_embeddings": kind != "llama", "initializer_range": 0.35,
             "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None}
    if kind == "qwen3":
        return hf.Qwen3ForCausalLM(hf.Qwen3Config(head_dim=8, **shape)).eval()
    if kind == "qwen2":
        return hf.Qwen2ForCausalLM(hf.Qwen2Config(**shape)).eval()
    return hf.LlamaForCausalLM(hf.LlamaConfig(**shape)).eval()


@cache
def pair(kind: str = "qwen3", same: bool = True):
    """(student, its tokenizer, teacher, its tokenizer): the student knows commands."""
    import copy

    theirs = base_tokenizer() if same else other_tokenizer()
    teacher = make_model(kind, theirs, seed=2, width=48)
    tokenizer = copy.deepcopy(base_tokenizer())
    student = make_model(kind, tokenizer, seed=1)
    add_command_tokens(student, tokenizer)
    with torch.no_grad():  # let it want to call now and then
        student.get_output_embeddings().weight[-2] *= 2.5
    return student, tokenizer, teacher, theirs


def save_pair(place: Path, kind: str = "qwen3", same: bool = True) -> Path:
    """The folder `place` with the models of `pair` as `student` and `teacher`."""
    student, tokenizer, teacher, theirs = pair(kind, same)
    for name, model, its in (("student", student, tokenizer), ("teacher", teacher, theirs)):
        model.save_pretrained(place / name)
        its.save_pretrained(place / name)
    return place
