"""Better, worse, no different; many variants; the best of k: what each word requires and how often it is wrong."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reroll.best import Best, best_of, better_than_baseline, family_better
from reroll.calibrate import operating_characteristics
from reroll.compare import compare_cases, compare_path, compare_scores
from reroll.paired import better_log_e, difference_interval, difference_limit, pair_boundary, pair_threshold

Pair = tuple[str, str]
WON, LOST, GOOD, BAD = ("fail", "pass"), ("pass", "fail"), ("pass", "pass"), ("fail", "fail")
outcome = st.sampled_from(["pass", "pass", "fail", "invalid"])
pair_lists = st.lists(st.tuples(outcome, outcome), max_size=60)


def draws(rng: np.random.Generator, a_only: float, b_only: float, n: int) -> list[Pair]:
    kinds = rng.choice(3, size=n, p=[a_only, b_only, 1 - a_only - b_only])
    return [(WON, LOST, GOOD)[k] for k in kinds.tolist()]


# ---------------------------------------------------------------- two variants


@pytest.mark.parametrize(
    ("pairs", "margin", "horizon", "verdict", "decided_at"),
    [
        ([], None, None, "undecided", None),
        ([WON] * 5, None, None, "undecided", None),
        ([WON] * 6, None, None, "better", 6),
        ([LOST] * 6, None, None, "worse", 6),
        ([WON] * 5, None, 5, "better", 5),
        ([GOOD] * 500, None, None, "undecided", None),
        ([BAD] * 50 + [GOOD] * 50, 0.05, None, "no_different", 81),
        ([GOOD] * 50, 0.05, None, "undecided", None),
        ([WON, LOST] * 400, 0.2, None, "no_different", 238),
        ([WON] * 6 + [LOST] * 8, None, None, "better", 6),
        ([WON] * 6 + [LOST] * 60, None, None, "undecided", None),  # all pairs together refute what fell first
        ([GOOD] * 90 + [LOST] * 60, 0.05, None, "undecided", None),
    ],
)
def test_compare_says(
    pairs: list[Pair], margin: float | None, horizon: int | None, verdict: str, decided_at: int | None
) -> None:
    compared = compare_path(pairs, margin=margin, horizon=horizon)
    assert (compared.verdict, compared.decided_at) == (verdict, decided_at)


def test_a_verdict_stands_but_the_numbers_move_on() -> None:
    early, late = compare_path([WON] * 6), compare_path([WON] * 6 + [LOST] * 60)
    assert late.log_e_better == early.log_e_better >= early.threshold
    assert early.difference.value == -1
    assert late.difference.value is not None
    assert late.difference.value > 0
    assert (late.pairs_needed, late.n) == (0, 66)


def test_a_result_carries_what_it_stands_on() -> None:
    compared = compare_path([WON] * 12 + [LOST] * 2 + [GOOD] * 86, margin=0.02)
    assert compared.log_e_better == pytest.approx(compare_path([WON] * 6).log_e_better)
    assert compared.threshold == pair_threshold(0.05)
    assert (compared.difference.low, compared.difference.high) == pytest.approx(difference_interval(12, 2, 100))
    assert compared.difference.value == pytest.approx(-0.1)
    assert (compared.alpha, compared.margin, compared.unit, compared.horizon) == (0.05, 0.02, "pair", None)
    assert compared.threshold_no_different == pytest.approx(math.log(20))


def test_a_and_b_change_places() -> None:
    pairs = [WON] * 12 + [LOST] * 2 + [GOOD] * 86 + [("invalid", "pass")]
    one, other = compare_path(pairs), compare_path([(b, a) for a, b in pairs])
    assert (one.verdict, other.verdict) == ("better", "worse")
    assert (one.log_e_better, one.log_e_worse) == (other.log_e_worse, other.log_e_better)
    assert one.difference.low == pytest.approx(-(other.difference.high or 0))


# ---------------------------------------------------------------- invalid outcomes


@pytest.mark.parametrize(
    ("odd", "for_better", "for_worse"),
    [
        (("invalid", "pass"), GOOD, WON),
        (("invalid", "fail"), LOST, BAD),
        (("pass", "invalid"), LOST, GOOD),
        (("fail", "invalid"), BAD, WON),
        (("invalid", "invalid"), LOST, WON),
    ],
)
def test_an_invalid_outcome_counts_against_each_claim(odd: Pair, for_better: Pair, for_worse: Pair) -> None:
    rest = [WON] * 3 + [LOST] * 2
    seen = compare_path([*rest, odd])
    assert seen.log_e_better == compare_path([*rest, for_better]).log_e_better
    assert seen.log_e_worse == compare_path([*rest, for_worse]).log_e_worse
    assert seen.n == 6
    assert seen.difference.value == pytest.approx(-0.2)
    assert seen.difference.high == pytest.approx(compare_path([*rest, for_better]).difference.high)
    assert seen.difference.low == pytest.approx(compare_path([*rest, for_worse]).difference.low)


@settings(deadline=None, max_examples=60)
@given(pair_lists, st.randoms(use_true_random=False))
def test_whatever_the_invalid_ones_would_have_been_the_evidence_only_grows(pairs: list[Pair], rng) -> None:  # type: ignore[no-untyped-def]
    told = [tuple(rng.choice(["pass", "fail"]) if o == "invalid" else o for o in pair) for pair in pairs]
    before, after = compare_path(pairs, alpha=1e-9), compare_path(told, alpha=1e-9)  # type: ignore[arg-type]
    assert after.log_e_better >= before.log_e_better - 1e-9
    assert after.log_e_worse >= before.log_e_worse - 1e-9
    assert before.difference.low is not None
    assert after.difference.low is not None
    assert before.difference.low <= after.difference.low + 1e-9


# ---------------------------------------------------------------- what is promised


def test_two_like_variants_are_called_better_at_most_alpha_and_either_word_at_most_twice() -> None:
    rng = np.random.default_rng(5)
    words = [compare_path(draws(rng, 0.15, 0.15, 600)).verdict for _ in range(250)]
    exact = operating_characteristics(0.5, pair_boundary(0.05, None, 180), None, 180).met  # 180 of 600 differ
    for word in ("better", "worse"):
        assert abs(words.count(word) / 250 - exact) < 3 * math.sqrt(exact / 250)  # type: ignore[arg-type]
    assert 0.02 < exact < 0.05


def test_no_different_is_rarely_said_of_variants_that_differ_by_the_margin() -> None:
    rng = np.random.default_rng(6)
    wrong = [compare_path(draws(rng, 0.02, 0.12, 400), margin=0.1).verdict for _ in range(300)]
    assert (wrong.count("no_different") + wrong.count("better")) / 300 <= 0.05
    alike = [compare_path(draws(rng, 0.02, 0.02, 400), margin=0.1).verdict for _ in range(50)]
    assert alike.count("no_different") >= 45


def test_the_smallest_drop_is_the_one_sided_limit_until_a_verdict_says_more() -> None:
    some = [WON] * 2 + [LOST] * 2 + [GOOD] * 96
    assert compare_path(some).smallest_drop == pytest.approx(difference_limit(2, 2, 100))
    assert compare_path([*some, ("pass", "invalid")]).smallest_drop == pytest.approx(difference_limit(2, 3, 101))
    assert compare_path([]).smallest_drop is None
    assert compare_path([WON] * 6).smallest_drop == 0.0
    assert compare_path([LOST] * 6).smallest_drop is None
    alike = compare_path([GOOD] * 90 + [LOST] * 4, margin=0.05)
    assert (alike.verdict, alike.smallest_drop) == ("no_different", 0.05)
    assert difference_limit(0, 4, 94) > 0.05  # the verdict stood before the four


def test_a_drop_of_that_size_would_rarely_have_stayed_unseen() -> None:
    rng = np.random.default_rng(7)
    true, missed = 0.1, 0
    for _ in range(300):
        drop = compare_path(draws(rng, 0.05, 0.15, 300)).smallest_drop
        missed += drop is not None and drop <= true
    assert missed / 300 <= 0.05


# ---------------------------------------------------------------- forecasts and horizons


@pytest.mark.parametrize(
    ("pairs", "margin", "horizon", "needed"),
    [
        ([], None, None, None),
        ([GOOD] * 50, None, None, None),
        ([GOOD] * 50, 0.05, None, 31),
        ([WON] * 4, None, None, 2),
        ([LOST] * 5, None, None, 1),
        ([WON, LOST] * 10, None, None, None),
        ([WON] * 3 + [GOOD] * 27, None, None, 28),
        ([WON] * 3 + [GOOD] * 27, None, 40, None),
    ],
)
def test_the_forecast_counts_pairs_and_admits_when_there_is_no_end(
    pairs: list[Pair], margin: float | None, horizon: int | None, needed: int | None
) -> None:
    assert compare_path(pairs, margin=margin, horizon=horizon).pairs_needed == needed


def test_the_forecast_comes_true_when_pairs_keep_coming_as_before() -> None:
    seen = [WON] * 3 + [LOST] + [GOOD] * 16
    needed = compare_path(seen).pairs_needed
    assert needed is not None
    at = compare_path(seen * 20).decided_at
    assert at is not None
    assert abs(at - len(seen) - needed) <= 2 * len(seen)  # it is decided where a win comes, not where the mean is


def test_a_horizon_is_binding_and_lowers_the_threshold() -> None:
    assert compare_path([GOOD] * 10, horizon=50).threshold < compare_path([GOOD] * 10).threshold
    with pytest.raises(ValueError, match="start a new run"):
        compare_path([GOOD] * 51, horizon=50)
    with pytest.raises(ValueError, match="declare 5 or more"):
        compare_path([], horizon=3)


# ---------------------------------------------------------------- cases with repeats, graded scores


def test_repeats_do_not_stand_in_for_cases() -> None:
    assert compare_cases([[WON] * 50]).verdict == "undecided"
    assert compare_cases([[WON]] * 50).verdict == "better"
    assert compare_path([WON] * 50).verdict == "better"


def test_cases_bet_on_their_mean_difference() -> None:
    mixed = compare_cases([[WON, GOOD], [WON, LOST], [GOOD, GOOD]])
    assert mixed.difference.value == pytest.approx(-1 / 6)
    assert (mixed.n, mixed.unit, mixed.threshold) == (3, "case", -math.log(0.05))
    assert mixed.log_e_better == compare_scores([(0.5, 1.0), (0.5, 0.5), (0.5, 0.5)]).log_e_better


def test_one_pair_per_case_is_the_same_evidence_at_the_plain_threshold() -> None:
    pairs = [WON] * 4 + [LOST] + [GOOD] * 9 + [("invalid", "fail")]
    one, each = compare_path(pairs), compare_cases([[pair] for pair in pairs])
    assert replace(each, threshold=one.threshold, unit="pair", pairs_needed=one.pairs_needed) == one


def test_invalid_outcomes_in_a_case_count_both_ways() -> None:
    held = compare_cases([[("pass", "invalid"), GOOD], [("invalid", "invalid")]])
    assert held.difference.value == 0.0
    assert compare_cases([[("invalid", "invalid")]]).difference.value is None
    assert compare_cases([[("pass", "invalid")]]).log_e_better == compare_cases([[LOST]]).log_e_better


def test_cases_that_differ_do_not_fool_the_case_level_bets_though_they_fool_pooled_repeats() -> None:
    rng = np.random.default_rng(8)
    pooled = wrong = 0
    for _ in range(60):
        effects = np.clip(0.15 * rng.standard_normal(20), -0.25, 0.25)
        cases = [
            [
                ("fail" if x < 0.3 + d / 2 else "pass", "fail" if y < 0.3 - d / 2 else "pass")
                for x, y in rng.random((50, 2))
            ]
            for d in effects.tolist()
        ]
        wrong += compare_cases(cases).verdict == "better"
        pooled += compare_path([pair for case in cases for pair in case]).verdict == "better"
    assert wrong <= 3 < 8 <= pooled


def test_graded_scores_say_which_is_nearer_to_perfect() -> None:
    assert compare_scores([(0.5, 0.9)] * 40).verdict == "better"
    assert compare_scores([(0.9, 0.5)] * 40).verdict == "worse"
    same = compare_scores([(0.7, 0.7)] * 100, margin=0.05)
    assert (same.verdict, same.difference.value) == ("no_different", 0.0)
    zero_one = compare_scores([(0.0, 1.0)] * 3 + [(1.0, 0.0)])
    assert zero_one.log_e_better == pytest.approx(better_log_e(3, 1))


# ---------------------------------------------------------------- many variants


@settings(deadline=None, max_examples=200)
@given(st.lists(st.floats(-3, 8), min_size=1, max_size=6), st.sampled_from([0.01, 0.05, 0.2]))
def test_named_variants_pass_the_closure_over_every_set_and_include_all_of_e_bh(
    values: list[float], alpha: float
) -> None:
    named = {int(name) for name in better_than_baseline({str(i): v for i, v in enumerate(values)}, alpha)}
    e, k = [math.exp(v) for v in values], len(values)
    for size in range(1, k + 1):
        for chosen in itertools.combinations(range(k), size):
            mean = sum(e[i] for i in chosen) / size
            if named:
                assert mean >= len(named & set(chosen)) / (alpha * len(named)) * (1 - 1e-9)
    ranked = sorted(range(k), key=lambda i: -e[i])
    plain = max((r for r in range(1, k + 1) if e[ranked[r - 1]] * r * alpha >= k * (1 + 1e-9)), default=0)
    assert set(ranked[:plain]) <= named
    assert {int(name) for name in family_better({str(i): v for i, v in enumerate(values)}, alpha)} <= named


def test_the_closure_names_more_than_e_bh() -> None:
    log_es = {"a": math.log(40.5), "b": math.log(20.5), "c": 0.0}
    assert better_than_baseline(log_es) == ("a", "b")  # e-BH: 40.5 < 60 and 20.5 < 30, nothing


def test_the_false_discovery_rate_holds_on_current_evidence() -> None:
    rng = np.random.default_rng(9)
    shares = []
    for _ in range(300):
        differ = rng.random((8, 60)) < 0.3
        wins = rng.random((8, 60)) < np.array([0.9, 0.9, *[0.5] * 6])[:, None]
        log_es = {
            str(i): better_log_e(int((differ[i] & wins[i]).sum()), int((differ[i] & ~wins[i]).sum())) for i in range(8)
        }
        named = better_than_baseline(log_es)
        shares.append(sum(int(name) > 1 for name in named) / max(1, len(named)))
    assert np.mean(shares) <= 0.05


def test_the_family_rule_steps_down() -> None:
    assert family_better({"a": math.log(60.1), "b": math.log(40.1), "c": math.log(19.9)}) == ("a", "b")
    assert family_better({"a": math.log(59.9), "b": math.log(40.1), "c": math.log(20.1)}) == ()
    assert family_better({}) == better_than_baseline({}) == ()


# ---------------------------------------------------------------- the best of k


def rounds_of(rng: np.random.Generator, rates: list[float], n: int) -> list[dict[str, str]]:
    fails = rng.random((n, len(rates))) < np.array(rates)
    return [{chr(97 + i): "fail" if x else "pass" for i, x in enumerate(row)} for row in fails.tolist()]


def test_the_last_one_standing_is_best_and_the_others_say_who_beat_them_when() -> None:
    rounds = [{"a": "pass", "b": "fail", "c": "pass"}] * 6 + [{"a": "pass", "c": "fail"}] * 6
    assert best_of(rounds) == Best("best", "a", ("a",), (("b", "a", 6), ("c", "a", 12)), 12)
    assert best_of(rounds[:11]) == Best("undecided", None, ("a", "c"), (("b", "a", 6),))
    assert best_of(rounds + [{"a": "fail", "c": "pass"}] * 50).best == "a"
    assert best_of([]) == Best("undecided", None, (), ())


def test_dropped_variants_may_stay_in_later_rounds_and_change_nothing() -> None:
    rounds = [{"a": "pass", "b": "fail", "c": "pass"}] * 6 + [{"a": "pass", "b": "pass", "c": "fail"}] * 6
    assert best_of(rounds).dropped == (("b", "a", 6), ("c", "a", 12))


def test_two_variants_need_what_a_comparison_needs() -> None:
    rng = np.random.default_rng(10)
    for _ in range(20):
        rounds = rounds_of(rng, [0.1, 0.4], 150)
        compared = compare_path([(r["b"], r["a"]) for r in rounds])
        best = best_of(rounds)
        # Until the first failure both have the same record, and a round in which only one fails is a win for one test.
        assert best.best == {"better": "a", "worse": "b"}.get(compared.verdict)


def test_the_best_is_rarely_dropped_though_every_test_spends_the_whole_of_alpha() -> None:
    rng = np.random.default_rng(12)
    wrong = 0
    for _ in range(100):
        wrong += any(name == "a" for name, _, _ in best_of(rounds_of(rng, [0.28, 0.3, 0.3], 300)).dropped)
    assert wrong / 100 <= 0.05


def test_the_best_is_found_and_its_easy_rivals_go_first() -> None:
    rng = np.random.default_rng(13)
    found = [best_of(rounds_of(rng, [0.05, 0.2, 0.6], 400)) for _ in range(40)]
    assert sum(best.best == "a" for best in found) >= 38
    assert np.mean([best.dropped[0][0] == "c" for best in found if best.dropped]) > 0.9


def test_invalid_outcomes_neither_beat_nor_spare_anyone() -> None:
    assert best_of([{"a": "invalid", "b": "fail"}] * 60).verdict == "undecided"
    assert best_of([{"a": "pass", "b": "invalid"}] * 60).verdict == "undecided"
    assert best_of([{"a": "pass", "b": "fail"}] * 6).verdict == "best"
    won = [{"a": "pass", "b": "fail"}]
    assert best_of(won * 5 + [{"a": "invalid", "b": "invalid"}] + won).verdict == "undecided"
    assert best_of(won * 5 + [{"a": "pass", "b": "pass"}] + won).verdict == "best"


def test_near_ties_end_with_an_indifference_and_never_without() -> None:
    rounds = [{"a": "pass", "b": "pass"}] * 120
    assert best_of(rounds).verdict == "undecided"
    near = best_of(rounds, indifference=0.05)
    assert (near.verdict, near.best, near.surviving, near.dropped) == ("best", "a", ("a", "b"), ())
    assert near.decided_at is not None
    assert near.decided_at < 120


def test_the_named_one_rarely_misses_the_best_by_more_than_the_indifference() -> None:
    rng = np.random.default_rng(14)
    wrong = 0
    for _ in range(60):
        best = best_of(rounds_of(rng, [0.3, 0.15, 0.3], 250), indifference=0.1).best
        wrong += best in ("a", "c")
    assert wrong <= 3


# ---------------------------------------------------------------- bad input


def test_impossible_questions_are_refused_in_one_sentence() -> None:
    for wrong in (
        lambda: compare_path([("pass", "maybe")]),
        lambda: compare_path([], alpha=0.0),
        lambda: compare_path([], alpha=math.nan),
        lambda: compare_path([], margin=0.0),
        lambda: compare_path([], margin=1.5),
        lambda: compare_path([], margin=math.nan),
        lambda: compare_scores([(0.5, 1.2)]),
        lambda: compare_scores([(math.nan, 0.5)]),
        lambda: best_of([{"a": "pass"}]),
        lambda: best_of([{"a": "pass", "b": "maybe"}]),
        lambda: best_of([], indifference=1.0),
        lambda: best_of([], indifference=-0.1),
        lambda: better_than_baseline({"a": 1.0}, alpha=2.0),
    ):
        with pytest.raises(ValueError, match="got"):
            wrong()


def test_rounds_that_lack_a_survivor_or_bring_a_newcomer_are_refused() -> None:
    with pytest.raises(ValueError, match="round 2 lacks 'b', which still runs"):
        best_of([{"a": "pass", "b": "pass"}, {"a": "pass"}])
    with pytest.raises(ValueError, match="round 2 has 'c'"):
        best_of([{"a": "pass", "b": "pass"}, {"a": "pass", "b": "pass", "c": "pass"}])
    with pytest.raises(ValueError, match="case 2 has no pair"):
        compare_cases([[WON], []])
    with pytest.raises(ValueError, match="is not a number"):
        better_than_baseline({"a": math.nan})


def test_pairs_that_nobody_can_judge_take_a_verdict_back_as_the_worst_that_they_may_be() -> None:
    won: list[tuple[str, str]] = [("fail", "pass")] * 6
    assert compare_path([*won, ("pass", "invalid")]).verdict == "better"
    assert compare_path([*won, *[("pass", "invalid")] * 60]).verdict == "undecided"
    lost = [(b, a) for a, b in won]
    assert compare_path([*lost, *[("invalid", "pass")] * 60]).verdict == "undecided"
    alike: list[tuple[str, str]] = [("pass", "pass")] * 81
    assert compare_path([*alike, *[("pass", "invalid")] * 60], margin=0.05).verdict == "undecided"
