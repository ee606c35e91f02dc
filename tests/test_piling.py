"""Fixes pile up: what was applied is taken out in turn, and what earns nothing any more is called debt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks._planted import planted_server
from benchmarks._tried import Product, Rates, project

from reroll.project import load_project
from tests.background import reroll

BEST: Rates = (0.02, 0.02, 0.04, 0.03)
MIDDLING: Rates = (0.35, 0.35, 0.04, 0.03)
MARKS = {"BEST+KEPT": BEST, "BEST": (0.6, 0.6, 0.04, 0.03), "MIDDLING": MIDDLING}
FIXES: dict[str, dict[str, Any]] = {
    "middling": {"kind": "clause.add", "target": "system.middling", "text": "MIDDLING rule about money."},
    "kept": {"kind": "clause.add", "target": "system.kept", "text": "KEPT rule about money."},
    "best": {"kind": "clause.add", "target": "system.best", "text": "BEST rule about money."},
}
WIDE = ("--margin", 0.2, "--lookalike-margin", 0.2)


def test_with_a_better_fix_in_place_each_earlier_one_is_taken_out_and_debt_is_told_from_what_still_earns(
    capsys: Any, tmp_path: Path
) -> None:
    with planted_server(Product(MARKS, seed=1)) as url:  # type: ignore[arg-type]
        folder = project(tmp_path, url, FIXES)
        for name in ("middling", "kept"):
            assert reroll(capsys, "apply", name, "--anyway", "--project", folder).code == 0
        said = ("--case", "refund", "--project", folder, "--yes", "--quiet", *WIDE)
        found = reroll(capsys, "try", "best", *said, "--budget", 3000, "--json").json
        ledger = reroll(capsys, "ledger", "--project", folder, "--json").json
    card = found["fixes"][0]
    assert card["verdict"] == "accept"
    worth = {one["fix"]: one for one in card["pile_up"]}
    assert set(worth) == {"middling", "kept"}
    assert worth["kept"]["worth"]["low"] > 0
    assert not worth["kept"]["debt"]
    assert worth["middling"]["worth"]["low"] <= 0 <= worth["middling"]["worth"]["high"]
    stands = {one["fix"]: one["stands"] for one in ledger["fixes"]}
    assert stands["kept"] == "earns"
    assert stands["middling"] in ("debt", "unknown")


def test_an_accepted_fix_is_applied_and_the_program_says_just_what_was_tried(capsys: Any, tmp_path: Path) -> None:
    with planted_server(Product({"MIDDLING": BEST}, seed=2)) as url:  # type: ignore[arg-type]
        folder = project(tmp_path, url, FIXES)
        refused = reroll(capsys, "apply", "middling", "--project", folder)
        assert "[not-accepted]" in refused.complaint
        said = ("--case", "refund", "--project", folder, "--yes", "--quiet", *WIDE)
        assert reroll(capsys, "try", "middling", *said, "--budget", 1500, "--json").json["verdict"] == "accept"
        assert reroll(capsys, "apply", "middling", "--project", folder).code == 0
    assert load_project(folder).program.clauses()["middling"] == "MIDDLING rule about money."


def test_an_idea_is_tried_without_its_name_and_its_author_is_thanked_with_the_verdict(
    capsys: Any, tmp_path: Path
) -> None:
    with planted_server(Product({"MIDDLING": BEST}, seed=3)) as url:  # type: ignore[arg-type]
        folder = project(tmp_path, url, FIXES)
        at = ("--project", folder)
        assert reroll(capsys, "ideas", "add", "Say what money is", "--case", "refund", "--by", "lena", *at).code == 0
        said = ("--case", "refund", *at, "--yes", "--quiet", *WIDE)
        assert "[idea]" in reroll(capsys, "try", "idea:1", *said).complaint, "nobody wrote it as a fix yet"
        reroll(capsys, "ideas", "write", "1", "--fix", folder / "fixes" / "middling.yaml", *at)
        assert "[idea]" in reroll(capsys, "try", "idea:1", *said).complaint, "its author did not say that it is right"
        reroll(capsys, "ideas", "confirm", "1", "--by", "lena", *at)
        open_still = reroll(capsys, "try", "idea:1", *said, "--budget", 30, "--json").json
        assert open_still["verdict"] == "undecided"
        assert "lena" not in str(open_still)
        found = reroll(capsys, "try", "idea:1", *said, "--budget", 1500, "--json").json
    card = found["fixes"][0]
    assert (card["verdict"], card["author"], card["idea"]) == ("accept", "lena", "Say what money is")
    assert "lena" in found["text"]
