"""A teacher over HTTP for tests: the `/v1/completions` protocol in this process, with faults on demand.

    with FakeTeacher(tokenizer, write=lambda prompt_ids: [5, 6, 7]) as server:
        server.faults.append(Fault.cut(after=2))      # what the next completion suffers; then all is well again
        OpenAITeacher(server.url, tokenizer)
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from typing import Any

from relayllm.engines.openai.handshake import PROBE

Write = Callable[[list[int]], Iterable[int]]


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one completion."""

    kind: str
    after: int = 0
    """Tokens that still come."""
    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    said: str = ""

    @classmethod
    def refuse(cls, status: int, said: str = "no", **headers: str) -> Fault:
        """Answer with a status."""
        return cls("status", status=status, said=said, headers={k.replace("_", "-"): v for k, v in headers.items()})

    @classmethod
    def cut(cls, after: int) -> Fault:
        """Break the connection after some tokens."""
        return cls("cut", after=after)

    @classmethod
    def stall(cls, after: int = 0) -> Fault:
        """Fall silent after some tokens, until the server is closed or the client goes."""
        return cls("stall", after=after)

    @classmethod
    def hold(cls, after: int = 0) -> Fault:
        """Fall silent after some tokens until the teacher's `release` is set, and go on then."""
        return cls("hold", after=after)

    @classmethod
    def trickle(cls, after: int = 0) -> Fault:
        """Keep the connection alive, but write no more."""
        return cls("trickle", after=after)

    @classmethod
    def garbage(cls, said: str, after: int = 0) -> Fault:
        """Send an event that is not one."""
        return cls("garbage", after=after, said=said)


class FakeTeacher:
    """An OpenAI-compatible server whose model is a function from prompt ids to what it writes.

    `speaks`: "ids" as vLLM does; "ids-without-answer" takes ids and tokenizes, but answers text; "text" knows no ids.
    "messages" takes chats besides, and goes on with a last message of the assistant when asked to, under its own
    template; "chats" takes them and ignores the request.
    The model ends its text with the tokenizer's end token, or never.
    """

    def __init__(self, tokenizer: Any, write: Write, *, model: str = "big", speaks: str = "ids", key: str | None = None,
                 context: int = 4096, port: int = 0) -> None:
        self.tokenizer, self.write, self.model, self.speaks, self.key = tokenizer, write, model, speaks, key
        self.context = context
        self.faults: deque[Fault] = deque()
        self.always: Fault | None = None
        """A fault that every completion suffers."""
        self.token_seconds = 0.0
        self.barrier: threading.Barrier | None = None
        """Where answers wait for each other before they begin."""
        self.bodies: list[dict[str, Any]] = []
        """Completions asked for, in order."""
        self.chats: list[dict[str, Any]] = []
        """Chat completions that were streamed, in order."""
        self.connections = 0
        self.abandoned = threading.Event()
        """A client went away in the middle of an answer."""
        self.release = threading.Event()
        """What a `Fault.hold` waits for."""
        self.closing = threading.Event()
        self._server = _Server(("127.0.0.1", port), partial(_Handler, self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def asked(self) -> list[dict[str, Any]]:
        """Completions asked for by rows: the client's one-token trial at the first handshake left out."""
        return [body for body in self.bodies if not self.is_trial(body)]

    def is_trial(self, body: dict[str, Any]) -> bool:
        """Whether this is the trial."""
        return body.get("prompt") == self.tokenizer.encode(PROBE, add_special_tokens=False)[:8]

    def next_fault(self, body: dict[str, Any]) -> Fault | None:
        """What this completion suffers; the trial suffers nothing."""
        if self.is_trial(body):
            return None
        return self.faults.popleft() if self.faults else self.always

    def __enter__(self) -> FakeTeacher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def templated(self, body: dict[str, Any]) -> list[int]:
        """The tokens of a chat under the template here."""
        going_on = self.speaks == "messages" and bool(body.get("continue_final_message"))
        text = self.tokenizer.apply_chat_template(body["messages"], tokenize=False, continue_final_message=going_on,
                                                  add_generation_prompt=not going_on)
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def continuation(self, body: dict[str, Any]) -> tuple[list[int], str]:
        """What the model writes, and why it stops."""
        prompt = body["prompt"]
        ids = prompt if isinstance(prompt, list) else self.tokenizer.encode(prompt, add_special_tokens=False)
        written = list(islice([ids[0]] if self.is_trial(body) else self.write(list(ids)), body["max_tokens"]))
        end = self.tokenizer.eos_token_id
        if end in written:
            return written[:written.index(end) + 1], "stop"
        return written, "length"

    def other(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Status and answer of any other route."""
        return 404, {"detail": "Not Found"}

    def more(self, body: dict[str, Any], token: int) -> dict[str, Any]:
        """What else a choice says of a token."""
        return {}

    def cached(self, body: dict[str, Any]) -> int:
        """Tokens of the prompt that it says it found in its cache."""
        return 3


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is part of the game."""


class _Handler(BaseHTTPRequestHandler):
    """HTTP: the routes, and the answer as a stream of events; what is written is the teacher's."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __init__(self, teacher: FakeTeacher, *connection: Any) -> None:
        self.teacher = teacher
        teacher.connections += 1
        super().__init__(*connection)

    def do_GET(self) -> None:
        models = [{"id": self.teacher.model, "object": "model", "max_model_len": self.teacher.context}]
        if self._admitted():
            self._json(*self.teacher.other(self.path, {}) if self.path != "/v1/models" else
                       (200, {"object": "list", "data": models}))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])) or b"{}")
        if not self._admitted():
            return None
        if self.path == "/tokenize" and self.teacher.speaks != "text":
            return self._tokenize(body)
        if self.path == "/v1/completions":
            self.teacher.bodies.append(body)
            return self._complete(body)
        if self.path == "/v1/chat/completions" and self.teacher.speaks in ("messages", "chats"):
            return self._chat(body)
        return self._json(*self.teacher.other(self.path, body))

    def _tokenize(self, body: dict[str, Any]) -> None:
        ids = self.teacher.tokenizer.encode(body["prompt"], add_special_tokens=False)
        self._json(200, {"tokens": ids, "count": len(ids), "max_model_len": self.teacher.context})

    def _chat(self, body: dict[str, Any]) -> None:
        prompt = self.teacher.templated(body)
        if not body.get("stream"):
            return self._json(200, {"choices": [{"message": {"role": "assistant", "content": "ok"}}],
                                    "usage": {"prompt_tokens": len(prompt)}})
        self.teacher.chats.append(body)
        return self._complete({**body, "prompt": prompt})

    def _complete(self, body: dict[str, Any]) -> None:
        fault = self.teacher.next_fault(body)
        if body["model"] != self.teacher.model:
            return self._fail(404, f"The model `{body['model']}` does not exist.")
        if len(body["prompt"]) + body["max_tokens"] > self.teacher.context:
            return self._fail(400, f"This model's maximum context length is {self.teacher.context} tokens.")
        if fault is not None and fault.kind == "status":
            return self._fail(fault.status, fault.said, fault.headers)
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        if self.teacher.barrier is not None:
            self.teacher.barrier.wait()
        try:
            self._stream(body, fault)
        except OSError:
            self.teacher.abandoned.set()
            self.close_connection = True
        return None

    def _stream(self, body: dict[str, Any], fault: Fault | None) -> None:
        ids, reason = self.teacher.continuation(body)
        for index, token in enumerate(ids):
            if fault is not None and index == fault.after:
                if fault.kind != "hold":
                    return self._suffer(fault)
                self._wait(self.teacher.release)
            time.sleep(self.teacher.token_seconds)
            last = index == len(ids) - 1
            self._event({"choices": [self._choice(body, token, reason if last else None)]})
        if fault is not None and fault.kind != "hold":  # it strikes after the last token
            return self._suffer(fault)
        usage = {"prompt_tokens": len(body["prompt"]), "completion_tokens": len(ids), "prompt_tokens_details": {
            "cached_tokens": self.teacher.cached(body)}}
        self._event({"choices": [], "usage": usage})
        self._chunk(b"data: [DONE]\n\n")
        return self._chunk(b"")

    def _choice(self, body: dict[str, Any], token: int, reason: str | None) -> dict[str, Any]:
        ended = token == self.teacher.tokenizer.eos_token_id
        choice = {"index": 0, "text": "" if ended else self.teacher.tokenizer.decode([token]), "finish_reason": reason}
        if "messages" in body:
            choice["delta"] = {"content": choice.pop("text")}
        if self.teacher.speaks == "ids" and body.get("return_token_ids"):
            choice["token_ids"] = [token]
        return {**choice, **self.teacher.more(body, token)}

    def _suffer(self, fault: Fault) -> None:
        self.close_connection = True
        if fault.kind == "garbage":
            self._chunk(f"data: {fault.said}\n\n".encode())
            self._chunk(b"")
        if fault.kind in ("stall", "trickle"):
            self._wait(threading.Event(), keep_alive=fault.kind == "trickle")

    def _wait(self, until: threading.Event, *, keep_alive: bool = False) -> None:
        """Write no tokens until then, or until the server is closed or the client goes."""
        while not until.wait(0.02) and not self.teacher.closing.is_set():
            if self._client_gone():
                raise BrokenPipeError
            if keep_alive:
                self._chunk(b": still here\n\n")

    def _client_gone(self) -> bool:
        try:
            return self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False

    def _event(self, event: dict[str, Any]) -> None:
        self._chunk(f"data: {json.dumps({'id': 'cmpl-1', 'model': self.teacher.model, **event})}\n\n".encode())

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def _admitted(self) -> bool:
        if self.teacher.closing.is_set():  # a process that has ended answers on no connection
            self.close_connection = True
            return False
        if self.teacher.key is None or self.headers["authorization"] == f"Bearer {self.teacher.key}":
            return True
        self._fail(401, "Unauthorized")
        return False

    def _fail(self, status: int, said: str, headers: dict[str, str] | None = None) -> None:
        self._json(status, {"error": {"message": said, "code": status}}, headers)

    def _json(self, status: int, value: Any, headers: dict[str, str] | None = None) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"content-type": "application/json", "content-length": str(len(content)),
                           **(headers or {})}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""
