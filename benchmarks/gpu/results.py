"""The file of results: written after every part, read again by the next run."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.gpu.parts import Setup
from relayllm.files import write_json


class Results:
    """What was measured so far, by part.

    Raises:
        SystemExit: the file holds measures of another set-up.
    """

    def __init__(self, path: Path, setup: Setup) -> None:
        self.path = path
        self._found: dict[str, Any] = {"setup": asdict(setup), "parts": {}}
        if path.is_file():
            kept = json.loads(path.read_text(encoding="utf-8"))
            if kept["setup"] != self._found["setup"]:
                raise SystemExit(f"{path} holds measures of {kept['setup']}, asked for is {self._found['setup']}: give "
                                 "another --json, or the options of then")
            self._found = kept

    @property
    def parts(self) -> dict[str, dict[str, Any]]:
        """Name -> status (`done`, `failed`, `late`, `not here`), seconds, and result or error."""
        return dict(self._found["parts"])

    def status(self, name: str) -> str:
        """The status of a part; empty: it was never tried."""
        return str(self.parts.get(name, {}).get("status", ""))

    def keep(self, name: str, status: str, seconds: float = 0.0, **more: Any) -> None:
        """Note what came of a part, at once."""
        self._found["parts"][name] = {"status": status, "seconds": round(seconds, 1), **more}
        write_json(self.path, self._found)
