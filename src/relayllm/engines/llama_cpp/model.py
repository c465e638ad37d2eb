"""The weights of a GGUF file in memory, as llama.cpp keeps them."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

from relayllm.engines.checkpoints.gguf import GgufHeader, read_header
from relayllm.engines.llama_cpp.library import last_error, library
from relayllm.errors import ModelError

EXACT_TYPES = frozenset({"F32"})
"""Files of these types are decoded with a cache in float32; others with one in float16, as llama.cpp does."""


class GgufModel:
    """Weights that several engines may read."""

    def __init__(self, file: Path) -> None:
        """Load a GGUF file.

        Raises:
            ModelError: it is missing or damaged, or llama.cpp does not know its architecture.
            ConfigError: llama-cpp-python or gguf is not installed.
        """
        self.header: GgufHeader = read_header(file)
        api = library()
        self.pointer: Any = api.llama_model_load_from_file(str(file).encode(), api.llama_model_default_params())
        if not self.pointer:
            raise ModelError(f"llama.cpp cannot load {file}: {last_error()}; copy or export it again, or install a "
                             "newer llama-cpp-python")
        weakref.finalize(self, api.llama_model_free, self.pointer)
        self.scored_tokens = int(api.llama_vocab_n_tokens(api.llama_model_get_vocab(self.pointer)))
        """Rows of the head."""
        self.context_length = int(api.llama_model_n_ctx_train(self.pointer))
        self.ends = self.header.ends

    @property
    def exact(self) -> bool:
        """Whether its matrices are float32, so that its cache should be, too."""
        return self.header.matrix_types <= EXACT_TYPES
