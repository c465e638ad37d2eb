"""Threads that wait must not spin, whoever calls pytest: `make` says so in the environment, and so does this.

Set before torch is imported: with spinning threads the suite took ten times as long on two busy cores.
"""

import os

from relayllm.settings import THREADS

for name, value in THREADS.items():
    os.environ.setdefault(name, value)
