"""Wordings at one token, as a person compares them: on the bundled model, through the real command line."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from reroll.cli import main
from reroll.flattening import Distribution, split_change
from reroll.init import init_project
from reroll.render.ink import Pen
from reroll.store import Store

Capsys = Any
CLEAR = "Lunch with Ana on Friday of next week at noon"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example project with a dozen stored runs of next-friday."""
    folder = tmp_path_factory.mktemp("meetings")
    init_project(folder)
    assert main(["rerun", "next-friday", "--seed", "5", "--project", str(folder), "--quiet", "--json"]) == 0
    return folder


def run(home: Path, capsys: Capsys, *words: str) -> tuple[int, dict[str, Any]]:
    code = main([*words, "--project", str(home), "--json", "--quiet", "--seed", "1"])
    out = capsys.readouterr().out
    assert out.count("\n") == 1, "exactly one JSON object on stdout"
    return code, json.loads(out)


def awkward(home: Path, capsys: Capsys, *more: str) -> dict[str, Any]:
    """The awkward wording against the baseline; the runs are made once and stored."""
    code, found = run(home, capsys, "phrase", "next-friday", "--tokens", "awkward", *more)
    assert code == 0
    return found


def test_an_awkward_wording_leaves_the_choice_more_open_and_works_less_often(home: Path, capsys: Capsys) -> None:
    found = awkward(home, capsys)
    assert (found["schema"], found["verdict"], found["finished"]) == ("reroll.phrase/1", "worse", True)
    at = found["at"]
    assert (at["watched"], at["sample_of"], at["sample_fails"]) == ("20", "baseline", True)
    assert at["before"].endswith("2026-11-")
    a, b = found["wordings"]
    assert (a["name"], b["name"], b["flatter"]) == ("baseline", "awkward", True)
    assert a["entropy"]["high"] < b["entropy"]["low"]
    assert b["margin"] < a["margin"]
    assert b["prob"] > a["prob"] + 0.15
    assert b["total_variation"]["low"] == pytest.approx(b["prob"] - a["prob"], abs=0.02)
    assert found["change"]["high"] < 0
    assert found["moved"]["high"] < 0
    assert "B is worse there" in found["text"]


def test_the_place_is_where_success_is_lost_once_runs_tell_and_before_where_most_could_have_stood(
    tmp_path: Path, capsys: Capsys
) -> None:
    init_project(tmp_path)
    few = ("phrase", "next-friday", "--tokens", "awkward", "--budget", "60")
    _, first = run(tmp_path, capsys, *few)
    assert first["at"]["chosen"] == "open"
    run(tmp_path, capsys, "futures", "next-friday", "--draws", "24")
    _, later = run(tmp_path, capsys, *few)
    assert later["at"]["chosen"] == "dud"
    assert later["at"]["watched"] == first["at"]["watched"] == "20"


def test_the_parts_add_up_to_the_change_token_by_token(home: Path, capsys: Capsys) -> None:
    found = awkward(home, capsys)
    change = found["change"]["value"]
    assert found["moved"]["value"] + found["rest"]["value"] == pytest.approx(change, abs=1e-9)
    assert sum(t["moved"] + t["rest"] for t in found["tokens"]) == pytest.approx(change, abs=1e-9)
    a, b = (w["success"]["value"] for w in found["wordings"])
    assert b - a == pytest.approx(change, abs=1e-9)
    for name in ("change", "moved", "rest"):
        assert found[name]["low"] <= found[name]["value"] <= found[name]["high"]
        assert found[name]["high"] - found[name]["low"] <= 0.25 + 2 * found["aside"]


def known(home: Path, capsys: Capsys, case: str, beginning: str) -> tuple[float, float, float]:
    """By enumeration: the chance that an answer begins so, and the least and most of them that can work out."""
    _, found = run(home, capsys, "futures", case, "--down-to", "1e-3", "--draws", "0")
    mine = [c for c in found["completions"] if c["text"].startswith(beginning)]
    passing = sum(c["prob"] for c in mine if c["outcome"] == "pass")
    failing = sum(c["prob"] for c in mine if c["outcome"] == "fail")
    lost = found["unexplored"] + found["outside_top_k"] + found["noise"]
    whole = passing + failing + lost
    return passing + failing, passing / whole, (passing + lost) / whole


def test_every_range_holds_what_enumeration_knows_without_a_run(home: Path, capsys: Capsys) -> None:
    found = awkward(home, capsys)
    before = found["at"]["before"]
    exact: list[dict[str, float]] = []
    spread = []
    for i, case in enumerate(("next-friday", "awkward")):
        whole, low, high = known(home, capsys, case, before)
        success = found["wordings"][i]["success"]
        assert success["low"] <= high
        assert low <= success["high"]
        assert whole == pytest.approx(found["wordings"][i]["reach"], abs=0.03)
        exact.append({})
        probs = {}
        for row in found["tokens"]:
            part, least, most = known(home, capsys, case, before + row["token"])
            assert row["probs"][i] == pytest.approx(part / whole, abs=0.03)
            assert row["success"][i]["low"] <= most
            assert least <= row["success"][i]["high"]
            exact[i][row["token"]] = (least + most) / 2
            probs[row["token"]] = row["probs"][i]
        spread.append(Distribution(probs))
    split = split_change(*spread, *exact)
    for name, value in (("change", split.change), ("moved", split.moved), ("rest", split.rest)):
        assert found[name]["low"] <= value <= found[name]["high"], name


def test_the_same_command_again_makes_no_call_and_says_the_same(home: Path, capsys: Capsys) -> None:
    first, again = awkward(home, capsys), awkward(home, capsys)
    assert again["cost"]["calls"] == 0
    assert again["cost"]["reused"] == again["reused"] == again["runs"] == first["runs"]
    assert again["change"] == first["change"]


def test_runs_from_before_a_check_was_written_do_not_count_for_it(tmp_path: Path, capsys: Capsys) -> None:
    init_project(tmp_path)
    words = ("phrase", "next-friday", "--tokens", "awkward", "--at", "1", "--budget", "48")
    _, first = run(tmp_path, capsys, *words)
    _, again = run(tmp_path, capsys, *words)
    assert again["reused"] == first["runs"] > 0
    cases = tmp_path / "cases.yaml"
    cases.write_text(cases.read_text().replace('json: {time: "12:00", duration_min: 60, ', 'json: {time: "12:00", ', 1))
    _, later = run(tmp_path, capsys, *words)
    assert later["reused"] == 0


def test_a_screen_ranks_wordings_without_a_single_run_of_theirs_and_confirms_nothing(
    home: Path, capsys: Capsys, tmp_path: Path
) -> None:
    pair = awkward(home, capsys)
    file = tmp_path / "wordings.txt"
    file.write_text(f"awkward\n{CLEAR}\n")
    code, found = run(home, capsys, "phrase", "next-friday", "--tokens", "baseline", f"@{file}")
    assert code == 0
    assert (found["mode"], found["verdict"], found["change"]) == ("screen", None, None)
    assert found["cost"]["calls"] <= 2, "one reading for each; the first one's runs are stored"
    assert [w["name"] for w in found["wordings"]] == ["baseline", CLEAR, "awkward"]
    assert [w["confirmed"] for w in found["wordings"]] == [True, False, False]
    _, clear, worse = (w["predicted"] for w in found["wordings"])
    assert clear["low"] > 0.2
    assert worse["high"] < 0
    assert worse["low"] <= pair["moved"]["value"] <= worse["high"]
    assert "No run" not in found["text"]
    assert "no run has confirmed it" in found["text"]
    assert main(["phrase", "next-friday", "--tokens", "baseline", f"@{file}", "--project", str(home), "--quiet"]) == 0
    page = " ".join(capsys.readouterr().out.split())
    assert "nothing here is confirmed" in page
    assert f"reroll phrase next-friday --at {found['at']['position']} --tokens baseline '{CLEAR}'" in page


def test_a_used_up_budget_leaves_it_undecided_with_how_many_more_would_tell(home: Path, capsys: Capsys) -> None:
    code, found = run(home, capsys, "phrase", "next-friday", "--tokens", "awkward", "--at", "1", "--budget", "40")
    assert code == 0
    assert (found["verdict"], found["finished"], found["at"]["chosen"]) == ("undecided", True, "given")
    assert found["cost"]["calls"] == 40
    assert found["calls_needed"] is None or found["calls_needed"] > 0
    assert "budget of 40" in found["stopped"]
    code, more = run(home, capsys, "phrase", "next-friday", "--tokens", "awkward", "--at", "1", "--budget", "40")
    assert more["runs"] == found["runs"] + 40
    assert more["reused"] == found["runs"]
    exact = known(home, capsys, "awkward", "")[1] - known(home, capsys, "next-friday", "")[1]
    assert more["change"]["low"] <= exact <= more["change"]["high"]


def test_a_passing_sample_is_looked_along_where_the_wordings_differ_most(home: Path, capsys: Capsys) -> None:
    main(["samples", "next-friday", "--project", str(home), "--json"])
    listed = json.loads(capsys.readouterr().out)
    passing = next(s["shown"]["id"] for s in listed["samples"] if s["shown"]["outcome"] == "pass")
    found = awkward(home, capsys, "--sample", passing, "--budget", "60")
    assert (found["at"]["chosen"], found["at"]["sample_fails"], found["at"]["sample"]) == ("differ", False, passing)
    assert found["at"]["watched"] == "27"
    assert found["at"]["position"] == found["at"]["differ_most"]
    furthest = max(found["path"], key=lambda token: token["total_variation"])
    assert furthest == found["path"][found["at"]["position"] - 1]


def test_where_the_answer_ends_success_is_known_without_a_run(home: Path, capsys: Capsys) -> None:
    words = ("phrase", "half-seven", "--tokens", "half-past-seven", "--budget", "60", "--at")
    _, found = run(home, capsys, *words, "1")
    _, end = run(home, capsys, *words, str(len(found["path"])))
    assert end["at"]["watched"] == "(end)"
    row = next(t for t in end["tokens"] if t["watched"])
    assert [s["value"] for s in row["success"]] == [0.0, 0.0]
    assert end["runs"] == 0


def test_a_gate_stays_shut_for_what_is_worse_or_only_predicted(home: Path, capsys: Capsys) -> None:
    awkward(home, capsys)
    assert run(home, capsys, "phrase", "next-friday", "--tokens", "awkward", "--gate")[0] == 1
    assert run(home, capsys, "phrase", "next-friday", "--tokens", "baseline", "awkward", CLEAR, "--gate")[0] == 3


@pytest.mark.parametrize("columns", [40, 80, 100])
def test_the_page_holds_what_the_json_says_at_any_width(
    home: Path, capsys: Capsys, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    awkward(home, capsys)
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main(["phrase", "next-friday", "--tokens", "awkward", "--project", str(home), "--quiet", "--seed", "1"]) == 0
    page = capsys.readouterr().out
    assert all(len(line) <= columns for line in page.splitlines())
    plain = " ".join(page.split())
    for words in ("B works less often", "“20”", "“27”", "B is the flatter one", "what follows it", "0 calls"):
        assert words in plain, words


def test_what_it_takes_is_said_before_the_first_call(home: Path, capsys: Capsys) -> None:
    awkward(home, capsys)
    main(
        ["phrase", "next-friday", "--tokens", "awkward", "--project", str(home), "--json", "--quiet", "--budget", "50"]
    )
    said = capsys.readouterr().err
    assert re.search(r"reading the wordings at most \d+ calls of one token, .* at the very most 50 calls", said)


def test_words_of_a_wording_and_of_the_model_do_no_harm_on_a_page(home: Path, capsys: Capsys) -> None:
    evil = "\x1b[2J [bold]Lunch[/bold] with Ana next Friday at noon\u202e"
    main(["phrase", "next-friday", "--tokens", evil, "--project", str(home), "--quiet", "--budget", "40"])
    page = capsys.readouterr().out
    assert "\x1b[2J" not in page
    assert "\u202e" not in page
    assert "[bold]Lunch[/bold]" in page


def test_runs_of_a_wording_are_no_runs_of_the_case_and_no_branches_of_other_questions(
    home: Path, capsys: Capsys
) -> None:
    awkward(home, capsys)
    with Store.open(home / ".reroll" / "store.sqlite") as store:
        mine = {s.id for s in store.samples(source="continued") if s.series.startswith("phrase after ")}
    assert mine
    main(["samples", "next-friday", "--limit", "5000", "--project", str(home), "--json"])
    listed = json.loads(capsys.readouterr().out)
    assert not mine & {s["shown"]["id"] for s in listed["samples"]}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--tokens", "nope"), "no wording `nope`"),
        (("--tokens", "next-friday"), "send the same request"),
        (("--tokens", "awkward", "--width", "0"), "--width is in points of success"),
        (("--tokens", "awkward", "--width", "nan"), "--width is in points of success"),
        (("--tokens", "awkward", "--at", "99"), "--at is a token of the answer"),
        (("--tokens", "awkward", "--at", "2.5"), "--at is a whole number"),
        (("--tokens", "awkward", "--horizon", "100"), "leave --horizon out"),
        (("--tokens", "awkward", "--budget", "1"), "--budget is too small"),
        (("--tokens", "awkward", "--sample", "s_nope"), "no stored sample"),
        (("--tokens", "response.date.type=date\x00"), "not text in UTF-8"),
    ],
)
def test_bad_input_is_one_sentence(home: Path, capsys: Capsys, words: tuple[str, ...], said: str) -> None:
    assert main(["phrase", "next-friday", *words, "--project", str(home), "--quiet"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert "Traceback" not in err


def test_a_sample_of_another_request_is_refused(home: Path, capsys: Capsys) -> None:
    main(["rerun", "clear-friday", "--budget", "8", "--project", str(home), "--quiet", "--json"])
    capsys.readouterr()
    main(["samples", "clear-friday", "--project", str(home), "--json"])
    other = json.loads(capsys.readouterr().out)["samples"][0]["shown"]["id"]
    assert main(["phrase", "next-friday", "--tokens", "awkward", "--sample", other, "--project", str(home)]) == 2
    assert "answered another request" in capsys.readouterr().err


def test_a_case_that_never_fails_says_so_and_how_to_go_on(tmp_path: Path, capsys: Capsys) -> None:
    init_project(tmp_path)
    case = {"id": "any", "input": {"request": "Tea with Ana"}, "checks": [{"not": {"equals": "no meeting"}}]}
    (tmp_path / "cases.yaml").write_text(json.dumps({"cases": [case]}))
    words = ("phrase", "any", "--tokens", "Some tea with Ana", "--budget", "16", "--project", str(tmp_path))
    assert main([*words, "--quiet"]) == 2
    err = capsys.readouterr().err
    assert "none of 16 runs failed" in err
    assert "--sample" in err


def test_a_model_without_tokens_names_what_is_missing_and_what_is_left(tmp_path: Path, capsys: Capsys) -> None:
    row = {
        "case_id": "tea",
        "run": 0,
        "model": "m",
        "messages": [{"role": "user", "content": "tea"}],
        "completion": "no",
    }
    (tmp_path / "runs.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "program.yaml").write_text("program: m\nmodel: recorded:runs.jsonl\neffects: none\n")
    case = {"id": "tea", "input": {"request": "tea"}, "checks": [{"equals": "yes"}]}
    (tmp_path / "cases.yaml").write_text(json.dumps({"cases": [case]}))
    assert main(["phrase", "tea", "--tokens", "some tea please", "--project", str(tmp_path), "--quiet"]) == 2
    err = capsys.readouterr().err
    assert "is a recording, which can be read but not asked anew" in err
    assert "`reroll compare`" in err


def test_a_screen_of_seven_bits_gets_a_minus_that_it_can_show(home: Path, capsys: Capsys) -> None:
    pen = Pen(Console(file=io.TextIOWrapper(io.BytesIO(), encoding="ascii")))
    shown = pen.ready(pen.text(awkward(home, capsys)["text"])).plain
    assert shown.isascii()
    assert "between -" in shown


def test_at_temperature_0_what_is_never_said_is_said_to_come_hardly_ever(tmp_path: Path, capsys: Capsys) -> None:
    init_project(tmp_path)
    program = tmp_path / "program.yaml"
    program.write_text(program.read_text().replace("temperature: 1,", "temperature: 0,"))
    _, found = run(tmp_path, capsys, "phrase", "next-friday", "--tokens", "awkward", "--budget", "120")
    a, b = found["wordings"]
    assert (found["at"]["sample_of"], a["prob"], b["prob"]) == ("awkward", None, 1.0)
    assert (a["margin"], b["margin"]) == (None, None)
    assert "in hardly any run with A" in found["text"]
    assert found["change"]["high"] < 0
