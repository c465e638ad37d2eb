"""Runs that cannot fit are refused with the numbers of the plan; the count of an adapter is peft's."""

from __future__ import annotations

from pathlib import Path

import pytest
from peft import get_peft_model

from relayllm.config import LoraConfig, load_params
from relayllm.engines.checkpoints.model_shapes import PUBLISHED, folder_shape, lora_bytes, zero_bytes
from relayllm.engines.commands import command_tokens
from relayllm.errors import ConfigError
from relayllm.training.lora import adapter_config
from relayllm.training.memory import Device, check_grpo, check_warmup, grpo_memory, this_device
from tests.support.adapters import LORA, student

GRPO = load_params(Path("params/qwen2.5-0.5b.yaml")).grpo


@pytest.mark.parametrize("kind", ["qwen3", "qwen2", "llama"])
@pytest.mark.parametrize("change", [{}, {"target_modules": ["q_proj", "down_proj"]}, {"command_rows": False}])
def test_shape_of_a_folder_counts_the_parameters_of_model_and_adapter(kind, change, tmp_path):
    network, tokenizer = student(kind)
    network.save_pretrained(tmp_path)
    shape = folder_shape(tmp_path)
    assert shape.parameters == network.num_parameters()
    config = LORA.model_copy(update=change)
    wrapped = get_peft_model(network, adapter_config(config, network, command_tokens(tokenizer)))
    assert shape.adapter(config) == wrapped.get_nb_trainable_parameters()[0]


def test_lora_takes_less_than_all_weights_and_no_reference():
    shape = PUBLISHED["Qwen/Qwen3-8B"]
    lora = LoraConfig(rank=16, alpha=32, dropout=0, target_modules="all-linear", command_rows=True)
    assert lora_bytes(shape, lora, "bfloat16") < zero_bytes(shape.parameters, 0, 1, "bfloat16") / 5
    assert grpo_memory(shape, shape, GRPO)["reference"] == 0
    assert grpo_memory(shape, shape, GRPO.model_copy(update={"lora": None}))["reference"] > 15


def saved(folder: Path) -> Path:
    network, _ = student()
    network.save_pretrained(folder)
    return folder


def test_grpo_that_would_not_fit_is_refused_with_what_holds_the_memory(tmp_path, monkeypatch):
    monkeypatch.delenv("RELAY_TEACHER_URL", raising=False)
    folder = saved(tmp_path)
    need = sum(grpo_memory(folder_shape(folder), folder_shape(folder), GRPO).values())
    check_grpo(GRPO, folder, folder, Device("a card", need * 1.01))
    with pytest.raises(ConfigError, match=r"grpo needs .* teacher .*caches of 256 full rows .* a card has"):
        check_grpo(GRPO, folder, folder, Device("a card", need * 0.99))
    check_grpo(GRPO, folder, None, Device("a card", need * 0.99))


def test_warmup_that_would_not_fit_is_refused(tmp_path):
    folder = saved(tmp_path)
    check_warmup(folder, None, 0, 1, "float32", this_device(1))
    with pytest.raises(ConfigError, match=r"warmup needs .*policy.*warmup.lora"):
        check_warmup(folder, None, 0, 1, "float32", Device("a card", 1e-6))


def test_this_device_is_shared_by_the_processes_of_a_cpu():
    assert this_device(2).memory <= this_device(1).memory
