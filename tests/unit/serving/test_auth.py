"""API keys."""

from __future__ import annotations

import pytest

from relayllm.errors import ConfigError
from relayllm.serving.auth import OPEN, Keys
from relayllm.serving.errors import ApiError


def keys(text):
    return Keys.from_environment({"RELAY_API_KEYS": text})


def test_without_keys_everybody_is_welcome():
    assert keys("").who(None) is OPEN
    assert not keys("").required


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer wrong", "Bearer s\udcff", "secret2", "secret",
                                    "Basic secret", "Bearersecret"])
def test_wrong_key_is_401(header):
    with pytest.raises(ApiError) as error:
        keys("ann:secret").who(header)
    assert error.value.status == 401


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer "])
def test_right_key_names_who_asks_whatever_the_case_of_the_scheme(scheme):
    assert keys("ann:secret").who(f"{scheme} secret").name == "ann"


def test_right_key_of_several_names_who_asks():
    assert keys("ann:secret, ben:other:9").who("Bearer other").name == "ben"


@pytest.mark.parametrize("text", ["ann", "ann:", ":x", "ann:x:y", "ann:x:-1", "a:b:1:2:3",
                                  "a:b:1:x", "a:b::-1", "a:b::nan", "a:b:1:", "a:b::", "ann:x,ann:y"])
def test_malformed_entry_is_refused_without_showing_the_secret(text):
    with pytest.raises(ConfigError, match="RELAY_API_KEYS"):
        keys(text)
