"""Evidence into verdicts: what each word requires, and how often it is ever wrong, exactly."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reroll.calibrate import met_boundary, not_met_boundary, operating_characteristics
from reroll.evidence import Evidence, interval, met_log_e, refuted_from
from reroll.race import Race, first_crossing, forecast, soonest, standing
from reroll.verdict import (
    Certify,
    certify,
    certify_path,
    decide,
    least_certificate,
    luck,
    luck_path,
    not_worse_rate,
    second_try,
)

words = st.lists(st.sampled_from(["pass", "pass", "pass", "pass", "fail", "invalid"]), max_size=80)


# ---------------------------------------------------------------- certify


@pytest.mark.parametrize(
    ("failures", "n", "target", "horizon", "verdict"),
    [
        (0, 354, 0.99, None, "undecided"),
        (0, 355, 0.99, None, "met"),
        (0, 316, 0.99, 1000, "undecided"),
        (0, 317, 0.99, 1000, "met"),
        (2, 2, 0.99, None, "not_met"),
        (1, 1, 0.99, None, "undecided"),
        (20, 2000, 0.99, None, "undecided"),
        (0, 0, 0.99, None, "undecided"),
        (0, 34, 0.9, None, "met"),
        (50, 100, 0.9, None, "not_met"),
    ],
)
def test_certify_says(failures: int, n: int, target: float, horizon: int | None, verdict: str) -> None:
    assert decide(failures, n, target, horizon=horizon).verdict == verdict


def test_invalid_samples_count_against_both_claims() -> None:
    assert certify(Evidence(0, 355, 1), 0.99).verdict == "undecided"
    assert certify(Evidence(0, 20, 20), 0.99).verdict == "undecided"
    assert certify(Evidence(2, 20, 18), 0.99).verdict == certify(Evidence(2, 20), 0.99).verdict


def test_a_verdict_carries_the_evidence_it_stands_on() -> None:
    result = decide(0, 355)
    assert result.log_e_met == met_log_e(0, 355, 0.01) >= result.threshold_met
    assert result.log_e_not_met < result.threshold_not_met <= result.threshold_met <= math.log(20)
    assert (result.target, result.alpha, result.horizon, result.calls_needed) == (0.99, 0.05, None, 0)


@pytest.mark.parametrize(
    ("failures", "n", "horizon", "calls"),
    [
        (0, 0, None, 355),
        (0, 354, None, 1),
        (0, 300, 1000, 17),
        (10, 1000, None, None),
        (92, 10_000, None, None),  # no bet wins at 0.92 %
        (115, 10_000, None, None),  # nor at 1.15 %
        (0, 0, 200, None),
        (0, 298, 299, 1),
        (0, 298, 298, None),
    ],
)
def test_the_forecast_counts_passes_and_admits_when_there_is_no_end(
    failures: int, n: int, horizon: int | None, calls: int | None
) -> None:
    assert certify(Evidence(failures, n), 0.99, horizon=horizon).calls_needed == calls


def test_a_horizon_too_near_for_any_certificate_is_refused_with_the_number_that_it_takes() -> None:
    assert decide(0, 299, horizon=299).verdict == "met"
    with pytest.raises(ValueError, match="it takes 299"):
        decide(0, 10, horizon=298)
    assert [least_certificate(t) for t in (0.5, 0.9, 0.9999)] == [5, 29, 29956]


@pytest.mark.parametrize(("failures", "n"), [(1.5, 3), (float("nan"), 3), (1, float("nan")), (4, 3), (-1, 3)])
def test_counts_that_cannot_be_are_refused(failures: int, n: int) -> None:
    with pytest.raises(ValueError, match="got"):
        decide(failures, n)
    with pytest.raises(ValueError, match="got"):
        interval(failures, n)


def test_the_forecast_comes_true_when_failures_keep_coming_as_before() -> None:
    calls = decide(4, 1000).calls_needed
    assert calls is not None
    assert calls > 100
    as_before = [decide(4 + round(k * 4.5 / 1001), 1000 + k).verdict for k in (calls - 90, calls + 90)]
    assert as_before == ["undecided", "met"]


@pytest.mark.parametrize(("target", "alpha"), [(0.0, 0.05), (1.0, 0.05), (0.9, 0.0), (99, 0.05)])
def test_impossible_questions_are_refused(target: float, alpha: float) -> None:
    with pytest.raises(ValueError, match="got"):
        decide(0, 10, target, alpha)


def test_a_horizon_is_binding() -> None:
    with pytest.raises(ValueError, match="start a new run"):
        decide(0, 301, horizon=300)
    with pytest.raises(ValueError, match="start a new run"):
        certify_path(["pass"] * 301, 0.99, horizon=300)


# ---------------------------------------------------------------- the path


def test_a_verdict_is_never_taken_back() -> None:
    early = certify_path(["fail", "fail"], 0.99)
    late = certify_path(["fail", "fail"] + ["pass"] * 2000, 0.99)
    assert (early.verdict, early.decided_at) == (late.verdict, late.decided_at) == ("not_met", 2)
    assert decide(2, 2002).verdict == "met"  # what looking only at the end would say
    assert late.claim_today is None
    assert late.log_e_not_met == early.log_e_not_met >= early.threshold_not_met


@settings(deadline=None)
@given(words, st.sampled_from([0.6, 0.9, 0.99]), st.sampled_from([None, 80]))
def test_the_path_says_what_a_look_after_every_sample_says_first(
    outcomes: list[str], target: float, horizon: int | None
) -> None:
    looks = [certify(Evidence.of(outcomes[:n]), target, horizon=horizon).verdict for n in range(len(outcomes) + 1)]
    first = next((n for n, verdict in enumerate(looks) if verdict != "undecided"), None)
    path = certify_path(outcomes, target, horizon=horizon)
    assert path.decided_at == first
    assert path.verdict == ("undecided" if first is None else looks[first])


def test_seeded_runs_at_the_worst_rate_are_wrong_at_most_as_often_as_stated() -> None:
    rng = np.random.default_rng(3)
    wrong = {"met": 0, "not_met": 0}
    runs = 600
    for _ in range(runs):
        outcomes = np.where(rng.random(600) < 0.1, "fail", "pass").tolist()
        verdict = certify_path(outcomes, 0.9).verdict
        if verdict != "undecided":
            wrong[verdict] += 1
    assert max(wrong.values()) / runs <= 0.05 + 2.6 * math.sqrt(0.05 * 0.95 / runs)


# ---------------------------------------------------------------- what may be claimed


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 1500).flatmap(lambda n: st.tuples(st.integers(0, min(n, 40)), st.just(n))),
    st.sampled_from([0.9, 0.95, 0.99]),
)
def test_the_claim_agrees_with_the_verdict(fn: tuple[int, int], target: float) -> None:
    result = decide(*fn, target=target)
    claim = result.claim_today
    if result.verdict == "met":
        assert claim is not None
        assert claim >= target
    elif result.verdict == "not_met":
        assert claim is None or claim < target
    if claim is not None and claim != target:
        assert claim <= 1 - refuted_from(*fn)
        assert decide(*fn, target=claim).verdict == "met"


def test_more_passes_claim_more_and_more_failures_less() -> None:
    claims = [decide(1, n).claim_today or 0 for n in range(50, 3000, 50)]
    assert claims == sorted(claims)
    claims = [decide(f, 500).claim_today or 0 for f in range(60)]
    assert claims == sorted(claims, reverse=True)
    assert decide(0, 0).claim_today is None
    assert decide(0, 317, horizon=1000).claim_today == 0.99


@pytest.mark.parametrize(("rate", "alpha", "horizon"), [(0.01, 0.05, None), (0.01, 0.05, 1000), (0.1, 0.05, None)])
def test_verdict_and_claim_together_are_ever_wrong_with_chance_at_most_alpha(
    rate: float, alpha: float, horizon: int | None
) -> None:
    n = horizon or int(40 / rate)
    met = met_boundary(rate, alpha, horizon, n)
    for p in rate * np.array([1.001, 1.01, 1.05, 1.2, 2.0]):
        claimed = np.full(n + 1, -1)  # most failures with which a success rate above 1 - p is claimed
        f = -1
        for calls in range(1, n + 1):
            if met_log_e(f + 1, max(calls, f + 1), float(p)) >= -math.log(alpha):
                f += 1
            claimed[calls] = f
        assert operating_characteristics(float(p), np.maximum(met, claimed), None, n).met <= alpha


# ---------------------------------------------------------------- luck


@pytest.mark.parametrize(
    ("failures", "n", "reference", "target", "verdict"),
    [
        (2, 2, 0.02, None, "worse_than_reference"),
        (1, 1, 0.02, None, "undecided"),
        (0, 57, 0.02, None, "undecided"),
        (0, 58, 0.02, 0.9, "not_reproduced"),  # 3 x 2 % is below the tolerable 10 %
        (0, 58, 0.02, None, "bad_luck"),  # 3 x 2 % is above the tolerable 5 %
        (0, 58, 0.02, 0.99, "bad_luck"),
        (1, 120, 0.02, 0.9, "bad_luck"),
        (0, 70, None, None, "not_reproduced"),
        (0, 69, None, None, "undecided"),
        (1, 400, None, None, "undecided"),
        (5, 5, None, None, "undecided"),
        (0, 355, None, 0.99, "not_reproduced"),
        (0, 9, 0.2, None, "undecided"),  # the bound is 30 %, not three times 20 %
        (0, 10, 0.2, None, "bad_luck"),
        (0, 5000, 0.9, None, "undecided"),  # nothing is ten points above 90 %
        (160, 4000, 0.02, None, "worse_than_reference"),  # above 2 % and below 6 %: worse comes first
    ],
)
def test_luck_says(failures: int, n: int, reference: float | None, target: float | None, verdict: str) -> None:
    assert luck(Evidence(failures, n), reference, target).verdict == verdict


@pytest.mark.parametrize("reference", [0.0, 1.0, -0.1])
def test_luck_refuses_a_reference_that_no_luck_can_have(reference: float) -> None:
    with pytest.raises(ValueError, match="reference_rate"):
        luck(Evidence(0, 1), reference)


def test_a_failure_without_a_reference_leaves_nothing_to_wait_for() -> None:
    assert luck(Evidence(0, 10)).calls_needed == 60
    assert luck(Evidence(1, 10)).calls_needed is None
    assert luck(Evidence(0, 10), horizon=40).calls_needed is None


@pytest.mark.parametrize(("reference", "target"), [(0.01, None), (0.02, 0.9), (0.05, 0.99), (0.2, None)])
def test_whatever_the_true_rate_a_wrong_luck_verdict_is_ever_said_with_chance_at_most_alpha(
    reference: float, target: float | None
) -> None:
    # Wrong is: worse_than_reference at p <= reference; bad_luck or not_reproduced at
    # p >= not_worse_rate.  Both are first crossings of the two boundaries below.
    alpha, n = 0.05, int(60 / reference)
    worse = not_met_boundary(reference, alpha, None, n)
    not_worse = met_boundary(not_worse_rate(reference), alpha, None, n)
    bound = not_worse_rate(reference)
    for p in (0.0, 0.5 * reference, reference, 1.5 * reference, 2.9 * reference, bound, 4 * reference, 1.0):
        result = operating_characteristics(p, not_worse, worse, n)
        wrong = (result.not_met if p <= reference else 0) + (result.met if p >= bound else 0)
        assert wrong <= alpha
    # not_reproduced without a reference: no failure, and below the tolerable rate.
    tolerable = 0.05 if target is None else round(1 - target, 12)
    below = np.minimum(met_boundary(tolerable, alpha, None, n), 0)
    for p in (tolerable, 1.5 * tolerable, 0.9):
        assert operating_characteristics(p, below, None, n).met <= alpha


@pytest.mark.parametrize(
    ("p", "reference", "calls", "tolerance"), [(0.5, 0.02, 4.0, 0.1), (0.2, 0.05, 25, 1), (1.0, 0.02, 2, 1e-9)]
)
def test_a_bad_case_is_told_from_its_reference_in_few_calls(
    p: float, reference: float, calls: float, tolerance: float
) -> None:
    n = 2000
    worse = not_met_boundary(reference, 0.05, None, n)
    not_worse = met_boundary(not_worse_rate(reference), 0.05, None, n)
    result = operating_characteristics(p, not_worse, worse, n)
    assert result.expected_calls == pytest.approx(calls, abs=tolerance)


@settings(deadline=None)
@given(words, st.sampled_from([None, 0.02, 0.2]))
def test_the_luck_path_stays_with_its_first_verdict(outcomes: list[str], reference: float | None) -> None:
    verdicts = [luck_path(outcomes[:n], reference).verdict for n in range(len(outcomes) + 1)]
    said = [verdict for verdict in verdicts if verdict != "undecided"]
    assert len(set(said)) <= 1
    assert verdicts[len(verdicts) - len(said) :] == said
    looks = [luck(Evidence.of(outcomes[:n]), reference).verdict for n in range(len(outcomes) + 1)]
    assert verdicts[-1] == next((look for look in looks if look != "undecided"), "undecided")


def test_luck_shows_both_sides_of_the_evidence() -> None:
    with_reference = luck(Evidence(1, 3), 0.02)
    assert with_reference.log_e_worse is not None
    assert with_reference.log_e_not_worse is not None
    assert luck(Evidence(1, 3)).log_e_worse is None
    assert luck(Evidence(1, 3), 0.95).log_e_not_worse is None


# ---------------------------------------------------------------- the race


@settings(deadline=None)
@given(words, st.sampled_from([None, 90]))
def test_the_soonest_decision_is_the_soonest(outcomes: list[str], horizon: int | None) -> None:
    race = Race(0.1, 0.02, 0.05, horizon)
    wait = soonest(race, Evidence.of(outcomes))
    if first_crossing(race, outcomes):
        return
    limit = 120 if horizon is None else horizon - len(outcomes)
    tries = range(1, limit + 1)
    decides = [k for k in tries if any(first_crossing(race, outcomes + [word] * k) for word in ("pass", "fail"))]
    assert (wait if wait is not None and wait <= limit else None) == (decides[0] if decides else None)


def test_an_empty_race_decides_nothing() -> None:
    race = Race(None, None, 0.05)
    assert standing(race, Evidence(1, 2)) is None
    assert first_crossing(race, ["pass"]) is None
    assert forecast(race, Evidence(1, 2)) is None


def test_how_much_worse_than_the_reference_is_still_luck_may_be_chosen() -> None:
    passes = ["pass"] * 40
    assert luck_path(passes, 0.02, target=0.99).verdict == "undecided"
    assert luck_path(passes, 0.02, target=0.99, times=5).verdict == "bad_luck"
    assert luck(Evidence(0, 40), 0.02, target=0.99, times=5).verdict == "bad_luck"
    assert luck_path(["fail", "fail"], 0.02, times=5).verdict == "worse_than_reference"
    for wrong in ({"times": 1.0}, {"margin": 0.0}, {"times": float("nan")}):
        with pytest.raises(ValueError, match="times must be above 1"):
            luck(Evidence(0, 1), 0.02, **wrong)


# ---------------------------------------------------------------- one more try


def test_a_second_try_is_worth_what_the_first_ones_showed() -> None:
    est = second_try(Evidence(5, 10))
    low, high = interval(5, 10)
    assert (est.value, est.low, est.high, est.n) == (0.5, 1 - high, 1 - low, 10)
    assert second_try(Evidence(0, 2, 2)).value is None


def test_a_verdict_is_a_value() -> None:
    assert decide(0, 400) == decide(0, 400)
    assert isinstance(decide(0, 400), Certify)
