"""One stream and the account that all share: what is promised of false alarms, when one is over, what silence is."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from reroll.drift import at_run_length, start, step, steps
from reroll.drift_rule import WEIGHTS, drift_rule
from reroll.recovery import Recovery, recovered, recovery_step
from reroll.watch_budget import LEAST_RUN, MOST_RUN, WEEK, Account, FalseAlarms, account_from, account_json, next_call
from reroll.watch_words import called, event_words, promise_words
from reroll.watching import (
    DAY,
    Baseline,
    Call,
    Event,
    Stream,
    Terms,
    back_below,
    fallen_silent,
    new_stream,
    spend_of,
    stream_from,
    stream_json,
    take,
)

NAMED = {"name": "dates", "what": "fail", "model": "m-1"}
WEEKLY = FalseAlarms(weeks=1)


def fed(
    stream: Stream, words: list[str | float], gap: float = 60.0, at: float = 0.0, account: Account | None = None
) -> tuple[Stream, Account, list[Event]]:
    """The stream after these outcomes, so many seconds apart."""
    account, events = account or Account(), []
    for i, word in enumerate(words):
        stream, account, new = take(stream, Call(i + 1, at + (i + 1) * gap, word), account, WEEKLY)
        events += new
    return stream, account, events


def kinds(events: list[Event]) -> list[str]:
    return [event.kind for event in events]


def mixed(rate: float, n: int, seed: int) -> list[str | float]:
    rng = np.random.default_rng(seed)
    return ["fail" if failed else "pass" for failed in rng.random(n) < rate]


# ---------------------------------------------------------------- the account


@pytest.mark.parametrize("gaps", ["steady", "bursts", "growing"])
def test_calls_never_spend_more_than_time_has_brought(gaps: str) -> None:
    rng, account, time = np.random.default_rng(1), Account(), 0.0
    for i in range(20_000):
        time += {
            "steady": rng.exponential(60),
            "bursts": rng.exponential(0.1) if rng.random() < 0.99 else rng.exponential(20_000),
            "growing": rng.exponential(600 / (1 + i / 500)),
        }[gaps]
        account = next_call(account, time, WEEKLY, spends=i >= 1000)
        assert account.bank >= 0
        assert account.brought <= time / WEEK + 1e-9
    assert account.spent > 0.3 * account.brought


def test_with_twice_the_calls_a_call_spends_half_so_the_promise_in_weeks_holds() -> None:
    account, time = Account(), 0.0
    for _ in range(20_000):
        time += 60
        account = next_call(account, time, WEEKLY, spends=True)
    before = account.run_length
    assert before == pytest.approx(WEEK / 60, rel=0.3)
    for _ in range(60_000):
        time += 30
        account = next_call(account, time, WEEKLY, spends=True)
    assert account.run_length == pytest.approx(WEEK / 30, rel=0.3)


def test_calls_at_one_time_spend_nothing_as_no_false_alarm_has_fallen_due() -> None:
    account = Account()
    for _ in range(1000):
        account = next_call(account, 5.0, WEEKLY, spends=True)
    assert (account.spent, account.run_length) == (0.0, MOST_RUN)


def test_a_promise_in_calls_asks_no_clock() -> None:
    account = Account()
    for _ in range(500):
        account = next_call(account, 5.0, FalseAlarms(calls=1000), spends=True)
    assert account.spent == pytest.approx(0.5)
    assert account.run_length == 1000


def test_late_calls_bring_nothing_and_a_long_rest_does_not_make_the_next_calls_reckless() -> None:
    account = next_call(next_call(Account(), 100.0, WEEKLY, spends=True), 50.0, WEEKLY, spends=True)
    assert (account.clock, account.brought) == (100.0, 0.0)
    account = next_call(account, 100 * WEEK, WEEKLY, spends=True)
    assert account.run_length >= LEAST_RUN
    assert account_from(json.loads(json.dumps(account_json(account)))) == account


def test_under_another_run_length_the_same_share_of_it_is_reached() -> None:
    state = steps(start(drift_rule(0.02, 1000)), ["pass"] * 30 + ["fail"])
    moved = at_run_length(state, 5000)
    assert moved.statistic / 5000 == pytest.approx(state.statistic / 1000)
    assert moved.rule == drift_rule(0.02, 5000)
    assert at_run_length(state, 1000) is state


def test_at_the_baseline_what_s_has_reached_of_its_run_length_is_on_average_what_was_spent() -> None:
    """The promise itself, exactly: over every possible stream of 8 calls whose run length changes at each call."""
    lengths = [1e12, 5e11, 4e12, 8e11, 8e11, 2.5e12, 3e11, 1e12]  # so long that none of these is an alarm
    mean = 0.0
    for code in range(2**8):
        state, chance = start(drift_rule(0.1, lengths[0], "loss")), 1.0
        for i, length in enumerate(lengths):
            failed = code >> i & 1
            chance *= 0.1 if failed else 0.9
            state = steps(at_run_length(state, length), [float(failed)])
        mean += chance * state.statistic / lengths[-1]
    assert mean == pytest.approx(sum(1 / length for length in lengths), rel=1e-9)
    assert sum(WEIGHTS) == pytest.approx(1)


def test_thresholds_below_the_theorem_s_raise_at_most_what_was_spent_where_the_run_length_moves() -> None:
    """They were simulated for run lengths that stay; stakes that move with the length raised 1.3 times as many here."""
    rng = np.random.default_rng(5)
    state, spent = start(drift_rule(0.01, 600)), 0.0
    lengths = [round(600 * 400 ** (i / 10)) for i in range(10)]
    for failed in (rng.random(400_000) < 0.01).tolist():
        length = lengths[state.n % 10]
        state, spent = step(at_run_length(state, length), "fail" if failed else "pass"), spent + 1 / length
    assert spent > 100
    assert state.alarms <= spent + 3 * math.sqrt(spent)


def test_healthy_streams_raise_at_most_what_was_spent() -> None:
    alarms = spent = 0.0
    for seed in range(20):
        _, account, events = fed(new_stream(Terms(baseline=0.05)), mixed(0.05, 1500, seed), gap=WEEK / 200)
        alarms += sum(event.kind in ("alarm", "still") for event in events)
        spent += account.spent
    assert spent > 50
    assert alarms <= spent + 3 * math.sqrt(spent)


# ---------------------------------------------------------------- the baseline


def test_the_first_calls_measure_the_baseline_and_raise_nothing() -> None:
    stream, account, events = fed(new_stream(Terms(learn=100)), [*["fail"] * 5, *["pass"] * 95])
    assert kinds(events) == ["measured"]
    assert stream.baseline is not None
    assert 0.05 < stream.baseline.rate < 0.1
    assert stream.baseline.n == 100
    assert account.spent == 0


def test_a_stream_that_fails_whole_has_no_baseline_to_be_worse_than() -> None:
    stream, _, events = fed(new_stream(Terms(learn=50)), ["fail"] * 50)
    assert stream.baseline is None
    assert "there is no baseline" in event_words(events[0], NAMED)
    assert fed(stream, mixed(0.1, 50, 1))[0].baseline is not None


def test_a_version_that_is_worse_from_its_first_call_on_is_an_alarm_not_a_baseline() -> None:
    stream, account, _ = fed(new_stream(Terms(baseline=0.01)), mixed(0.01, 3000, 2))
    inherits = new_stream(Terms(learn=1000), Baseline(0.015, 1000, 9))
    stream, account, events = fed(inherits, mixed(0.3, 60, 3), at=3000 * 60.0, account=account)
    assert events[0].kind == "alarm"
    assert "was normal in the version before" in event_words(events[0], NAMED)
    stream, account, events = fed(stream, mixed(0.3, 1000, 4), at=3060 * 60.0, account=account)
    assert "measured" in kinds(events)
    assert not stream.inherited
    assert stream.alarm is not None, "measuring a bad rate ends no alarm"
    assert stream.recovery is not None
    assert stream.recovery.below == pytest.approx(back_below(0.015))


def test_a_graded_stream_measures_its_mean_loss_and_sees_it_rise() -> None:
    rng = np.random.default_rng(5)
    stream, account, events = fed(new_stream(Terms("loss", learn=300)), list(rng.beta(1, 9, 1500)))
    assert kinds(events) == ["measured"]
    stream, _, events = fed(stream, list(rng.beta(5, 5, 60)), at=1500 * 60.0, account=account)
    assert events[0].kind == "alarm"
    assert "lost 0." in event_words(events[0], {**NAMED, "what": "loss"})


def test_calls_that_bring_nothing_back_are_no_failures_and_have_a_stream_of_their_own() -> None:
    words: list[str | float] = ["pass"] * 200 + ["invalid"] * 40
    assert fed(new_stream(Terms(baseline=0.01)), words)[2] == []
    _, _, events = fed(new_stream(Terms("invalid", baseline=0.01)), words)
    assert events[0].kind == "alarm"
    assert "brought nothing back" in event_words(events[0], {**NAMED, "what": "invalid"})


# ---------------------------------------------------------------- alarms, and their end


def test_an_alarm_names_the_calls_that_raised_it_and_since_when() -> None:
    words: list[str | float] = ["pass"] * 2000 + ["fail", "pass"] * 10
    stream, _, events = fed(new_stream(Terms(baseline=0.01)), words)
    alarm = events[0]
    assert alarm.kind == "alarm"
    assert alarm.told["since"] == 2001 * 60.0
    assert alarm.told["samples"] == [2001 + 2 * i for i in range(len(alarm.told["samples"]))]
    assert alarm.told["losses"] == len(alarm.told["samples"])
    assert stream.alarm == alarm.time


def test_a_rise_that_goes_on_is_one_alarm_and_it_is_over_only_when_shown() -> None:
    words = [*mixed(0.01, 2000, 1), *mixed(0.4, 100, 2)]
    stream, account, events = fed(new_stream(Terms(baseline=0.01)), words)
    assert kinds(events).count("alarm") == 1
    assert "still" in kinds(events)
    stream, account, events = fed(stream, ["pass"] * 100, at=2100 * 60.0, account=account)
    assert events == [], "a hundred good calls do not show a rate below 2 %"
    stream, account, events = fed(stream, ["pass"] * 900, at=2200 * 60.0, account=account)
    assert kinds(events) == ["resolved"]
    assert "is shown to be back below 2 %" in event_words(events[0], NAMED)
    assert stream.alarm is None


def test_at_the_limit_an_alarm_is_wrongly_over_in_at_most_one_of_twenty() -> None:
    rng, wrong = np.random.default_rng(7), 0
    for _ in range(200):
        state = Recovery(0.2)
        for lost in rng.random(600) < 0.2:
            state = recovery_step(state, float(lost))
            if recovered(state):
                wrong += 1
                break
    assert wrong <= 10


def test_what_was_lost_before_the_rate_came_back_hardly_delays_the_end() -> None:
    def calls_to_end(bad: int) -> int:
        state, n = Recovery(0.1), 0
        for _ in range(bad):
            state = recovery_step(state, 1.0)
        while not recovered(state):
            state, n = recovery_step(state, 0.0), n + 1
        return n

    assert calls_to_end(200) < 4 * calls_to_end(0)


# ---------------------------------------------------------------- time


def test_a_stream_that_stops_is_silent_once_and_is_heard_again() -> None:
    stream, _, _ = fed(new_stream(Terms(baseline=0.1)), ["pass"] * 100, gap=3600.0)
    end = 100 * 3600.0
    assert fallen_silent(stream, end + 1.9 * 3600, 1000) is None, "twice the longest gap is usual"
    event = fallen_silent(stream, end + 24 * 3600, 1000)
    assert event is not None
    assert "usual is 24 a day" in event_words(event, NAMED)
    silent = stream_from({**stream_json(stream), "silent": end})
    assert fallen_silent(silent, end + 100 * 3600, 1000) is None
    _, _, events = take(silent, Call(999, end + 30 * 3600, "pass"), Account(), WEEKLY)
    assert kinds(list(events)) == ["spoke"]


def test_a_few_calls_say_nothing_about_silence() -> None:
    stream, _, _ = fed(new_stream(Terms(baseline=0.1)), ["pass"] * 10)
    assert fallen_silent(stream, 1e9, 1000) is None


def test_silences_that_chance_would_bring_are_rarer_than_stated() -> None:
    rng, found = np.random.default_rng(8), 0
    for _ in range(4000):
        gaps = rng.exponential(3600, 30)
        stream = Stream(Terms(), n=31, first=0.0, last=float(gaps.sum()), longest=0.0)
        found += fallen_silent(stream, stream.last + float(rng.exponential(3600)), 50) is not None
    assert found / 4000 < 1 / 50


def test_late_calls_are_counted_in_order_of_arrival_and_on_their_own_day() -> None:
    stream, _, _ = fed(new_stream(Terms(baseline=0.1)), ["pass"] * 3, gap=DAY)
    stream, _, _ = take(stream, Call(9, 1.5 * DAY, "fail"), Account(), WEEKLY)
    assert (stream.n, stream.late, stream.last) == (4, 1, 3 * DAY)
    assert [(day.day, day.n, day.losses) for day in stream.days] == [(1, 2, 1.0), (2, 1, 0.0), (3, 1, 0.0)]
    assert spend_of(stream.days, 0.25, 1, 2) == (3, 1.0, pytest.approx(4 / 3))


def test_a_stream_is_the_same_after_it_was_kept() -> None:
    words = [*mixed(0.02, 300, 1), *mixed(0.5, 20, 2), "invalid"]
    for terms in (Terms(learn=100), Terms(baseline=0.02, allowed=0.01), Terms(learn=1000)):
        stream, _, _ = fed(new_stream(terms), words)
        assert stream_from(json.loads(json.dumps(stream_json(stream)))) == stream
    with pytest.raises(ValueError, match="not the state of a stream"):
        stream_from({"terms": {}})


def test_a_name_that_came_with_a_call_steers_no_terminal() -> None:
    assert called({"name": "a", "what": "fail", "model": "m\x1b[2J\u202e"}) == "a (m\ufffd[2J\ufffd)"
    assert promise_words(1, None) == "at most one false alarm in 1 week on average, all streams together"
