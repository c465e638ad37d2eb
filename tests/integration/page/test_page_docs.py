"""The description of the API at /docs, and the files that the page brings along."""

from __future__ import annotations

import pytest

from tests.support.browsing import shot, until
from tests.support.fakes_serving import serving

pytestmark = pytest.mark.browser


def test_docs_try_with_a_key(browser):
    with serving(keys="ann:secret-a") as server:
        page = browser.new_page()
        page.goto(f"{server.url}/docs")
        page.get_by_text("POST /v1/chat/completions").click()
        tried = "document.querySelector('details[open] pre').textContent.startsWith('%d')"
        for key, status in (("", 401), ("wrong", 401), ("secret-a", 200)):
            page.get_by_label("API key").fill(key)
            page.locator("details[open]").get_by_role("button").click()
            until(page, tried % status, "details[open] pre")
        page.get_by_text("POST /v1/chat/completions").click()
        page.get_by_text("GET /v1/models").first.click()
        page.locator("details[open]").get_by_role("button").click()
        until(page, tried % 200, "details[open] pre")
        page.close()


def test_docs_work_offline(page, server):
    page.goto(f"{server.url}/docs")
    page.get_by_text('POST /v1/chat/completions').click()
    assert page.is_hidden("#key")
    block = page.locator("details[open]")
    names = block.locator("tbody >> nth=0").locator("td:first-child").all_inner_texts()
    assert names[0] == "messages"
    assert names.index("max_completion_tokens") < names.index("user")
    assert names.index("relay") < names.index("tools")
    block.get_by_role("button").click()
    until(page, "document.querySelector('details[open] pre').textContent.startsWith('200')")
    assert page.complaints == []
    shot(page, "docs")


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/responses", "/invocations"])
def test_docs_try_begins_with_a_body_that_is_answered(page, server, path):
    page.goto(f"{server.url}/docs")
    page.get_by_text(f"POST {path}").click()
    page.locator("details[open]").get_by_role("button").click()
    until(page, "document.querySelector('details[open] pre').textContent.startsWith('200')")
    assert page.complaints == []


@pytest.mark.parametrize("name", ["katex/LICENSE", "README.md", "../page.js", "katex/fonts/none.woff2"])
def test_vendor_route_serves_its_files_only(server, name):
    assert server.client.get(f"/vendor/{name}").status_code == 404
