"""Where models are loaded from, and to."""

from __future__ import annotations

import json

import pytest
import torch

from relayllm.engines.loading import best_device, load_model, load_teacher
from relayllm.errors import ModelError
from relayllm.settings import current_settings
from tests.support.small_models import base_tokenizer, make_model


@pytest.mark.parametrize(("there", "rank", "device"), [
    (False, None, "cpu"), (False, "3", "cpu"), (True, None, "cuda"), (True, "3", "cuda:3")])
def test_best_device_of_a_launched_process_is_its_own(monkeypatch, there, rank, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("LOCAL_RANK", rank)
    assert best_device() == device


def test_teacher_is_the_server_when_one_is_named(monkeypatch, tmp_path):
    monkeypatch.delenv("RELAY_TEACHER_URL", raising=False)
    assert current_settings().teacher_at(tmp_path) == tmp_path
    with pytest.raises(ModelError, match="no model at"):
        load_teacher(tmp_path)
    model = make_model("qwen3", base_tokenizer(), seed=1)
    model.save_pretrained(tmp_path)
    base_tokenizer().save_pretrained(tmp_path)
    assert load_teacher(tmp_path)[0].config.model_type == "qwen3"
    monkeypatch.setenv("RELAY_TEACHER_URL", "http://teacher:8001/v1")
    place, tokenizer = load_teacher(tmp_path)
    assert place == current_settings().teacher_at(tmp_path) == "http://teacher:8001/v1"
    assert len(tokenizer) == len(base_tokenizer())


def test_model_whose_config_has_more_layers_than_weights_is_not_filled_up_by_chance(tmp_path):
    make_model("qwen3", base_tokenizer(), seed=1).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"num_hidden_layers": 3, "layer_types": None}))
    with pytest.raises(ModelError, match=r"lacks 11 weights .*model\.layers\.2\."):
        load_model(tmp_path)


def test_adapter_given_as_a_model_is_named(tmp_path):
    (tmp_path / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "some/base"}))
    with pytest.raises(ModelError, match=r"adapter.*some/base.*base_models"):
        load_model(tmp_path)
