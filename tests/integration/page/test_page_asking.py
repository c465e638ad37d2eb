"""Asking on the page: conversation, keys, faults; by mouse, keyboard, phone and screen reader."""

from __future__ import annotations

import pytest

from tests.support.browsing import ask_example, done, opened, shot, until
from tests.support.fakes_serving import scripted_decoder, serving

pytestmark = pytest.mark.browser


def test_calls_go_from_one_measured_share_to_the_next(page):
    assert page.inner_text("#calls-value") == "about 10.0 % by the teacher"
    assert (page.get_attribute("#calls", "min"), page.get_attribute("#calls", "max")) == ("0", "2")
    assert page.evaluate("wish()") == {}
    page.fill("#calls", "2")
    assert page.inner_text("#calls-value") == "about 50.0 % by the teacher"
    assert page.get_attribute("#calls", "aria-valuetext") == "about 50.0 % by the teacher"
    page.fill("#question", "How many pens?")
    with page.expect_request("**/v1/chat/completions") as sent:
        page.click("#ask")
    assert sent.value.post_data_json["relay"] == {"teacher": True, "call_ratio": 0.5}
    done(page)
    assert "call 9" not in page.inner_text("#relay .text")  # what was asked for is what is shown


def test_new_conversation_while_writing_forgets_what_was_written(page):
    page.locator(".example").first.click()
    page.click("#ask")
    page.wait_for_selector("#relay .text mark")
    page.evaluate("restart()")
    until(page, "!document.querySelector('.turn') && document.querySelector('#stop').disabled")
    assert page.evaluate("turns.length") == 0


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


def test_keyboard_alone_asks_switches_and_stops(page):
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "question"
    page.keyboard.type("How many pens?")
    for name in ("teacher", "side", "calls", "ask"):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == name
        if name == "teacher":
            page.keyboard.press("Space")
            assert page.is_disabled("#calls")
            page.keyboard.press("Space")
        if name == "calls":
            page.keyboard.press("ArrowRight")
            assert page.input_value("#calls") == "2"
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


@pytest.mark.parametrize(("reason", "said"), [
    ("policy", "A rule of this server"), ("teacher", "could not be reached"), ("weather", "withheld (weather)")])
def test_answer_says_who_withheld_help(page, reason, said):
    def degraded(route):
        text = route.fetch().text()
        assert '"degraded_by":[]' in text
        route.fulfill(body=text.replace('"degraded_by":[]', f'"degraded_by":["{reason}"]'),
                      content_type="text/event-stream")
    page.route("**/v1/chat/completions", degraded)
    ask_example(page)
    assert said in page.inner_text("#relay .notice")


def test_next_question_needs_no_click(page):
    ask_example(page)
    assert page.evaluate("document.activeElement.id") == "question"
    page.keyboard.type("And with 20 boxes?")
    page.keyboard.press("Control+Enter")
    until(page, "turns.length === 2")


def test_empty_answer_is_told_and_forgotten_in_the_conversation(asked):
    with asked("") as page:
        assert "without a word" in page.inner_text("#relay .notice")
        assert page.locator(".turn").count() == 1
        assert page.evaluate("history()") == []
        assert page.is_visible("#new")


def test_page_of_a_student_without_a_teacher_offers_no_help(browser):
    with serving(scripted_decoder(("The capital is Paris.",), None)) as server, opened(browser, server) as page:
        until(page, "FACTS.known")
        assert not page.is_visible("#options")
        page.fill("#question", "What is the capital of France?")
        page.click("#ask")
        done(page)
        assert page.inner_text("#relay h3") == "Student alone"


def test_page_without_its_examples_and_facts_works_on(browser, server):
    with opened(browser, server) as page:
        for path in ("examples", "facts"):
            page.route(f"**/{path}", lambda route: route.abort())
        page.complaints.clear()
        page.reload()
        page.fill("#question", "How many pens?")
        page.click("#ask")
        done(page)
        assert all(said.startswith("Failed to load resource") for said in page.complaints)


@pytest.mark.parametrize("page", [{"viewport": {"width": 360, "height": 740}, "color_scheme": "dark",
                                   "has_touch": True, "is_mobile": True}], indirect=True)
def test_phone_in_the_dark_shows_the_answer_and_needs_no_sideways_scrolling(page):
    shot(page, "page-phone-empty")
    page.check("#side")
    page.locator(".example").first.tap()
    page.tap("#ask")
    done(page)
    assert page.evaluate("document.activeElement.id") != "question"
    box = page.locator("#relay").bounding_box()
    assert 0 <= box["y"] < 500
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 24, 28)"
    small = page.evaluate("[...document.querySelectorAll('button, .switch, summary, .calls input')].filter(item =>"
                          " item.offsetParent && item.getBoundingClientRect().height < 44).map(item => item.outerHTML)")
    assert small == []
    assert page.evaluate("[...document.querySelectorAll('#relay sup')].every(one => one.getClientRects().length === 1)")
    shot(page, "page-phone")


def test_screen_reader_names_every_control(page):
    named = page.evaluate("""[...document.querySelectorAll('input, select, textarea, button')].every(item =>
        (item.labels && item.labels.length) || item.textContent.trim() || item.getAttribute('aria-label'))""")
    assert named
    assert page.get_attribute("#status", "aria-live") == "polite"
