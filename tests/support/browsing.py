"""A real Chromium for tests of the page: open it, ask, wait, keep a screenshot."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path

SHOTS = os.environ.get("RELAY_SCREENSHOTS")
"""A folder to keep screenshots in."""


@contextmanager
def opened(browser, server, **options):
    context = browser.new_context(**{"viewport": {"width": 1100, "height": 820}, **options})
    page = context.new_page()
    page.complaints = []
    page.elsewhere = []
    page.on("console", lambda said: page.complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("request", lambda asked: page.elsewhere.append(asked.url)
            if not asked.url.startswith((server.url, "data:")) else None)
    page.goto(server.url)
    yield page
    assert page.elsewhere == []
    context.close()


def shot(page, name):
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"{name}.png"), full_page=True)


def until(page, expression, told="#status"):
    """Wait for it; `wait_for_function` would need eval, which the page's policy forbids."""
    for _ in range(500):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(20)
    raise AssertionError(f"never: {expression}; {told} says {page.inner_text(told)!r}; {page.complaints}")


def done(page):
    until(page, "document.querySelector('#status').textContent.startsWith('Done')"
                " && document.querySelector('#stop').disabled")


def ask_example(page):
    page.locator(".example").first.click()
    page.click("#ask")
    done(page)
