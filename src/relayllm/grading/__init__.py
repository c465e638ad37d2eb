"""Find the answer in a completion and decide whether it equals the gold answer."""

from relayllm.grading.grade import KINDS, TIME_LIMIT, Grade, grade

__all__ = ["KINDS", "TIME_LIMIT", "Grade", "grade"]
