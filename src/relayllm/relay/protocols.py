"""Small protocols of what the relay takes from libraries and servers, so that neither is imported here.

`Tokenizer` and `CausalLM` are what transformers has; `CallServer` is what a teacher over HTTP offers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Message = Mapping[str, str]
"""One turn of a chat: `role` and `content`."""


class Tokenizer(Protocol):
    """A tokenizer of transformers, as far as it is used."""

    added_tokens_decoder: dict[int, Any]
    all_special_ids: list[int]
    chat_template: str | dict[str, str] | None
    eos_token: str | None
    eos_token_id: int
    name_or_path: str

    def __len__(self) -> int:
        """Number of tokens, added ones included."""
        ...

    def __hash__(self) -> int:
        """By identity: what is found out about a vocabulary is kept."""
        ...

    def encode(self, text: str, *, add_special_tokens: bool = ..., **more: Any) -> list[int]:
        """Token ids of a text."""
        ...

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = ..., **more: Any) -> str:
        """Text of token ids."""
        ...

    def convert_ids_to_tokens(self, ids: int) -> str:
        """Name of an id in the vocabulary."""
        ...

    def get_vocab(self) -> dict[str, int]:
        """Token -> id."""
        ...

    def apply_chat_template(self, conversation: Sequence[Message], **more: Any) -> Any:
        """A conversation as the model was trained to read it."""
        ...


class CausalLM(Protocol):
    """A causal language model of transformers, as far as it is used."""

    config: Any
    base_model_prefix: str

    def parameters(self) -> Any:
        """Its weights, one tensor after the other."""
        ...

    def named_parameters(self) -> Iterator[tuple[str, Any]]:
        """The weights with their names."""
        ...

    def get_output_embeddings(self) -> Any:
        """Its head: (V, width)."""
        ...


@dataclass(frozen=True, slots=True)
class CallRequest:
    """What one call asks of a server: continue these tokens by at most n."""

    prompt_ids: tuple[int, ...]
    """The teacher's view: its prompt, and the answer so far."""
    n: int
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    answer_start: int = 0
    """Where in `prompt_ids` the answer begins."""
    messages: tuple[Message, ...] | None = None
    """The conversation before the answer, for servers that apply a chat template of their own; None where only its
    tokens are known."""
    enable_thinking: bool | None = None
    """What that template is told."""
    session: int = 0
    """The answer's key: its calls stay with one replica, whose prefix cache knows what came before."""
    call: int = 1
    """Which call of the answer it is, from 1."""
    caller: str = ""
    """Name of the API key that asks, for a pool's audit; empty where none was needed."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What the server says it read and wrote: all prompt tokens, how many of them it found in its cache."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int = 0
    """0 where it does not say."""


class ServedCall(Protocol):
    """The tokens of one call as they arrive. Read `done` before `take`, never after."""

    @property
    def done(self) -> bool:
        """Whether the call is over: no more tokens will come."""
        ...

    @property
    def finished(self) -> bool:
        """Whether the teacher wrote its end of text."""
        ...

    @property
    def error(self) -> Exception | None:
        """Why the call failed; the tokens before it stand."""
        ...

    @property
    def cancel(self) -> Callable[[], None]:
        """End the call and its request; what arrived stays."""
        ...

    @property
    def teacher(self) -> str:
        """Name of the teacher that is asked."""
        ...

    def take(self) -> list[int]:
        """The tokens that arrived since the last time."""
        ...


class CallServer(Protocol):
    """A teacher that answers when it can: calls are submitted, and their tokens collected later."""

    @property
    def up(self) -> bool:
        """Whether calls are sent: not while it has failed too often."""
        ...

    def context_length(self) -> int:
        """Tokens that prompt and call may take together, asked for now; 0 where it does not say, or is away."""
        ...

    def submit(self, request: CallRequest) -> ServedCall:
        """Start a call and return at once."""
        ...

    def wait(self, seconds: float) -> bool:
        """Sleep until some call has news, at most so long."""
        ...

    def close(self) -> None:
        """End all calls and close the connections; safe to call twice."""
        ...
