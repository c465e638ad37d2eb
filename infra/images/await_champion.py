#!/usr/bin/env python3
"""Wait until the registry has a version: `await-champion models:/NAME@ALIAS [COMMAND ...]`, then become COMMAND.

Before the first release there is nothing to serve. That is no fault, so nothing crashes: this waits, says what for when
it changes, and looks again. Wrong credentials end it at once. Without a tracking server (MLFLOW_TRACKING_URI) the
command decides by itself.
"""

import base64
import json
import os
import re
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

SECONDS = float(os.environ.get("RELAY_AWAIT_SECONDS") or 5)


def main(words: list[str]) -> int:
    """Wait, then run the command that follows the model's address, if any."""
    named = re.fullmatch(r"models:/([^@/]+)@([^@/]+)", words[0]) if words else None
    if named is None:
        print(__doc__.splitlines()[0], file=sys.stderr)
        return 64
    server = os.environ.get("MLFLOW_TRACKING_URI", "").rstrip("/")
    said = ""
    while server.startswith("http") and (missing := _missing(server, *named.groups())):
        if missing != said:
            print(f"waiting: {missing}", flush=True)
            said = missing
        time.sleep(SECONDS)
    if words[1:]:
        os.execvp(words[1], words[1:])
    return 0


def _missing(server: str, name: str, alias: str) -> str:
    """What is not there yet; empty when the alias names a version."""
    query = urllib.parse.urlencode({"name": name, "alias": alias})
    request = urllib.request.Request(f"{server}/api/2.0/mlflow/registered-models/alias?{query}")
    user, password = (os.environ.get(f"MLFLOW_TRACKING_{part}", "") for part in ("USERNAME", "PASSWORD"))
    if user:
        request.add_header("Authorization", "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode())
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            json.load(answer)["model_version"]["version"]
        return ""
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            sys.exit(f"{server} refuses the user '{user}' ({error.code}): check MLFLOW_TRACKING_USERNAME and "
                     "MLFLOW_TRACKING_PASSWORD")
        if error.code in (400, 404):  # the model or the alias; which code depends on MLflow's store
            return f"{name} has no {alias} in {server}: the first release makes one"
        return f"{server} answers {error.code}"
    except (OSError, ValueError, KeyError) as error:
        return f"{server} does not answer as MLflow does ({error})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
