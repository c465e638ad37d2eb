"""The circuit breaker, on a clock of its own."""

from relayllm.engines.openai.breaker import Circuit, CircuitBreaker


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def make_breaker():
    clock = Clock()
    return CircuitBreaker(failures=3, pause=10.0, clock=clock), clock


def opened():
    breaker, clock = make_breaker()
    for _ in range(3):
        breaker.failed()
    return breaker, clock


def test_breaker_that_is_tripped_opens_at_once_and_lets_one_through_after_its_pause():
    breaker, clock = make_breaker()
    breaker.trip()
    assert not breaker.admits()
    clock.now += 10.0
    assert breaker.admits()
    assert not breaker.admits()
    breaker.failed()
    assert breaker.state is Circuit.OPEN


def test_breaker_fewer_failures_than_its_limit_stays_closed():
    breaker, _ = make_breaker()
    breaker.failed()
    breaker.failed()
    assert breaker.state is Circuit.CLOSED
    assert breaker.admits()


def test_breaker_success_between_failures_counts_from_zero():
    breaker, _ = make_breaker()
    for _ in range(4):
        breaker.failed()
        breaker.failed()
        breaker.succeeded()
    assert breaker.state is Circuit.CLOSED


def test_breaker_failures_in_a_row_open_it_for_the_pause():
    breaker, clock = opened()
    clock.now += 4
    assert breaker.state is Circuit.OPEN
    assert not breaker.admits()
    assert breaker.seconds_left == 6


def test_breaker_after_the_pause_lets_one_through():
    breaker, clock = opened()
    clock.now += 10
    assert breaker.state is Circuit.HALF_OPEN
    assert [breaker.admits() for _ in range(3)] == [True, False, False]


def test_breaker_one_through_succeeds_closes():
    breaker, clock = opened()
    clock.now += 10
    breaker.admits()
    breaker.succeeded()
    assert breaker.state is Circuit.CLOSED
    assert breaker.admits()
    assert breaker.admits()


def test_breaker_one_through_fails_opens_for_another_pause():
    breaker, clock = opened()
    clock.now += 10
    breaker.admits()
    breaker.failed()
    assert breaker.state is Circuit.OPEN
    assert breaker.seconds_left == 10


def test_breaker_one_through_never_reports_frees_its_place():
    breaker, clock = opened()
    clock.now += 10
    breaker.admits()
    clock.now += 10
    assert breaker.admits()
