"""The pretrained models that tests take from packages are what they are said to be."""

from __future__ import annotations

import pytest

from tests.support.real_models import REAL_TOKENIZERS, real_tokenizer, smollm2, smollm2_folder, smollm2_gguf


def test_smollm2_gguf_is_one():
    assert smollm2_gguf().open("rb").read(4) == b"GGUF"


@pytest.mark.slow
def test_smollm2_folder_is_made_once_and_has_weights():
    folder = smollm2_folder()
    made = (folder / "model.safetensors").stat().st_mtime_ns
    assert smollm2_folder() == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == made


@pytest.mark.slow
def test_smollm2_knows_the_capital_of_france():
    model, tokenizer = smollm2()
    inputs = tokenizer.apply_chat_template([{"role": "user", "content": "What is the capital of France?"}],
                                           add_generation_prompt=True, return_tensors="pt", return_dict=True)
    written = model.generate(**inputs, max_new_tokens=12, do_sample=False)
    assert "Paris" in tokenizer.decode(written[0, inputs["input_ids"].shape[1]:])


@pytest.mark.parametrize("name", REAL_TOKENIZERS)
def test_real_tokenizer_has_template_and_end(name):
    tokenizer = real_tokenizer(name)
    assert tokenizer.chat_template
    assert tokenizer.eos_token_id is not None
    assert tokenizer.decode(tokenizer.encode("12 boxes of pens", add_special_tokens=False)) == "12 boxes of pens"
