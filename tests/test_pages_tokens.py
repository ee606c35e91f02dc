"""The strip of tokens: how unlikely each was, and how open each choice was."""

from __future__ import annotations

import math

import pytest

from reroll.web.pages_tokens import STEPS, Piece


def piece(*choices: tuple[str, float]) -> Piece:
    return Piece(choices[0][0], choices[0][1], 0, tuple((text, p, None) for text, p in choices))


def test_a_coin_has_one_bit_and_four_alike_have_two() -> None:
    assert piece(("a", 0.5), ("b", 0.5)).entropy == pytest.approx(1)
    assert piece(*((t, 0.25) for t in "abcd")).entropy == pytest.approx(2)
    assert piece(("a", 1.0), ("b", 0.0)).entropy is None  # nothing else could stand there, as far as the list goes
    assert piece(("a", 1.0)).entropy is None


def test_what_the_list_leaves_out_counts_as_one_more_choice_so_that_nothing_is_overstated() -> None:
    listed = piece(("a", 0.5), ("b", 0.25))
    assert listed.entropy == pytest.approx(1.5)
    rest = [0.125, 0.125]  # whatever it really is, it is more open than said
    assert listed.entropy <= 0.5 + 0.5 + sum(-p * math.log2(p) for p in rest) + 1e-12
    assert "entropy at least 1.50 bits" in listed.tip


def test_shades_grow_with_entropy_and_have_an_end() -> None:
    alike = [piece(*((str(k), 1 / n) for k in range(n))).by_entropy.shade for n in (2, 4, 8, 64)]
    assert alike == [3, 6, STEPS, STEPS]
    assert piece(("a", 0.999), ("b", 0.001)).by_entropy.shade == 0
