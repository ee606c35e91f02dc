"""Fixes that nobody named: suggested, tried, the accepted one kept in a file; what a retry delivers, foretold."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from benchmarks._planted import planted_server
from benchmarks._tried import CASE, Product, Rates, project

from reroll.answer import to_json
from reroll.evidence import Est
from reroll.levers import fitting
from reroll.program import Program
from reroll.project import load_fix, load_project
from reroll.retry_outlook import retry_of
from reroll.scored import Forecast, foretold_words
from reroll.store import Store
from tests.background import Ran, reroll

# So far apart that chance cannot turn a verdict: what asks for a reason first always works, and nothing else does.
BROKEN: Rates = (0.9, 0.9, 0.0, 0.0)
FINE: Rates = (0.0, 0.0, 0.0, 0.0)
REASON = {"One short sentence": FINE}
AGAIN = {"kind": "patch.retry", "when": {"completion": "lost|unknown"}, "times": 3}


class Writer(Product):
    """The same server, which also proposes changes when it is asked to."""

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.json()
        if "Propose" not in str(body["messages"][-1]["content"]):
            return await super().handle(request)
        changes = [
            {
                "kind": "clause.add",
                "target": "system.money",
                "text": "GENERAL rule about money.",
                "why": "It is missing.",
            },
            {"kind": "clause.edit", "target": "system.nowhere", "text": "Be careful.", "why": "It may help."},
        ]
        message = {"role": "assistant", "content": json.dumps({"changes": changes})}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        usage = {"prompt_tokens": 300, "completion_tokens": 60, "total_tokens": 360}
        return web.json_response({"model": body["model"], "choices": [choice], "usage": usage})


def attempt(capsys: Any, folder: Path, *more: object) -> Ran:
    wide = ("--margin", 0.4, "--lookalike-margin", 0.4)
    return reroll(capsys, "try", *more, "--case", "refund", "--project", folder, "--yes", "--quiet", *wide)


def alone(folder: Path) -> Path:
    """The project with its case and nothing beside it."""
    case = {"id": "refund", "input": {"request": CASE}, "checks": [{"name": "right", "json": {"answer": "done"}}]}
    (folder / "cases.yaml").write_text(yaml.safe_dump({"cases": [case]}))
    return folder


# -- suggested, tried, kept --------------------------------------------------------------------------------------------


def test_what_is_suggested_is_tried_and_the_accepted_one_is_written_so_that_it_can_be_applied(
    capsys: Any, tmp_path: Path
) -> None:
    product = Product(REASON, base=BROKEN, seed=1)  # type: ignore[arg-type]
    with planted_server(product) as url:  # type: ignore[arg-type]
        folder = project(tmp_path, url, {})
        ran = attempt(capsys, folder, "--suggest", 2, "--json", "--budget", 1200)
        found = ran.json
        cards = {card["fix"]: card for card in found["fixes"]}
        assert (ran.code, found["verdict"], found["best"]) == (0, "accept", "reason-first")
        assert len(cards) == 2
        assert "begins with its reason" in cards["reason-first"]["because"]
        assert cards["reason-first"]["written"] == "fixes/reason-first.yaml"
        assert "kept in fixes/reason-first.yaml" in found["text"]
        kept = load_fix(folder / "fixes" / "reason-first.yaml")
        assert kept.id == cards["reason-first"]["id"]
        assert [path.name for path in (folder / "fixes").iterdir()] == ["reason-first.yaml"], "only the accepted one"
        calls = product.calls
        again = attempt(capsys, folder, "--suggest", 2, "--json", "--budget", 1200).json
        assert (again["verdict"], again["best"], product.calls) == ("accept", "reason-first", calls)
    applied = reroll(capsys, "apply", "reason-first", "--project", folder)
    assert applied.code == 0
    assert load_project(folder).program.response == fitting(kept, _program(folder, url)).response


def _program(folder: Path, url: str) -> Program:
    """The program as it was before anything was applied."""
    return load_project(project(folder / "before", url, {})).program


def test_suggestions_stand_beside_named_fixes_and_take_no_name_that_is_used(capsys: Any, tmp_path: Path) -> None:
    other = {"kind": "clause.edit", "target": "system.role", "text": "You serve a shop, quickly."}
    product = Product(REASON, base=BROKEN, seed=2)  # type: ignore[arg-type]
    with planted_server(product) as url:  # type: ignore[arg-type]
        folder = project(tmp_path, url, {"reason-first": other})
        before = (folder / "fixes" / "reason-first.yaml").read_text()
        found = attempt(capsys, folder, "reason-first", "--suggest", 2, "--json", "--budget", 1200).json
    cards = {card["fix"]: card for card in found["fixes"]}
    assert (found["best"], found["verdict"]) == ("reason-first-2", "accept")
    assert cards["reason-first"]["kind"] == "clause.edit"
    assert cards["reason-first"]["because"] == ""
    assert (folder / "fixes" / "reason-first.yaml").read_text() == before
    assert (folder / "fixes" / "reason-first-2.yaml").exists()


def test_a_few_runs_are_made_first_and_the_same_fixes_are_suggested_when_the_budget_ended(
    capsys: Any, tmp_path: Path
) -> None:
    product = Product(REASON, base=BROKEN, seed=3)  # type: ignore[arg-type]
    with planted_server(product) as url:  # type: ignore[arg-type]
        folder = project(tmp_path, url, {})
        first = attempt(capsys, folder, "--suggest", 2, "--json", "--budget", 100).json
        assert product.calls <= 100
        with Store.open(folder / ".reroll" / "store.sqlite") as store:
            (kept,) = store.decisions(rule="suggested/1")
            assert len(store.samples(case_id="refund", series="open", source="draw")) == 12
        second = attempt(capsys, folder, "--suggest", 2, "--json", "--budget", 100).json
        with Store.open(folder / ".reroll" / "store.sqlite") as store:
            assert [one.id for one in store.decisions(rule="suggested/1")] == [kept.id]
    assert [card["id"] for card in first["fixes"]] == [card["id"] for card in second["fixes"]]
    assert second["fixes"][0]["case"]["pairs"] >= first["fixes"][0]["case"]["pairs"] > 0
    assert second["cost"]["reused"] > 0


def test_a_case_that_never_fails_has_nothing_to_suggest_from(capsys: Any, tmp_path: Path) -> None:
    product = Product({}, base=FINE)
    with planted_server(product) as url:  # type: ignore[arg-type]
        ran = attempt(capsys, project(tmp_path, url, {}), "--suggest", "--json")
    assert "[no-suggestion]" in ran.complaint
    assert "failed in none of 48 runs" in ran.complaint
    assert product.calls < 60


def test_a_case_without_neighbours_is_refused_before_any_call(capsys: Any, tmp_path: Path) -> None:
    product = Product({}, base=BROKEN)
    with planted_server(product) as url:  # type: ignore[arg-type]
        ran = attempt(capsys, alone(project(tmp_path, url, {})), "--suggest")
    assert "reroll neighbours refund" in ran.complaint
    assert product.calls == 0


# -- written by a model, or evolved ------------------------------------------------------------------------------------


def test_a_model_writes_some_and_what_cannot_be_used_is_said(capsys: Any, tmp_path: Path) -> None:
    product = Writer({"GENERAL": FINE}, base=BROKEN, seed=4)  # type: ignore[arg-type]
    with planted_server(product) as url:  # type: ignore[arg-type]
        folder = project(tmp_path, url, {})
        found = attempt(capsys, folder, "--write", 1, "--json", "--budget", 1200).json
    (card,) = found["fixes"]
    assert (found["verdict"], card["kind"], card["author"]) == ("accept", "clause.add", "openai:tiny")
    assert card["because"]
    (dropped,) = found["dropped"]
    assert "nowhere" in dropped["why"] + dropped["said"]
    assert any("1 proposed change cannot be used" in words for words in found["caveats"])
    assert load_fix(folder / card["written"]).text == "GENERAL rule about money."


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--suggest", 99), "[propose]"),
        (("--write", -1), "[propose]"),
        (("--with", "openai:tiny"), "[propose]"),
        (("--write", 2, "--with", "bundled"), "[no-writer]"),
        ((), "[fix]"),
    ],
)
def test_what_cannot_be_asked_is_said_before_any_call(
    capsys: Any, tmp_path: Path, more: tuple[object, ...], words: str
) -> None:
    ran = attempt(capsys, project(tmp_path, "http://127.0.0.1:1/v1", {}), *more)
    assert words in ran.complaint


@pytest.mark.skipif(find_spec("gepa") is not None, reason="GEPA is installed")
def test_without_gepa_it_is_said_which_extra_brings_it(capsys: Any, tmp_path: Path) -> None:
    ran = attempt(capsys, project(tmp_path, "http://127.0.0.1:1/v1", {}), "--gepa")
    assert "reroll[gepa]" in ran.complaint


# -- what a retry is to deliver ----------------------------------------------------------------------------------------


def test_a_retry_is_foretold_from_runs_without_it_beside_what_is_measured(capsys: Any, tmp_path: Path) -> None:
    product = Product({}, base=(0.5, 0.5, 0.0, 0.0), seed=5)
    with planted_server(product) as url:  # type: ignore[arg-type]
        folder = project(tmp_path, url, {"again": AGAIN})
        runs = reroll(capsys, "rerun", "refund", "--budget", 20, "--project", folder, "--quiet")
        assert runs.code == 0
        ran = attempt(capsys, folder, "again", "--json", "--budget", 220)
        page = attempt(capsys, folder, "again", "--budget", 0).out
    assert "`again` is foretold for the reported request: fails" in ran.err, "from the runs of an earlier command"
    card = ran.json["fixes"][0]
    foretold = card["forecast"]
    assert foretold["of"] == "neighbour"
    assert foretold["inputs"] == 4
    assert 0 < foretold["after"]["low"] < foretold["after"]["value"] < 0.35  # 1 in 16, and inputs may differ
    assert 1.3 < foretold["calls"]["value"] < 2.6
    assert card["neighbours"]["after"]["estimate"] < 0.35
    assert "foretold for similar requests: fails" in " ".join(page.split())
    assert "measured" in page


def test_only_one_more_retry_step_is_foretold() -> None:
    retry = {"step": "retry", "when": {"completion": "x"}, "times": 2}
    block = {"step": "block", "when": {"completion": "x"}}
    plain = Program(program="p", system={"role": "Be kind."})

    def having(*steps: dict[str, Any]) -> Program:
        return plain.model_copy(update={"steps": steps})

    found = retry_of(plain, having(retry))
    assert found is not None
    assert found.times == 2
    assert retry_of(having(block), having(block, retry)) is not None
    assert retry_of(plain, having(block)) is None
    assert retry_of(plain, having(block, retry)) is None
    assert retry_of(having(retry), having(retry, retry)) is None, "a call would be no run"
    assert retry_of(plain, having(retry).model_copy(update={"system": {"role": "Be brief."}})) is None


def test_a_forecast_reads_as_one_says_it() -> None:
    known = Forecast("case", 1, Est(0.0625, 0.031, 0.109, 40), Est(1.875, 1.5, 2.1, 40), 0.0)
    assert foretold_words(known) == "foretold for the reported request: fails 6.3 % (3.1–11 %) with 1.9 calls"
    assert to_json(known)["after"]["value"] == 0.0625
