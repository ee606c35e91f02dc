"""The ledger: what was tried and applied, what still earns its place, and what all of it costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema

from reroll.cli import main
from reroll.evidence import Est
from reroll.fix import Fix
from reroll.init import init_project
from reroll.ledger import Made, helped, ledger_of
from reroll.store import Store
from tests.background import reroll


def fix(name: str, author: str = "ana", **more: Any) -> dict[str, Any]:
    made = Fix.model_validate({"fix": name, "kind": "clause.add", "target": f"system.{name}", "text": name, **more})
    return {**made.model_dump(), "author": author, "id": made.id}


def rate(value: float, low: float, high: float, n: int = 100) -> dict[str, Any]:
    return {"failures": round(value * n), "n": n, "invalid": 0, "estimate": value, "low": low, "high": high}


def card(verdict: str = "accept", **more: Any) -> dict[str, Any]:
    return {
        "verdict": verdict, "reasons": [], "case": {"before": rate(0.4, 0.3, 0.5), "after": rate(0.01, 0.0, 0.05)},
        "neighbours": {"before": rate(0.35, 0.2, 0.5), "after": rate(0.02, 0.0, 0.09)},
        "control_harm": {"value": 0.0, "low": -0.01, "high": 0.015, "n": 1250}, "pile_up": [], "literals": 1,
        "tokens": 12, "extra_calls": 0.0, "usd": None, **more,
    }  # fmt: skip


def tried(name: str, when: float, verdict: str = "accept", case: str = "tea", **more: Any) -> Made:
    author = more.pop("author", "ana")
    evidence = {"fix": fix(name, author), "scorecard": card(verdict, **more)}
    return Made(f"d_{name}_{when:g}", "fix/1", verdict, case, when, evidence)


def applied(name: str, when: float, verdict: str = "applied", **more: Any) -> Made:
    evidence = {"fix": fix(name, **more), "before": "p1:a", "after": "p1:b", "undo": []}
    return Made(f"a_{name}", "applied/1", verdict, "tea", when, evidence)


def pile(name: str, value: float, low: float, high: float, n: int = 200) -> dict[str, Any]:
    return {"id": fix(name)["id"], "worth": {"value": value, "low": low, "high": high, "n": n}}


def test_a_fix_is_in_the_ledger_once_with_its_newest_trial() -> None:
    ledger = ledger_of("p", [tried("a", 1, "undecided"), tried("b", 2, "reject"), tried("a", 3, "accept")])
    assert [(one.fix, one.verdict, one.tries) for one in ledger.fixes] == [("a", "accept", 2), ("b", "reject", 1)]
    assert ledger.fixes[0].before == Est(0.35, 0.2, 0.5, 100)
    assert ledger.text == (
        "2 fixes tried: 1 accepted, 1 rejected. None is in the program. Accepted, and not in it: `a`; `reroll apply` "
        "puts it in."
    )


def test_what_is_applied_comes_first_and_what_was_taken_out_is_no_longer_in_the_program() -> None:
    ledger = ledger_of("p", [tried("a", 1), tried("b", 2), applied("a", 3), applied("b", 4), applied("b", 5, "undone")])
    assert [(one.fix, one.applied) for one in ledger.fixes] == [("a", True), ("b", False)]
    assert (ledger.together.fixes, ledger.together.prompt_tokens) == (1, 12)


def test_a_fix_that_was_applied_without_a_trial_is_there_too() -> None:
    (one,) = ledger_of(
        "p", [applied("a", 1, kind="patch.retry", target=None, text=None, checks=[{"schema": True}])]
    ).fixes
    assert (one.verdict, one.applied, one.branches, one.stands) == (None, True, 1, "unknown")


def test_a_fix_that_saves_nothing_any_more_is_called_debt_and_only_where_enough_was_run() -> None:
    before = [tried("a", 1), tried("b", 2), tried("c", 3), *(applied(name, 4) for name in "abc")]
    worths = [pile("a", 0.12, 0.05, 0.2), pile("b", 0.0, -0.03, 0.03), pile("c", 0.0, -0.2, 0.2)]
    ledger = ledger_of("p", [*before, tried("d", 5, pile_up=worths)])
    assert {one.fix: one.stands for one in ledger.fixes} == {"a": "earns", "b": "debt", "c": "unknown", "d": None}
    assert ledger.together.debt == ("b",)
    assert "Kept for nothing, as far as runs tell: b." in ledger.text
    assert any("what c still earns is not known" in caveat for caveat in ledger.caveats)


def test_what_a_trial_itself_calls_debt_is_debt_here() -> None:
    wide = [{**pile("a", 0.0, -0.2, 0.2), "debt": True}]
    ledger = ledger_of("p", [applied("a", 1), tried("b", 2, pile_up=wide, branches=0, literals=["x", "y"])])
    assert {one.fix: (one.stands, one.literals) for one in ledger.fixes} == {"a": ("debt", 0), "b": (None, 2)}


def test_the_newest_worth_counts() -> None:
    made = [applied("a", 1), tried("b", 2, pile_up=[pile("a", 0.1, 0.05, 0.2)])]
    made += [tried("c", 3, pile_up=[pile("a", 0.0, -0.02, 0.02)])]
    (a,) = [one for one in ledger_of("p", made).fixes if one.fix == "a"]
    assert (a.stands, a.worth_seen) == ("debt", "d_c_3")


def test_a_sum_with_an_unknown_part_is_unknown() -> None:
    ledger = ledger_of("p", [tried("a", 1), tried("b", 2, tokens=None, usd=0.1), applied("a", 3), applied("b", 4)])
    together = ledger.together
    assert (together.prompt_tokens, together.usd, together.extra_calls, together.literals) == (None, None, 0.0, 2)
    assert "an unknown number of prompt tokens" in ledger.text


def test_steps_that_no_fix_brought_are_mentioned() -> None:
    assert "3 steps of program.yaml did not come from a fix" in ledger_of("p", [], steps=3).caveats[0]


def test_what_helped_a_case_comes_first() -> None:
    made = [tried("a", 1, "reject"), tried("b", 2), tried("c", 3, "undecided"), tried("d", 4, case="other")]
    assert [one.fix for one in helped(ledger_of("p", made).fixes, "tea")] == ["b", "c", "a"]


def test_evidence_of_another_form_is_read_as_far_as_it_goes() -> None:
    odd = Made("d", "fix/1", "accept", None, 1, {"fix": {"fix": "x", "kind": "new.kind"}, "scorecard": None})
    (one,) = ledger_of(
        "p", [odd, Made("e", "fix/1", "accept", None, 2, {}), Made("f", "luck/1", "x", None, 3, {})]
    ).fixes
    assert (one.fix, one.before, one.tokens) == ("x", None, None)


# -- as a person sees it


def store_with(project: Path, made: list[Made]) -> None:
    (project / ".reroll").mkdir(exist_ok=True)
    with Store.open(project / ".reroll" / "store.sqlite") as store:
        for one in made:
            store.add_decision(
                rule=one.rule, question="fix", verdict=one.verdict, evidence=dict(one.evidence), case_id=one.case
            )


def test_the_page_and_the_json_say_what_a_fix_is_worth(tmp_path: Path, capsys: Any) -> None:
    project = tmp_path / "meetings"
    init_project(project)
    assert "Nothing was tried yet" in reroll(capsys, "ledger", "--project", project).out
    worth = [pile("a", 0.0, -0.03, 0.03)]
    store_with(
        project, [tried("a", 1), applied("a", 2), tried("b", 3, "reject", reasons=["harms others"], pile_up=worth)]
    )
    page = reroll(capsys, "ledger", "--project", project).out
    for words in ("1 fix kept for nothing", "35 % → 2 % (0–9 %)", "at most 1.5 points", "harms others", "debt"):
        assert words in " ".join(page.split())
    found = reroll(capsys, "ledger", "--project", project, "--json").json
    assert (found["schema"], found["together"]["debt"]) == ("reroll.ledger/1", ["a"])
    assert [one["stands"] for one in found["fixes"]] == ["debt", None]


def test_a_store_that_was_named_and_is_not_there_is_an_error(tmp_path: Path, capsys: Any) -> None:
    init_project(tmp_path / "meetings")
    assert main(["ledger", "--project", str(tmp_path / "meetings"), "--store", str(tmp_path / "no.sqlite")]) == 2
    assert "store-missing" in capsys.readouterr().err


def test_what_is_printed_of_fixes_fits_the_schema(tmp_path: Path, capsys: Any) -> None:
    project = tmp_path / "meetings"
    init_project(project)
    store_with(project, [tried("a", 1), applied("a", 2), tried("b", 3, "reject", pile_up=[pile("a", 0.1, 0.05, 0.2)])])
    schemas = Path(__file__).parent.parent / "docs" / "schemas"
    for name in ("ledger", "ideas"):
        found = reroll(capsys, name, "--project", project, "--json").json
        jsonschema.validate(found, json.loads((schemas / f"{name}.json").read_text()))
