"""A prompt is encoded as the model was trained to read it, and nobody's text becomes a special token in it."""

from __future__ import annotations

import copy
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from relayllm.engines.commands import add_to_tokenizer
from relayllm.engines.prompts import encode_prompt, messages_of
from relayllm.errors import DataError
from tests.support.real_models import REAL_TOKENIZERS, real_tokenizer
from tests.support.small_models import base_tokenizer, other_tokenizer

KINDS = ("tiny", "other", "trimming", "swallowing", *REAL_TOKENIZERS)
TRIMMING = ("{% for message in messages %}<|im_start|>{{ message['role'] }}\n\n{{ message['content'] | trim }}"
            "<|im_end|>{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n\n{% endif %}")
"""Llama 3's way: the text is stripped."""
SPECIALS = ("<call>", "</call>", "<|im_end|>", "<|im_start|>", "<s>", "</s>", "[INST]", "[/INST]", "<｜User｜>",
            "<｜Assistant｜>", "<｜end▁of▁sentence｜>", "<|endoftext|>")
PIECES = ("12", " ", "  ", "\n", "\n\n", "pens", " Boxes", "<", ">", "call", "|", "[", "]", "/", "é", "数学", "🙂", "_",
          "▁", "$x^2$", "don't", "\ue000", "\ue001", "\t", "0", ".")
PLAIN = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=4)), max_size=10).map("".join)
HOSTILE = st.lists(st.sampled_from(PIECES + SPECIALS), min_size=1, max_size=10).map("".join)


@cache
def tokenizer_of(kind: str):
    """A student's: it has the command tokens."""
    if kind in REAL_TOKENIZERS:
        tokenizer = copy.deepcopy(real_tokenizer(kind))
    else:
        tokenizer = copy.deepcopy(other_tokenizer() if kind == "other" else base_tokenizer())
    if kind == "trimming":
        tokenizer.chat_template = TRIMMING
    if kind == "swallowing":
        tokenizer = swallowing()
    add_to_tokenizer(tokenizer)
    return tokenizer


def swallowing():
    """As Phi-3 has them: special tokens that take the space around with them."""
    from tokenizers import AddedToken

    tokenizer = copy.deepcopy(base_tokenizer())
    tokenizer.add_special_tokens({"additional_special_tokens": [
        AddedToken("<|user|>", rstrip=True, special=True),
        AddedToken("<|end|>", lstrip=True, rstrip=True, special=True)]})
    tokenizer.chat_template = ("{% for message in messages %}<|user|>\n{{ message['content'] }} <|end|>\n{% endfor %}"
                               "{% if add_generation_prompt %}<|user|>\n{% endif %}")
    return tokenizer


def templated(tokenizer, messages) -> list[int]:
    return tokenizer.apply_chat_template(messages, tokenize=True, add_generation_prompt=True, return_dict=False)


def special_ids(tokenizer) -> set[int]:
    return {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}


def chat(*texts: str) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[index % 2], "content": text} for index, text in enumerate(texts)]


def spells_one(tokenizer, text: str) -> bool:
    return any(token.special and token.content in text for token in tokenizer.added_tokens_decoder.values())


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(texts=st.lists(PLAIN, min_size=1, max_size=3))
def test_prompt_without_special_tokens_in_its_text_is_what_the_template_gives(kind, texts):
    tokenizer = tokenizer_of(kind)
    texts = [text for text in texts if not spells_one(tokenizer, text)] or ["ok"]
    assert encode_prompt(tokenizer, chat(*texts)) == templated(tokenizer, chat(*texts))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(texts=st.lists(HOSTILE, min_size=1, max_size=3))
def test_prompt_has_the_templates_special_tokens_and_no_other(kind, texts):
    tokenizer = tokenizer_of(kind)
    special = special_ids(tokenizer)
    ids = encode_prompt(tokenizer, chat(*texts))
    assert [token for token in ids if token in special] == \
        [token for token in templated(tokenizer, chat(*["ok"] * len(texts))) if token in special]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=HOSTILE)
def test_prompt_that_spells_special_tokens_reads_as_the_template_renders_it(kind, text):
    tokenizer = tokenizer_of(kind)
    rendered = tokenizer.apply_chat_template(chat(text), tokenize=False, add_generation_prompt=True)
    read = tokenizer.decode(encode_prompt(tokenizer, chat(text)), clean_up_tokenization_spaces=False)
    assert seen(kind, read) == seen(kind, rendered)


def seen(kind: str, text: str) -> str:
    """Without what the tokenizer itself does not keep: half characters, SentencePiece's own sign for a space."""
    text = text.replace("\ufffd", "").replace("▁", " " if kind == "mistral" else "▁")
    return "".join(text.split()) if kind == "swallowing" else text


def test_prompt_of_a_sentencepiece_tokenizer_gains_no_space_at_a_seam():
    tokenizer = tokenizer_of("mistral")
    hostile, harmless = (encode_prompt(tokenizer, chat(f"Hi{name}there")) for name in ("[INST]", "(INST)"))
    assert tokenizer.decode(hostile) == tokenizer.decode(harmless).replace("(INST)", "[INST]")


def test_prompt_ids_pass_as_they_are():
    assert encode_prompt(tokenizer_of("tiny"), [3, 4, 5]) == [3, 4, 5]
    assert messages_of([3, 4, 5]) is None


def test_prompt_without_a_template_is_its_text():
    tokenizer = copy.deepcopy(tokenizer_of("tiny"))
    tokenizer.chat_template = None
    assert tokenizer.decode(encode_prompt(tokenizer, "12 <call> pens")) == "12 <call> pens"
    assert not special_ids(tokenizer) & set(encode_prompt(tokenizer, "<call>"))


def test_prompt_that_the_template_refuses_is_an_error_with_its_reason():
    with pytest.raises(DataError, match=r"system, user.*Only user and assistant roles are supported"):
        encode_prompt(tokenizer_of("mistral"), [{"role": "system", "content": "be kind"},
                                                {"role": "user", "content": "hi"}])


def test_prompt_role_that_spells_a_special_token_is_refused():
    with pytest.raises(DataError, match="role"):
        encode_prompt(tokenizer_of("tiny"), [{"role": "user<|im_end|>", "content": "hi"}])


@pytest.mark.parametrize(("thinking", "ending"), [(None, "think"), (True, "think"), (False, "no")])
def test_prompt_thinking_is_passed_to_the_template(thinking, ending):
    tokenizer = copy.deepcopy(tokenizer_of("tiny"))
    tokenizer.chat_template = ("{% for message in messages %}{{ message['content'] }}{% endfor %}"
                               "{% if enable_thinking is defined and not enable_thinking %} no{% else %} think"
                               "{% endif %}")
    assert tokenizer.decode(encode_prompt(tokenizer, "12", enable_thinking=thinking)).endswith(ending)
