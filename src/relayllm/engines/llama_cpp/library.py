"""The package llama-cpp-python: found or missed with a sentence, and its log kept instead of printed."""

from __future__ import annotations

from collections import deque
from functools import cache
from types import ModuleType
from typing import Any

from relayllm.errors import ConfigError

ERROR_LEVEL = 4
"""Of `ggml_log_level`: from here on a line is worth quoting."""
_said: deque[str] = deque(maxlen=20)
_kept: list[Any] = []
"""What C holds a pointer to must not be collected."""


@cache
def library() -> ModuleType:
    """The low-level API of llama.cpp, ready to use; what it logs goes to `last_error`.

    Raises:
        ConfigError: the package is not installed, or was built for another processor.
    """
    try:
        import llama_cpp
    except (ImportError, OSError, RuntimeError) as error:
        raise ConfigError(f"a GGUF model needs the package llama-cpp-python, which cannot be loaded ({error}): run "
                          "`pip install relayllm[llama-cpp]`, which compiles it for this machine in minutes") from error
    _kept.append(llama_cpp.llama_log_callback(_keep))
    llama_cpp.llama_log_set(_kept[-1], None)
    llama_cpp.llama_backend_init()
    return llama_cpp


def last_error() -> str:
    """What llama.cpp last complained of, in one line, and forget it."""
    said = " ".join(_said) or "it does not say why"
    _said.clear()
    return said[-300:]


def _keep(level: int, text: bytes, _: Any) -> None:
    line = text.decode("utf-8", "replace").strip()
    if level == ERROR_LEVEL and line:
        _said.append(line)
