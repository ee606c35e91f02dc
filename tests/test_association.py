"""Association over fresh samples: found where it is strong, and held to one error chance over all words."""

from __future__ import annotations

import numpy as np

from reroll.association import aligned, associations


def samples(rng: np.random.Generator, n: int, effect: float) -> list[tuple[list[str], str]]:
    found = []
    for _ in range(n):
        words = [f"w{i}" if rng.random() < 0.6 else f"other{i}" for i in range(12)]
        fails = rng.random() < 0.3 + effect * (words[4] == "w4")
        found.append((words, "fail" if fails else "pass"))
    return found


FAILING = [f"w{i}" for i in range(12)]


def test_the_word_that_goes_with_failure_is_named_first() -> None:
    found = associations(FAILING, samples(np.random.default_rng(1), 128, 0.6), np.random.default_rng(2), least=0.2)
    assert found[0].position == 5
    assert found[0].token == "w4"
    assert found[0].difference.value is not None
    assert found[0].difference.value > 0.4
    assert found[0].p_value <= 0.05


def test_where_no_word_matters_one_is_named_in_at_most_one_case_in_twenty() -> None:
    named = 0
    for seed in range(60):
        rng = np.random.default_rng([seed, 7])
        named += bool(associations(FAILING, samples(rng, 60, 0.0), rng, least=0.0))
    assert named <= 8  # 3 expected: more than 8 has probability 0.003


def test_words_are_found_again_after_an_insertion() -> None:
    assert aligned(["a", "b", "c"], ["new", "a", "b", "c"]).all()


def test_too_few_samples_or_only_one_outcome_say_nothing() -> None:
    rng = np.random.default_rng(3)
    assert associations(FAILING, [], rng) == ()
    assert associations(FAILING, [(FAILING, "fail")] * 50, rng) == ()
    assert associations(FAILING, [(FAILING, "invalid")] * 50, rng) == ()
