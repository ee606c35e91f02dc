"""Fixes tried: general ones are accepted, special cases and harm rejected, a completion is shared where it can be."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from benchmarks._planted import planted_server
from benchmarks._tried import CASE, Product, Rates, project

from reroll.checking import Checker
from reroll.engine import run_draws
from reroll.fix import Fix
from reroll.levers import fitting
from reroll.models.model import Model
from reroll.models.registry import open_model
from reroll.program import Program
from reroll.project import load_project
from reroll.session import Options, Session
from reroll.store import Store
from reroll.trial import Trial, only_adds_steps
from reroll.trying import Sets
from reroll.tryout import sets_of
from tests.background import Ran, reroll

GENERAL: Rates = (0.03, 0.04, 0.04, 0.03)
SPECIAL: Rates = (0.0, 0.48, 0.04, 0.03)
HARMFUL: Rates = (0.03, 0.04, 0.5, 0.5)
DUD: Rates = (0.55, 0.5, 0.04, 0.03)

FIXES: dict[str, dict[str, Any]] = {
    "general": {"kind": "clause.add", "target": "system.money", "text": "GENERAL rule about money."},
    "special": {"kind": "clause.add", "target": "system.money", "text": "SPECIAL rule about Ana."},
    "harmful": {"kind": "clause.add", "target": "system.money", "text": "HARMFUL rule about all."},
    "dud": {"kind": "clause.edit", "target": "system.role", "text": "You serve a shop, DUD."},
    "only-this": {"kind": "patch.special_case", "when": {"input": "order 17 to Ana"}, "text": '{"answer": "done"}'},
    "block": {"kind": "guard.block", "on": "input", "when": {"input": "(?i)refund"}, "says": "A person will help."},
    "mend": {
        "kind": "patch.postprocess",
        "when": {"completion": "lost|unknown"},
        "replace": [["lost|unknown", "done"]],
    },
    "again": {
        "kind": "patch.retry",
        "when": {"completion": "lost|unknown"},
        "times": 3,
    },
}
MARKS = {"GENERAL": GENERAL, "SPECIAL": SPECIAL, "HARMFUL": HARMFUL, "DUD": DUD}


def attempt(capsys: Any, folder: Path, *more: object) -> Ran:
    wide = ("--margin", 0.2, "--lookalike-margin", 0.2)
    return reroll(capsys, "try", *more, "--case", "refund", "--project", folder, "--yes", "--quiet", *wide)


def tried(capsys: Any, folder: Path, *more: object) -> dict[str, Any]:
    found: dict[str, Any] = attempt(capsys, folder, "--json", *more).json
    return found


# -- whole command, against a product whose rates are known ------------------------------------------------------------


def test_a_general_fix_is_accepted_and_says_what_it_cures_and_how_little_it_can_harm(
    capsys: Any, tmp_path: Path
) -> None:
    with planted_server(Product(MARKS, seed=1)) as url:  # type: ignore[arg-type]
        folder = project(tmp_path, url, FIXES, prevalence=0.1)
        ran = attempt(capsys, folder, "general", "--json", "--budget", 1500)
    found = ran.json
    card = found["fixes"][0]
    assert (ran.code, found["schema"], found["verdict"], found["best"]) == (0, "reroll.try/1", "accept", "general")
    assert set(card["claims"].values()) == {"shown"}
    assert card["neighbours"]["pairs"] >= 60
    assert card["neighbour_gain"]["low"] <= 0.92 <= card["neighbour_gain"]["high"]
    assert card["control_harm"]["high"] < 0.2
    assert card["net"]["per_10k"]["value"] > 100
    assert "GENERAL rule about money." in card["diff"]
    assert "It is accepted." in found["text"]


def test_a_fix_that_breaks_other_requests_is_rejected_however_much_it_cures(capsys: Any, tmp_path: Path) -> None:
    with planted_server(Product(MARKS, seed=2)) as url:  # type: ignore[arg-type]
        ran = attempt(capsys, project(tmp_path, url, FIXES), "harmful", "--json", "--budget", 1500)
    card = ran.json["fixes"][0]
    assert (ran.code, card["verdict"]) == (1, "reject")
    assert set(card["reasons"]) <= {"spares_lookalikes", "spares_control"}
    assert card["case_gain"]["low"] > 0


def test_a_rule_that_only_helps_the_reported_request_is_rejected_as_a_special_case(capsys: Any, tmp_path: Path) -> None:
    with planted_server(Product(MARKS, seed=3)) as url:  # type: ignore[arg-type]
        found = tried(capsys, project(tmp_path, url, FIXES), "special", "--budget", 1500)
    assert found["verdict"] == "reject"
    assert set(found["fixes"][0]["reasons"]) <= {"generalises", "helps"}
    assert found["cost"]["calls"] < 600


def test_a_special_case_that_can_act_on_no_neighbour_is_rejected_without_a_call(capsys: Any, tmp_path: Path) -> None:
    product = Product(MARKS)
    with planted_server(product) as url:  # type: ignore[arg-type]
        found = tried(capsys, project(tmp_path, url, FIXES), "only-this")
    assert found["verdict"] == "reject"
    assert product.calls == 0
    assert found["fixes"][0]["literals"], "it says which words are copied from the reported request"
    assert "can act on any" in found["text"]


def test_a_guard_that_stops_more_than_wrong_answers_is_rejected_and_counts_what_it_withheld(
    capsys: Any, tmp_path: Path
) -> None:
    with planted_server(Product(MARKS, seed=4)) as url:  # type: ignore[arg-type]
        found = reroll(
            capsys, "try", "block", "--case", "refund", "--project", project(tmp_path, url, FIXES), "--json", "--yes"
        ).json
    card = found["fixes"][0]
    assert found["verdict"] == "reject"
    assert card["stopped"] > 10
    assert card["extra_calls"] <= 0.0
    assert found["cost"]["calls"] <= 150, "a hard-coded patch is rejected in at most 150 calls"


def test_a_patch_on_the_answer_shares_the_completion_and_a_really_good_one_is_accepted(
    capsys: Any, tmp_path: Path
) -> None:
    product = Product(MARKS, seed=5)
    with planted_server(product) as url:  # type: ignore[arg-type]
        folder = project(tmp_path, url, FIXES)
        found = tried(capsys, folder, "mend", "--budget", 1500)
    card = found["fixes"][0]
    assert card["verdict"] == "accept"
    assert product.calls == found["cost"]["calls"]
    pairs = sum(card[of]["pairs"] for of in ("case", "neighbours", "lookalikes", "control"))
    assert product.calls == pairs, "one call a pair: the patch is run on the very completion that the baseline got"
    assert card["extra_calls"] == 0
    assert card["lookalike_harm"]["value"] <= 0


def test_a_retry_asks_again_only_where_it_fires(capsys: Any, tmp_path: Path) -> None:
    product = Product(MARKS, seed=6)
    with planted_server(product) as url:  # type: ignore[arg-type]
        found = tried(capsys, project(tmp_path, url, FIXES), "again", "--budget", 1500)
    card = found["fixes"][0]
    assert card["verdict"] == "accept"
    assert 0 < card["extra_calls"] < 1
    pairs = sum(card[of]["pairs"] for of in ("case", "neighbours", "lookalikes", "control"))
    assert pairs < product.calls < 2 * pairs


def test_of_several_fixes_the_best_is_taken_on_one_half_and_measured_anew_on_the_other(
    capsys: Any, tmp_path: Path
) -> None:
    with planted_server(Product(MARKS, seed=7)) as url:  # type: ignore[arg-type]
        folder = project(tmp_path, url, FIXES)
        found = tried(capsys, folder, "dud", "general", "only-this", "--budget", 3000)
    cards = {card["fix"]: card for card in found["fixes"]}
    assert (found["best"], found["verdict"]) == ("general", "accept")
    assert cards["general"]["phase"] == "final"
    assert cards["dud"]["phase"] == "choosing"
    assert cards["dud"]["verdict"] != "accept"
    assert cards["only-this"]["verdict"] == "reject"


def test_the_same_command_goes_on_where_the_budget_ended_and_says_how_much_is_missing(
    capsys: Any, tmp_path: Path
) -> None:
    product = Product(MARKS, seed=8)
    with planted_server(product) as url:  # type: ignore[arg-type]
        folder = project(tmp_path, url, FIXES)
        first = attempt(capsys, folder, "general", "--json", "--budget", 60)
        assert (first.code, first.json["verdict"]) == (3, "undecided")
        assert product.calls <= 60
        assert first.json["fixes"][0]["needed"] > 60
        assert "more calls would decide" in first.json["text"]
        before = product.calls
        second = tried(capsys, folder, "general", "--budget", 1500)
    assert second["verdict"] == "accept"
    assert second["cost"]["reused"] == before
    assert second["cost"]["calls"] == product.calls - before


def test_what_was_concluded_is_kept_with_its_samples_and_its_scorecard(capsys: Any, tmp_path: Path) -> None:
    with planted_server(Product(MARKS, seed=9)) as url:  # type: ignore[arg-type]
        folder = project(tmp_path, url, FIXES)
        attempt(capsys, folder, "block", "--json")
    with Store.open(folder / ".reroll" / "store.sqlite") as store:
        (decision,) = store.decisions(rule="fix/1")
        assert (decision.question, decision.verdict, decision.case_id) == ("fix", "reject", "refund")
        assert decision.evidence["fix"]["kind"] == "guard.block"
        assert decision.evidence["scorecard"]["verdict"] == "reject"
        assert len(store.decided_on(decision)) > 30


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("generl",), "did you mean `general`? [fix]"),
        (("general", "general"), "`general` is named twice; name each fix once [fix]"),
        (("no/such.yaml",), "there is no file no/such.yaml"),
        (("general", "--margin", 0.9), "[try]"),
        (("system.role=You serve a shop.",), "[fix-nothing]"),
        ((), "[fix]"),
    ],
)
def test_what_cannot_be_tried_is_said_in_one_sentence(
    capsys: Any, tmp_path: Path, more: tuple[object, ...], words: str
) -> None:
    folder = project(tmp_path, "http://127.0.0.1:1/v1", FIXES)
    ran = reroll(capsys, "try", *more, "--case", "refund", "--project", folder)
    assert ran.code == 2
    assert words in ran.complaint


def test_a_clause_of_a_new_name_is_added_and_one_that_is_there_is_edited(capsys: Any, tmp_path: Path) -> None:
    with planted_server(Product(MARKS, seed=10)) as url:  # type: ignore[arg-type]
        folder = project(tmp_path, url, FIXES)
        line = ("system.rol=GENERAL rule.", "--json", "--budget", 1500)
        added = attempt(capsys, folder, *line)
        edited = attempt(capsys, folder, "system.role=You serve a shop, DUD.", "--json", "--budget", 16)
    assert (added.code, added.json["fixes"][0]["kind"], added.json["verdict"]) == (0, "clause.add", "accept")
    assert added.json["fixes"][0]["diff"].splitlines() == ["+ system.rol: GENERAL rule."]
    assert "`system.rol` is a new clause beside `system.role`" in added.err
    assert (edited.code, edited.json["fixes"][0]["kind"]) == (3, "clause.edit")
    assert "- system.role: You serve a shop." in edited.json["fixes"][0]["diff"].splitlines()


def order_of(folder: Path, *, fresh: bool = False) -> list[int]:
    """Which neighbours the command would take, one after another."""
    found = load_project(folder)
    fix = next(one for one in found.fixes if one.fix == "dud")
    changed = replace(found, program=fitting(fix, found.program))
    model = open_model(found.program.model, base_url=found.program.base_url)
    with Store.open(folder / ".reroll" / "store.sqlite") as store, Checker(folder) as checker:
        first, other = (Session(p, store, model, checker, Options(), fresh=fresh) for p in (found, changed))
        sets = sets_of(found, found.case("refund"))
        of = {"case": sets.case, "neighbour": sets.neighbour, "lookalike": sets.lookalike, "control": sets.control}
        trial = Trial(first, [("dud", fix, other)], of, "final")
        return [trial.case_of("neighbour", unit) for unit in range(40)]


def test_a_fresh_trial_has_an_order_of_its_own_and_keeps_it_when_it_goes_on(capsys: Any, tmp_path: Path) -> None:
    product = Product(MARKS, seed=11)
    with planted_server(product) as url:  # type: ignore[arg-type]
        folder = project(tmp_path, url, FIXES)
        attempt(capsys, folder, "dud", "--budget", 40)
        first = order_of(folder)
        assert order_of(folder) == first
        foreseen = order_of(folder, fresh=True)
        begun = attempt(capsys, folder, "dud", "--fresh", "--json", "--budget", 40).json
        second = order_of(folder)
        calls = product.calls
        on = attempt(capsys, folder, "dud", "--json", "--budget", 40).json
    assert foreseen == second != first
    assert order_of(folder) == second
    assert (begun["cost"]["reused"], on["cost"]["reused"]) == (0, begun["cost"]["calls"])
    assert product.calls == calls + on["cost"]["calls"]


def test_a_patch_gets_the_baselines_very_completion_whatever_engine_makes_the_draws(tmp_path: Path) -> None:
    """An engine that opens the model anew elsewhere, as actors of a cluster do, has no completion to give again."""
    product = Product(MARKS, seed=12)

    async def trial(first: Session, other: Session, fix: Fix, sets: Sets) -> tuple[int, list[dict[str, str]]]:
        found = Trial(first, [("mend", fix, other)], {"case": sets.case, "neighbour": sets.neighbour}, "final")
        await found.draw({"case": 30}, ["mend"])
        return product.calls, found.rounds("case", ["baseline", "mend"])

    with planted_server(product) as url:  # type: ignore[arg-type]
        folder = project(tmp_path, url, FIXES)
        found = load_project(folder)
        fix = next(one for one in found.fixes if one.fix == "mend")
        changed = replace(found, program=fitting(fix, found.program))

        async def elsewhere(model: Model, *rest: Any, **more: Any) -> int:
            anew = open_model(found.program.model, base_url=found.program.base_url)
            try:
                return await run_draws(anew, *rest, **more)
            finally:
                await anew.close()

        with Store.open(folder / ".reroll" / "store.sqlite") as store, Checker(folder) as checker:
            model = open_model(found.program.model, base_url=found.program.base_url)
            first, other = (Session(p, store, model, checker, Options(), engine=elsewhere) for p in (found, changed))
            for program in (found.program, changed.program):
                store.put_program(program)
            sets = sets_of(found, found.case("refund"))
            for case in sets.all:
                store.put_case(case)
            calls, rounds = asyncio.run(trial(first, other, fix, sets))
    assert (calls, len(rounds)) == (30, 30)
    assert {one["mend"] for one in rounds} == {"pass"}
    assert "fail" in {one["baseline"] for one in rounds}


def test_a_budget_that_pays_for_no_pair_is_not_called_used_and_cases_without_checks_are_named(
    capsys: Any, tmp_path: Path
) -> None:
    with planted_server(Product(MARKS)) as url:  # type: ignore[arg-type]
        folder = project(tmp_path, url, FIXES)
        cases = yaml.safe_load((folder / "cases.yaml").read_text())
        cases["cases"].append({"id": "unchecked", "set": "control", "input": {"request": "Where is my parcel?"}})
        (folder / "cases.yaml").write_text(yaml.safe_dump(cases))
        found = tried(capsys, folder, "general", "--budget", 1)
    assert found["stopped"].endswith("and the budget is 1 call, so none was made")
    assert any("`unchecked` has no checks, so it was left out" in caveat for caveat in found["caveats"])


def test_a_case_without_neighbours_cannot_be_judged(capsys: Any, tmp_path: Path) -> None:
    folder = project(tmp_path, "http://127.0.0.1:1/v1", FIXES)
    (folder / "cases.yaml").write_text(
        json.dumps({"cases": [{"id": "refund", "input": {"request": CASE}, "checks": [{"contains": "done"}]}]})
    )
    ran = attempt(capsys, folder, "general")
    assert (ran.code, "[no-neighbours]" in ran.complaint) == (2, True)
    assert "reroll neighbours refund" in ran.complaint


def test_only_what_stands_around_the_model_can_share_a_completion() -> None:
    base = Program(program="p", system={"role": "Be kind."})
    step = {"step": "block", "on": "completion", "when": {"completion": "x"}, "says": "no"}
    assert only_adds_steps(base, base.model_copy(update={"steps": (step,)}))
    assert not only_adds_steps(base, base.model_copy(update={"steps": (step,), "system": {"role": "Be brief."}}))
    assert not only_adds_steps(base.model_copy(update={"steps": (step,)}), base)
