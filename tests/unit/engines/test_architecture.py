"""Models that the relay's attention would decode wrongly are refused; those beside them are decoded rightly."""

from __future__ import annotations

import pytest
import torch
import transformers as hf

from relayllm.engines.local import LocalEngine
from relayllm.errors import ModelError
from relayllm.relay.command import ALL_DIGITS
from relayllm.relay.engine import StepInput
from tests.support.reference import best

SHAPE = {"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 2, "head_dim": 8, "intermediate_size": 64, "max_position_embeddings": 64,
         "initializer_range": 0.35, "pad_token_id": 0, "bos_token_id": None, "eos_token_id": 1}
WINDOW = {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1}
PLAIN_GEMMA = {"sliding_window": 64, "attn_logit_softcapping": None, "final_logit_softcapping": None}


def model_of(kind: str, **more):
    torch.manual_seed(0)
    config = getattr(hf, f"{kind}Config")(**{**SHAPE, **more})
    return getattr(hf, f"{kind}ForCausalLM")(config).eval()


@pytest.mark.parametrize(("kind", "more", "said"), [
    ("Qwen2", WINDOW, "sliding_attention.*8.*64"),
    ("Qwen3", WINDOW, "sliding_attention.*8.*64"),
    ("Mistral", {"sliding_window": 16}, "sliding_attention.*16.*64"),
    ("Gemma2", {**PLAIN_GEMMA, "sliding_window": 16}, "sliding_attention.*16.*64"),
    ("Gemma2", {**PLAIN_GEMMA, "attn_logit_softcapping": 50.0}, "attn_logit_softcapping.*50"),
    ("Gemma2", {**PLAIN_GEMMA, "final_logit_softcapping": 30.0}, "final_logit_softcapping.*30"),
    ("Cohere", {}, "logit_scale.*0.0625"),
    ("Granite", {"logits_scaling": 8.0}, "logits_scaling.*8"),
    ("Qwen2", {"layer_types": ["chunked_attention", "full_attention"]}, "chunked_attention"),
])
def test_model_that_would_be_decoded_wrongly_is_refused(kind, more, said):
    with pytest.raises(ModelError, match=rf"teacher.*{said}"):
        LocalEngine(model_of(kind, **more), name="teacher", ends=())


def test_full_attention_with_sinks_is_refused():
    """Every layer of it reads all that came before, so its config looks harmless."""
    model = model_of("GptOss", layer_types=["full_attention"] * 2, num_local_experts=2, num_experts_per_tok=1)
    with pytest.raises(ModelError, match="attention sinks"):
        LocalEngine(model, name="teacher", ends=())


def test_attention_that_is_handed_what_it_does_not_know_refuses_to_go_on():
    model = model_of("Llama")
    engine = LocalEngine(model, name="teacher", ends=())
    for layer in model.model.layers:  # as a layer would that has something of its own
        forward = layer.self_attn.forward
        layer.self_attn.forward = lambda *args, forward=forward, **more: forward(*args, **more, alibi=torch.ones(1))
    with pytest.raises(ModelError, match="LlamaAttention hands alibi"):
        engine.step([StepInput(engine.open(), [2, 3, 4], ALL_DIGITS)])


@pytest.mark.parametrize(("kind", "more"), [
    ("Qwen2", {}), ("Qwen3", {}), ("Llama", {}),
    ("Qwen2", {"use_sliding_window": False, "sliding_window": 8, "max_window_layers": 1}),
    ("Qwen2", {**WINDOW, "max_window_layers": 2}),
    ("Mistral", {"sliding_window": None}), ("Mistral", {"sliding_window": 64}),
    ("Gemma2", PLAIN_GEMMA), ("Granite", {"logits_scaling": 1.0, "residual_multiplier": 0.7}),
    ("Cohere", {"logit_scale": 1.0}), ("Phi3", {}), ("Olmo2", {}),
])
def test_model_whose_window_or_scale_is_not_in_use_is_decoded_rightly(kind, more):
    model = model_of(kind, **more)
    engine = LocalEngine(model, name="teacher", ends=())
    row, view, fresh = engine.open(), [], list(range(2, 22))
    for _ in range(12):
        view += fresh
        fresh = engine.step([StepInput(row, fresh, ALL_DIGITS)]).tokens
        assert fresh == [best(model, view, ())]
