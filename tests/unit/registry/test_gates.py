"""The file of the gates: what its errors name."""

from __future__ import annotations

from pathlib import Path

import pytest

from relayllm.errors import ConfigError
from relayllm.registry.gates import read_gates

GOOD = Path("mlflow/registry.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(("text", "says"), [
    (GOOD.replace("gates:", "gatess:"), "gatess"),
    (GOOD.replace("max_drop: ", "max_drop: x"), "gates.accuracy.max_drop"),
    ("[", "is not YAML"), ("", "must be")])
def test_gates_fault_is_named_without_words_of_validators(tmp_path, text, says):
    (tmp_path / "registry.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=says) as caught:
        read_gates(tmp_path / "registry.yaml")
    assert not any(word in str(caught.value) for word in ("pydantic", "Value error", "Input should"))
