"""Ctrl-C and SIGTERM: the stages end, Prefect hears of it, and the command is gone in a second or two.

The flows run in a process of their own behind the command, in a session of their own: a terminal's Ctrl-C would end
Prefect's temporary server before anybody could tell it, and Prefect's client then tries for minutes to reach it.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from relayllm.processes import end_with_parent

SUPERVISED = "RELAY_SUPERVISED"
PATIENCE = 5.0
"""Seconds for the flows to end their stages and to tell Prefect, before they are made to."""


class Interrupted(BaseException):
    """A signal asked the command to stop; its number is the first argument."""


def supervise(words: Sequence[str], root: Path) -> int:
    """Run the flows behind this process and pass a signal on; the exit code, as a shell counts it.

    A second signal ends everything at once.
    """
    child = subprocess.Popen(words, cwd=root, env={**os.environ, SUPERVISED: "1"}, start_new_session=True,
                             preexec_fn=lambda: end_with_parent(signal.SIGTERM))
    before = {number: signal.signal(number, _interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return _shell_code(child.wait())
    except Interrupted as asked:
        print("\ninterrupted: stages end, run the same command again to go on", file=sys.stderr, flush=True)
        _end(child)
        return 128 + int(asked.args[0])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    raise Interrupted(number)


def _end(child: subprocess.Popen[bytes]) -> None:
    """Ask the flows to end, then the session with Prefect's temporary server in it."""
    with suppress(Interrupted, subprocess.TimeoutExpired, ProcessLookupError):
        os.kill(child.pid, signal.SIGTERM)
        child.wait(PATIENCE)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    with suppress(ProcessLookupError):  # its stages end with it: the kernel and their own watch see to that
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _shell_code(code: int) -> int:
    return 128 - code if code < 0 else code


@contextmanager
def told_at_once(end: Callable[[], None]) -> Iterator[None]:
    """While the block, a flow, runs behind `supervise`: SIGTERM calls `end`, cancels the run in Prefect, and exits.

    Without a supervisor (a worker, a test) Prefect's own handling stays.
    """
    if os.environ.get(SUPERVISED) != "1" or threading.current_thread() is not threading.main_thread():
        yield
        return

    supervisor = os.getppid()

    def leave(number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        logging.disable(logging.CRITICAL)
        end()
        with suppress(Exception):
            _cancel()
        if os.getppid() != supervisor:  # it was killed: nobody is left to end Prefect's temporary server
            os.killpg(0, signal.SIGKILL)
        os._exit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _cancel() -> None:
    """Mark the run and its tasks that are not done as cancelled."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
    from prefect.context import FlowRunContext
    from prefect.states import Cancelled

    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return
    flow_run, said = context.flow_run.id, "interrupted: run it again to go on"
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(flow_run, Cancelled(message=said), force=True)
        tasks = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run])))
        for one in tasks:
            if one.state is not None and not one.state.is_final():
                client.set_task_run_state(one.id, Cancelled(message=said), force=True)
