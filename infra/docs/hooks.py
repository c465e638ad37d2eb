"""What the documentation's site reads besides its pages: the project's own, the notebooks, the params, the HTTP API.

MkDocs calls the functions by their names (https://www.mkdocs.org/user-guide/configuration/#hooks).
"""

from __future__ import annotations

import ast
import json
import posixpath
import re
from itertools import chain
from pathlib import Path
from typing import Any

from http_api import http_api_page  # MkDocs finds what lies beside a hook
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[2]
PROJECT_PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
LINK = re.compile(r"(\]\()([^)#\s]+)(#[^)]*)?(\))")


def on_files(files: Any, config: Any) -> Any:
    """The project's own pages stand beside those of docs/, and every notebook is a page."""
    for name in PROJECT_PAGES:
        files.append(File.generated(config, f"project/{name}", content=(ROOT / name).read_text(encoding="utf-8")))
    for path in sorted((ROOT / "docs/notebooks").glob("*.ipynb")):
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=notebook_page(path)))
    return files


def on_config(config: Any) -> Any:
    """Every decision in the navigation, by its number and first heading."""
    for entry in config.nav:
        if "Decisions" in entry:
            entry["Decisions"] = [{_heading(path): f"decisions/{path.name}"}
                                  for path in sorted((ROOT / "docs/decisions").glob("*.md"))]
    return config


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Fill in what is made from the code, and turn links that leave docs/ to where their page is in the site."""
    markdown = markdown.replace("{{ params }}", params_tables()).replace("{{ http_api }}", http_api(markdown))
    here = page.file.src_uri
    return LINK.sub(lambda match: match[1] + _target(match[2], here) + (match[3] or "") + match[4], markdown)


def notebook_page(path: Path) -> str:
    """The cells of a notebook as Markdown, and a link to the file."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    texts = [("".join(cell["source"]), cell["cell_type"] == "code") for cell in cells]
    parts = [f"```python\n{text}\n```" if code else text for text, code in texts]
    return "\n\n".join([*parts, f'<a href="{path.name}" download>The notebook as a file</a>'])


def params_tables() -> str:
    """A table per section of params.yaml, from the fields and docstrings of `relayllm/config`."""
    parts = []
    sources = [ROOT / f"src/relayllm/config/{name}.py" for name in ("data", "models", "training", "evaluation",
                                                                    "shared", "params")]
    for node in chain.from_iterable(ast.parse(path.read_text(encoding="utf-8")).body for path in sources):
        if isinstance(node, ast.ClassDef) and (rows := list(_fields(node))):
            about = (ast.get_docstring(node) or "").split("\n\n")[0].replace("\n", " ")
            lines = [f"### {node.name}", "", about, "", "| key | type | what it is |", "|---|---|---|", *rows]
            parts.append("\n".join(lines))
    return "\n\n".join(parts)


def http_api(markdown: str) -> str:
    """Routes and their fields from the server's own OpenAPI description; the models stay unloaded."""
    if "{{ http_api }}" not in markdown:
        return ""
    from relayllm.serving.api.app import HttpLimits, create_app
    from relayllm.serving.auth import Keys
    from relayllm.serving.budgets.local import Budgets
    from relayllm.serving.metrics import Metrics
    from relayllm.serving.models.router import Capacity, ModelRouter

    metrics = Metrics(lambda: ())
    app = create_app(ModelRouter(metrics, Capacity(1, 1)), Keys(), Budgets(), metrics, HttpLimits())
    return http_api_page(app.openapi())


def _fields(node: ast.ClassDef) -> Any:
    for place, field in enumerate(node.body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            after = node.body[place + 1] if place + 1 < len(node.body) else None
            told = (isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
                    and isinstance(after.value.value, str))
            about = " ".join(after.value.value.split()) if told else ""  # type: ignore[union-attr]
            yield f"| `{field.target.id}` | `{_cell(ast.unparse(field.annotation))}` | {_cell(about)} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _heading(path: Path) -> str:
    return path.read_text(encoding="utf-8").split("\n", 1)[0].lstrip("# ")


def _target(link: str, here: str) -> str:
    """Where a link leads in the site: pages of the project have moved, what is no page becomes its page's own text."""
    if "://" in link or link.startswith(("mailto:", "#")):
        return link
    base = ROOT / (posixpath.basename(here) if here.startswith("project/") else f"docs/{here}")
    path = (base.parent / link).resolve()
    if not path.is_relative_to(ROOT) or not path.exists():
        return link
    name = path.relative_to(ROOT).as_posix()
    if name in PROJECT_PAGES:
        there = f"project/{name}"
    else:  # a folder or a file of the code is no page: the README's tree says what it is
        there = name.removeprefix("docs/") if name.startswith("docs/") else "project/README.md"
        there = re.sub(r"\.ipynb$", ".md", there)
    return posixpath.relpath(there, posixpath.dirname(here) or ".")
