"""The search for a dud on exact worlds: its verdicts, its certificate, its table, and what it never says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from benchmarks._worlds import World, worlds

from reroll.answer import to_json
from reroll.dud import DudRule, DudSearch, begin, next_step, observe
from reroll.dud_report import Dud, conclude, doubted, price, replay, run_draws
from reroll.fork_certificate import Certificate, certificate_alpha, certified_drop, pair_draws, with_pairs
from reroll.fork_search import exits, information, standing
from reroll.forking import Failing, Outcome, Place, Rollout
from reroll.success_curve import Curves, Grader, curve_model

QUICK = DudRule(table=0)


class Coin:
    """Forks of a completion of `rates`: after each prefix, and after an alternative at each position."""

    def __init__(self, stay: list[float], away: list[float], seed: int = 0) -> None:
        self.stay, self.away, self.rng = stay, away, np.random.default_rng(seed)

    def continue_from(self, prefix: int, n: int) -> list[tuple[Outcome, int | None, int]]:
        return [("pass" if self.rng.random() < self.stay[prefix] else "fail", None, 1) for _ in range(n)]

    def force(self, position: int, token: str, n: int) -> list[tuple[Outcome, int]]:
        return [("pass" if self.rng.random() < self.away[position - 1] else "fail", 1) for _ in range(n)]


def flat(length: int, probs: list[float]) -> Failing:
    return Failing(
        tuple(f"t{i}" for i in range(length)), tuple(probs), tuple((((f"u{i}", 1 - p),)) for i, p in enumerate(probs))
    )


def collapse() -> tuple[Coin, Failing]:
    """Success 0.9 until the third of five open tokens is said, then 0."""
    probs = [0.6, 0.6, 0.4, 0.6, 0.6]
    return Coin([0.54, 0.54, 0.54, 0.0, 0.0, 0.0], [0.54, 0.54, 0.9, 0.0, 0.0]), flat(5, probs)


# ---------------------------------------------------------------- verdicts


def test_a_collapse_is_a_dud_with_its_numbers() -> None:
    forks, failing = collapse()
    dud = replay(forks, failing, np.random.default_rng(1))
    assert (dud.verdict, dud.position, dud.token, dud.kind) == ("dud", 3, "t2", "unlucky")
    assert dud.drop is not None
    assert dud.drop.low is not None
    assert dud.drop.high is not None
    assert 0.05 < dud.drop.low <= 0.54 <= dud.drop.high
    (row,) = dud.alternatives
    assert (row.token, row.success.n) == ("u2", 20)
    assert row.success.value is not None
    assert row.success.value > 0.6
    assert dud.share_of_failures is not None
    assert dud.share_of_failures.value is not None
    assert dud.share_of_failures.value > 0.7
    assert dud.alpha_spent == pytest.approx(0.04)
    assert to_json(dud, "reroll.dud/1")["verdict"] == "dud"
    unsure = doubted(dud, "it may be something else")
    assert (unsure.verdict, unsure.reason) == ("unsure", "it may be something else")
    assert (unsure.position, unsure.drop, unsure.alternatives, unsure.banning) == (None, None, (), None)
    assert (unsure.curve, unsure.success_at_start) == (dud.curve, dud.success_at_start)


def test_a_model_that_prefers_the_bad_token_fell_into_a_trap() -> None:
    probs = [0.9, 0.7, 0.9]
    forks = Coin([0.27, 0.27, 0.0, 0.0], [0.27, 0.9, 0.0])
    dud = replay(forks, flat(3, probs), np.random.default_rng(2), replace(QUICK, delta=0.15))
    assert (dud.verdict, dud.position, dud.kind) == ("dud", 2, "trap")
    assert dud.banning is not None
    assert dud.banning.value is not None
    assert dud.drop is not None
    assert dud.drop.value is not None
    assert dud.banning.value == pytest.approx(dud.drop.value * 0.7 / 0.3, abs=1e-9)


def test_what_is_lost_before_the_first_token_is_doomed_and_costs_few_rollouts() -> None:
    forks, failing = Coin([0.0] * 6, [0.0] * 5), collapse()[1]
    dud = replay(forks, failing, np.random.default_rng(3))
    assert dud.verdict == "doomed"
    assert dud.position is None
    assert dud.rollouts <= 24


def test_a_loss_little_by_little_is_a_slide_with_its_half_life() -> None:
    length = 16
    stay = [0.8 * (1 - i / length) for i in range(length + 1)]
    away = [s + 0.1 for s in stay[1:]]  # d = 0.5 x 0.1 = 0.05 at each
    dud = replay(Coin(stay, away), flat(length, [0.5] * length), np.random.default_rng(4), QUICK)
    assert dud.verdict in ("slide", "unsure")
    assert dud.position is None
    if dud.verdict == "slide":
        assert dud.half_life is not None
        assert 2 <= dud.half_life <= length


def test_a_failure_that_is_nearly_certain_is_doomed_without_a_single_rollout() -> None:
    dud = replay(Coin([], []), flat(3, [0.99, 0.95, 0.99]), np.random.default_rng(5), QUICK)
    assert (dud.verdict, dud.rollouts) == ("doomed", 0)
    assert "0.93" in dud.reason


def test_where_no_token_could_have_cost_that_much_no_dud_is_named() -> None:
    probs = [0.91] * 12  # each may cost 0.09 at most, all together 0.68
    dud = replay(Coin([0.6] * 12 + [0.0], [0.9] * 12), flat(12, probs), np.random.default_rng(5), QUICK)
    assert dud.verdict == "slide"
    assert "so probable" in dud.reason
    assert dud.largest is not None


def test_on_worlds_with_a_dud_it_is_found_and_on_worlds_without_none_is_claimed() -> None:
    right, spent = 0, 0
    duds = [w for w in worlds(18, 40, 0.3, 2, seed=31) if w.success[0] >= 0.15][:14]
    for seed, world in enumerate(duds):
        dud = searched(world, seed)
        right += dud.position is not None and world.drops[dud.position - 1] >= world.drops.max() - 0.05
        spent += world.tokens
    assert right >= 12
    assert spent / len(duds) < 1200
    claims = [searched(world, seed).verdict == "dud" for seed, world in enumerate(worlds(6, 40, 0, 0.15, seed=32))]
    assert not any(claims)


def searched(world: World, seed: int, rule: DudRule = QUICK, **known: object) -> Dud:
    world.reset(seed)
    return replay(world, world.failing(**known), np.random.default_rng([seed, 1]), rule)  # type: ignore[arg-type]


def test_without_probabilities_it_names_a_window_that_holds_the_dud_and_no_alternatives() -> None:
    near = 0
    cases = [w for w in worlds(10, 30, 0.4, 2, seed=33) if w.success[0] >= 0.2][:6]
    for seed, world in enumerate(cases):
        dud = searched(world, seed, DudRule(), probs=False)
        assert dud.tier == "B"
        assert dud.alternatives == ()
        assert dud.kind is None
        near += dud.position is not None and abs(dud.position - 1 - int(world.drops.argmax())) <= 10
    assert near >= 5


def test_turns_of_a_chat_are_found_one_by_one() -> None:
    stay = [0.9, 0.9, 0.85, 0.85, 0.1, 0.1, 0.1, 0.05, 0.0]
    failing = Failing(tuple(f"turn {i}" for i in range(1, 9)), unit="turn")
    dud = replay(Coin(stay, []), failing, np.random.default_rng(6))
    assert (dud.verdict, dud.position, dud.first, dud.last, dud.unit) == ("dud", 4, 4, 4, "turn")


def test_the_last_token_needs_no_rollout_after_it() -> None:
    forks, failing = Coin([0.5, 0.5, 0.0], [0.5, 1.0]), flat(2, [0.9, 0.5])
    search = begin(failing, QUICK)
    search, _, draws = until(search, forks, "certify")
    assert {draw.prefix for draw in draws} == {1}
    assert conclude(finished(search, forks, draws), np.random.default_rng(0)).verdict == "dud"


def until(search: DudSearch, forks: Coin, why: str) -> tuple[DudSearch, np.random.Generator, tuple]:  # type: ignore[type-arg]
    rng = np.random.default_rng(7)
    while True:
        search, draws = next_step(search, rng)
        assert draws, f"no {why} was ever asked for: {search.verdict}, {search.reason}"
        if draws[0].why == why:
            return search, rng, draws
        search = observe(search, draws, run_draws(forks, draws))


def finished(search: DudSearch, forks: Coin, draws: tuple) -> DudSearch:  # type: ignore[type-arg]
    rng = np.random.default_rng(8)
    while draws:
        search = observe(search, draws, run_draws(forks, draws))
        search, draws = next_step(search, rng)
    return search


# ---------------------------------------------------------------- the procedure


def test_stored_samples_of_the_case_save_rollouts() -> None:
    forks, failing = collapse()
    free = [Rollout(0, "pass", "stored", left_at=3) for _ in range(9)]
    free += [Rollout(0, "fail", "stored", left_at=4) for _ in range(8)]
    dud = replay(forks, failing, np.random.default_rng(9), QUICK, stored=free)
    assert dud.verdict == "dud"
    assert dud.reused == 17
    assert dud.rollouts - 2 * dud.pairs <= 16


def test_stored_samples_are_no_part_of_the_certificate() -> None:
    _, failing = collapse()
    free = [Rollout(0, "pass", "stored", left_at=3)] * 40 + [Rollout(0, "fail", "stored", left_at=4)] * 40
    search, draws = next_step(begin(failing, QUICK, free), np.random.default_rng(10))
    assert {draw.why for draw in draws} == {"certify"}
    assert search.certificates[0].pairs == ()


def test_a_place_that_fresh_pairs_refute_is_never_called_a_dud() -> None:
    """The stored samples lie: they say that the third token was fatal. Fresh rollouts say that it was not."""
    _, failing = collapse()
    free = [Rollout(0, "pass", "stored", left_at=3)] * 40 + [Rollout(0, "fail", "stored", left_at=4)] * 40
    honest = Coin([0.5] * 5 + [0.0], [0.5] * 5)
    dud = replay(honest, failing, np.random.default_rng(11), QUICK, stored=free)
    assert not (dud.verdict == "dud" and dud.position == 3)
    assert dud.places_tried <= QUICK.places


def test_the_same_search_asks_the_same_and_ends_alike() -> None:
    (one, failing), (two, _) = collapse(), collapse()
    first, second = (replay(f, failing, np.random.default_rng(12), QUICK) for f in (one, two))
    assert first == second


def test_a_batch_that_came_back_short_is_refused() -> None:
    _, failing = collapse()
    search, draws = next_step(begin(failing), np.random.default_rng(0))
    with pytest.raises(ValueError, match="errors count as invalid"):
        observe(search, draws, [])


def test_nothing_but_time_outs_ends_unsure_within_the_cap() -> None:
    class Dead(Coin):
        def continue_from(self, prefix: int, n: int) -> list[tuple[Outcome, int | None, int]]:
            return [("invalid", None, 0)] * n

        def force(self, position: int, token: str, n: int) -> list[tuple[Outcome, int]]:
            return [("invalid", 0)] * n

    dud = replay(Dead([], []), collapse()[1], np.random.default_rng(1), replace(QUICK, cap=80))
    assert dud.verdict == "unsure"
    assert dud.invalid == dud.rollouts
    assert dud.rollouts <= price(collapse()[1], replace(QUICK, cap=80)).most_rollouts
    assert any("could not be judged" in c for c in dud.caveats)


def test_the_price_is_told_before_and_its_worst_case_bounds_every_search() -> None:
    told = price(collapse()[1])
    assert told.tokens < told.most_tokens
    forks, failing = collapse()
    assert replay(forks, failing, np.random.default_rng(13)).rollouts <= told.most_rollouts


# ---------------------------------------------------------------- the certificate


def test_certified_limits_are_ever_wrong_in_at_most_alpha_of_runs() -> None:
    failing = flat(3, [0.9, 0.5, 0.9])
    place, wrong, runs = Place(2, 2), 0, 60
    for seed in range(runs):
        rng = np.random.default_rng([seed, 9])
        certificate = Certificate(place, 0.2, 2)
        ever = False
        for _ in range(6):
            pairs = rng.random((12, 2)) < (0.7, 0.3)
            outcomes: list[Outcome] = ["pass" if x else "fail" for x in pairs.ravel()]
            certificate = with_pairs(certificate, failing, outcomes)
            low, high = certified_drop(certificate, failing)
            ever |= not low <= 0.2 <= high
        wrong += ever
    assert wrong <= 33  # two ends of 20 % each: 24 at most on average, more than 33 with probability 0.01


def test_the_error_chances_of_all_places_sum_to_alpha() -> None:
    assert sum(certificate_alpha(0.05, j) for j in range(60)) == pytest.approx(0.05)


def test_invalid_rollouts_and_unlisted_alternatives_widen_the_interval_and_a_known_grader_is_undone() -> None:
    pairs: tuple[tuple[Outcome, Outcome], ...] = (("pass", "fail"),) * 30
    whole = Failing(("a", "b"), (0.5, 0.9), ((("c", 0.5),), (("d", 0.1),)))
    part = Failing(("a", "b"), (0.5, 0.9), ((("c", 0.4),), (("d", 0.1),)))
    low, high = certified_drop(Certificate(Place(1, 1), 0.05, 1, pairs), whole)
    less, more = certified_drop(Certificate(Place(1, 1), 0.05, 1, pairs), part)
    assert more - less >= (high - low) * 0.8 + 0.2 - 1e-9
    broken = (("invalid", "invalid"),) * 5 + pairs
    worse, better = certified_drop(Certificate(Place(1, 1), 0.05, 1, broken), whole)
    assert worse < low
    assert better >= high - 1e-9
    measured = certified_drop(Certificate(Place(1, 1), 0.05, 1, pairs[:10] + (("fail", "fail"),) * 10), whole)
    true = certified_drop(
        Certificate(Place(1, 1), 0.05, 1, pairs[:10] + (("fail", "fail"),) * 10), whole, Grader(0.1, 0.1)
    )
    assert true[0] == pytest.approx(measured[0] / 0.8)


def test_where_the_server_lists_too_little_it_continues_from_just_before_and_the_interval_is_that_of_the_drop() -> None:
    failing = Failing(("a", "b"), (0.5, 0.5), ((("c", 0.1),), ()))
    assert exits(failing, Place(1, 1)) == ()
    assert [(d.prefix, d.token) for d in pair_draws(failing, Place(1, 1), 1, np.random.default_rng(0))] == [
        (0, None),
        (1, None),
    ]
    same: tuple[tuple[Outcome, Outcome], ...] = (("pass", "fail"), ("fail", "fail")) * 30
    low, high = certified_drop(Certificate(Place(1, 1), 0.05, 1, same), failing)
    assert low <= 0.5 <= high


def test_a_place_that_was_shown_stays_shown_though_another_was_tried_after_it() -> None:
    _, failing = collapse()
    pairs: tuple[tuple[Outcome, Outcome], ...] = (("pass", "fail"),) * 20
    free = [Rollout(0, "pass", "stored", left_at=3)] * 40 + [Rollout(0, "fail", "stored", left_at=4)] * 40
    other = (("fail", "fail"),) * QUICK.pairs_cap
    certificates = (Certificate(Place(3, 3), 0.04, 3, pairs), Certificate(Place(4, 4), 0.008, 4, other))
    search = replace(begin(failing, QUICK, free), phase="certify", position=4, certificates=certificates)
    search = replace(search, entered=QUICK.pairs_cap)
    search, draws = next_step(search, np.random.default_rng(0))
    assert (search.verdict, search.position, draws) == ("dud", 3, ())


def test_a_span_is_left_where_the_model_would_leave_it() -> None:
    failing = flat(3, [0.5, 0.5, 0.5])
    assert exits(failing, Place(1, 2)) == ((1, pytest.approx(2 / 3)), (2, pytest.approx(1 / 3)))
    draws = pair_draws(failing, Place(1, 2), 50, np.random.default_rng(1))
    assert {(d.prefix, d.token) for d in draws} == {(0, "u0"), (1, "u1"), (2, None)}


# ---------------------------------------------------------------- the search


def test_an_outcome_that_would_settle_the_label_is_worth_most() -> None:
    model = curve_model([0.5, 0.5], 2)
    label = np.repeat([0, 1], 50)
    telling = np.where(label == 0, 0.95, 0.05)
    rates = np.stack([telling, np.full(100, 0.5)], axis=1)
    worth = information(rates, label, model)
    assert worth[0] > 0.3
    assert worth[1] == pytest.approx(0, abs=1e-9)


def test_curves_that_are_right_both_ways_are_not_told_apart() -> None:
    model = curve_model([0.5, 0.5], 2)
    drop = np.array([[0.30, 0.27], [0.27, 0.30], [0.31, 0.29]])
    found = standing(model, Curves(np.zeros((3, 3)), np.zeros((3, 2)), drop), delta=0.2, tie=0.05)
    assert found is not None
    assert found.share == 1.0
    assert set(found.label.tolist()) in ({0}, {1})


@pytest.mark.parametrize(
    ("failing", "words"),
    [
        (lambda: Failing(()), "empty completion"),
        (lambda: Failing(("a",), (0.5, 0.5), ((),)), "need 1 probabilities|1 tokens need 1"),
        (lambda: Failing(("a",), (0.7,), ((("b", 0.5),),)), "more than 1"),
        (lambda: Failing(("a",), (0.7,), ((("a", 0.3),),)), "its own alternatives"),
        (lambda: DudRule(delta=0), "delta"),
        (lambda: DudRule(least=0.3), "least"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(failing: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        failing()  # type: ignore[operator]
