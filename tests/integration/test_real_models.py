"""The decoder on real weights: SmolLM2-135M-Instruct in float32 against transformers, and through the server."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from relayllm.cli import main
from relayllm.engines.decoder import RelayDecoder
from relayllm.engines.prompts import encode_prompt
from relayllm.relay.policy import Scripted
from relayllm.relay.trace import Author
from tests.support.fakes_serving import serving
from tests.support.places import ROOT
from tests.support.real_models import (
    REAL_TOKENIZERS,
    real_tokenizer,
    smollm2,
    smollm2_folder,
    smollm2_gguf,
    smollm2_student,
)
from tests.support.reference import reference
from tests.support.small_models import make_model, other_tokenizer

PROBLEMS = (
    "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May. How many clips did "
    "Natalia sell altogether in April and May?",
    "A robe takes 2 bolts of blue fiber and half that much white fiber. How many bolts in total does it take?",
    "Weng earns $12 an hour for babysitting. Yesterday, she just did 50 minutes of babysitting. How much did she earn?",
    "There are 87 oranges and 290 bananas in Philip's collection. If the bananas are organized into 2 groups and the "
    "oranges into 93 groups, how big is each group of bananas?",
    "If $x^2 - 7x + 12 = 0$, what are the values of $x$?",
    "James decides to run 3 sprints 3 times a week. He runs 60 meters each sprint. How many total meters per week?",
    "Ein Zug fährt 240 km in 3 Stunden. Wie schnell fährt er im Durchschnitt?",
    "What is 17 * 24? Write the steps, one per line.\n\n1.",
)
TOKENS = 32


@dataclass(frozen=True)
class Unwritten(Scripted):
    """Calls that the student does not see: the answer is as if one model had written it."""

    written: bool = False


@pytest.fixture(scope="module")
def greedy():
    """What transformers writes to each problem."""
    model, tokenizer = smollm2()
    written = []
    for problem in PROBLEMS:
        ids = torch.tensor([encode_prompt(tokenizer, problem)])
        with torch.inference_mode():
            out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=TOKENS, do_sample=False)
        written.append(out[0, ids.shape[1]:].tolist())
    return written


def test_smollm2_gguf_is_one():
    assert smollm2_gguf().open("rb").read(4) == b"GGUF"


@pytest.mark.parametrize("name", REAL_TOKENIZERS)
def test_real_tokenizer_has_template_and_end(name):
    tokenizer = real_tokenizer(name)
    assert tokenizer.chat_template
    assert tokenizer.eos_token_id is not None
    assert tokenizer.decode(tokenizer.encode("12 boxes of pens", add_special_tokens=False)) == "12 boxes of pens"


@pytest.mark.slow
def test_real_student_alone_writes_what_transformers_writes(greedy):
    model, tokenizer = smollm2()
    traces = RelayDecoder.from_models(model, tokenizer).generate(list(PROBLEMS), max_new_tokens=TOKENS, slots=8)
    assert [list(trace.token_ids) for trace in traces] == greedy
    assert [trace.text for trace in traces] == [tokenizer.decode(ids, skip_special_tokens=True) for ids in greedy]


@pytest.mark.slow
def test_real_student_answers_an_everyday_question_in_a_sentence(capsys):
    question, sentence = "What is the capital of France?", "The capital of France is Paris."
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert question in readme
    assert f"# {sentence}" in readme
    assert main(["generate", "--model", str(smollm2_folder()), "--teacher", "none", question]) == 0
    assert capsys.readouterr().out.startswith(f"{sentence}\n")


@pytest.mark.slow
def test_real_relay_between_two_of_a_kind_writes_what_one_writes(greedy):
    """Each forced hand-over, either way, leaves the text as it is: nothing is lost, doubled or read twice."""
    model, tokenizer = smollm2()
    decoder = RelayDecoder.from_models(model, tokenizer, model, tokenizer)
    script = {row: [(1 + row % 3, 1 + row), (9 + row, 4), (20, 2)] for row in range(len(PROBLEMS))}
    traces = decoder.generate(list(PROBLEMS), max_new_tokens=TOKENS, slots=3, policy=Unwritten(script=script))
    assert [list(trace.token_ids) for trace in traces] == greedy
    assert all(len(trace.calls) == 3 or len(trace.token_ids) < 24 for trace in traces)
    assert sum(trace.authors.count(Author.TEACHER) for trace in traces) >= 40


@pytest.mark.slow
@pytest.mark.parametrize("same", [True, False])
def test_real_student_with_forced_calls_writes_the_reference(same):
    """With a real teacher, and with a random one that has another tokenizer."""
    student, tokenizer = smollm2_student()
    theirs = tokenizer if same else other_tokenizer()
    teacher = student if same else make_model("qwen3", theirs, seed=2, width=48)
    prompt, script = PROBLEMS[1], [(2, 5), (11, 3), (18, 6)]
    decoder = RelayDecoder.from_models(student, tokenizer, teacher, theirs)
    trace = decoder.generate([prompt], max_new_tokens=28, policy=Scripted(script={0: script}))[0]
    ids, authors = reference(
        student, tokenizer, teacher, theirs, encode_prompt(tokenizer, prompt), encode_prompt(theirs, prompt),
        max_new_tokens=28, max_calls=4, max_call_tokens=99, script=script, student_ends=decoder.student.ends,
        teacher_ends=decoder.teacher.engine.ends)
    assert list(trace.token_ids) == ids
    assert "".join({Author.STUDENT: "s", Author.COMMAND: "c", Author.TEACHER: "t"}[author]
                   for author in trace.authors) == authors
    assert "t" in authors


@pytest.mark.slow
def test_real_student_commands_in_text_call_the_teacher():
    """It goes on with the pattern that it reads; the prompt's own commands are text, and so are the teacher's."""
    model, tokenizer = smollm2()
    decoder = RelayDecoder.from_models(model, tokenizer, model, tokenizer, text_commands=True)
    prompt = tokenizer.encode("The sky is blue. <call>3</call> The grass is green. <call>3</call> Snow is white. "
                              "<call>3</call> Coal is black.")
    trace = decoder.generate([prompt], max_new_tokens=16, max_calls=1)[0]
    assert [(call.position, call.requested, call.delivered) for call in trace.calls] == [(0, 3, 3)]
    assert trace.authors[:trace.ledger.command_tokens] == (Author.COMMAND,) * trace.ledger.command_tokens
    assert tokenizer.decode(trace.token_ids).startswith(" <call>3</call>")


@pytest.mark.slow
def test_real_answer_is_streamed_through_the_openai_client(greedy):
    import openai

    model, tokenizer = smollm2()
    with serving(RelayDecoder.from_models(model, tokenizer)) as server:
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=120)
        chunks = list(client.chat.completions.create(
            model=client.models.list().data[0].id, stream=True, temperature=0, max_tokens=TOKENS,
            messages=[{"role": "user", "content": PROBLEMS[0]}]))
    told = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert told == tokenizer.decode(greedy[0], skip_special_tokens=True)
    assert sum(bool(chunk.choices and chunk.choices[0].delta.content) for chunk in chunks) > 1
