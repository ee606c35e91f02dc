"""The stream and its state: the statistic against its definition, alarms, restarts, storage, order."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reroll.drift import SCHEMA, change, first_alarm, from_json, in_order, start, step, steps, to_json
from reroll.drift_rule import ODDS, WEIGHTS, drift_rule

QUIET = drift_rule(0.1, 1e9)
words = st.lists(st.sampled_from(["pass", "pass", "pass", "fail", "invalid"]), max_size=60)


def ratios(outcomes: list[str], baseline: float) -> np.ndarray:
    """(starts, atoms): the likelihood ratio of a rise that began with each call, from the definition."""
    odds = np.array(ODDS) * baseline / (1 - baseline)
    q = odds / (1 + odds)
    each = np.array([q / baseline if o == "fail" else (1 - q) / (1 - baseline) for o in outcomes])
    return np.array([each[i:].prod(axis=0) for i in range(len(outcomes))])


# ---------------------------------------------------------------- the statistic


@given(words)
def test_the_statistic_adds_up_the_bets_of_every_starting_point(outcomes: list[str]) -> None:
    state = steps(start(QUIET), outcomes)
    expected = (ratios(outcomes, 0.1).sum(axis=0) @ WEIGHTS) if outcomes else 0.0
    assert state.statistic == pytest.approx(float(expected))
    assert state.n == len(outcomes)


@pytest.mark.parametrize("baseline", [0.02, 0.3])
def test_at_the_baseline_the_mean_statistic_is_the_number_of_calls(baseline: float) -> None:
    rule = drift_rule(baseline, 1e30)
    mean = 0.0
    for stream in itertools.product(["pass", "fail"], repeat=8):
        f = stream.count("fail")
        mean += baseline**f * (1 - baseline) ** (8 - f) * steps(start(rule), stream).statistic
    assert mean == pytest.approx(8)


@given(words)
def test_the_change_is_the_likeliest_start_over_all_suspected_rates(outcomes: list[str]) -> None:
    found = change(steps(start(QUIET), outcomes))
    table = ratios(outcomes, 0.1) if outcomes else np.zeros((1, 1))
    if found is None:
        assert table.max() <= 1 + 1e-9
        return
    assert table[found.after].max() == pytest.approx(table.max())
    assert (found.n, found.losses) == (len(outcomes) - found.after, outcomes[found.after :].count("fail"))
    assert found.rate == found.losses / found.n


@given(words, words)
def test_a_state_may_be_stored_between_any_two_calls(before: list[str], after: list[str]) -> None:
    rule = drift_rule(0.1, 40)
    state = steps(start(rule), before)
    stored = from_json(json.loads(json.dumps(to_json(state))))
    assert stored == state
    one_by_one = state
    for outcome in after:
        one_by_one = step(one_by_one, outcome)
    assert steps(stored, after) == one_by_one == steps(start(rule), before + after)


# ---------------------------------------------------------------- alarms


def test_a_rise_raises_an_alarm_that_says_when_it_began() -> None:
    stream = ["pass"] * 300 + ["fail", "pass", "pass"] * 10
    alarm = first_alarm(stream, drift_rule(0.01))
    assert alarm is not None
    assert 300 < alarm.at <= 312
    assert alarm.change.after == 300
    assert alarm.change.rate == pytest.approx(0.4, abs=0.1)
    assert first_alarm(["pass"] * 1000, drift_rule(0.01)) is None


def test_after_an_alarm_everything_starts_afresh_and_a_rise_that_stays_is_reported_again() -> None:
    rule = drift_rule(0.01)
    state = steps(start(rule), ["fail"] * 3)
    assert state.alarmed
    assert state.last is not None
    assert (state.alarms, state.last.at, state.statistic) == (1, 3, 0)
    assert state.last.statistic >= rule.threshold
    assert not step(state, "pass").alarmed
    again = steps(state, ["fail"] * 3)
    assert (again.alarms, again.last.at, again.last.change.after) == (2, 6, 3)


def test_a_call_that_went_well_never_raises_an_alarm() -> None:
    assert first_alarm(["pass"] * 500, drift_rule(0.001, 1)) is None
    assert first_alarm([0.0] * 500 + [0.1] * 500, drift_rule(0.1, 1, "loss")) is None


def test_an_invalid_outcome_cannot_raise_an_alarm_over_failures_but_an_outage_has_its_own() -> None:
    failures, outage = drift_rule(0.01), drift_rule(0.01, watches="invalid")
    assert first_alarm(["invalid"] * 1000, failures) is None
    assert first_alarm(["invalid"] * 1000, drift_rule(0.01, watches="loss")) is None
    assert first_alarm(["fail"] * 1000, outage) is None
    alarm = first_alarm(["pass"] * 50 + ["invalid"] * 10, outage)
    assert alarm is not None
    assert alarm.change.after == 50
    assert steps(start(failures), ["invalid"] * 7).n == 7


def test_losses_of_0_and_1_are_passes_and_failures() -> None:
    stream = ["pass", "fail", "pass", "fail", "fail"]
    graded = steps(start(drift_rule(0.1, 1e9, "loss")), [float(o == "fail") for o in stream])
    assert graded.statistic == pytest.approx(steps(start(QUIET), stream).statistic)


@pytest.mark.parametrize("watches", ["fail", "loss"])
def test_false_alarms_are_as_rare_as_stated_and_true_ones_soon(watches: Any) -> None:
    rng = np.random.default_rng(2)
    rule = drift_rule(0.2, 200, watches)

    def calls(mean: float) -> float:
        ends = []
        for _ in range(150):
            losses = rng.beta(2 * mean, 2 * (1 - mean), 4000)
            stream = losses if watches == "loss" else np.where(rng.random(4000) < mean, "fail", "pass")
            alarm = first_alarm(stream.tolist(), rule)
            ends.append(4000 if alarm is None else alarm.at)
        return float(np.mean(ends))

    assert calls(0.2) >= 200
    assert calls(0.6) <= 20


# ---------------------------------------------------------------- what cannot be


@pytest.mark.parametrize("outcome", ["timeout", 0.5, "", None])
def test_an_unknown_outcome_is_refused(outcome: Any) -> None:
    with pytest.raises(ValueError, match="pass, fail or invalid, got"):
        step(start(QUIET), outcome)


@pytest.mark.parametrize("loss", [-0.1, 1.1, math.nan, "fail"])
def test_a_loss_outside_0_to_1_is_refused(loss: Any) -> None:
    with pytest.raises(ValueError, match=r"a loss is a number in 0\.\.\.1, or invalid, got"):
        step(start(drift_rule(0.1, watches="loss")), loss)


@pytest.mark.parametrize("foreign", [{}, {"schema": "reroll.drift/2"}, [1], "x", None])
def test_a_foreign_state_is_refused(foreign: Any) -> None:
    with pytest.raises(ValueError, match=f"expected schema {SCHEMA}, got"):
        from_json(foreign)


@pytest.mark.parametrize(
    "broken",
    [
        {"n": -1},
        {"n": 1.5},
        {"bets": [0.0] * 6},
        {"bets": [math.nan] * 7},
        {"bets": None},
        {"ratios": [math.inf] * 7},
        {"since": [9] * 7},
        {"losses": [-1.0] * 7},
        {"alarms": "2"},
        {"rule": {}},
        {"rule": {"baseline": 2, "run_length": 10, "watches": "fail", "threshold": 5}},
        {"last": {"at": 9, "statistic": 1, "change": {"after": 1, "n": 1, "losses": 1}}},
        {"last": {}},
    ],
)
def test_a_broken_state_is_refused_with_what_is_wrong(broken: dict[str, Any]) -> None:
    whole = json.loads(json.dumps(to_json(steps(start(QUIET), ["pass", "fail"]))))
    assert from_json(whole).n == 2
    with pytest.raises(ValueError, match=r"a broken drift state \(.+\); start a new one"):
        from_json(whole | broken)


def test_a_state_without_a_field_is_refused() -> None:
    whole = to_json(start(QUIET))
    del whole["since"]
    with pytest.raises(ValueError, match="'since'"):
        from_json(whole)


def test_times_out_of_order_name_the_event() -> None:
    assert in_order([1, 1, 2]) == [1, 1, 2]
    assert in_order([]) == []
    assert in_order(["2026-01-01", "2026-01-02"])
    with pytest.raises(ValueError, match=r"event 3 \(1\.5\) is older than event 2 \(2\.0\); sort"):
        in_order([1.0, 2.0, 1.5])
    with pytest.raises(ValueError, match="event 2 has no time"):
        in_order([1.0, math.nan, 2.0])
