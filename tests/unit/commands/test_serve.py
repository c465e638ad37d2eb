"""`relay serve` bounds what it loads as the command line says."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from relayllm.commands.serve import add_arguments, load_bounded
from relayllm.errors import ConfigError
from relayllm.relay.options import Options
from relayllm.serving.models.loading import FoundModel, LoadedModel
from tests.support.fakes_serving import scripted_decoder


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
