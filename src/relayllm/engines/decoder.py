"""The relay decoder: a student, a teacher, and the scheduler between them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from relayllm.engines.collecting import in_order
from relayllm.engines.commands import command_tokens, spare_command_tokens
from relayllm.engines.llama_cpp.model import GgufModel
from relayllm.engines.loading import load_tokenizer
from relayllm.engines.openai.beginnings import WeightProbe
from relayllm.engines.prompts import Prompt, encode_prompt, messages_of
from relayllm.engines.roles import (
    context_of,
    is_remote,
    loaded_model,
    named_tokenizer,
    remote_teacher,
    same_vocabulary,
    student_engine,
    teacher_engine,
)
from relayllm.engines.text_commands import text_commands as commands_in_text
from relayllm.errors import ConfigError, DataError
from relayllm.relay.command import CommandTokens
from relayllm.relay.engine import Engine
from relayllm.relay.events import Event
from relayllm.relay.options import GenerationRequest, Options
from relayllm.relay.protocols import CausalLM, Tokenizer
from relayllm.relay.remote_session import RemoteSession, RemoteStudent
from relayllm.relay.scheduler import Finished, Session
from relayllm.relay.teacher import LocalTeacher, Teacher
from relayllm.relay.text_command import TextCommands
from relayllm.relay.trace import NO_PREFIX, Prefix, Trace
from relayllm.relay.vocabulary import SharedVocabulary, TranslatedVocabulary, Vocabulary
from relayllm.settings import current_settings

UNKNOWN_CONTEXT = 32768
"""Tokens of prompt and answer together when no model says how many it reads."""


class RelayDecoder:
    """Writes completions with a student that may call a teacher.

    Make one with `from_pretrained`, or from objects at hand with `from_models`.
    """

    def __init__(self, student: Engine | RemoteStudent, tokenizer: Tokenizer, teacher: Teacher | None,
                 teacher_tokenizer: Tokenizer | None, *, teacher_name: str = "", context_length: int = 0,
                 teacher_context: int = 0, commands: CommandTokens | None = None) -> None:
        self.student = student
        self.tokenizer = tokenizer
        self.teacher, self.teacher_tokenizer, self.teacher_name = teacher, teacher_tokenizer, teacher_name
        self.commands = commands or command_tokens(tokenizer) or spare_command_tokens(tokenizer)
        self.shares_vocabulary = teacher_tokenizer is None or same_vocabulary(tokenizer, teacher_tokenizer)
        self._vocabulary: Vocabulary = (SharedVocabulary() if teacher_tokenizer is None or self.shares_vocabulary else
                                        TranslatedVocabulary(tokenizer, teacher_tokenizer))
        limits = [limit for limit in (context_length, teacher_context) if limit]
        self.context_length = min(limits) if limits else 0
        """Tokens that prompt and completion may take together; 0 when no model says."""

    @classmethod
    def from_pretrained(cls, student: str | Path, teacher: str | Path | None = None, *, device: str | None = None,
                        dtype: str | None = None, student_revision: str | None = None,
                        teacher_revision: str | None = None, cuda_graphs: bool | None = None,
                        text_commands: bool = False) -> RelayDecoder:
        """Load from folders, GGUF files or the hub; the teacher may also be the http(s) address of an
        OpenAI-compatible server.

        `cuda_graphs` makes decode steps of fixed shapes, on CUDA as graphs (see `engines.cuda_graphs`); None leaves it
        to the environment's RELAY_CUDA_GRAPHS. `text_commands` is for a student that was trained to write its
        commands as plain text (see `relay.text_command`). The dtype `int8` rounds the weights of both models for a CPU
        (see `engines.int8`). A GGUF file is decoded by llama.cpp in the types it was
        written with (see `engines.llama_cpp`).

        Raises:
            ModelError: a model is missing, damaged, or does not fit its role.
            ConfigError: int8 on an accelerator; a GGUF file without llama-cpp-python.
        """
        tokenizer = load_tokenizer(student, student_revision)
        model = loaded_model(student, dtype, device, student_revision)
        options: dict[str, Any] = {"name": str(student), "cuda_graphs": cuda_graphs, "text_commands": text_commands}
        if teacher is None:
            return cls.from_models(model, tokenizer, **options)
        if is_remote(teacher):
            return cls.from_models(model, tokenizer, str(teacher), **options)
        return cls.from_models(
            model, tokenizer, loaded_model(teacher, dtype, device, teacher_revision),
            load_tokenizer(teacher, teacher_revision), teacher_name=str(teacher), **options)

    @classmethod
    def from_models(cls, student: CausalLM | GgufModel, tokenizer: Tokenizer,
                    teacher: CausalLM | GgufModel | str | None = None,
                    teacher_tokenizer: Tokenizer | None = None, *, name: str = "student", teacher_name: str = "teacher",
                    cuda_graphs: bool | None = None, text_commands: bool = False) -> RelayDecoder:
        """From models in memory; the student may be one that is being trained, the teacher an address.

        For an address `teacher_tokenizer` is the one that its model has, where that is not the student's; left out,
        RELAY_TEACHER_TOKENIZER names it.
        """
        static = current_settings().cuda_graphs if cuda_graphs is None else cuda_graphs
        engine = student_engine(student, tokenizer, name, static)
        context, text = context_of(student), commands_in_text(tokenizer) if text_commands else None
        if isinstance(teacher, str):
            theirs = teacher_tokenizer or named_tokenizer() or tokenizer
            return cls(engine, tokenizer, remote_teacher(teacher, tokenizer, theirs), theirs, teacher_name=teacher,
                       context_length=context, commands=text)
        if teacher is None:
            return cls(engine, tokenizer, None, None, context_length=context, commands=text)
        theirs = teacher_tokenizer or tokenizer
        side = LocalTeacher(teacher_engine(teacher, theirs, tokenizer, teacher_name, static))
        return cls(engine, tokenizer, side, theirs, teacher_name=teacher_name, context_length=context,
                   teacher_context=context_of(teacher), commands=text)

    @classmethod
    def from_servers(cls, students: Sequence[str], tokenizer: str | Path, teacher: str | None = None, *,
                     known: Sequence[tuple[str, Sequence[int]]] = (), fixed_weights: bool = True) -> RelayDecoder:
        """Over vLLM servers of the student, which run the relay grammar, and the address of a teacher: no model here.

        `tokenizer` is the student's folder; no weights of it are read. Every server is met now, and again when it was
        away: it must have the weights of the others, and give answers that are `known`: prompts with the token ids
        that the student writes greedily. Without `fixed_weights` neither is asked: they follow a training.

        Raises:
            StudentError: all servers are out of reach; one is of another student, or started without what it needs.
        """
        from relayllm.engines.openai.student import OpenAIStudent

        words, news = load_tokenizer(tokenizer), threading.Event()
        questions = [WeightProbe(tuple(encode_prompt(words, prompt)), tuple(answer)) for prompt, answer in known]
        student = OpenAIStudent(students, words, news=news, questions=questions or None if fixed_weights else ())
        with ExitStack() as undo:
            undo.callback(student.shut_down)
            context = min((info.context_length for info in student.verify() if info.context_length), default=0)
            if teacher is None:
                decoder = cls(student, words, None, None, context_length=context)
            else:
                theirs = named_tokenizer() or words
                helper = remote_teacher(teacher, words, theirs, news)
                undo.callback(helper.close)
                decoder = cls(student, words, helper, theirs, teacher_name=teacher, context_length=context,
                              teacher_context=helper.server.context_length())
            undo.pop_all()
        return decoder

    def bound_context(self, tokens: int) -> None:
        """Let prompt and completion take no more than so many tokens together: bounds what a row's caches take.

        Raises:
            ConfigError: the models cannot read so many, or it is less than one.
        """
        most = self.context_length
        if tokens < 1 or (most and tokens > most):
            raise ConfigError(f"a context of {tokens} tokens: the models read from 1 to {most or 'any number'}; give a "
                              "number between, or leave it out for all that they can read")
        self.context_length = tokens

    def encode(self, prompt: Prompt, *, enable_thinking: bool | None = None) -> list[int]:
        """A prompt as the student reads it; see `engines.prompts`."""
        return encode_prompt(self.tokenizer, prompt, enable_thinking=enable_thinking)

    def request(self, prompt: Prompt, options: Options, *, seed: int = 0, row: int = 0, sample: int = 0,
                prefix: Prefix = NO_PREFIX) -> GenerationRequest:
        """One completion to submit to a session; `prefix` is how its answer begins (see `Trace.prefix`).

        A continuation draws the random numbers of its own positions: with the same seed, row and sample it goes on as
        the answer did that the prefix is taken from. The teacher is told the prefix without its commands.

        Raises:
            DataError: the prompt leaves no room for an answer, or is token ids where the vocabularies differ.
            ConfigError: a call bias where commands are text.
        """
        if options.call_bias and isinstance(self.commands, TextCommands):
            raise ConfigError(f"call_bias is {options.call_bias:g}, and this student writes its commands as text, of "
                              "which no single token begins one: leave the bias at 0")
        ids = self.encode(prompt, enable_thinking=options.enable_thinking)
        theirs = None
        if not self.shares_vocabulary and self.teacher is not None and self.teacher_tokenizer is not None:
            if not isinstance(prompt, str) and prompt and isinstance(prompt[0], int):
                raise DataError("a prompt of token ids cannot be told to a teacher with another tokenizer: give "
                                "messages")
            theirs = tuple(encode_prompt(self.teacher_tokenizer, prompt, enable_thinking=options.enable_thinking))
        self.room(ids, theirs, wanted=options.max_new_tokens)
        if len(prefix.token_ids) >= options.max_new_tokens:
            raise DataError(f"the answer begins with {len(prefix.token_ids)} tokens and max_new_tokens is "
                            f"{options.max_new_tokens}: nothing is left to write; allow more, or give a shorter prefix")
        return GenerationRequest(tuple(ids), options, seed, row, sample, theirs, messages_of(prompt), prefix)

    def room(self, prompt_ids: Sequence[int], teacher_prompt_ids: Sequence[int] | None = None, *,
             wanted: int = 1) -> int:
        """Tokens that an answer to this prompt may take.

        Raises:
            DataError: fewer than are wanted.
        """
        context = self.context_length or UNKNOWN_CONTEXT
        longest = max(len(prompt_ids), len(teacher_prompt_ids or ()))
        if longest + wanted > context:
            # the beginning is OpenAI's: litellm and others know by it what to do, such as asking a longer model
            raise DataError(f"this model's maximum context length is {context} tokens, the prompt has {longest} and "
                            f"{wanted} are asked for: shorten the prompt or ask for less")
        return context - longest

    @property
    def knows_commands(self) -> bool:
        """Whether the student can write a call: not a model that was never taught to."""
        return isinstance(self.commands, TextCommands) or self.commands.call < len(self.tokenizer)

    @property
    def student_model(self) -> CausalLM | None:
        """The student's transformers model; None where servers or llama.cpp have it."""
        return getattr(self.student, "model", None)

    def close(self) -> None:
        """Let go of servers, once or again; models in this process go when nobody holds them."""
        if isinstance(self.student, RemoteStudent):
            self.student.shut_down()
        if self.teacher is not None:
            self.teacher.close()

    def session(self, slots: int = 32) -> Session:
        """An empty running batch. One at a time: it uses the models' caches."""
        parts = self.teacher, self._vocabulary, self.tokenizer, self.commands, slots
        if isinstance(self.student, RemoteStudent):
            return RemoteSession(self.student, *parts)
        return Session(self.student, *parts)

    def generate(self, prompts: Sequence[Prompt], *, n: int = 1, seed: int = 0, slots: int = 32,
                 progress: Callable[[int, int], None] | None = None, **options: Any) -> list[Trace]:
        """Write n completions of every prompt; the rest of the options are those of `Options`.

        What a row samples depends on the seed, its index and its sample number, never on the batch. `progress` is
        told how many rows are done, of how many.

        Returns:
            Traces, the n of the first prompt first.
        """
        chosen = _options(options)
        if isinstance(prompts, str):
            raise DataError("prompts is one text: give a list of prompts")
        requests = [self.request(prompt, chosen, seed=seed, row=row, sample=sample)
                    for row, prompt in enumerate(prompts) for sample in range(n)]
        return in_order(self.complete(requests, slots=slots), len(requests), progress)

    def complete(self, requests: Sequence[GenerationRequest], *, slots: int = 32) -> Iterator[tuple[int, Trace]]:
        """Traces as they are finished, each with the place of its request."""
        session = self.session(min(slots, max(1, len(requests))))
        self._reserve(requests, min(slots, len(requests)))
        places = {session.submit(request): place for place, request in enumerate(requests)}
        while session.busy:
            for finished in session.step():
                yield places[finished.handle], _trace_of(finished)

    def stream(self, prompt: Prompt, *, seed: int = 0, **options: Any) -> Generator[Event, None, Trace]:
        """Write one completion and yield its tokens as they come.

        Returns:
            The trace, as the value of `yield from`; options and errors are those of `generate`.
        """
        events, finished = list[Event](), list[Finished]()
        session = self.session(1)
        handle = session.submit(self.request(prompt, _options(options), seed=seed), events.append)
        try:
            while session.busy:
                finished += session.step()
                yield from events
                events.clear()
        finally:
            if session.busy:  # the caller went away
                session.cancel(handle)
                session.step()
        return _trace_of(finished[0])

    def _reserve(self, requests: Sequence[GenerationRequest], slots: int) -> None:
        """Caches at their final size at once: growing would copy."""
        if not requests:
            return
        new = requests[0].options.max_new_tokens
        self.student.reserve(slots, max(len(request.prompt_ids) for request in requests) + new)
        if self.teacher is not None and requests[0].options.teacher_enabled and requests[0].options.max_calls:
            longest = max(len(request.teacher_prompt_ids or request.prompt_ids) for request in requests)
            self.teacher.reserve(slots, longest + new)


def _trace_of(finished: Finished) -> Trace:
    if finished.error is not None:
        raise finished.error
    return finished.trace


def _options(given: dict[str, Any]) -> Options:
    known = set(Options.__dataclass_fields__)
    unknown = sorted(set(given) - known)
    if unknown:
        raise ConfigError(f"unknown option {', '.join(unknown)}: known are {', '.join(sorted(known))}")
    if "stop" in given:
        stop = given["stop"]
        given = {**given, "stop": (stop,) if isinstance(stop, str) else tuple(stop or ())}
    return Options(**given)
