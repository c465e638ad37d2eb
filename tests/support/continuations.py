"""Tables of prefixes that were continued with help and without."""

from __future__ import annotations

import pandas as pd

from relayllm.evaluation.analysis.call_value import COLUMNS


def place(problem, called, without, helped, number=0):
    """Continuations of one prefix: right ones of four, without and with help."""
    return [(problem, number, called, help_, index < right)
            for help_, right in ((False, without), (True, helped)) for index in range(4)]


def table(*places):
    return pd.DataFrame([row for rows in places for row in rows], columns=list(COLUMNS))
