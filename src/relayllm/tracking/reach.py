"""Whether somebody answers at an address, in a few seconds: MLflow's and Prefect's clients try for minutes."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from relayllm.settings import without_secrets

PATIENCE = 5.0
ANSWERS = frozenset({"RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS", "RESOURCE_CONFLICT", "BAD_REQUEST",
                     "INVALID_PARAMETER_VALUE", "INVALID_STATE"})
"""MLflow's codes of a server that is there and says no."""
PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
"""Of databases that answer over a network."""


def unreachable_store(uri: str, patience: float = PATIENCE) -> str:
    """Why nobody answers at the address of an MLflow store; empty when somebody does, or the store needs no server."""
    where = urlsplit(uri)
    if where.scheme in ("http", "https"):
        return unreachable(f"{uri.rstrip('/')}/health", patience)
    kind = where.scheme.partition("+")[0]
    if kind not in PORTS or not where.hostname:
        return ""
    try:
        socket.create_connection((where.hostname, where.port or PORTS[kind]), patience).close()
    except (OSError, ValueError) as error:
        return str(getattr(error, "strerror", None) or error)
    return ""


def unreachable(url: str, patience: float = PATIENCE) -> str:
    """Why nobody answers at an HTTP address; empty when somebody does, whatever the answer is."""
    try:
        urllib.request.urlopen(without_secrets(url), timeout=patience).close()
    except urllib.error.HTTPError:
        return ""
    except urllib.error.URLError as error:
        return str(getattr(error.reason, "strerror", None) or error.reason)
    except (OSError, ValueError) as error:
        return str(error)
    return ""


def error_code(error: BaseException) -> str:
    """MLflow's code of one of its errors, such as RESOURCE_DOES_NOT_EXIST; empty for other errors."""
    return str(getattr(error, "error_code", ""))


def says_no(error: BaseException) -> bool:
    """Whether a server is there and refuses what was asked: asking again changes nothing."""
    return error_code(error) in ANSWERS
