"""Whether a model fits its role: found out before hours are spent on it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from relayllm.engines.architecture import check_architecture
from relayllm.engines.checkpoints.weights import weights_of
from relayllm.engines.commands import add_to_tokenizer
from relayllm.engines.loading import check_weights, load_config, load_tokenizer
from relayllm.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

Role = Literal["student", "teacher"]


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found about a model that fits."""

    parameters: int
    warnings: tuple[str, ...]


def role_of(name: str) -> Role:
    """The role of a model of `base_models` by its name there: every other one is a teacher."""
    return "student" if name == "student" else "teacher"


def check_model(folder: Path, name: str, role: Role) -> Checked:
    """Read config, tokenizer and headers of the weights; loads nothing.

    Raises:
        ModelError: no weights, others than the config speaks of, packed weights that cannot be trained, no causal
            language model, attention or logits that the relay does not know, fewer rows than the tokenizer has tokens,
            digits that are no tokens, a chat template that cannot render a question.
    """
    tensors = weights_of(folder)
    config = load_config(folder)
    _check_causal(config, name, folder)
    packed = getattr(config, "quantization_config", None)
    if packed and role == "student":
        raise _cannot_be_trained(packed, name, folder)
    text = config.get_text_config()
    check_architecture(text, f"{name} in {folder}", tensors)
    tokenizer = load_tokenizer(folder)
    if text.vocab_size < len(tokenizer):
        raise ModelError(f"{name} in {folder} scores {text.vocab_size:,} tokens, its tokenizer knows "
                         f"{len(tokenizer):,}: they do not belong together; take both from one place")
    if role == "student":
        add_to_tokenizer(copy.deepcopy(tokenizer))
    if not packed:
        check_weights(folder)
    return Checked(sum(tensor.size for tensor in tensors.values()), tuple(_template_warnings(tokenizer, name, folder)))


def size_warnings(parameters: Mapping[str, int]) -> list[str]:
    """Teachers that are smaller than the student, which they are to help."""
    student = parameters["student"]
    return [f"{name} has {count:,} parameters and the student {student:,}: a teacher that is smaller seldom helps; "
            "are the two swapped in base_models?"
            for name, count in parameters.items() if name != "student" and count < student]


def _check_causal(config: PreTrainedConfig, name: str, folder: Path) -> None:
    """Refuse a model that does not write token after token, each from those before it alone."""
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING

    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING or getattr(config, "is_decoder", None) is False:
        raise ModelError(f"{name} in {folder} ({config.model_type}) is no causal language model, and the relay decodes "
                         "no other: take one whose architecture ends with ForCausalLM (Qwen2, Qwen3, Llama)")


def _cannot_be_trained(packed: object, name: str, folder: Path) -> ModelError:
    method = packed.get("quant_method") if isinstance(packed, Mapping) else getattr(packed, "quant_method", "")
    return ModelError(f"{name} in {folder} is a quantised checkpoint ({method}), and packed weights cannot be trained: "
                      "take the checkpoint in bfloat16 that it was made from, or a GGUF file, which is unpacked")


def _template_warnings(tokenizer: PreTrainedTokenizerBase, name: str, folder: Path) -> list[str]:
    """What of its chat template a user should know.

    Raises:
        ModelError: it cannot even render a question.
    """
    question = {"role": "user", "content": "b"}
    if not getattr(tokenizer, "chat_template", None):
        return [f"{name} has no chat template: it is asked with the bare text of the question; an instruction-tuned "
                "model brings one"]
    try:
        tokenizer.apply_chat_template([question], tokenize=False, add_generation_prompt=True)
    except Exception as error:  # templates raise what they like
        raise ModelError(f"{name}'s chat template cannot render a question ({error}): mend chat_template.jinja, or "
                         f"chat_template of tokenizer_config.json, in {folder}") from error
    try:
        tokenizer.apply_chat_template([{"role": "system", "content": "a"}, question], tokenize=False,
                                      add_generation_prompt=True)
    except Exception as error:
        return [f"{name}'s chat template refuses system messages ({error}): problems are asked without one, served "
                "requests with one will be refused"]
    return []
