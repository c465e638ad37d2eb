"""What of a model's architecture the relay's attention does not know: such a model would be decoded wrongly, unsaid.

`engines.attention` reads every key up to a token and leaves scores as they are; `LocalEngine` takes logits as the head
gives them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from relayllm.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

FULL = "full_attention"
WINDOWED = "sliding_attention"
SCALES = ("logit_scale", "logits_scaling", "lm_head_multiplier")
"""Names under which models multiply or divide what the head gives."""


def check_architecture(config: PreTrainedConfig, name: str, weights: Iterable[str] = ()) -> None:
    """Refuse a model whose attention or head the relay does not know; `weights` are the names of its parameters.

    Raises:
        ModelError: layers that do not attend to all that came before, sinks, capped scores or logits, scaled logits.
    """
    found = [*_layers(config), *_caps(config), *_scales(config), *_sinks(weights)]
    if found:
        raise ModelError(f"{name} ({config.model_type}) has {', '.join(found)}, and the relay's own attention and head "
                         "know nothing of that: its tokens would be wrong. Take a model without it (Qwen2, Qwen3, "
                         "Llama), or let an OpenAI-compatible server be the teacher and give its http(s) address")


def _layers(config: PreTrainedConfig) -> list[str]:
    """Kinds of layers in use. A window that is switched off, or as long as all that can be read, is none."""
    longest = getattr(config, "max_position_embeddings", None)
    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    kinds = getattr(config, "layer_types", None) or [WINDOWED if window else FULL]
    reaches = not window or (longest is not None and longest <= window)
    return [f"layers of {WINDOWED} over {window} of {longest} tokens" if kind == WINDOWED else f"layers of {kind}"
            for kind in sorted(set(kinds) - {FULL}) if not (kind == WINDOWED and reaches)]


def _sinks(weights: Iterable[str]) -> list[str]:
    """Scores that every query has beside its keys', learned per head."""
    return ["attention sinks"] if any(name.rpartition(".")[2] == "sinks" for name in weights) else []


def _caps(config: PreTrainedConfig) -> list[str]:
    return [f"{name} {value}" for name, value in sorted(vars(config).items())
            if "softcap" in name.replace("_", "") and value]


def _scales(config: PreTrainedConfig) -> list[str]:
    values = {name: getattr(config, name, None) for name in SCALES}
    return [f"{name} {value}" for name, value in values.items() if value not in (None, 1)]
