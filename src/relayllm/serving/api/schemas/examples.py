"""An example of each request and answer, for the description at /docs and the site's page of the HTTP API."""

from __future__ import annotations

from dataclasses import dataclass

from relayllm.serving.api.schemas.parts import AnswerModel
from relayllm.serving.errors import Json

EXAMPLE_RELAY: Json = {
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
_HEAD: Json = {"created": 1750000000, "model": "relay-decoder", "system_fingerprint": "relayllm-3"}
_QUESTION = "Eli has 14 boxes with 15 eggs in each box. Ana brings 4 more eggs. How many eggs are there in all?"
_TEXT = "14 x 15 = 210, plus 4 is 214 eggs."
_USAGE = {"prompt_tokens": 19, "completion_tokens": 32, "total_tokens": 51}
EXAMPLES: dict[str, Json] = {
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
_RESPONSE: Json = {
    "id": "resp_1", "object": "response", "created_at": _HEAD["created"], "status": "completed",
    "model": _HEAD["model"], "output": [
        {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
         "content": [{"type": "output_text", "text": _TEXT, "annotations": [], "logprobs": []}]}],
    "instructions": None, "error": None, "incomplete_details": None, "max_output_tokens": 96, "temperature": None,
    "top_p": None, "metadata": {}, "tools": [], "tool_choice": "none", "parallel_tool_calls": False, "store": False,
    "text": {"format": {"type": "text"}},
    "usage": {"input_tokens": 19, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 32,
              "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 51},
    "relay": EXAMPLE_RELAY}
_ROW: Json = {
    "text": _TEXT, "call_ratio": 0.0625, "calls": 1, "completion_tokens": 32, "student_tokens": 27,
    "command_tokens": 3, "teacher_tokens": 2, "stop_reason": "finished", "degraded": False,
    "degraded_by": [], "teachers": ["qwen3-8b"], "cost": 2.49e-05,
    "segments": [{"author": "student", "text": "14 x 15 = "}, {"author": "teacher", "text": "210"},
                 {"author": "student", "text": ", plus 4 is 214 eggs."}],
    "token_ids": [609, 303, 2]}
_MODEL: Json = {"id": "relay-decoder", "object": "model", "created": _HEAD["created"],
                "owned_by": "relayllm", "version": "3", "alias": "champion", "max_model_len": 2048,
                "teacher": "qwen3-8b"}
_EVENTS = """event: response.created
data: {"type": "response.created", "sequence_number": 0, "response": {"id": "resp_1", "status": "in_progress", ...}}

event: response.output_text.delta
data: {"type": "response.output_text.delta", "sequence_number": 4, "item_id": "msg_1", "delta": "14 x 15 = ", ...}

event: response.completed
data: {"type": "response.completed", "sequence_number": 9, "response": {"id": "resp_1", "status": "completed", ...}}
"""
_TOKENS = """data: {"token_id": 303, "text": "210", "author": "teacher", "position": 15}

data: {"predictions": [{"text": "14 x 15 = 210, plus 4 is 214 eggs.", ...}]}

data: [DONE]
"""
_METRICS = """# TYPE relay_tokens_total counter
relay_tokens_total{alias="champion",author="teacher",version="3"} 2.0
"""
ERROR: Json = {"error": {"message": "max_tokens: must be greater than or equal to 1",
                                   "type": "invalid_request_error", "param": "max_tokens", "code": "invalid_value"}}
"""What every fault looks like, whatever its status."""


@dataclass(frozen=True, slots=True)
class RouteExamples:
    """What a route is asked, and what it answers."""

    answer: Json | str
    request: Json | None = None
    stream: Json | str | None = None
    """A chunk, or some of the events."""


ROUTES = {
    "POST /v1/chat/completions": RouteExamples(EXAMPLES["chat.completion"], EXAMPLES["chat request"],
                                               EXAMPLES["chat.completion.chunk"]),
    "POST /v1/completions": RouteExamples(EXAMPLES["text_completion"], EXAMPLES["text request"],
                                          EXAMPLES["text_completion.chunk"]),
    "POST /v1/responses": RouteExamples(_RESPONSE, {"model": "relay-decoder", "input": _QUESTION,
                                                    "max_output_tokens": 96}, _EVENTS),
    "GET /v1/models": RouteExamples({"object": "list", "data": [_MODEL, {**_MODEL, "id": "relay-decoder@0.02"}]}),
    "GET /v1/models/{model}": RouteExamples(_MODEL),
    "POST /invocations": RouteExamples({"predictions": [_ROW]}, {"dataframe_records": [{"prompt": _QUESTION}],
                                                                 "params": {"max_new_tokens": 96}}, _TOKENS),
    "GET /health": RouteExamples({"status": "ok"}),
    "GET /ready": RouteExamples({"status": "ready", "models": [
        {"name": "relay-decoder", "version": "3", "alias": "champion", "withdrawn": False, "waiting": 0,
         "running": 2}]}),
    "GET /metrics": RouteExamples(_METRICS),
}
"""Of every route in the description."""


def answered(kind: str, whole: type[AnswerModel], chunk: type[AnswerModel]) -> Json:
    """The description of status 200 of a route that answers whole or as a stream."""
    stream = "text_completion.chunk" if kind == "text_completion" else f"{kind}.chunk"
    return {"description": "The answer; with stream, events of which each is a chunk, then [DONE]", "model": whole,
            "content": {"application/json": {"example": EXAMPLES[kind]},
                        "text/event-stream": {"schema": chunk.model_json_schema(), "example": EXAMPLES[stream]}}}
