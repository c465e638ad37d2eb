"""A student over HTTP for tests: vLLM's protocol over a small model, with the grammar that runs inside vLLM.

    with FakeStudent(model, tokenizer) as server:
        server.faults.append(Fault.cut(after=2))
        OpenAIStudent([server.url], tokenizer)
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_model

from relayllm.engines.commands import command_tokens
from tests.support.fake_teacher import FakeTeacher

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "infra" / "vllm"))
from relayllm_vllm.grammar import CommandIds, Rows, masked
from relayllm_vllm.request import GrammarRequest


class FakeStudent(FakeTeacher):
    """`grammar=False`: a vLLM without the processor, which ignores its arguments without a word.

    `caches`: with --enable-prefix-caching. `takes_weights`: it has the routes of VLLM_SERVER_DEV_MODE.
    """

    def __init__(self, model: Any, tokenizer: Any, *, grammar: bool = True, name: str = "student",
                 vocabulary: int | None = None, takes_weights: bool = False, caches: bool = True, **more: Any) -> None:
        super().__init__(tokenizer, lambda prompt: [], model=name, **more)
        self.network, self.grammar, self.takes_weights = model, grammar, takes_weights
        self.weight_version, self.caches = "default", caches
        tokens = command_tokens(tokenizer)
        assert tokens is not None
        self.ids = CommandIds(tokens.call, tokens.end, tokens.digits, vocabulary or len(tokenizer))

    def other(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Reading weights from a folder, as vLLM does it."""
        if self.takes_weights and path == "/collective_rpc":
            try:
                for folder in body["args"]:
                    load_model(self.network, Path(folder) / "model.safetensors")
            except OSError as error:
                return 500, {"error": {"message": str(error)}}
            return 200, {"results": [None]}
        if self.takes_weights and path == "/update_weight_version":
            self.weight_version = body["new_version"]
        told = {"/reset_prefix_cache": {"success": True}, "/weight_info": {"weight_version": self.weight_version},
                "/update_weight_version": {"success": True}}
        return (200, told[path]) if self.takes_weights and path in told else super().other(path, body)

    def is_trial(self, body: dict[str, Any]) -> bool:
        """What the handshake asks suffers no faults; a segment is told apart by its seed."""
        return "seed" not in body

    def continuation(self, body: dict[str, Any]) -> tuple[list[int], str]:
        """Greedy, or drawn by the request's seed, under the grammar."""
        asked = GrammarRequest.of(body.get("vllm_xargs")) if self.grammar else None
        stops = {self.tokenizer.eos_token_id, *body.get("stop_token_ids", ())}
        chance = torch.Generator().manual_seed(body.get("seed", 0))
        written: list[int] = []
        while len(written) < body["max_tokens"] and not (written and written[-1] in stops):
            with torch.no_grad():
                logits = self.network(torch.tensor([[*body["prompt"], *written]])).logits[:, -1].float()
            if asked is not None:
                rows = Rows.of([(written, asked.calls_left > 0, asked.remaining - len(written),
                                 asked.max_call_tokens, asked.call_bias)], logits.device)
                logits = masked(logits, rows, self.ids)
            scores = logits.log_softmax(-1)[0]
            if body.get("temperature"):
                written.append(int(torch.multinomial((logits[0] / body["temperature"]).softmax(-1), 1,
                                                     generator=chance)))
            else:
                written.append(int(logits.argmax()))
            body.setdefault("scores", []).append(float(scores[written[-1]]))
        return written, "stop" if written and written[-1] in stops else "length"

    def more(self, body: dict[str, Any], token: int) -> dict[str, Any]:
        """Log-probabilities after the mask, as `--logprobs-mode processed_logprobs` gives them."""
        if body.get("logprobs") is None:
            return {}
        score = body["scores"].pop(0)
        return {"logprobs": {"token_logprobs": [score], "tokens": [f"token_id:{token}"],
                             "top_logprobs": [{f"token_id:{token}": score}]}}

    def cached(self, body: dict[str, Any]) -> int:
        """Whole blocks of 16 of what it was sent before."""
        return 16 * ((len(body["prompt"]) - 1) // 16) if self.caches else 0
