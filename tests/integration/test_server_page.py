"""The page in a real Chromium: ask, watch, compare, stop, by mouse and by keyboard, on a phone, in the dark."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from tests.support.fakes_serving import scripted_decoder, serving

pytestmark = pytest.mark.browser
CHROMIUM = shutil.which("chromium")
STUDENT = ("A shelf holds 17 boxes with 14 pens each. 17 x 14 = ", 3, " pens. Then 19 pens are lost. 238 - 19 = ", 3,
           " pens.\nThe answer is \\boxed{", 3, "}.")
TEACHER = ("238219219",)
EXAMPLES = [{"benchmark": "pens", "question": "A shelf holds 17 boxes with 14 pens each. 19 pens are lost. How many?"}]
SHOTS = os.environ.get("RELAY_SCREENSHOTS")
"""A folder to keep screenshots in."""


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no chromium: apt-get install chromium")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as play:
        chrome = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu",
                                                                      "--disable-dev-shm-usage"])
        yield chrome
        chrome.close()


@pytest.fixture(scope="module")
def server():
    with serving(scripted_decoder(STUDENT, TEACHER, seconds=0.01), examples=EXAMPLES) as running:
        yield running


@pytest.fixture
def page(browser, server, request):
    options = getattr(request, "param", {})
    context = browser.new_context(**{"viewport": {"width": 1100, "height": 820}, **options})
    page = context.new_page()
    page.complaints = []
    page.elsewhere = []
    page.on("console", lambda said: page.complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("request", lambda asked: page.elsewhere.append(asked.url)
            if not asked.url.startswith((server.url, "data:")) else None)
    page.goto(server.url)
    until(page, "document.querySelectorAll('#examples option').length > 1")
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
    raise AssertionError(f"never: {expression}; {told} says {page.inner_text(told)!r}")


def done(page):
    until(page, "document.querySelector('#status').textContent.startsWith('Done')")


def test_answer_shows_teacher_tokens_calls_ratio_and_ledger(page):
    page.select_option("#examples", index=1)
    page.click("#ask")
    page.wait_for_selector("#relay .writing")
    done(page)
    assert page.locator("#relay mark").all_inner_texts() == ["238", "219", "219"]
    assert page.locator("#relay sup").count() == 3
    assert page.locator("#relay sup").first.get_attribute("aria-label") == "call: the student asked for 3 tokens"
    assert re.match(r"1\d\.\d %", page.inner_text("#relay .ratio b"))
    assert "9 of" in page.inner_text("#relay .ratio")
    page.click("#relay summary")
    assert "Tokens the teacher read" in page.inner_text("#relay table")
    assert page.complaints == []
    shot(page, "page")


def test_side_by_side_shows_the_student_alone(page):
    page.select_option("#examples", index=1)
    page.check("#side")
    page.click("#ask")
    done(page)
    assert page.locator("#relay mark").count() == 3
    assert page.locator("#alone mark").count() == 0
    assert "0.0 %" in page.inner_text("#alone .ratio")
    shot(page, "page-side-by-side")


def test_keyboard_alone_asks_switches_and_stops(page):
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "question"
    page.keyboard.type("How many pens?")
    for name in ("examples", "teacher", "side", "dial", "ask"):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == name
        if name == "teacher":
            page.keyboard.press("Space")
            assert page.is_disabled("#dial")
            page.keyboard.press("Space")
        if name == "dial":
            page.keyboard.press("ArrowRight")
            assert page.inner_text("#dial-value") == "0.5"
    page.keyboard.press("Enter")
    page.wait_for_selector("#relay .writing")
    page.keyboard.press("Escape")
    until(page, "document.querySelector('#status').textContent === 'Stopped.'")
    page.focus("#question")
    page.keyboard.press("Control+Enter")
    done(page)


def test_teacher_switched_off_writes_alone(page):
    page.fill("#question", "How many pens?")
    page.uncheck("#teacher")
    page.click("#ask")
    done(page)
    assert page.locator("#relay mark").count() == 0
    assert page.inner_text("#relay h2") == "Student alone"


def test_server_error_is_told_in_words(page):
    page.fill("#question", "x " * 3000)
    page.click("#ask")
    page.wait_for_selector("#status.alarm")
    assert "shorten the prompt" in page.inner_text("#status")


def test_answers_html_stays_text(browser):
    with serving(scripted_decoder(("<b onclick=alert(1)>bold</b><script>document.title='hit'</script>",))) as server:
        page = browser.new_page()
        page.goto(server.url)
        page.fill("#question", "x")
        page.click("#ask")
        done(page)
        assert "<b onclick" in page.inner_text("#relay .text")
        assert page.title() == "RelayLLM"
        page.close()


@pytest.mark.parametrize("page", [{"viewport": {"width": 360, "height": 740}, "color_scheme": "dark",
                                   "has_touch": True, "is_mobile": True}], indirect=True)
def test_phone_in_the_dark_needs_no_sideways_scrolling(page):
    page.select_option("#examples", index=1)
    page.check("#side")
    page.tap("#ask")
    done(page)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 28)"
    small = page.evaluate("[...document.querySelectorAll('button, .switch, summary')].filter(item => item.offsetParent"
                          " && item.getBoundingClientRect().height < 24).length")
    assert small == 0
    shot(page, "page-phone")


def test_screen_reader_names_every_control(page):
    named = page.evaluate("""[...document.querySelectorAll('input, select, textarea, button')].every(item =>
        (item.labels && item.labels.length) || item.textContent.trim() || item.getAttribute('aria-label'))""")
    assert named
    assert page.get_attribute("#status", "aria-live") == "polite"


def test_screen_reader_hears_who_writes(page):
    page.select_option("#examples", index=1)
    page.click("#ask")
    done(page)
    assert page.get_attribute("#relay .text", "role") == "group"
    assert page.get_attribute("#relay .text", "aria-label") == "Student and teacher"
    heard = page.text_content("#relay .text")
    assert re.findall(r"student: |teacher: ", heard) == ["student: ", "teacher: "] * 3 + ["student: "]
    assert "teacher: 238student:  pens. Then" in heard
    shown = page.evaluate("[...document.querySelectorAll('#relay .text .unseen')].map(item => item.clientWidth)")
    assert max(shown) <= 1


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
    assert "max_completion_tokens" in block.inner_text()
    block.get_by_role("button").click()
    until(page, "document.querySelector('details[open] pre').textContent.startsWith('200')")
    assert page.complaints == []
    shot(page, "docs")
