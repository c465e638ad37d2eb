"""Servers with teachers to them."""

from __future__ import annotations

import pytest

from relayllm.engines.openai.teacher import OpenAITeacher
from tests.support.fake_teacher import FakeTeacher
from tests.support.plain_relay import CALL, END, ByteTokenizer
from tests.support.remote_calls import QUICK, WRITE


@pytest.fixture
def serve():
    """Start servers with teachers to them; all are ended with the test."""
    opened: list = []

    def start(write=WRITE, *, options=QUICK, tokenizer=None, forbidden_ids=(CALL, END), **more):
        teacher_options = {name: more.pop(name) for name in ("mode", "expected", "api_key") if name in more}
        teacher_options["model"] = teacher_options.pop("expected", None)
        server = FakeTeacher(ByteTokenizer(), write, **more)
        server.__enter__()
        teacher = OpenAITeacher(server.url, tokenizer or ByteTokenizer(), options=options,
                                forbidden_ids=forbidden_ids, **teacher_options)
        opened.append((server, teacher))
        return server, teacher

    yield start
    for server, teacher in opened:
        teacher.close()
        server.__exit__()
