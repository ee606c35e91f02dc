"""A checker's errors: ranges against random draws, coverage against the truth, and the plan of what to label."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from reroll.adjudicate import certify_adjudicated
from reroll.calibrate import met_boundary, operating_characteristics
from reroll.evidence import Est, Evidence
from reroll.judge import (
    Labelled,
    agreement,
    corrected_rate,
    labels_needed,
    measure,
    transported_rate,
    which_to_label,
)

USUAL = Labelled(Evidence(180, 2000), Evidence(46, 100), Evidence(1, 100))


def ends(est: Est) -> tuple[float, float]:
    assert est.low is not None
    assert est.high is not None
    return est.low, est.high


def drawn(labelled: Labelled, runs: int = 1_000_000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    parts = labelled.judged, labelled.flagged, labelled.passed
    q, p, f = (rng.beta(e.failures + 0.5, e.n - e.failures + 0.5, runs) for e in parts)
    return q, p, f


# -- the corrected rate ------------------------------------------------------------------------------------------------


def test_the_rate_and_the_checkers_errors_are_those_of_random_draws() -> None:
    q, p, f = drawn(USUAL)
    rate, found = q * p + (1 - q) * f, measure(USUAL)
    clean = (1 - q) * (1 - f)
    for est, values in (
        (found.rate, rate),
        (found.sensitivity, q * p / rate),
        (found.specificity, clean / (clean + q * (1 - p))),
    ):
        assert ends(est) == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])), abs=0.03 * values.std())


def test_point_values_are_the_weighted_shares() -> None:
    found = measure(USUAL)
    rate = 0.09 * 0.46 + 0.91 * 0.01
    assert found.rate.value == pytest.approx(rate)
    assert found.sensitivity.value == pytest.approx(0.09 * 0.46 / rate)
    assert found.specificity.value == pytest.approx(0.91 * 0.99 / (1 - rate))
    assert (found.flag_rate.value, found.flag_right.value, found.pass_wrong.value) == (0.09, 0.46, 0.01)
    assert (found.sensitivity.n, found.specificity.n, found.rate.n) == (47, 153, 2000)


def test_labelling_everything_leaves_the_rate_of_people() -> None:
    """With every output labelled the checker cannot matter: the interval is that of the people's counts."""
    labelled = Labelled(Evidence(300, 1000), Evidence(250, 300), Evidence(50, 700))
    low, high = ends(corrected_rate(labelled))
    assert corrected_rate(labelled).value == pytest.approx(0.3)
    wanted = stats.beta.ppf([0.025, 0.975], 300.5, 700.5)
    assert (low, high) == pytest.approx(tuple(wanted), abs=0.002)


SETTINGS = [
    (rate, se, sp, n)
    for rate in (0.01, 0.05, 0.2)
    for se, sp in ((0.6, 0.95), (0.85, 0.95), (0.95, 0.99))
    for n in (100, 200)
]


@pytest.mark.parametrize(("rate", "se", "sp", "n"), SETTINGS)
def test_the_interval_covers_the_true_rate(rate: float, se: float, sp: float, n: int) -> None:
    rng, runs = np.random.default_rng(9), 60
    q = rate * se + (1 - rate) * (1 - sp)
    missed = 0
    for _ in range(runs):
        flags = int(rng.binomial(2000, q))
        on_flags = min(n // 2, flags)
        bad = int(rng.binomial(on_flags, rate * se / q))
        wrong = int(rng.binomial(n - on_flags, rate * (1 - se) / (1 - q)))
        labelled = Labelled(Evidence(flags, 2000), Evidence(bad, on_flags), Evidence(wrong, n - on_flags))
        low, high = ends(corrected_rate(labelled))
        missed += not low <= rate <= high
    assert missed <= stats.binom.isf(1e-6, runs, 0.07)


def test_labels_through_the_checker_are_worth_more_than_labels_alone() -> None:
    """The same 200 labels at random, 5 % bad: Clopper-Pearson is half as wide again."""
    low, high = ends(corrected_rate(Labelled(Evidence(180, 2000), Evidence(47, 100), Evidence(1, 100))))
    alone = stats.beta.ppf([0.025, 0.975], [10, 11], [191, 190])
    assert high - low < 0.75 * (alone[1] - alone[0])


# -- what may not be left out ------------------------------------------------------------------------------------------


def test_without_labels_nothing_is_said_but_how_often_it_flags() -> None:
    found = measure(Labelled(Evidence(10, 100)))
    assert ends(found.rate) == (0, 1)
    assert found.rate.value is None
    assert found.sensitivity == Est(None, 0.0, 1.0, 0)
    assert found.flag_rate.value == 0.1
    assert labels_needed(Labelled(Evidence(10, 100)), 0.1) is None


def test_labels_on_flags_alone_bound_the_rate_from_below_only() -> None:
    found = measure(Labelled(Evidence(40, 200), Evidence(20, 20)))
    low, high = ends(found.rate)
    assert found.rate.value is None
    assert 0.1 < low < 0.2
    assert high == pytest.approx(1, abs=1e-3)
    assert ends(found.sensitivity) == pytest.approx((low, 1.0), abs=0.03)


def test_a_checker_that_never_flags_tells_nothing_beyond_the_labels() -> None:
    found = measure(Labelled(Evidence(0, 500), Evidence(), Evidence(5, 100)))
    assert found.rate.value == pytest.approx(0.05)
    low, high = ends(found.rate)
    assert low < 0.025
    assert high > 0.1
    assert found.sensitivity.value == 0
    assert found.specificity.value == 1


def test_a_checker_that_always_flags_tells_nothing_either() -> None:
    found = measure(Labelled(Evidence(500, 500), Evidence(5, 100)))
    assert found.rate.value == pytest.approx(0.05)
    assert found.sensitivity.value == 1
    assert found.specificity.value == 0


def test_where_nothing_bad_was_found_the_prior_does_not_make_it_up() -> None:
    found = measure(Labelled(Evidence(50, 500), Evidence(0, 50), Evidence(0, 50)))
    assert found.rate.value == 0
    assert found.rate.low == 0
    assert found.sensitivity.value is None
    assert ends(found.sensitivity) == (0, 1)


def test_the_unsure_count_both_ways() -> None:
    low, high = ends(corrected_rate(USUAL))
    unsure = Labelled(Evidence(180, 2000), Evidence(46, 100, 10), Evidence(1, 100, 3))
    wider = ends(corrected_rate(unsure))
    as_good, as_bad = (
        Labelled(Evidence(180, 2000), Evidence(46 + bad, 100), Evidence(1 + bad * 3 // 10, 100)) for bad in (0, 10)
    )
    assert wider == pytest.approx((ends(corrected_rate(as_good))[0], ends(corrected_rate(as_bad))[1]))
    assert wider[0] <= low
    assert wider[1] > high


def test_outputs_that_the_checker_could_not_judge_count_both_ways() -> None:
    some = Labelled(Evidence(180, 2000, invalid=200), Evidence(46, 100), Evidence(1, 100))
    low, high = ends(corrected_rate(some))
    rest = ends(corrected_rate(Labelled(Evidence(180, 1800), Evidence(46, 100), Evidence(1, 100))))
    assert low == pytest.approx(0.9 * rest[0], rel=0.05)
    assert high == pytest.approx(0.1 + 0.9 * rest[1], rel=0.05)
    assert corrected_rate(some).n == 2000


def test_sensitivity_is_bounded_both_ways_by_the_unsure() -> None:
    low, high = ends(measure(USUAL).sensitivity)
    found = measure(Labelled(Evidence(180, 2000), Evidence(46, 100, 20), Evidence(1, 100, 2)))
    assert ends(found.sensitivity)[0] < low
    assert ends(found.sensitivity)[1] > high


# -- how many labels, and which ----------------------------------------------------------------------------------------


def test_the_forecast_of_labels_is_kept() -> None:
    few = Labelled(Evidence(180, 2000), Evidence(12, 25), Evidence(0, 25))
    more = labels_needed(few, width=0.06)
    assert more is not None
    n = (50 + more) // 2
    low, high = ends(corrected_rate(Labelled(Evidence(180, 2000), Evidence(round(0.48 * n), n), Evidence(0, n))))
    assert 0.03 < high - low <= 0.065
    assert labels_needed(few, width=0.9) == 0
    assert labels_needed(few, width=0.001) is None, "all outputs labelled would not be enough"


def test_a_narrower_interval_takes_more_labels() -> None:
    needed = [labels_needed(USUAL, width) for width in (0.045, 0.04, 0.035, 0.03)]
    assert all(n is not None for n in needed)
    assert all(a < b for a, b in itertools.pairwise(n for n in needed if n is not None))


FLAGGED, PASSED = {f"f{i}" for i in range(30)}, {f"p{i}" for i in range(300)}


def test_half_of_the_labels_go_to_flags() -> None:
    chosen = which_to_label(FLAGGED, PASSED, have=set(), k=20)
    assert len(chosen) == len(set(chosen)) == 20
    assert sum(id in FLAGGED for id in chosen) == 10


def test_labels_that_are_there_count_towards_the_half() -> None:
    have = {f"p{i}" for i in range(10)}
    chosen = which_to_label(FLAGGED, PASSED, have, k=10)
    assert sum(id in FLAGGED for id in chosen) == 10
    assert not set(chosen) & have


def test_where_flags_run_out_the_rest_goes_to_passes_and_the_other_way_round() -> None:
    assert sum(id in FLAGGED for id in which_to_label(FLAGGED, PASSED, set(), k=100)) == 30
    assert len(which_to_label(FLAGGED, PASSED, set(), k=100)) == 100
    assert len(which_to_label(FLAGGED, {"p0"}, set(), k=10)) == 10
    assert len(which_to_label({"a"}, {"b"}, {"a"}, k=10)) == 1
    assert which_to_label(set(), set(), set(), k=3) == []


def test_a_broken_off_session_goes_on_with_the_same_choice() -> None:
    whole = set(which_to_label(FLAGGED, PASSED, set(), k=20))
    first = which_to_label(FLAGGED, PASSED, set(), k=20)[:10]
    assert set(which_to_label(FLAGGED, PASSED, set(first), k=10)) | set(first) == whole


def test_every_output_of_a_side_is_chosen_equally_often() -> None:
    counts = dict.fromkeys(FLAGGED, 0)
    for seed in range(600):
        for id in which_to_label(FLAGGED, PASSED, set(), k=10, seed=str(seed)):
            counts[id] = counts.get(id, 0) + 1
    seen = np.array([counts[id] for id in FLAGGED])
    assert stats.chisquare(seen).pvalue > 1e-4
    shown = [which_to_label(FLAGGED, PASSED, set(), k=10, seed=str(s))[0] in FLAGGED for s in range(200)]
    assert 60 < sum(shown) < 140, "the order gives no flag away"


# -- the same output again ---------------------------------------------------------------------------------------------


def test_agreement_is_the_share_of_equal_verdicts_and_what_chance_leaves_of_it() -> None:
    first = ["fail"] * 20 + ["pass"] * 80
    again = ["fail"] * 15 + ["pass"] * 80 + ["fail"] * 5
    found = agreement(first, again)
    assert found.same.value == 0.9
    assert found.beyond_chance.value == pytest.approx(1 - 0.1 / (2 * 0.2 * 0.8))
    rng = np.random.default_rng(1)
    shares = rng.dirichlet([10.5, 15.5, 75.5], 1_000_000)
    flags = shares[:, 1] + shares[:, 0] / 2
    wanted = np.quantile(1 - shares[:, 0] / (2 * flags * (1 - flags)), [0.025, 0.975])
    assert ends(found.beyond_chance) == pytest.approx(tuple(wanted), abs=0.006)


def test_a_checker_that_flips_coins_agrees_by_chance_only() -> None:
    rng = np.random.default_rng(5)
    one, two = (["fail" if x < 0.2 else "pass" for x in rng.random(4000)] for _ in range(2))
    found = agreement(one, two).beyond_chance
    assert ends(found)[0] < 0 < ends(found)[1]
    assert agreement(one, two).same.value == pytest.approx(0.68, abs=0.03)


def test_one_that_says_the_same_of_everything_shows_no_agreement_beyond_chance() -> None:
    found = agreement(["pass"] * 20, ["pass"] * 20)
    assert found.same.value == 1
    assert found.beyond_chance.value is None
    assert ends(found.beyond_chance)[1] == 1
    assert agreement([], []).same == Est(None, 0.0, 1.0, 0)


def test_a_second_judgement_that_fails_counts_both_ways() -> None:
    clean = agreement(["pass"] * 18, ["pass"] * 18).same
    found = agreement(["pass"] * 20, ["pass"] * 18 + ["invalid"] * 2).same
    assert found.value == 1
    assert ends(found)[0] < ends(clean)[0]
    assert found.n == 20


# -- errors measured elsewhere -----------------------------------------------------------------------------------------


def test_a_rate_by_foreign_errors_is_solved_and_its_range_is_that_of_random_draws() -> None:
    judged, on_bad, on_good = Evidence(300, 1000), Evidence(90, 100), Evidence(190, 200)
    found = transported_rate(judged, on_bad, on_good)
    assert found.value == pytest.approx((0.3 + 0.95 - 1) / (0.9 + 0.95 - 1))
    rng = np.random.default_rng(6)
    q, se, sp = (rng.beta(e.failures + 0.5, e.n - e.failures + 0.5, 1_000_000) for e in (judged, on_bad, on_good))
    solved = np.clip((q + sp - 1) / (se + sp - 1), 0, 1)
    assert ends(found) == pytest.approx(tuple(np.quantile(solved, [0.025, 0.975])), abs=0.03 * solved.std())


def test_a_checker_that_may_be_a_coin_leaves_everything_possible() -> None:
    found = transported_rate(Evidence(50, 100), Evidence(5, 10), Evidence(5, 10))
    assert found.value is None
    assert ends(found) == (0, 1)
    assert ends(transported_rate(Evidence(5, 100), Evidence(), Evidence())) == (0, 1)


def test_unjudged_outputs_widen_a_transported_rate_both_ways() -> None:
    on_bad, on_good = Evidence(90, 100), Evidence(190, 200)
    clean = ends(transported_rate(Evidence(300, 1000), on_bad, on_good))
    found = ends(transported_rate(Evidence(300, 1000, 50), Evidence(90, 100, 5), Evidence(190, 200, 5)))
    assert found[0] <= clean[0]
    assert found[1] > clean[1]


# -- a person decides every flag ---------------------------------------------------------------------------------------


def test_twenty_found_seeds_price_the_misses() -> None:
    found = certify_adjudicated(Evidence(0, 1), Evidence(20, 20), target=0.99)
    low = 0.01 ** (1 / 20)
    assert found.sensitivity.low == pytest.approx(low, abs=1e-6)
    assert found.tolerated == pytest.approx(0.01 * low, abs=1e-8)
    boundary = met_boundary(found.tolerated, 0.04, None, 1000)
    first = int(np.argmax(boundary >= 0))
    assert found.calls_needed == first - 1
    assert certify_adjudicated(Evidence(0, first - 1), Evidence(20, 20), 0.99).verdict == "undecided"
    assert certify_adjudicated(Evidence(0, first), Evidence(20, 20), 0.99).verdict == "met"


def test_more_seeds_or_a_horizon_need_fewer_calls() -> None:
    def calls(seeds: Evidence, horizon: int | None = None) -> int:
        needed = certify_adjudicated(Evidence(), seeds, 0.99, horizon=horizon).calls_needed
        assert needed is not None
        return needed

    assert calls(Evidence(100, 100)) < calls(Evidence(20, 20)) < calls(Evidence(19, 20)) < calls(Evidence(10, 10))
    assert calls(Evidence(20, 20), horizon=1000) < calls(Evidence(20, 20))


def test_a_false_certificate_is_rarer_than_alpha() -> None:
    """Exactly: the true sensitivity is .8, the true rate just above the tolerated 5 %; sum over the seeds found."""
    target, alpha, se, rate = 0.95, 0.05, 0.8, 0.05
    wrong = 0.0
    for caught in range(1, 13):
        chance = float(stats.binom.pmf(caught, 12, se))
        if chance < 1e-6:
            continue
        tolerated = certify_adjudicated(Evidence(), Evidence(caught, 12), target, alpha).tolerated
        boundary = met_boundary(tolerated, 0.8 * alpha, None, 1500)
        wrong += chance * operating_characteristics(rate * se, boundary, None, 1500).met
    assert wrong <= alpha
    assert wrong > 0.0001


def test_confirmed_flags_alone_refuse_whatever_the_checker_misses() -> None:
    assert certify_adjudicated(Evidence(30, 300), Evidence(20, 20), 0.99).verdict == "not_met"
    # 1.1 % confirmed is no proof of more than 1.2 %, though it is above what the seeds leave.
    assert certify_adjudicated(Evidence(110, 10_000), Evidence(5, 10), 0.988).verdict != "not_met"


def test_flags_that_nobody_could_decide_count_against_met_and_not_against_not_met() -> None:
    clean = Evidence(0, 600)
    assert certify_adjudicated(clean, Evidence(20, 20), 0.99).verdict == "met"
    assert certify_adjudicated(Evidence(0, 600, invalid=6), Evidence(20, 20), 0.99).verdict == "undecided"
    assert certify_adjudicated(Evidence(0, 600, invalid=300), Evidence(20, 20), 0.99).verdict == "undecided"


def test_seeds_looked_at_one_by_one_pay_for_the_looks() -> None:
    planned = certify_adjudicated(Evidence(0, 10), Evidence(20, 20), 0.99)
    looked = certify_adjudicated(Evidence(0, 10), Evidence(20, 20), 0.99, seeds_planned=False)
    assert ends(looked.sensitivity)[0] < ends(planned.sensitivity)[0]


# -- what cannot be ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: Labelled(Evidence(1, 10), Evidence(1, 2)), "there are 2 labels on 1 flagged outputs"),
        (lambda: Labelled(Evidence(1, 10, 5), Evidence(), Evidence(0, 5)), "there are 5 labels on 4 passed outputs"),
        (lambda: measure(USUAL, alpha=0), "alpha must lie strictly between 0 and 1"),
        (lambda: measure(USUAL, alpha=float("nan")), "alpha must lie strictly between 0 and 1"),
        (lambda: labels_needed(USUAL, width=0), "width is high - low of a rate"),
        (lambda: labels_needed(USUAL, width=float("nan")), "width is high - low of a rate"),
        (lambda: which_to_label({"a"}, {"a"}, set(), 1), "flagged or passed, not both; got 'a'"),
        (lambda: which_to_label({"a"}, {"b"}, set(), 0), "k is how many to label, at least 1, got 0"),
        (lambda: agreement(["pass"], []), "must be of the same outputs, got 1 and 0"),
        (lambda: agreement(["yes"], ["pass"]), "an outcome is pass, fail or invalid, got 'yes'"),
        (lambda: transported_rate(USUAL.judged, Evidence(), Evidence(), 2), "alpha must lie strictly"),
        (
            lambda: certify_adjudicated(Evidence(), Evidence(0, 5), 0.99),
            "no certificate without a found seed: got 0 of 5",
        ),
        (lambda: certify_adjudicated(Evidence(), Evidence(), 0.99), "no certificate without a found seed"),
        (lambda: certify_adjudicated(Evidence(), Evidence(5, 5), 99), "target is a success rate"),
        (lambda: certify_adjudicated(Evidence(0, 20), Evidence(5, 5), 0.5, horizon=10), "a horizon is binding"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(call: Callable[[], object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence.replace(".", r"\.")):
        call()
