"""lm-eval's own clients against the server: multiple choice by log-probabilities, and free answers."""

from __future__ import annotations

import pytest

from relayllm import RelayDecoder
from tests.support.fakes_serving import scripted_decoder, serving

pytestmark = pytest.mark.slow


def instance(kind, *arguments):
    from lm_eval.api.instance import Instance

    return Instance(kind, {}, arguments, 0)


def test_local_completions_scores_choices_like_the_model_itself():
    import torch
    from lm_eval.models.openai_completions import LocalCompletionsAPI

    from tests.support.small_models import pair

    student, tokenizer, *rest = pair()
    with serving(RelayDecoder.from_models(student, tokenizer, *rest)) as server:
        model = LocalCompletionsAPI(base_url=f"{server.url}/v1/completions", model="relay-decoder",
                                    tokenizer_backend=None, tokenized_requests=False, max_length=400)
        model.tokenizer, model.tokenizer_backend, model.tokenized_requests = tokenizer, "huggingface", False
        model.tok_encode = lambda text, **_: tokenizer.encode(text, add_special_tokens=False)
        context, choice = "There are 3 boxes", " with 4 pens."
        (scored, _), = model.loglikelihood([instance("loglikelihood", context, choice)])
    ids = tokenizer.encode(context + choice, add_special_tokens=False)
    start = len(tokenizer.encode(context, add_special_tokens=False))
    with torch.no_grad():
        logits = student(torch.tensor([ids])).logits[0]
    logits[:, -2:] = float("-inf")
    logprobs = logits.log_softmax(-1)
    expected = sum(logprobs[place - 1, ids[place]].item() for place in range(start, len(ids)))
    assert scored == pytest.approx(expected, abs=1e-3)


def test_local_chat_completions_gets_answers():
    from lm_eval.models.openai_completions import LocalChatCompletion

    with serving(scripted_decoder()) as server:
        model = LocalChatCompletion(base_url=f"{server.url}/v1/chat/completions", model="relay-decoder")
        asked = model.apply_chat_template([{"role": "user", "content": "How many pens?"}])
        answers = model.generate_until([instance("generate_until", asked, {"until": ["\n\n"], "max_gen_toks": 64})])
    assert answers == ["There are 3 boxes with 4 pens. 3 x 4 = 12. The answer is 12."]
