import re

import pytest

from relayllm.evaluation.analysis.call_value import call_value
from relayllm.evaluation.analysis.money import Paid
from relayllm.evaluation.analysis.summary import Limits, Provenance, build_summary
from relayllm.evaluation.report import plots
from relayllm.evaluation.report.examples import ALONE, HELPED, IN_VAIN, choose
from relayllm.evaluation.report.figures import draw
from relayllm.evaluation.report.markdown import markdown, table
from relayllm.evaluation.report.render import PLOTS, Material, html
from relayllm.relay.prices import Prices
from tests.support.continuations import place
from tests.support.continuations import table as continuations
from tests.support.make_records import make_frame, make_history

METHODS = ("base", "grpo", "random-position", "relay-difficulty", "teacher")
ORIGIN = Provenance("tiny", 0, "c0ffee", "d41d8c", {"grpo": 12.0})


def summary_of(frame, relay="relay-difficulty"):
    return build_summary(frame, ORIGIN, Limits(4, 99), bootstrap=100, relay=relay,
                         paid=Paid(Prices(student=1, teacher=20)))


@pytest.fixture(scope="module")
def frame():
    return make_frame(METHODS, problems=30, benchmarks=("pens", "puzzles"))


@pytest.fixture(scope="module")
def summary(frame):
    return summary_of(frame)


@pytest.fixture(scope="module")
def drawn(frame, summary, tmp_path_factory):
    folder = tmp_path_factory.mktemp("plots")
    return folder, draw(folder, summary, frame, {"relay-difficulty": make_history(20)}, "relay-difficulty")


@pytest.fixture(scope="module")
def page(frame, summary, drawn):
    return html(summary, material(frame, drawn[1]))


def material(frame, svgs):
    found = call_value(continuations(place("a", True, 0, 4), place("b", False, 0, 4)), draws=10, seed=0)
    return Material(svgs, choose(frame, "relay-difficulty", 6), {"filter": {"kept": 580, "of": {"all": 600}}},
                    {"relay-difficulty": found})


def test_every_picture_is_there_as_png_and_svg(drawn):
    folder, svgs = drawn
    assert list(svgs) == ["pareto", "benchmarks", "money", "learning", "call_places", "call_lengths"]
    assert {path.name for path in folder.iterdir()} == {f"{name}.{kind}" for name in svgs for kind in ("png", "svg")}


def test_same_numbers_give_the_same_picture(summary, tmp_path):
    for name in ("a", "b"):
        with plots.style():
            plots.save(plots.pareto(summary), tmp_path / name, "pareto")
    for file in ("pareto.svg", "pareto.png"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_points_that_touch_share_one_label_and_every_method_is_in_the_key():
    spots = {"base": (0, 0.3), "teacher-free": (0.0001, 0.29), "teacher": (1, 0.99), "relay-difficulty": (0.0225, 0.98),
             "fixed-3": (0.0225, 0.98), "call-ratio-2x": (0.0226, 0.975), "entropy": (0.02, 0.6)}
    summary = {"bias_curve": None, "methods": {
        name: {"average": {"call_ratio": x, "accuracy": y, "accuracy_ci": None}} for name, (x, y) in spots.items()}}
    with plots.style():
        axes = plots.pareto(summary).axes[0]
    assert {text.get_text() for text in axes.texts} == {"1", "2\u20134", "5", "6\u20137", "random-query router"}
    assert [text.get_text().split()[1] for text in axes.get_legend().get_texts()] == [
        "teacher", "fixed-3", "relay-difficulty", "call-ratio-2x", "entropy", "base", "teacher-free"]


def test_page_needs_nothing_beside_it(page):
    outside = [address for address in re.findall(r'(?:src|href)="([^"#]+)"', page) if not address.startswith("data:")]
    assert outside == []
    assert "@import" not in page
    assert page.count("<svg ") == 6


def test_page_says_what_was_measured(page, summary):
    assert f"{100 * summary['gap_recovered']['value']:.0f}\u00a0% of the gap" in page
    for word in ("relay-difficulty against the others", "Known ways to cheat", "not run", "What a call was worth",
                 "random-query router, exact"):
        assert word in page


def test_page_marks_who_wrote_what(page):
    assert re.search(r'<span class="command mono">call 3</span><span class="by-teacher">\d+</span>', page)


def test_page_escapes_what_a_model_wrote(frame, drawn, summary):
    evil = '<script>alert("x")</script>'
    segments = '[["teacher", "<img src=x onerror=alert(1)>{{7*7}}"]]'
    shown = frame.assign(question=evil, answer=evil, gold=evil, segments=segments)
    found = html(summary, material(shown, drawn[1]))
    assert "<script>" not in found
    assert "<img" not in found
    assert "{{7*7}}" in found


def test_ids_of_pictures_do_not_meet(page):
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    for used in re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', page):
        assert (used[0] or used[1]) in ids


def test_page_without_relay_calls_or_history_still_renders(tmp_path):
    frame = make_frame(("base",), problems=3, benchmarks=("pens",))
    summary = summary_of(frame)
    svgs = draw(tmp_path, summary, frame, {}, "relay-difficulty")
    assert list(svgs) == ["pareto", "benchmarks"]
    bare = Material(svgs, choose(frame, "relay-difficulty", 4))
    assert "no relay among them" in html(summary, bare)
    assert "# 1 methods" in markdown(summary, bare)


def test_pictures_without_anything_to_show_are_files_all_the_same(tmp_path):
    frame = make_frame(("base",), problems=3, benchmarks=("pens",))
    draw(tmp_path, summary_of(frame), frame, {}, "relay-difficulty")
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.{kind}" for name in PLOTS for kind in ("png", "svg")}


def test_alarm_stands_in_both_reports(frame):
    frame = frame.copy()
    frame.loc[frame["method"] == "relay-difficulty", "completion_tokens"] *= 3
    summary = summary_of(frame)
    assert 'role="alert"' in html(summary, Material({}))
    assert "> **Alarm**, relay-difficulty: answers are" in markdown(summary, Material({}))


def test_markdown_has_every_method_and_marks_teacher_tokens(frame, summary):
    text = markdown(summary, Material({"pareto": "<svg></svg>"}, choose(frame, "relay-difficulty", 6)))
    for name in METHODS:
        assert f"| {name} |" in text
    assert re.search(r"`<call>3</call>`\*\*\d+\*\*", text)
    assert "&lt;pens&gt;" in text
    assert "![pareto](plots/pareto.png)" in text


def test_table_keeps_its_columns_whatever_a_cell_says():
    assert table(["a"], [["x|y\nz"]]).splitlines()[-1] == r"| x\|y z |"


def test_examples_show_failures_too(frame):
    kinds = [example.kind for example in choose(frame, "relay-difficulty", 8)]
    assert len(kinds) == 8
    assert kinds.count(HELPED) >= 3
    assert {ALONE, IN_VAIN} <= set(kinds)


def test_examples_of_one_kind_come_from_all_benchmarks(frame):
    helped = [example for example in choose(frame, "relay-difficulty", 8) if example.kind == HELPED]
    assert {example.benchmark for example in helped} == {"pens", "puzzles"} or len(helped) < 2
