"""A server that takes new weights while it runs, for the roll-outs of a training: an extension of vLLM's workers.

    VLLM_SERVER_DEV_MODE=1 ... --worker-extension-cls=relayllm_vllm.weights.WeightReader
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead, UnquantizedEmbeddingMethod
from vllm.platforms import current_platform


class WeightReader:
    """Methods that `/collective_rpc` may name."""

    vllm_config: Any
    model_runner: Any
    reload_weights: Any

    def relay_check_weights(self) -> None:
        """See that weights can be replaced here.

        Raises:
            RuntimeError: compiled code would go on with the old ones: on a CPU it has their packed copies in it.
        """
        if current_platform.is_cpu() and not self.vllm_config.model_config.enforce_eager:
            raise RuntimeError("weights cannot be replaced in compiled code on a CPU: start with --enforce-eager")

    def relay_read_weights(self, folder: str) -> None:
        """Replace all weights by those of a folder.

        vLLM 0.32 forgets a head that is tied to the embedding: on a CPU it has a packed copy of its own, which
        `reload_weights` leaves as it was (seen: log-probabilities wrong by 0.87, other tokens).

        Raises:
            FileNotFoundError: the folder holds none; vLLM would find out when the old ones are gone, and die.
        """
        self.relay_check_weights()
        if not any(Path(folder).glob("*.safetensors")):
            raise FileNotFoundError(f"no *.safetensors in {folder}, as this server sees it: mount it at the same path")
        self.reload_weights(weights_path=folder)
        for layer in self.model_runner.get_model().modules():
            if isinstance(layer, ParallelLMHead) and isinstance(layer.quant_method, UnquantizedEmbeddingMethod):
                layer.quant_method.process_weights_after_loading(layer)
