"""The strip of tokens: how unlikely each was, and how open each choice was."""

from __future__ import annotations

import math

import pytest

from reroll.web.pages_tokens import STEPS, Piece, _with_ways


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


def test_a_token_says_how_runs_fared_that_went_on_with_it_and_how_the_others_did() -> None:
    said = [("so a", False), ("so a", False), ("so ab", True), ("so c", True), ("no", True), ("so", False)]
    first, second = _with_ways([piece(("so", 0.8), ("no", 0.2)), piece((" a", 0.5), (" b", 0.25))], said)
    assert "“so” 80 %; 2 of 5 stored runs that went on so were right" in first.tip
    assert "“no” 20 %; 1 of 1 stored run that went on so were right" in first.tip
    assert "“ a” 50 %; 1 of 3 stored runs that went on so were right" in second.tip
    assert "“ b” 25 %\n" in second.tip, "nobody went there, so nothing is said"
    assert "1 of 3 that went on so were right, 1 of 2 that went another way" in second.tip


def test_nothing_is_said_of_what_only_the_completion_itself_did() -> None:
    pieces = _with_ways([piece(("so", 0.8), ("no", 0.2)), piece((" a", 0.5), (" b", 0.5))], [("so a", True)])
    assert all("stored run" not in one.tip for one in pieces)
