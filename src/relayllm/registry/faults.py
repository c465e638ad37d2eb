"""What to say when the registry did not do what was asked: the fact, and the remedy that fits it."""

from __future__ import annotations

from relayllm.errors import RegistryError
from relayllm.files import is_disk_full
from relayllm.settings import Settings, current_settings, without_secrets
from relayllm.tracking.reach import error_code, says_no, unreachable_store

REFUSALS = frozenset({"PERMISSION_DENIED", "UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED"})


def check_registry(settings: Settings | None = None) -> None:
    """Look whether the registry's server is there; SQLite needs none. MLflow's own client tries for minutes.

    Raises:
        RegistryError: nobody answers at its address.
    """
    address = (settings or current_settings()).registry_uri.rstrip("/")
    if fact := unreachable_store(address):
        raise RegistryError(f"the registry is {without_secrets(address)}, and nobody answers there ({fact}): start "
                            "that server and run this again, or correct MLFLOW_TRACKING_URI")


def describe_fault(address: str, error: BaseException) -> str:
    """One sentence about a call of MLflow that failed, with what to do."""
    fact = str(error).split("\n")[0][:300]
    return without_secrets(f"the registry at {address} did not do what was asked: {fact}; {_remedy(error)}")


def _remedy(error: BaseException) -> str:
    if is_disk_full(error):
        return "free some space and run it again"
    if error_code(error) in REFUSALS:
        return "check MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, and what that account may do"
    if error_code(error) == "INVALID_PARAMETER_VALUE":
        return "correct what was asked for"
    if says_no(error):
        return "it answers, so the address is right; somebody may have changed or deleted it meanwhile: run it again"
    return "check MLFLOW_TRACKING_URI, and that the server runs"
