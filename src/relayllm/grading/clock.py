"""Compare times of the day, in whichever way they are written."""

from __future__ import annotations

import re

from relayllm.grading.numerals import in_words

CLOCK = re.compile(r"(\d{1,2})(?::(\d\d))?\s*(?:([ap])\.?\s*m\.?)?", re.IGNORECASE)
HALF_DAY = 12 * 60


def same_clock(gold: str, answer: str) -> bool | None:
    """Whether two answers are the same time of day; None unless both are, and one says which half of the day.

    "10:30 AM" is "10:30 a.m.", "2:30 p.m." is "14:30", and "10:30 a.m." may be 10:30.
    """
    times = [CLOCK.fullmatch(in_words(each)) for each in (gold, answer)]
    if times[0] is None or times[1] is None or not any(time[3] for time in times if time):
        return None
    minutes = [60 * int(time[1]) + int(time[2] or 0) for time in times if time]
    halves = {time[3].casefold() if time[3] else "p" if int(time[1]) > 12 else None for time in times if time} - {None}
    return len(halves) == 1 and (minutes[0] - minutes[1]) % HALF_DAY == 0
