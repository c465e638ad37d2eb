"""Random numbers by counter: the same for the same key and position, whatever else happens."""

from relayllm.relay.randomness import key_of, uniform


def test_uniform_is_in_range_and_spread():
    drawn = [uniform(key_of(1), position) for position in range(4000)]
    assert all(0 <= number < 1 for number in drawn)
    assert 0.47 < sum(drawn) / len(drawn) < 0.53
    assert len(set(drawn)) == len(drawn)


def test_uniform_depends_on_key_and_position_alone():
    assert uniform(5, 9) == uniform(5, 9)
    assert len({uniform(5, 9), uniform(5, 10), uniform(6, 9)}) == 3


def test_key_knows_the_order_of_its_parts():
    assert key_of(1, 2) != key_of(2, 1)
    assert key_of(1) != key_of(1, 0)


def test_numbers_are_those_of_splitmix64():
    """The first output of the generator with seed 0, as its authors publish it: answers of old seeds stay."""
    assert key_of(0) == 0xE220A8397B1DCDAF
