"""The page of the HTTP API, from the server's OpenAPI description: what is asked, what is answered, and their parts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from relayllm.serving.api.schemas.examples import ERROR, ROUTES
from relayllm.serving.api.unsupported import IGNORED_FIELD, REFUSED_FIELD

Shape = Mapping[str, Any]
REFERENCE = "#/components/schemas/"
NAMES = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false",
         "object": "object"}
HUGE = 2**31 - 1
"""Bounds of whole numbers from here on say only how they are stored."""
APART = {IGNORED_FIELD: "Accepted and ignored",
         REFUSED_FIELD: "Refused by name unless they ask for nothing (`null`, an empty list, a penalty of 0)"}
"""Fields with these descriptions are told in one line."""


def http_api_page(described: Shape) -> str:
    """Every route with its fields and examples, what faults look like, then every part that they name."""
    schemas = described["components"]["schemas"]
    parts = [_operation(method, path, operation, schemas)
             for path, operations in described["paths"].items() for method, operation in operations.items()]
    parts.append("\n".join(["## Errors", "", "Every fault has this form, whatever its status:", "",
                            *_table(schemas["ErrorAnswer"]), *_example("A wrong request", ERROR)]))
    told, waiting = set[str](), _named(parts)
    parts.append("## Parts")
    while waiting:
        name = waiting.pop(0)
        if name not in told:
            told.add(name)
            parts.append("\n".join([f"### {name}", "", schemas[name].get("description", ""), "",
                                    *_table(schemas[name])]))
            waiting += _named(parts[-1:])
    return "\n\n".join(parts)


def _operation(method: str, path: str, operation: Shape, schemas: Shape) -> str:
    route = f"{method.upper()} {path}"
    lines, shown = [f"## {route}", "", f"{operation.get('summary', '')}.", ""], ROUTES[route]
    asked = _schema(operation.get("requestBody", {}))
    if asked in schemas:
        lines += _table(schemas[asked], request=True)
        lines += _example("A request", shown.request)
    answered = _schema(operation["responses"].get("200", {}))
    if answered in schemas:
        lines += ["", "Its answer:", "", *_table(schemas[answered])]
    lines += _example("An answer", shown.answer)
    lines += _example("Of its stream", shown.stream)
    codes = [f"`{code}` {_cell(answer.get('description', ''))}" for code, answer in operation["responses"].items()]
    return "\n".join([*lines, "", "Status: " + "; ".join(codes) + "."])


def _schema(holder: Shape) -> str:
    schema = holder.get("content", {}).get("application/json", {}).get("schema") or {}
    return str(schema.get("$ref", "")).removeprefix(REFERENCE)


def _table(schema: Shape, *, request: bool = False) -> list[str]:
    """The needed fields first, which a request is told; those that are ignored or refused in a line each."""
    needed, fields = schema.get("required", []), schema.get("properties", {})
    apart = {about: [f"`{name}`" for name, shape in fields.items() if shape.get("description") == about]
             for about in APART}
    rows = [f"| `{name}` | {_type(fields[name])} | {_about(fields[name], request and name in needed)} |"
            for name in sorted(fields, key=lambda name: name not in needed)
            if fields[name].get("description") not in APART]
    lines = [f"{APART[about]}: {', '.join(names)}." for about, names in apart.items() if names]
    return ["| field | type | what it is |", "|---|---|---|", *rows, *(part for line in lines for part in ("", line))]


def _about(shape: Shape, needed: bool) -> str:
    default = shape.get("default")
    left_out = f"left out: `{json.dumps(default)}`" if default else ""
    return _cell("; ".join(filter(None, ("**needed**" if needed else "", shape.get("description", ""), left_out))))


def _type(shape: Shape) -> str:
    """In words, with bounds; a null is as absent and not told."""
    if "$ref" in shape:
        name = shape["$ref"].removeprefix(REFERENCE)
        return f"[{name}](#{name.lower()})"
    if "anyOf" in shape:
        return " or ".join(dict.fromkeys(_type(one) for one in shape["anyOf"] if one.get("type") != "null"))
    if "enum" in shape or "const" in shape:
        return " or ".join(f"`{value}`" for value in shape.get("enum", [shape.get("const")]))
    if shape.get("type") == "array":
        return f"list{_bounds(shape.get('minItems'), shape.get('maxItems'))} of {_type(shape.get('items', {}))}"
    bounds = _bounds(shape.get("minimum"), shape.get("maximum"), shape.get("exclusiveMinimum"))
    return NAMES.get(shape.get("type", ""), "anything") + (
        bounds or _bounds(None, shape.get("maxLength"), unit=" characters"))


def _bounds(least: float | None, most: float | None, above: float | None = None, unit: str = "") -> str:
    low, high = (None if value is None or abs(value) >= HUGE else f"{value:,.10g}" for value in (least, most))
    said = f"above {above:g}" if above is not None else low if low and high else f"at least {low}" if low else ""
    said += (f" to {high}" if said else f"at most {high}{unit}") if high else ""
    return f" ({said})" if said else ""


def _example(name: str, example: Shape | str | None) -> list[str]:
    if example is None:
        return []
    text, kind = (example, "text") if isinstance(example, str) else (json.dumps(example, indent=2), "json")
    return ["", f"{name}:", "", f"```{kind}", text.strip(), "```"]


def _named(parts: list[str]) -> list[str]:
    return [name for part in parts for name in re.findall(r"\[(\w+)\]\(#\w+\)", part)]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
