"""What is said when the registry did not do what was asked."""

import errno
import sqlite3

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED, RESOURCE_DOES_NOT_EXIST

from relayllm.registry.faults import describe_fault

URL = "http://tracking:5000"


@pytest.mark.parametrize(("error", "remedy"), [
    (MlflowException("no such version", RESOURCE_DOES_NOT_EXIST), "it answers"),
    (MlflowException("not for you", PERMISSION_DENIED), "MLFLOW_TRACKING_PASSWORD"),
    (MlflowException("Connection refused"), "check MLFLOW_TRACKING_URI"),
    (OSError(errno.ENOSPC, "No space left on device"), "free some space"),
    (MlflowException(str(sqlite3.OperationalError("database or disk is full"))), "free some space")])
def test_describe_fault_names_the_remedy_that_fits(error, remedy):
    assert remedy in describe_fault(URL, error)


def test_describe_fault_shows_no_password():
    said = describe_fault("postgresql://relay:secret@db/mlflow", OSError("cannot reach postgresql://relay:secret@db"))
    assert "secret" not in said
    assert "db/mlflow" in said
