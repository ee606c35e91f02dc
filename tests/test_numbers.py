"""Number words never claim more than the number holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reroll.numbers import counts, in_ten, interval_words, money, percent, seconds_words

rates = st.floats(0, 1, allow_nan=False)
LIMITS = {"less than 0.001 %": (0.0, 1e-5), "more than 99.999 %": (0.99999, 1.0)}


def read(words: str) -> float:
    """The rate that the words name."""
    return float(words.split()[-2]) / 100


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        (0, "0 %"),
        (0.4213, "42 %"),
        (0.004, "0.4 %"),
        (0.0355, "3.6 %"),
        (0.0004, "0.04 %"),
        (0.999, "99.9 %"),
        (0.9995, "99.95 %"),
        (0.99, "99 %"),
        (1 - 0.99, "1 %"),
        (0.95, "95 %"),
        (1, "100 %"),
    ],
)
def test_a_rate_in_percent(rate: float, words: str) -> None:
    assert percent(rate) == words


@given(rates)
def test_only_certainty_is_called_0_or_100_percent(rate: float) -> None:
    for toward in ("nearest", "up", "down"):
        words = percent(rate, toward)
        assert (words == "100 %") == (rate == 1)
        assert (words == "0 %") == (rate == 0)


@given(rates)
def test_percent_is_near_and_on_the_side_asked_for(rate: float) -> None:
    nearest = percent(rate)
    if nearest in LIMITS:
        low, high = LIMITS[nearest]
        assert low < rate < high
    else:
        assert read(nearest) == pytest.approx(rate, abs=0.005001)
    if percent(rate, "up") not in LIMITS:
        assert read(percent(rate, "up")) >= rate - 1e-11
    if percent(rate, "down") not in LIMITS:
        assert read(percent(rate, "down")) <= rate + 1e-11


@given(rates, rates)
def test_a_higher_rate_is_never_said_lower(a: float, b: float) -> None:
    low, high = sorted((a, b))
    order = {**dict.fromkeys(["less than 0.001 %"], 1e-9), "more than 99.999 %": 1 - 1e-9}
    said = [order.get(w) or read(w) for w in (percent(low), percent(high))]
    assert said[0] <= said[1]


@given(rates, rates)
def test_an_interval_in_words_holds_the_interval(a: float, b: float) -> None:
    low, high = sorted((a, b))
    first, last = interval_words(low, high).removesuffix(" %").split("–")
    assert float(first) / 100 <= low + 1e-11
    assert float(last) / 100 >= high - 1e-11


def test_what_is_no_rate_is_refused() -> None:
    for wrong in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="a rate lies in"):
            percent(wrong)
        with pytest.raises(ValueError, match="a rate lies in"):
            in_ten(wrong)


@given(rates)
def test_times_in_ten_is_near(rate: float) -> None:
    words = in_ten(rate)
    if not words.startswith("about"):
        assert words in ("not once", "every time", "more than 9 times in 10", "less than 1 time in 1,000,000")
        return
    times, of = (int(w.replace(",", "")) for w in (words.split()[1], words.split()[-1]))
    assert times / of == pytest.approx(rate, rel=0.34)


def test_unknown_money_is_never_nothing() -> None:
    assert money(None) == "price unknown"
    assert money(0) == "$0.00"
    assert money(1e-9) == "less than $0.0001"
    with pytest.raises(ValueError, match="0 or more"):
        money(-1)


@given(st.floats(1e-9, 1e9))
def test_money_spent_is_never_shown_as_none(usd: float) -> None:
    assert any(c in "123456789" for c in money(usd))


@pytest.mark.parametrize(
    ("thing", "n", "words"),
    [
        ("call", 0, "0 calls"),
        ("call", 1, "1 call"),
        ("try", 2, "2 tries"),
        ("day", 2, "2 days"),
        ("call", 1500, "1,500 calls"),
    ],
)
def test_things_are_counted_in_english(thing: str, n: int, words: str) -> None:
    assert counts(thing, n) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0.0 s"), (59.94, "59.9 s"), (59.96, "1 min 0 s"), (3599.7, "1 h 0 min")]
)
def test_time_spans(seconds: float, words: str) -> None:
    assert seconds_words(seconds) == words
