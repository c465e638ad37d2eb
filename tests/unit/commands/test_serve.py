"""`relay serve` loads what the command line says, and bounds it."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from relayllm import RelayDecoder
from relayllm.commands import generate
from relayllm.commands.model_options import model_options
from relayllm.commands.serve import add_arguments, address_of, check_numbers, load_bounded
from relayllm.errors import ConfigError, ModelError
from relayllm.relay.options import Options
from relayllm.serving.models.loading import FoundModel, LoadedModel
from tests.support.fakes_serving import scripted_decoder
from tests.support.small_models import base_tokenizer, make_model


def context_after(*options: str) -> int:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    found = FoundModel("m", "1", Path())
    loaded = load_bounded(parser.parse_args(options), found,
                          load=lambda found, *more, **others: LoadedModel(found, scripted_decoder(context=512),
                                                                          Options()))
    return loaded.decoder.context_length


def test_max_context_lowers_what_the_models_can_read():
    assert context_after("--max-context", "100") == 100


def test_max_context_left_out_leaves_the_models_their_own():
    assert context_after() == 512


@pytest.mark.parametrize("tokens", ["513", "0", "-5"])
def test_max_context_that_no_model_has_is_refused_with_both_values(tokens):
    with pytest.raises(ConfigError, match=rf"{tokens}.*512"):
        context_after("--max-context", tokens)


@pytest.mark.parametrize(("option", "value"), [
    ("--slots", "0"), ("--slots", "-3"), ("--queue", "-1"), ("--max-body-bytes", "0"), ("--reload-seconds", "-1"),
    ("--reload-seconds", "nan"), ("--reload-seconds", "inf"), ("--canary", "1.5"), ("--trace-share", "nan")])
def test_number_that_no_server_can_have_is_refused_by_its_option(option, value):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    with pytest.raises(ConfigError, match=rf"{option} is {value}.*give a"):
        check_numbers(parser.parse_args([option, value]))


@pytest.mark.parametrize("student", ["http://127.0.0.1:9", "student.gguf"])
def test_canary_before_students_that_have_one_versions_weights_is_refused(student):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    with pytest.raises(ConfigError, match=r"--canary is 0.1.*a gateway of its own"):
        check_numbers(parser.parse_args(["--canary", "0.1", "--student", student]))


def test_trace_share_of_the_environment_that_is_no_number_is_said_in_a_line(monkeypatch, capsys):
    monkeypatch.setenv("RELAY_TRACE_SHARE", "a lot")
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    with pytest.raises(SystemExit):
        parser.parse_args([])
    assert "--trace-share: invalid float value: 'a lot'" in capsys.readouterr().err


@pytest.mark.parametrize(("host", "address"), [("127.0.0.1", "http://127.0.0.1:8000"), ("::1", "http://[::1]:8000")])
def test_address_can_be_opened_as_it_is_printed(host, address):
    assert address_of(host, 8000) == address


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> Path:
    """A student that was never given command tokens."""
    folder = tmp_path_factory.mktemp("bare")
    make_model("qwen3", base_tokenizer(), seed=1).save_pretrained(folder)
    base_tokenizer().save_pretrained(folder)
    return folder


def loaded_with(folder: Path, *options: str) -> RelayDecoder:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return load_bounded(parser.parse_args([str(folder), *options]), FoundModel("m", "1", folder)).decoder


@pytest.mark.parametrize(("options", "dtype"), [((), "float32"), (("--dtype", "bfloat16"), "bfloat16")])
def test_dtype_is_that_of_the_command_line_or_as_saved(bare, options, dtype):
    model = loaded_with(bare, "--teacher", "none", *options).student.model
    assert {str(one.dtype) for one in model.parameters()} == {f"torch.{dtype}"}


def test_dtype_int8_packs_the_linear_layers(bare):
    model = loaded_with(bare, "--teacher", "none", "--dtype", "int8").student.model
    assert "Int8" in type(model.get_output_embeddings()).__name__


def test_text_commands_let_a_student_without_command_tokens_call(bare):
    assert loaded_with(bare, "--teacher", str(bare), "--text-commands").knows_commands
    with pytest.raises(ModelError, match="<call>"):
        loaded_with(bare, "--teacher", str(bare))


@pytest.mark.parametrize("option", [("--dtype", "int8"), ("--text-commands",)])
def test_options_for_models_here_are_refused_where_the_student_is_a_server(bare, option):
    with pytest.raises(ConfigError, match="--dtype or --text-commands"):
        loaded_with(bare, "--student", "http://127.0.0.1:9", "--teacher", "none", *option)


def test_generate_has_the_same_options():
    parser = argparse.ArgumentParser()
    generate.add_arguments(parser)
    given = parser.parse_args(["how many?", "--dtype", "int8", "--text-commands"])
    assert model_options(given) == {"dtype": "int8", "text_commands": True}
    assert model_options(parser.parse_args(["how many?"])) == {}
