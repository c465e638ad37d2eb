"""The page in a real Chromium: ask, watch, compare, stop, go on, by mouse and by keyboard, on a phone, in the dark."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

from relayllm.relay.bias_curve import BiasCurve
from relayllm.relay.prices import Prices
from tests.support.fakes_serving import scripted_decoder, serving

pytestmark = pytest.mark.browser
CHROMIUM = shutil.which("chromium")
STUDENT = ("A shelf holds **17 boxes** with 14 pens each:\n\n- boxes: $17 \\times 14 = ", 3,
           "$\n- lost: 19\n\nThen 238 - 19 = ", 3, " pens.\n\nThe answer is \\boxed{", 3, "}.")
TEACHER = ("238219219",)
MARKS = "#relay .text mark, #relay .text .katex-html .by-teacher"
EXAMPLES = [{"benchmark": "pens", "question": "A shelf holds 17 boxes with 14 pens each. 19 pens are lost. How many?"},
            {"benchmark": "eggs", "question": "Eli has 14 boxes with 15 eggs in each box. How many eggs are there?"}]
PRICES = Prices(student=0.05, student_read=0.01, teacher=2.4, teacher_read=0.6, teacher_cached=0.06)
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
    with serving(scripted_decoder(STUDENT, TEACHER, seconds=0.01), examples=EXAMPLES, prices=PRICES) as running:
        running.model_router.champion.bias_curve = BiasCurve((-4.0, 0.0, 4.0), (0.0, 0.1, 0.5))
        yield running


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


@pytest.fixture
def page(browser, server, request):
    with opened(browser, server, **getattr(request, "param", {})) as page:
        until(page, "document.querySelectorAll('.example').length > 1 && FACTS.known")
        yield page


@pytest.fixture
def asked(browser):
    """A page on which a student that says `parts` was asked once."""
    @contextmanager
    def ask(*parts, teacher=("12" * 200,)):
        with serving(scripted_decoder(parts, teacher)) as server, opened(browser, server) as page:
            page.fill("#question", "x")
            page.click("#ask")
            done(page)
            yield page
    return ask


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


def test_answer_shows_teacher_tokens_calls_ratio_and_ledger(page):
    page.locator(".example").first.click()
    page.click("#ask")
    page.wait_for_selector("#relay .writing")
    done(page)
    assert page.locator(MARKS).all_inner_texts() == ["238", "219", "219"]
    assert page.locator("#relay sup").count() == 3
    assert page.get_attribute("#relay sup >> nth=0", "aria-label") == "call: the student asked scripted for 3 tokens"
    assert re.match(r"\d+\.\d %", page.inner_text("#relay .ratio b"))
    assert "9 of" in page.inner_text("#relay .ratio")
    shot(page, "page")
    page.click("#relay summary")
    assert "Tokens the teacher read" in page.inner_text("#relay table")
    assert "each call reads what was written since the last" in page.inner_text("#relay table")
    assert page.complaints == []
    shot(page, "page-ledger")


def test_answer_is_typeset_and_its_final_answer_set_apart(page):
    ask_example(page)
    assert page.inner_text("#relay .text strong") == "17 boxes"
    assert page.locator("#relay .text li").count() == 2
    assert page.locator("#relay .text .katex").count() == 2
    assert page.locator("#relay .final mark .katex-html").inner_text() == "219"
    assert page.evaluate("document.fonts.check('16px KaTeX_Main')")
    assert page.complaints == []


def test_cost_stands_beside_seconds_and_the_teacher_alone(page):
    ask_example(page)
    assert re.fullmatch(r"[\d.]+ s · [\d.]+ USD · \d+ % of the teacher alone", page.inner_text("#relay .cost"))
    relay = page.evaluate("({ledger: turns[0].answer.relay.ledger, usage: turns[0].answer.usage})")
    alone = (2.4 * (relay["ledger"]["student_tokens"] + 9) + 0.6 * relay["usage"]["prompt_tokens"]) / 1e6
    assert f"{100 * relay['ledger']['cost'] / alone:.0f} %" in page.inner_text("#relay .cost")


def test_dial_tells_the_measured_share(page):
    assert page.inner_text("#dial-value") == "about 10.0 % by the teacher"
    assert (page.get_attribute("#dial", "min"), page.get_attribute("#dial", "max")) == ("-4", "4")
    page.fill("#dial", "2")
    assert page.inner_text("#dial-value") == "about 30.0 % by the teacher"
    assert page.get_attribute("#dial", "aria-valuetext") == "about 30.0 % by the teacher"


def test_span_names_the_teacher_where_the_server_does(page):
    ask_example(page)
    assert page.get_attribute("#relay .text > p mark", "title") == "written by the teacher scripted"
    assert page.get_attribute("#relay sup >> nth=0", "title") == "call: the student asked scripted for 3 tokens"


def test_new_conversation_while_writing_forgets_what_was_written(page):
    page.locator(".example").first.click()
    page.click("#ask")
    page.wait_for_selector("#relay .text mark")
    page.evaluate("restart()")
    until(page, "!document.querySelector('.turn') && document.querySelector('#stop').disabled")
    assert page.evaluate("turns.length") == 0


def test_answer_without_a_final_answer_shows_no_place_for_it(asked):
    for said, shown in (("It is 4.", False), ("So \\boxed{}.", False), ("Sum\n\n#### 42", True)):
        with asked(said) as page:
            assert page.is_visible("#relay .final") is shown


def test_second_question_carries_the_conversation(page):
    ask_example(page)
    assert page.is_hidden("#empty")
    page.fill("#question", "And with 20 boxes?")
    with page.expect_request("**/v1/chat/completions") as sent:
        page.click("#ask")
    messages = sent.value.post_data_json["messages"]
    done(page)
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    assert "\\boxed{219}" in messages[1]["content"]
    assert page.locator(".turn").count() == 2
    page.click("#new")
    assert page.locator(".turn").count() == 0
    assert page.is_visible("#empty")


def test_last_question_survives_a_reload(page):
    page.fill("#question", "How many pens?")
    page.click("#ask")
    done(page)
    assert page.input_value("#question") == ""
    page.reload()
    assert page.input_value("#question") == "How many pens?"


def test_answer_can_be_copied_and_asked_by_programs(page):
    ask_example(page)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.click("#relay .copy")
    until(page, "document.querySelector('#status').textContent.startsWith('The answer is copied')")
    assert page.evaluate("navigator.clipboard.readText()").endswith("The answer is \\boxed{219}.")
    page.click("#relay .curl")
    assert page.inner_text("#relay .code").startswith("curl http://127.0.0.1")
    page.click("#relay .python")
    code = page.inner_text("#relay .code")
    compile(code, "page", "exec")
    assert "19 pens are lost" in code
    assert page.get_attribute("#relay .python", "aria-expanded") == "true"
    page.click("#relay .python")
    assert page.is_hidden("#relay .code")


def test_side_by_side_shows_the_student_alone(page):
    page.check("#side")
    ask_example(page)
    assert page.locator(MARKS).count() == 3
    assert page.locator("#alone mark").count() == 0
    assert "0.0 %" in page.inner_text("#alone .ratio")
    shot(page, "page-side-by-side")


def test_keyboard_alone_asks_switches_and_stops(page):
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "question"
    page.keyboard.type("How many pens?")
    for name in ("teacher", "side", "dial", "ask"):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == name
        if name == "teacher":
            page.keyboard.press("Space")
            assert page.is_disabled("#dial")
            page.keyboard.press("Space")
        if name == "dial":
            page.keyboard.press("ArrowRight")
            assert page.input_value("#dial") == "0.5"
    page.keyboard.press("Enter")
    page.wait_for_selector("#relay .writing")
    page.keyboard.press("Escape")
    until(page, "document.querySelector('#status').textContent === 'Stopped.'")
    page.focus("#question")
    assert page.input_value("#question") == "How many pens?"
    page.keyboard.press("Control+Enter")
    done(page)


def test_arrow_keys_on_examples_leave_what_was_typed(page):
    page.fill("#question", "my own question")
    page.locator(".example").first.focus()
    for key in ("ArrowDown", "ArrowUp", "ArrowRight"):
        page.keyboard.press(key)
    assert page.input_value("#question") == "my own question"


def test_teacher_switched_off_writes_alone(page):
    page.fill("#question", "How many pens?")
    page.uncheck("#teacher")
    page.click("#ask")
    done(page)
    assert page.locator("#relay mark").count() == 0
    assert page.inner_text("#relay h3") == "Student alone"


def test_error_is_a_sentence_and_leaves_no_empty_card(page):
    page.fill("#question", "x " * 3000)
    page.click("#ask")
    page.wait_for_selector("#status.alarm")
    assert page.inner_text("#status") == ("The conversation is longer than the model can read. Shorten the question, "
                                          "or start a new conversation.")
    assert page.locator(".turn").count() == 0
    assert page.input_value("#question").startswith("x x")


def test_key_is_asked_for_marked_and_kept(browser):
    with serving(keys="ann:secret-a") as server, opened(browser, server) as page:
        page.fill("#question", "How many pens?")
        for key, said in (("", "This server needs an API key."), ("wrong", "This API key is not accepted.")):
            page.fill("#key", key)
            page.click("#ask")
            until(page, f"document.querySelector('#status').textContent.startsWith('{said}')")
            assert page.get_attribute("#key", "aria-invalid") == "true"
            assert page.evaluate("document.activeElement.id") == "key"
            assert page.locator(".turn").count() == 0
        page.fill("#key", "secret-a")
        assert page.get_attribute("#key", "aria-invalid") is None
        page.click("#ask")
        done(page)
        page.click("#relay .curl")
        assert "secret-a" not in page.inner_text("#relay .code")
        page.reload()
        assert page.input_value("#key") == "secret-a"
        assert server.client.get("/facts").status_code == 401


def test_lost_connection_is_told_in_words(page):
    page.route("**/v1/chat/completions", lambda route: route.abort())
    page.fill("#question", "How many pens?")
    page.click("#ask")
    page.wait_for_selector("#status.alarm")
    assert page.inner_text("#status").startswith("The server cannot be reached.")
    assert page.locator(".turn").count() == 0


def test_spent_budget_of_a_key_names_the_limit(browser):
    with serving(keys="ann:secret-a:1") as server, opened(browser, server) as page:
        page.fill("#key", "secret-a")
        page.fill("#question", "How many pens?")
        page.click("#ask")
        done(page)
        assert "budget of this API key" in page.inner_text("#relay .notice")


def test_answers_html_stays_text(asked):
    with asked("<b onclick=alert(1)>bold</b><script>document.title='hit'</script>\n\n<img src=x onerror=alert(1)>"
               "[link](javascript:alert(1)) ![x](http://example.org/x.png)") as page:
        assert "<b onclick" in page.inner_text("#relay .text")
        assert page.locator("#relay .text :is(b, script, img, a[href^=javascript])").count() == 0
        assert page.title() == "RelayLLM"
        assert page.complaints == []


@pytest.mark.parametrize("said", ["\\boxed{\\frac{1}{2}}", "$x^", "\\(\\unknown{x}\\)", "\\boxed{\\boxed{", "$$",
                                  "$\\href{javascript:alert(1)}{x}$", "$\\htmlClass{by-teacher}{x}$", "costs $5 or $6"])
def test_any_tex_is_shown_without_complaint(asked, said):
    with asked(f"See {said} there") as page:
        assert "there" in page.inner_text("#relay .text")
        assert page.locator("#relay .text :is(a, .by-teacher, mark)").count() == 0
        assert page.complaints == []


def test_products_with_asterisks_are_no_emphasis(asked):
    with asked("It is 18*17=306 and then 3*4=12, *surely* **so**.") as page:
        assert "18*17=306 and then 3*4=12, surely so." in page.inner_text("#relay .text")
        assert page.locator("#relay .text em").count() == 1


def test_teacher_inside_a_fraction_marks_its_part(asked):
    with asked("Half: $\\frac{", 1, "}{4}$ and $x^", 1, "$ end", teacher=("1" * 200,)) as page:
        assert page.locator("#relay .text .katex-html .by-teacher").all_inner_texts() == ["1"]
        assert page.locator("#relay .text mark .katex").count() == 1
        assert page.complaints == []


@pytest.mark.parametrize("page", [{"viewport": {"width": 360, "height": 740}, "color_scheme": "dark",
                                   "has_touch": True, "is_mobile": True}], indirect=True)
def test_phone_in_the_dark_shows_the_answer_and_needs_no_sideways_scrolling(page):
    shot(page, "page-phone-empty")
    page.check("#side")
    page.locator(".example").first.tap()
    page.tap("#ask")
    done(page)
    box = page.locator("#relay").bounding_box()
    assert 0 <= box["y"] < 500
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 28)"
    small = page.evaluate("[...document.querySelectorAll('button, .switch, summary, .dial input')].filter(item =>"
                          " item.offsetParent && item.getBoundingClientRect().height < 44).map(item => item.outerHTML)")
    assert small == []
    assert page.evaluate("[...document.querySelectorAll('#relay sup')].every(one => one.getClientRects().length === 1)")
    shot(page, "page-phone")


def test_screen_reader_names_every_control(page):
    named = page.evaluate("""[...document.querySelectorAll('input, select, textarea, button')].every(item =>
        (item.labels && item.labels.length) || item.textContent.trim() || item.getAttribute('aria-label'))""")
    assert named
    assert page.get_attribute("#status", "aria-live") == "polite"


def test_screen_reader_hears_who_writes(asked):
    with asked("There are 3 boxes. 3 x 4 = ", 2, ". The answer is ", 2, ".") as page:
        assert page.get_attribute("#relay .text", "role") == "group"
        assert page.get_attribute("#relay .text", "aria-label") == "Student and teacher"
        heard = page.text_content("#relay .text")
        assert re.findall(r"student: |teacher: ", heard) == ["student: ", "teacher: "] * 2 + ["student: "]
        assert "teacher: 12student: . The" in heard
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


@pytest.mark.parametrize("name", ["katex/LICENSE", "README.md", "../page.js", "katex/fonts/none.woff2"])
def test_vendor_route_serves_its_files_only(server, name):
    assert server.client.get(f"/vendor/{name}").status_code == 404
