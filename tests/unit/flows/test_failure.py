"""Why a stage failed, from what it printed."""

import pytest

from flows.failure import can_heal, reason_of

DVC = "ERROR: failed to reproduce 'warmup': failed to run: relay warmup, exited with 1"
LAUNCHER = "[2026-11-26 17:30:17,255] [ERROR] [launch.py:259:sigkill_handler] exits with return code = 1"


@pytest.mark.parametrize(("lines", "code", "reason", "heals"), [
    (["Running stage 'validate':", "relay: DataError: data/train.jsonl, row 3: no answer", DVC], 255,
     "DataError: data/train.jsonl, row 3: no answer", False),
    (["relay: ConfigError: params.yaml does not fit:", "  grpo.kl: must be a number", DVC], 255,
     "ConfigError: params.yaml does not fit:\n  grpo.kl: must be a number", False),
    (["relay: ModelError: no weights in x", LAUNCHER, DVC], 255, "ModelError: no weights in x", False),
    (["relay: TeacherError: http://t does not answer", DVC], 255, "TeacherError: http://t does not answer", True),
    (["Traceback (most recent call last):", "  File \"x.py\", line 1", "ValueError: no", "", DVC], 255,
     "ValueError: no", True),
    (["[rank0]: Traceback (most recent call last):", "[rank0]: OSError: [Errno 5] disk", LAUNCHER, DVC], 255,
     "OSError: [Errno 5] disk", True),
    (["ERROR: failed to reproduce 'grpo': failed to run: relay grpo, exited with -9"], 255,
     "killed by SIGKILL, as Linux does when memory is over", True),
    ([DVC], 255, DVC, True), ([], 3, "exit code 3", True), ([], -15, "killed by SIGTERM", True)])
def test_reason_is_the_error_and_not_what_stands_around_it(lines, code, reason, heals):
    assert reason_of(lines, code) == reason
    assert can_heal(reason) is heals


@pytest.mark.parametrize("line", ["OSError: [Errno 28] No space left on device", "relay: DiskFull: no space left",
                                  "ERROR: unexpected error - [Errno 28] No space left on device: '/cache'"])
def test_reason_full_disk_is_named_and_not_tried_again(line):
    reason = reason_of([line, DVC], 255)
    assert reason.startswith("DiskFull: ")
    assert not can_heal(reason)
