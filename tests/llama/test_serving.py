"""From a trained folder to an answer over HTTP: `relay export`, `relay generate`, `relay serve` with a GGUF student."""

from __future__ import annotations

import httpx
import openai
import pytest

from relayllm import RelayDecoder
from relayllm.cli import main
from relayllm.engines.checkpoints.gguf import read_header, read_tokenizer
from relayllm.engines.checkpoints.gguf_export import export
from relayllm.engines.llama_cpp.library import library
from relayllm.errors import ConfigError, ModelError
from relayllm.registry.client import Registry
from relayllm.relay.options import Options
from relayllm.serving.models.loading import FoundModel, find, load
from relayllm.settings import current_settings
from tests.support.fakes_serving import serving
from tests.support.small_models import base_tokenizer, make_model

pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed: run `make test-llama`")

QUESTION = "There are 12 pens in 3 boxes"


def test_export_command_writes_a_rounded_student_that_loads(gguf, tmp_path, capsys):
    file = tmp_path / "student-q8.gguf"
    assert main(["export", str(gguf()[0].with_suffix("")), "--gguf", str(file), "--quantise", "q8_0"]) == 0
    assert "as Q8_0" in capsys.readouterr().out
    assert read_header(file).matrix_types == {"Q8_0"}
    assert read_tokenizer(file).encode("<call>") == read_tokenizer(gguf()[0]).encode("<call>")
    trace = RelayDecoder.from_pretrained(file, gguf()[1]).generate([QUESTION], max_new_tokens=12, max_calls=2)[0]
    assert len(trace.token_ids) == 12


@pytest.mark.parametrize(("words", "said"), [
    (["--quantise", "Q5_X"], "no type 'Q5_X': there are F32, F16 and BF16, and llama.cpp rounds to Q4_0"),
    (["--gguf", "student.bin"], "does not end in")])
def test_export_command_says_what_it_cannot_do(gguf, tmp_path, words, said, capsys):
    file = ["--gguf", str(tmp_path / "student.gguf")]
    assert main(["export", str(gguf()[0].with_suffix("")), *file, *words]) != 0
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_generate_command_paints_a_gguf_students_answer(gguf, capsys):
    student, teacher = map(str, gguf())
    assert main(["generate", QUESTION, "--model", student, "--teacher", teacher, "--max-new-tokens", "16"]) == 0
    assert "16 tokens" in capsys.readouterr().out


def test_openai_client_streams_what_the_decoder_writes(gguf, decoder_of):
    options, bias = {"max_new_tokens": 24, "max_calls": 3}, {"call_bias": 6.0}
    wanted = decoder_of().generate([[{"role": "user", "content": QUESTION}]], **options, **bias)[0]
    found = find(str(gguf()[0]), current_settings(), Registry)
    loaded = load(found, str(gguf()[1]))
    with serving(loaded.decoder, defaults=Options(**options)) as server:
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0,
                               http_client=httpx.Client(trust_env=False))
        stream = client.chat.completions.create(model="relay-decoder", stream=True, temperature=0,
                                                extra_body={"relay": bias},
                                                messages=[{"role": "user", "content": QUESTION}])
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert text == wanted.text
    assert wanted.ledger.teacher_tokens > 0


def test_a_file_stands_in_for_a_packages_student(gguf):
    found = FoundModel("relay-decoder", "1", gguf()[0].with_suffix(""))
    decoder = load(found, str(gguf()[1]), students=[str(gguf()[0])]).decoder
    assert decoder.student.name == str(gguf()[0])
    with pytest.raises(ConfigError, match="give one GGUF file, or the addresses of servers"):
        load(found, students=[str(gguf()[0]), "http://student:8000"])


def test_a_student_that_was_never_taught_commands_is_refused_beside_a_teacher(gguf, tmp_path):
    make_model("qwen3", base_tokenizer(), seed=1).save_pretrained(tmp_path / "base")
    base_tokenizer().save_pretrained(tmp_path / "base")
    export(tmp_path / "base", tmp_path / "base.gguf")
    found = find(str(tmp_path / "base.gguf"), current_settings(), Registry)
    with pytest.raises(ModelError, match="would never call"):
        load(found, str(gguf()[1]))
    assert load(found, "none").decoder.teacher is None


def test_llama_cpp_cuts_text_as_the_student_does(gguf):
    """So that other programs that run the exported file read what it was trained on."""
    import ctypes

    api, file = library(), gguf()[0]
    model = api.llama_model_load_from_file(str(file).encode(), api.llama_model_default_params())
    text = QUESTION.encode()
    ids = (ctypes.c_int32 * 64)()
    count = api.llama_tokenize(api.llama_model_get_vocab(model), text, len(text), ids, 64, False, True)
    api.llama_model_free(model)
    assert list(ids[:count]) == read_tokenizer(file).encode(QUESTION)
