"""Kill -9 at the worst moment: just before what a stage made is renamed to where it is looked for.

Python imports this in every process that has this folder on its path. KILL_BEFORE names the file or folder.
"""

import os
import signal
import sys

TARGET = os.environ.get("KILL_BEFORE")


def watch(event: str, arguments: tuple) -> None:
    if event == "os.rename" and os.path.abspath(os.fsdecode(arguments[1])) == TARGET:
        os.killpg(0, signal.SIGKILL)


if TARGET:
    sys.addaudithook(watch)
