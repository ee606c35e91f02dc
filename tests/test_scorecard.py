"""The scorecard: what accept and reject need, what is drawn next, and what is still needed."""

from __future__ import annotations

import numpy as np
import pytest

from reroll.evidence import Est
from reroll.reduction import Pairs, pairs_of
from reroll.scorecard import (
    SETS,
    Rules,
    SetWord,
    claim_states,
    expected,
    more_needed,
    net_effect,
    next_pairs,
    score,
)

BASE: dict[SetWord, float] = {"case": 0.55, "neighbour": 0.5, "lookalike": 0.04, "control": 0.03}
USUAL: dict[SetWord, tuple[float, float]] = {"lookalike": (0.04, 0.04), "control": (0.03, 0.03)}


def cards(n: dict[SetWord, int], after: dict[SetWord, float]) -> dict[SetWord, Pairs]:
    return {name: expected(n[name], BASE[name], after[name]) for name in n}


def good(n: int = 4000) -> dict[SetWord, Pairs]:
    return cards(
        {"case": 60, "neighbour": 160, "lookalike": 300, "control": n},
        {"case": 0.05, "neighbour": 0.06, "lookalike": 0.04, "control": 0.03},
    )


def test_a_fix_that_helps_others_too_and_harms_nobody_is_accepted() -> None:
    found = score(good())
    assert found.verdict == "accept"
    assert {claim.state for claim in found.claims.values()} == {"shown"}
    assert found.control_harm.high is not None
    assert found.control_harm.high < 0.02


def test_without_enough_controls_it_stays_open_and_says_how_many_are_missing() -> None:
    few = good(400)
    found = score(few)
    assert (found.verdict, found.open) == ("undecided", ("spares_control",))
    needed = more_needed(few, Rules(), found.open, USUAL)
    assert needed is not None
    assert 800 < needed["control"] < 3000
    assert score(good(400 + needed["control"])).verdict == "accept"


def test_a_patch_that_cures_only_its_own_case_is_rejected_as_that() -> None:
    found = score(
        cards(
            {"case": 40, "neighbour": 80, "lookalike": 40, "control": 0},
            {"case": 0.0, "neighbour": 0.48, "lookalike": 0.04, "control": 0.03},
        )
    )
    assert found.verdict == "reject"
    assert "generalises" in found.reasons
    assert found.generalisation.high is not None
    assert found.generalisation.high < 0.5


def test_a_hard_coded_patch_that_is_really_best_is_accepted() -> None:
    """Where it provably changes nothing on control cases, no call is spent on them."""
    pairs = {
        "case": pairs_of([("fail", "pass")] * 20 + [("pass", "pass")] * 20),
        "neighbour": pairs_of([("fail", "pass")] * 40 + [("pass", "pass")] * 40),
    }
    found = score(pairs, alike=("lookalike", "control"))  # type: ignore[arg-type]
    assert found.verdict == "accept"
    assert found.control_harm == Est(0.0, 0.0, 0.0, 0)


def test_harm_elsewhere_rejects_whatever_it_cures() -> None:
    for name in ("lookalike", "control"):
        pairs = good() | {name: expected(400, BASE[name], 0.4)}  # type: ignore[index]
        assert score(pairs).reasons == (f"spares_{name}s" if name == "lookalike" else "spares_control",)  # type: ignore[arg-type]


def test_nothing_is_called_fixed_on_fewer_than_sixty_held_out_pairs() -> None:
    pairs = good() | {"neighbour": expected(56, 0.5, 0.0)}
    found = score(pairs)
    assert (found.verdict, found.open) == ("undecided", ("helps",))
    assert found.claims["helps"].needed == 4


def test_no_neighbours_no_verdict() -> None:
    with pytest.raises(ValueError, match="neighbours"):
        score({}, there=("case", "control"))
    assert score(good(), there=("case", "neighbour")).claims["spares_control"].state == "not_examined"


def test_control_cases_are_drawn_last_and_none_after_a_verdict() -> None:
    start = next_pairs({}, claim_states({}))
    assert set(start) == {"case", "neighbour"}
    assert set(next_pairs(good(0), claim_states(good(0)))) == {"control"}
    assert next_pairs(good(), claim_states(good())) == {}


def test_look_alikes_that_break_come_first_and_others_wait() -> None:
    so_far: dict[SetWord, Pairs] = {"case": expected(16, 0.5, 0), "neighbour": expected(20, 0.5, 0.5)}
    breaking = {**so_far, "lookalike": expected(8, 0, 0.5)}
    sparing = {**so_far, "lookalike": expected(8, 0, 0.125)}
    assert set(next_pairs(breaking, claim_states(breaking))) == {"lookalike"}
    assert set(next_pairs(sparing, claim_states(sparing))) == {"neighbour"}


def test_rejections_are_wrong_as_seldom_as_alpha_allows() -> None:
    """A general fix that does just what is asked of it, no more: any of the five claims may be refuted by chance."""
    rng, wrong, rules = np.random.default_rng(5), 0, Rules()
    after = {"case": 0.2, "neighbour": 0.34, "lookalike": 0.13, "control": 0.05}
    for _ in range(40):
        pairs: dict[SetWord, Pairs] = {}
        for _ in range(20):
            states = claim_states(pairs, rules)
            if "refuted" in states.values():
                wrong += 1
                break
            for name in SETS:
                n = 16 if name in ("case", "lookalike") else 32
                words = [("pass", "fail")[int(v)] for v in rng.random(2 * n) < np.repeat([BASE[name], after[name]], n)]
                pairs[name] = pairs.get(name, Pairs()) + pairs_of(zip(words[:n], words[n:], strict=True))
    assert wrong / 40 <= 0.05 + 0.075


def test_the_net_effect_weighs_what_is_like_the_case_against_all_else() -> None:
    net = net_effect(Est(0.4, 0.3, 0.5, 200), Est(0.01, -0.005, 0.02, 1000), 0.02)
    assert net.per_10k.value == pytest.approx(1e4 * (0.02 * 0.4 - 0.98 * 0.01))
    assert net.break_even == pytest.approx(0.01 / 0.41)
    assert net.per_10k.low is not None
    assert net.per_10k.low < net.per_10k.value
    assert net_effect(Est(0.4, 0.3, 0.5, 9), Est(0.0, 0.0, 0.0, 9), 0.02).break_even is None
    with pytest.raises(ValueError, match="prevalence"):
        net_effect(Est(0.4, 0.3, 0.5, 9), Est(0.0, 0.0, 0.0, 9), 2)


def test_rules_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="margin"):
        Rules(margin=0)


def test_a_special_case_is_mostly_rejected_in_as_few_calls_as_are_promised() -> None:
    """A patch that answers the reported request by rule and leaves its neighbours as they are: one call a pair."""
    rng, soon = np.random.default_rng(11), 0
    for _ in range(20):
        pairs: dict[SetWord, Pairs] = {}
        calls = 0
        while want := next_pairs(pairs, claim_states(pairs)):
            for name, n in want.items():
                failed = rng.random(n) < BASE[name]
                after = np.zeros(n, bool) if name == "case" else failed
                words = np.array(["pass", "fail"])
                drawn = zip(words[failed.astype(int)], words[after.astype(int)], strict=True)
                pairs[name] = pairs.get(name, Pairs()) + pairs_of(drawn)
                calls += n
        assert score(pairs).verdict == "reject"
        soon += calls <= 150
    assert soon >= 19
