"""An example of each answer and request, for the description at /docs."""

from __future__ import annotations

from typing import Any

from relayllm.serving.api.schemas.parts import AnswerModel

EXAMPLE_RELAY: dict[str, Any] = {
    "call_ratio": 0.0625, "calls": [{"choice": 0, "position": 12, "requested": 2, "granted": 2, "delivered": 2,
                                     "seconds": 0.08, "failed": False, "teacher": "qwen3-8b",
                                     "read": 31, "cached": 0, "refused": False}],
    "ledger": {"student_tokens": 27, "command_tokens": 3, "teacher_tokens": 2, "student_prefilled": 21,
               "teacher_prefilled": 31, "teacher_cached": 0,
               "student_cached": 0, "student_reread": 0, "student_seconds": 0.21, "teacher_seconds": 0.07,
               "completion_tokens": 32, "cost": 2.49e-05, "currency": "USD",
               "cost_parts": {"student": 1.5e-06, "teacher": 4.8e-06, "teacher_read": 1.86e-05}},
    "segments": [{"choice": 0, "author": "student", "start": 0, "end": 10, "tokens": 12, "token_start": 0},
                 {"choice": 0, "author": "command", "start": 10, "end": 10, "tokens": 3, "token_start": 12},
                 {"choice": 0, "author": "teacher", "start": 10, "end": 13, "tokens": 2, "token_start": 15},
                 {"choice": 0, "author": "student", "start": 13, "end": 34, "tokens": 15, "token_start": 17}],
    "degraded": False, "degraded_by": [], "stop_reasons": ["finished"], "seed": 7, "version": "3",
    "alias": "champion"}
_HEAD: dict[str, Any] = {"created": 1750000000, "model": "relay-decoder", "system_fingerprint": "relayllm-3"}
_QUESTION = "Eli has 14 boxes with 15 eggs in each box. Ana brings 4 more eggs. How many eggs are there in all?"
_TEXT = "14 x 15 = 210, plus 4 is 214 eggs."
_USAGE = {"prompt_tokens": 19, "completion_tokens": 32, "total_tokens": 51}
EXAMPLES: dict[str, dict[str, Any]] = {
    "chat.completion": {"id": "chatcmpl-1", "object": "chat.completion", **_HEAD, "usage": _USAGE,
                        "choices": [{"index": 0, "message": {"role": "assistant", "content": _TEXT, "refusal": None},
                                     "logprobs": None, "finish_reason": "stop"}], "relay": EXAMPLE_RELAY},
    "chat.completion.chunk": {"id": "chatcmpl-1", "object": "chat.completion.chunk", **_HEAD,
                              "choices": [{"index": 0, "delta": {"content": "210"}, "logprobs": None,
                                           "finish_reason": None}], "relay": {"author": "teacher", "tokens": 2}},
    "text_completion": {"id": "cmpl-1", "object": "text_completion", **_HEAD, "usage": _USAGE,
                        "choices": [{"index": 0, "text": _TEXT, "logprobs": None, "finish_reason": "stop"}],
                        "relay": EXAMPLE_RELAY},
    "text_completion.chunk": {"id": "cmpl-1", "object": "text_completion", **_HEAD,
                              "choices": [{"index": 0, "text": "210", "logprobs": None, "finish_reason": None}],
                              "relay": {"author": "teacher", "tokens": 2}},
    "chat request": {"model": "relay-decoder", "messages": [{"role": "user", "content": _QUESTION}],
                     "relay": {"max_calls": 2, "teacher_tokens": 20}},
    "text request": {"model": "relay-decoder", "prompt": _QUESTION, "max_tokens": 96},
}
"""One of each kind, for the description."""


def answered(kind: str, whole: type[AnswerModel], chunk: type[AnswerModel]) -> dict[str, Any]:
    """The description of status 200 of a route that answers whole or as a stream."""
    stream = "text_completion.chunk" if kind == "text_completion" else f"{kind}.chunk"
    return {"description": "The answer; with stream, events of which each is a chunk, then [DONE]", "model": whole,
            "content": {"application/json": {"example": EXAMPLES[kind]},
                        "text/event-stream": {"schema": chunk.model_json_schema(), "example": EXAMPLES[stream]}}}
