"""The page in a real Chromium, over a student and a teacher that say their lines."""

from __future__ import annotations

import shutil
from contextlib import contextmanager

import pytest

from relayllm.relay.bias_curve import OWN, BiasCurve, CallSetting
from relayllm.relay.prices import Prices
from tests.support.browsing import done, opened, until
from tests.support.fakes_serving import scripted_decoder, serving

CHROMIUM = shutil.which("chromium")
STUDENT = ("A shelf holds **17 boxes** with 14 pens each:\n\n- boxes: $17 \\times 14 = ", 3,
           "$\n- lost: 19\n\nThen 238 - 19 = ", 3, " pens.\n\nThe answer is \\boxed{", 3, "}.")
TEACHER = ("238219219",)
EXAMPLES = [{"benchmark": "pens", "question": "A shelf holds 17 boxes with 14 pens each. 19 pens are lost. How many?"},
            {"benchmark": "eggs", "question": "Eli has 14 boxes with 15 eggs in each box. How many eggs are there?"}]
PRICES = Prices(student=0.05, student_read=0.01, teacher=2.4, teacher_read=0.6, teacher_cached=0.06)


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("no Chromium, and the page was not tried in it: apt-get install chromium")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as play:
        chrome = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu",
                                                                      "--disable-dev-shm-usage"])
        yield chrome
        chrome.close()


@pytest.fixture(scope="module")
def server():
    with serving(scripted_decoder(STUDENT, TEACHER, seconds=0.01), examples=EXAMPLES, prices=PRICES) as running:
        running.model_router.champion.bias_curve = BiasCurve(
            (CallSetting(-4.0), OWN, CallSetting(min_call_tokens=9)), (0.0, 0.1, 0.5))
        yield running


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
