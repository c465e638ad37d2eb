"""Data Docs that open without a network and are the same bytes for the same data.

Great Expectations writes pages that fetch their style and scripts from six hosts, and puts the time and random ids
into them. The pages are kept, the fetching and the randomness are not.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from great_expectations.data_context import EphemeralDataContext

    from relayllm.validation.results import ExpectationResult

SITE = "site"
STYLE = """<style>
body { font-family: system-ui, sans-serif; margin: 0 auto; max-width: 1200px; padding: 0 1rem; color: #222; }
.row { display: flex; flex-wrap: wrap; gap: 1rem; } .col-lg-2 { flex: 0 0 200px; } .col-lg-10 { flex: 1; min-width: 0; }
.col-12 { width: 100%; } nav.navbar { height: auto !important; } ol.breadcrumb { list-style: none; display: flex; }
ol.breadcrumb li + li::before { content: "/"; padding: 0 .5rem; } ul.nav { list-style: none; padding: 0; }
table { border-collapse: collapse; } td, th { border: 1px solid #ccc; padding: .3rem .6rem; text-align: left;
vertical-align: top; } .text-success { color: #187a2f; } .text-danger, .text-warning { color: #b3261e; }
.fa-check-circle::before, .fa-check::before { content: "\\2714"; font-style: normal; }
.fa-times::before, .fa-exclamation-triangle::before { content: "\\2718"; font-style: normal; }
.cooltip .top, .ge-walkthrough-modal, #ge-cta-footer, .btn-group, footer, .modal { display: none !important; }
</style>"""

REMOTE = re.compile(r"<link[^>]*https?://[^>]*>|<script[^>]*src=\"https?://[^>]*></script>|<img[^>]*https?://[^>]*/?>"
                    r"|<iframe.*?</iframe>", re.DOTALL)
SCRIPT = re.compile(r"<script\b.*?</script>", re.DOTALL)
REMOTE_STYLE = re.compile(r"url\(['\"]?https?://[^)]*\)")
RANDOM = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|(?<=[-\"#])[0-9a-f]{32}(?=[-\"])")
MOMENT = re.compile(r"20\d\d-?\d\d-?\d\dT\d\d:?\d\d:?\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?")


def add_site(context: EphemeralDataContext, folder: Path) -> None:
    """Set the folder to which a context of Great Expectations writes its Data Docs."""
    context.add_data_docs_site(SITE, {
        "class_name": "SiteBuilder", "show_how_to_buttons": False,
        "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder.resolve())},
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"}})


def build(context: EphemeralDataContext, folder: Path, results: Sequence[ExpectationResult]) -> None:
    """Write the pages, make them stand on their own, and put an index before them."""
    context.build_data_docs(site_names=[SITE])
    shutil.rmtree(folder / "static", ignore_errors=True)
    for page in sorted(folder.rglob("*.html")):
        page.write_text(self_contained(page.read_text(encoding="utf-8")), encoding="utf-8")
    (folder / "index.html").write_text(index(folder, results), encoding="utf-8")


def index(folder: Path, results: Sequence[ExpectationResult]) -> str:
    """The first page: every expectation with its verdict. Great Expectations' own is empty without its scripts."""
    rows = "\n".join(
        f'<tr><td>{_mark(each)}</td><td>{escape(each.check)}</td><td>{escape(each.expectation)}</td>'
        f'<td>{escape(each.found)}</td></tr>' for each in results)
    pages = sorted(page.relative_to(folder).as_posix() for page in folder.rglob("*/*.html"))
    links = " ".join(f'<li><a href="{page}">{page}</a></li>' for page in pages)
    return ('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>Data Docs</title>'
            f"{STYLE}</head><body>\n"
            "<h1>What is expected of the data</h1>\n<table>\n<tr><th></th><th>Table</th><th>Expectation</th>"
            f"<th>Found</th></tr>\n{rows}\n</table>\n<h2>Pages of Great Expectations</h2>\n<ul>{links}</ul>\n"
            "</body></html>\n")


def _mark(result: ExpectationResult) -> str:
    if result.passed:
        return '<i class="fa-check text-success"></i>'
    return '<i class="fa-times text-danger"></i>' if result.critical else "note"


def self_contained(page: str) -> str:
    """A page of HTML without remote parts, scripts, times and random ids."""
    page = REMOTE_STYLE.sub("none", SCRIPT.sub("", REMOTE.sub("", page)))
    page = re.sub(r"<link[^>]*static/[^>]*>", "", page).replace("</head>", STYLE + "</head>", 1)
    names: dict[str, str] = {}
    page = RANDOM.sub(lambda found: names.setdefault(found.group(), f"part-{len(names) + 1}"), page)
    return MOMENT.sub("", page)
