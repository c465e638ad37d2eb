"""An answer on the page: who wrote what, typeset, its cost, nothing in it that runs."""

from __future__ import annotations

import re

import pytest

from relayllm.relay.prices import Prices
from tests.support.browsing import ask_example, done, opened, shot, until
from tests.support.fakes_serving import scripted_decoder, serving

pytestmark = pytest.mark.browser
MARKS = "#relay .text mark, #relay .text .katex-html .by-teacher"


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


def ledger_of(page):
    """The rows of the ledger by their names."""
    page.click("#relay summary")
    rows = page.locator("#relay tbody tr")
    return {row.split("\n")[0]: row.split("\t")[-1].strip() for row in rows.all_inner_texts()}


def test_ledger_tells_the_share_of_reading(page):
    ask_example(page)
    parts = page.evaluate("turns[0].answer.relay.ledger.cost_parts")
    read = sum(parts[name] for name in ("student_read", "teacher_read", "teacher_cached"))
    rows = ledger_of(page)
    assert rows["Of it for reading"] == f"{100 * read / sum(parts.values()):.0f} %"
    assert "Found in the student's cache" not in rows


def test_ledger_tells_what_a_student_elsewhere_read(page):
    def remote(route):
        text = route.fetch().text().replace('"student_cached":0', '"student_cached":31')
        route.fulfill(body=text.replace('"student_reread":0', '"student_reread":17'), content_type="text/event-stream")
    page.route("**/v1/chat/completions", remote)
    ask_example(page)
    rows = ledger_of(page)
    assert (rows["Found in the student's cache"], rows["Tokens the student's server read"]) == ("31", "17")


def test_teacher_alone_of_a_pool_is_named_and_priced_as_the_server_says(page):
    page.evaluate("FACTS.alone = {name: 'strong', teacher: 7, teacher_read: 0, teacher_second: 0}")
    ask_example(page)
    ledger = page.evaluate("turns[0].answer.relay.ledger")
    share = ledger["cost"] / (7 * (ledger["student_tokens"] + ledger["teacher_tokens"]) / 1e6)
    assert f"{100 * share:.0f} % of the teacher alone" in page.inner_text("#relay .cost")
    assert ledger_of(page)["The teacher alone would cost"].endswith(" USD (strong)")


def test_teacher_alone_by_the_second_takes_the_pace_of_its_calls(browser):
    decoder = scripted_decoder()
    decoder.teacher.engine.seconds = 0.01
    with serving(decoder, prices=Prices(student=1.0, teacher_second=2.0)) as server, opened(browser, server) as page:
        page.fill("#question", "x")
        page.click("#ask")
        done(page)
        ledger = page.evaluate("turns[0].answer.relay.ledger")
        pace = ledger["teacher_seconds"] / ledger["teacher_tokens"]
        share = ledger["cost"] / (2 * pace * (ledger["student_tokens"] + ledger["teacher_tokens"]))
        assert f"{100 * share:.0f} % of the teacher alone" in page.inner_text("#relay .cost")
        page.uncheck("#teacher")
        page.fill("#question", "y")
        page.click("#ask")
        until(page, "turns.length === 2")
        assert "teacher alone" not in page.inner_text("#relay .cost")


def test_span_names_the_teacher_where_the_server_does(page):
    ask_example(page)
    assert page.get_attribute("#relay .text > p mark", "title") == "written by the teacher scripted"
    assert page.get_attribute("#relay sup >> nth=0", "title") == "call: the student asked scripted for 3 tokens"


def test_answer_without_a_final_answer_shows_no_place_for_it(asked):
    for said, shown in (("It is 4.", False), ("So \\boxed{}.", False), ("Sum\n\n#### 42", True)):
        with asked(said) as page:
            assert page.is_visible("#relay .final") is shown


@pytest.mark.parametrize(("parts", "marked", "heard"), [
    (("So \\boxed{1", 2, "7}.",), ["12"], "teacher: 1127"), (("So \\boxed{17}.",), [], "student: 17"),
    (("So \n\n#### 4", 2, " pens"), ["12"], "student: 4teacher: 12student:  pens")])
def test_final_answer_marks_and_says_what_the_teacher_wrote_of_it(asked, parts, marked, heard):
    with asked(*parts) as page:
        final = page.locator("#relay .final-value")
        assert final.locator("mark, .katex-html .by-teacher").all_inner_texts() == marked
        page.evaluate("document.querySelectorAll('#relay .final-value .katex-mathml').forEach(one => one.remove())")
        assert final.text_content().replace("\u200b", "") == heard
        assert page.complaints == []


def test_final_answer_that_is_the_teachers_alone_is_said_to_be(page):
    ask_example(page)
    assert page.text_content("#relay .final-value").startswith("teacher: ")


def test_python_code_names_the_model_that_is_served(browser):
    with serving(name="pens-decoder") as server, opened(browser, server) as page:
        page.fill("#question", "x")
        page.click("#ask")
        done(page)
        page.click("#relay .python")
        assert 'model="pens-decoder"' in page.inner_text("#relay .code")


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


def test_screen_reader_hears_who_writes(asked):
    with asked("There are 3 boxes. 3 x 4 = ", 2, ". The answer is ", 2, ".") as page:
        assert page.get_attribute("#relay .text", "role") == "group"
        assert page.get_attribute("#relay .text", "aria-label") == "Student and teacher"
        heard = page.text_content("#relay .text")
        assert re.findall(r"student: |teacher: ", heard) == ["student: ", "teacher: "] * 2 + ["student: "]
        assert "teacher: 12student: . The" in heard
        shown = page.evaluate("[...document.querySelectorAll('#relay .text .unseen')].map(item => item.clientWidth)")
        assert max(shown) <= 1
