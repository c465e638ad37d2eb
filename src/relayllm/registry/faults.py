"""What to say when the registry did not do what was asked: the fact, and the remedy that fits it."""

from __future__ import annotations

from contextlib import suppress

from relayllm.files import is_disk_full
from relayllm.settings import without_secrets

ANSWERS = frozenset({"RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS", "RESOURCE_CONFLICT", "BAD_REQUEST",
                     "INVALID_PARAMETER_VALUE", "INVALID_STATE"})
"""MLflow's codes of a server that is there and says no."""
REFUSALS = frozenset({"PERMISSION_DENIED", "UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED"})


def describe_fault(address: str, error: BaseException) -> str:
    """One sentence about a call of MLflow that failed, with what to do."""
    fact = str(error).split("\n")[0][:300]
    return without_secrets(f"the registry at {address} did not do what was asked: {fact}; {_remedy(error)}")


def _remedy(error: BaseException) -> str:
    if is_disk_full(error):
        return "free some space and run it again"
    code = ""
    with suppress(AttributeError, ValueError):
        code = str(error.error_code)  # type: ignore[attr-defined]
    if code in REFUSALS:
        return "check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, and what that account may do"
    if code in ANSWERS:
        return "it answers, so the address is right; somebody may have changed or deleted it meanwhile: run it again"
    return "check MLFLOW_TRACKING_URI, and that the server runs"
