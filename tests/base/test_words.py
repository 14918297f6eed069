"""Numbers and times in words."""

from stepcoder.words import duration, plural, rate


def test_one_thing_and_several() -> None:
    assert [plural(n, "problem") for n in (0, 1, 1200)] == ["0 problems", "1 problem", "1,200 problems"]
    assert [plural(n, "entry", "entries") for n in (1, 2)] == ["1 entry", "2 entries"]


def test_a_time_in_the_unit_that_a_person_would_take() -> None:
    times = (42, 420, 65 * 60, 47 * 3600, 84 * 86400)
    assert [duration(s) for s in times] == ["42 s", "7 min", "1 h 05 min", "47 h 00 min", "84 days"]


def test_a_rate_is_never_rounded_to_nothing() -> None:
    assert [rate(n, 10) for n in (0, 4, 15, 123, 12_000)] == ["0", "0.4", "1.5", "12", "1,200"]
