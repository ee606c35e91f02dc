"""Wordings of whole requests as a person compares them: a server that minds the wording, and one that does not."""

from __future__ import annotations

import hashlib
import json
import os
import random
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from reroll.cli import main
from reroll.init import init_project
from reroll.store import Store
from tests.background import in_background, reroll, write_project
from tests.fake_server import Act, answer, error

CASES = """cases:
  - id: tea
    input: {request: "Book tea with Ana at the Ritz for 2"}
    checks: [{name: says-yes, contains: "yes"}]
  - id: other
    input: {request: "A table for 2 with Ana at the Ritz, for tea"}
    checks: [{contains: "yes"}]
"""
REWRITE = "Rewrite the request below"


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("REROLL_") or name == "OPENAI_API_KEY":
            monkeypatch.delenv(name)


def by_wording(failing: dict[str, float], usual: float = 0.2, replies: dict[str, str] | None = None) -> Act:
    """Fails at a rate that depends on words in the request; asked to rewrite, it says what its style stands for."""
    seen: dict[str, int] = {}

    async def act(request: web.Request) -> web.StreamResponse:
        said = json.loads(await request.read())["messages"][-1]["content"]
        if said.startswith(REWRITE):
            style = said.removeprefix(REWRITE).split(".")[0].strip()
            return await answer((replies or {}).get(style, "ok"))(request)
        n = seen[said] = seen.get(said, 0) + 1
        rate = next((p for word, p in failing.items() if word in said), usual)
        # A chance of its own for every run of every wording, in whatever order they come.
        chance = random.Random(hashlib.blake2b(f"{said} {n}".encode()).digest()).random()
        return await answer("no" if chance < rate else "yes")(request)

    return act


def phrase(capsys: Any, project: Path, *arguments: object, case: str = "tea") -> Any:
    return reroll(capsys, "phrase", case, *arguments, "--project", project, "--yes", "--quiet")


def test_a_server_that_minds_the_wording_is_found_out_and_asked_no_more(tmp_path: Path, capsys: Any) -> None:
    with in_background(by_wording({"Thanks": 0.9}, usual=0.05)) as (server, url):
        project = write_project(tmp_path, url, cases=CASES)
        found = phrase(capsys, project, "--json").json
        calls = server.calls
        again = phrase(capsys, project, "--json").json
        assert server.calls == calls == found["cost"]["calls"]
    assert (found["schema"], found["of"], found["verdict"], found["worst"]) == (
        "reroll.phrase/1", "wordings", "differ", "close",
    )  # fmt: skip
    assert found["between"]["low"] > 0
    assert found["observed"] > 2 * found["chance"]
    assert "it is the wording" in found["text"]
    assert "Thanks." in found["text"]
    assert again["wordings"] == found["wordings"]
    assert again["cost"]["reused"] == calls
    assert calls < 200
    ids = [one["id"] for one in found["wordings"]]
    assert ids[:3] == ["baseline", "polite", "question"]
    assert sum(one["rate"]["n"] for one in found["wordings"]) == calls


def test_a_server_that_does_not_mind_is_not_said_to_and_within_a_margin_said_not_to(
    tmp_path: Path, capsys: Any
) -> None:
    with in_background(by_wording({}, usual=0.1)) as (_, url):
        project = write_project(tmp_path, url, cases=CASES)
        found = phrase(capsys, project, "--json", "--budget", "80").json
        close = phrase(capsys, project, "--json", "--margin", "0.3", "--by-rule", "1", "--budget", "900").json
    assert (found["verdict"], found["finished"], found["margin"]) == ("undecided", True, None)
    assert found["between"]["low"] == 0
    assert "not shown" in found["text"]
    assert any("--margin" in caveat for caveat in found["caveats"])
    assert (close["verdict"], close["calls_needed"]) == ("no_different", 0)
    assert "it is not the wording, to within 30 points" in close["text"]


def test_a_wording_that_never_passes_may_mean_something_else_and_is_not_counted(tmp_path: Path, capsys: Any) -> None:
    with in_background(by_wording({"Cancel": 1.0}, usual=0.1)) as (server, url):
        project = write_project(tmp_path, url, cases=CASES)
        words = ("--wordings", "Cancel tea with Ana at the Ritz for 2", "--by-rule", "3", "--budget", "150")
        found = phrase(capsys, project, *words, "--json").json
        sent = [json.loads(body)["messages"][-1]["content"] for body in server.bodies]
        page = phrase(capsys, project, *words[:-1], "5").out
    gone = next(one for one in found["wordings"] if one["kind"] == "named")
    assert found["verdict"] == "undecided"
    assert 0 < gone["aside_after"] < found["rounds"]
    assert sum(s.startswith("Cancel") for s in sent) == gone["rate"]["n"] == gone["rate"]["failures"] == found["rounds"]
    assert found["worst"] != gone["id"]
    assert "may mean something else" in found["text"]
    assert "may mean something else" in page


def test_wordings_are_named_as_for_tokens_and_a_file_names_several(tmp_path: Path, capsys: Any) -> None:
    with in_background(by_wording({})) as (server, url):
        project = write_project(tmp_path, url, cases=CASES)
        file = tmp_path / "words.txt"
        file.write_text("Tea for 2 with Ana please, at the Ritz\n\nWith Ana, tea for 2 at the Ritz\n")
        words = ("--wordings", "other", "input.request=Ritz tea for 2, Ana", f"@{file}", "--by-rule", "0")
        found = phrase(capsys, project, *words, "--budget", "40", "--json").json
        sent = {json.loads(body)["messages"][-1]["content"] for body in server.bodies}
    assert [one["kind"] for one in found["wordings"]] == ["asked", *["named"] * 4]
    assert {one["text"] for one in found["wordings"]} == sent


def test_the_model_writes_wordings_and_what_cannot_be_used_is_counted(tmp_path: Path, capsys: Any) -> None:
    replies = {
        "in other words": "Please arrange tea with Ana at the Ritz for 2",
        "more formally": '{"booking": "tea"}',
        "more briefly": "Tea with Bob at the Ritz for 2",
        "in a chatty way": "Sure, here it is: Hey, tea with Ana at the Ritz for 2?",
    }
    with in_background(by_wording({}, replies=replies)) as (server, url):
        project = write_project(tmp_path, url, cases=CASES)
        found = phrase(capsys, project, "--write", "4", "--by-rule", "1", "--budget", "60", "--json").json
        calls = server.calls
        again = phrase(capsys, project, "--write", "4", "--by-rule", "1", "--budget", "60", "--json").json
        after = [json.loads(body)["messages"][-1]["content"] for body in server.bodies[calls:]]
    written = [one for one in found["wordings"] if one["kind"] == "written"]
    assert [one["text"] for one in written] == [
        "Please arrange tea with Ana at the Ritz for 2",
        "Hey, tea with Ana at the Ritz for 2?",
    ]
    assert found["written"] == 4
    assert sorted(one["why"] for one in found["dropped"]) == [
        "answers the request instead of rewording it",
        "lacks “Ana”",
    ]
    assert any("2 replies of 4" in caveat for caveat in found["caveats"])
    assert found["cost"]["calls"] == calls <= 60, "writing counts towards the budget"
    assert not any(said.startswith(REWRITE) for said in after), "what was written is not asked for again"
    assert again["written"] == 4
    with Store.open(tmp_path / ".reroll" / "store.sqlite") as store:
        assert len(store.samples(case_id="tea (in other words)")) == 1


def test_a_run_that_is_cut_short_goes_on_where_it_was(tmp_path: Path, capsys: Any) -> None:
    with in_background(by_wording({"Thanks": 0.9}, usual=0.05)) as (server, url):
        project = write_project(tmp_path, url, cases=CASES)
        some = phrase(capsys, project, "--budget", "24", "--json").json
        rest = phrase(capsys, project, "--json").json
        total = server.calls
    assert (some["verdict"], some["rounds"]) == ("undecided", 3)
    assert "--budget" in some["stopped"]
    assert rest["verdict"] == "differ"
    assert rest["cost"]["reused"] == 24
    assert rest["cost"]["calls"] == total - 24
    with Store.open(tmp_path / ".reroll" / "store.sqlite") as store:
        kept = [d for d in store.decisions() if d.rule == "phrase/1"]
    assert [d.verdict for d in kept] == ["undecided", "differ"]


def test_a_server_that_goes_away_leaves_what_is_known_and_exit_code_4(tmp_path: Path, capsys: Any) -> None:
    well = by_wording({}, usual=0.1)
    calls = 0

    async def act(request: web.Request) -> web.StreamResponse:
        nonlocal calls
        calls += 1
        return await (well if calls <= 40 else error(500))(request)

    with in_background(act) as (_, url):
        project = write_project(tmp_path, url, cases=CASES)
        os.environ["REROLL_TRIES"] = "1"
        try:
            found = phrase(capsys, project, "--json")
        finally:
            del os.environ["REROLL_TRIES"]
    assert found.code == 4
    assert found.json["finished"] is False
    assert found.json["rounds"] >= 3


def test_a_gate_is_open_only_where_wordings_are_shown_alike(tmp_path: Path, capsys: Any) -> None:
    with in_background(by_wording({"Thanks": 0.95}, usual=0.02)) as (_, url):
        project = write_project(tmp_path, url, cases=CASES)
        assert phrase(capsys, project, "--gate", "--json").code == 1
        assert phrase(capsys, project, "--gate", "--json", "--by-rule", "1", "--budget", "8").code == 3
        few = ("--by-rule", "1", "--margin", "0.3", "--budget", "400")
        assert phrase(capsys, project, "--gate", "--json", *few).code == 0


def test_the_page_is_drawn_and_fits_a_narrow_screen(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    with in_background(by_wording({"Thanks": 0.9}, usual=0.05)) as (_, url):
        project = write_project(tmp_path, url, cases=CASES)
        picture = tmp_path / "page.svg"
        page = phrase(capsys, project, "--svg", picture).out
    assert max(map(len, page.splitlines())) <= 60
    assert "As it is asked now" in page or "as it is asked now" in page
    assert "may be wrong" not in page
    assert ET.fromstring(picture.read_text()).tag.endswith("svg")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--margin", "2"), "--margin is a difference"),
        (("--write", "-1"), "--write is a number"),
        (("--by-rule", "-1"), "--by-rule is a number"),
        (("--by-rule", "0"), "no other wording"),
        (("--budget", "3"), "--budget is too small"),
        (("--horizon", "100"), "leave --horizon out"),
        (("--at", "3"), "--at is about one token"),
        (("--wordings", "nope"), "no wording `nope`"),
        (("--wordings", "Book tea with Ana at the Ritz for 2"), "send the same request"),
        (("--tokens", "other", "--write", "2"), "--write compares whole requests"),
    ],
)
def test_bad_input_is_one_sentence_and_no_call(tmp_path: Path, capsys: Any, words: tuple[str, ...], said: str) -> None:
    with in_background(by_wording({})) as (server, url):
        project = write_project(tmp_path, url, cases=CASES)
        assert said in phrase(capsys, project, *words).complaint
        assert server.calls == 0


def test_a_recording_cannot_be_reworded_by_its_own_model(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "runs.jsonl").write_text("")
    (tmp_path / "program.yaml").write_text("program: m\nmodel: recorded:runs.jsonl\neffects: none\n")
    (tmp_path / "cases.yaml").write_text(CASES)
    assert "which cannot be asked for other words" in phrase(capsys, tmp_path, "--write", "2").complaint


def test_the_bundled_model_minds_an_awkward_wording(tmp_path: Path, capsys: Any) -> None:
    init_project(tmp_path)
    code = main(
        ["phrase", "next-friday", "--wordings", "awkward", "--by-rule", "0", "--project", str(tmp_path), "--json",
         "--quiet", "--seed", "1", "--budget", "400"]
    )  # fmt: skip
    found = json.loads(capsys.readouterr().out)
    assert (code, found["verdict"], found["best"], found["worst"]) == (0, "differ", "baseline", "awkward")
    assert found["wordings"][0]["rate"]["low"] <= 0.372 <= found["wordings"][0]["rate"]["high"]
    assert found["wordings"][1]["rate"]["low"] <= 0.583 <= found["wordings"][1]["rate"]["high"]
