"""Which replica an answer goes to: stable, spread, and past those that are far busier."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from relayllm.engines.openai.placement import BALANCE, SESSIONS, Placement

NAMES = ["http://a:1", "http://b:1", "http://c:1"]
IDLE = [0, 0, 0]


def first_choices(count: int) -> Counter[int]:
    placement = Placement(NAMES)
    return Counter(placement.order(session, IDLE)[0] for session in range(count))


def test_order_has_every_replica_once_and_spreads_answers():
    assert sorted(Placement(NAMES).order(7, IDLE)) == [0, 1, 2]
    assert min(first_choices(900).values()) > 200


def test_order_is_the_same_in_another_process_and_for_replicas_in_another_order():
    turned = NAMES[::-1]
    for session in range(20):
        mine, theirs = Placement(NAMES).order(session, IDLE), Placement(turned).order(session, IDLE)
        assert [NAMES[place] for place in mine] == [turned[place] for place in theirs]


def test_answer_passes_over_a_replica_that_is_far_busier():
    for session in range(50):
        home = Placement(NAMES).order(session, IDLE)[0]
        loads = [2, 2, 2]
        assert Placement(NAMES).order(session, loads)[0] == home
        loads[home] = 9
        assert Placement(NAMES).order(session, loads)[0] != home


def test_answer_stays_where_it_began_however_busy_it_gets():
    placement = Placement(NAMES)
    home = placement.order(3, IDLE)[0]
    loads: list[int | None] = [0, 0, 0]
    loads[home] = 50
    assert placement.order(3, loads)[0] == home
    loads[home] = None  # its circuit is open
    other = placement.order(3, loads)[0]
    assert other != home
    assert placement.order(3, [0, 0, 0])[0] == other  # its cache has read the answer since


def test_settled_answer_goes_where_it_was_settled():
    placement = Placement(NAMES)
    last = placement.order(3, IDLE)[-1]
    placement.settle(3, last)
    assert placement.order(3, IDLE)[0] == last


def test_with_no_replica_up_the_order_is_still_whole():
    assert sorted(Placement(NAMES).order(1, [None, None, None])) == [0, 1, 2]


def test_only_so_many_answers_are_remembered():
    placement = Placement(NAMES)
    home = placement.order(0, IDLE)[0]
    for session in range(1, SESSIONS + 1):
        placement.order(session, IDLE)
    loads: list[int | None] = [0, 0, 0]
    loads[home] = 50
    assert placement.order(0, loads)[0] != home  # begun anew


@given(st.integers(2, 6), st.lists(st.integers(0, 5), min_size=1, max_size=60))
def test_no_replica_is_given_more_than_its_bound(replicas, sessions):
    placement = Placement([f"http://{index}" for index in range(replicas)])
    loads = [0] * replicas
    for number, session in enumerate(sessions):
        home = placement.order(session * 1000 + number, loads)[0]
        loads[home] += 1
        assert loads[home] <= BALANCE * sum(loads) / replicas + 1
