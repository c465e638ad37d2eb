"""`params.yaml`, read and checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from relayllm.config.agreement import disagreements
from relayllm.config.params import Params
from relayllm.config.shared import Section
from relayllm.errors import ConfigError, fault_in_words


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check a params file.

    Raises:
        ConfigError: missing file, unknown or missing key, wrong value; all of them named at once.
    """
    if not path.is_file():
        raise ConfigError(f"no {path}: run in the project's root, or write one with `relay profile tiny`")
    try:
        params = Params.model_validate(YAML(typ="safe").load(path.read_text(encoding="utf-8")))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 ({error.reason}): save it as UTF-8") from error
    except YAMLError as error:  # a key that is there twice, too
        raise ConfigError(_no_yaml(path, error)) from error
    except ValidationError as error:
        raise _misfit(path, [_said(fault) for fault in error.errors()]) from error
    if faults := disagreements(params):
        raise _misfit(path, faults)
    return params


def _misfit(path: Path, faults: Sequence[str]) -> ConfigError:
    listed = "\n".join(f"  {fault}" for fault in faults)
    return ConfigError(f"{path} does not fit this version:\n{listed}\nCompare with params/tiny.yaml, or rewrite it "
                       "with `relay profile NAME`")


def _no_yaml(path: Path, error: YAMLError) -> str:
    mark = error.problem_mark if isinstance(error, MarkedYAMLError) else None
    if not isinstance(error, MarkedYAMLError) or mark is None:
        return f"{path} is not YAML: {error}"
    line = [*path.read_text(encoding="utf-8").split("\n"), ""][mark.line]
    tab = ": YAML indents by spaces, and this is a tab" if line[mark.column:].startswith("\t") else ""
    return f"{path}:{mark.line + 1}: not YAML, at column {mark.column + 1}: {error.problem}{tab}"


def _said(fault: ErrorDetails) -> str:
    """One fault, with the key that was probably meant where there is no such one."""
    said = f"{'.'.join(map(str, fault['loc']))}: {fault_in_words(fault['msg'])}"
    if fault["type"] != "missing":
        said += f" (got {fault['input']!r:.80})"
    near = get_close_matches(str(fault["loc"][-1]), _keys(), n=1) if fault["type"] == "extra_forbidden" else []
    return f"{said}; did you mean {near[0]}?" if near else said


def _keys() -> set[str]:
    """Every key that a section of `params.yaml` may have."""
    return {field.alias or name for section in _sections(Section) for name, field in section.model_fields.items()}


def _sections(section: type[Section]) -> Iterator[type[Section]]:
    for kind in section.__subclasses__():
        yield kind
        yield from _sections(kind)
