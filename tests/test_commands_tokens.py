"""The commands that look at tokens, as a person runs them: on the bundled model, through the real command line."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from reroll.cli import main
from reroll.init import init_project
from reroll.store import Store

Capsys = Any


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("meetings")
    init_project(folder)
    return folder


def run(home: Path, capsys: Capsys, *words: str) -> tuple[int, dict[str, Any]]:
    """What a command says; seeded, so that no run of the tests differs from another by chance."""
    quiet = [] if words[0] == "samples" else ["--quiet"]
    seed = [] if words[0] == "samples" or "--seed" in words else ["--seed", "5"]
    code = main([*words, "--project", str(home), "--json", *quiet, *seed])
    out = capsys.readouterr().out
    assert out.count("\n") == 1, "exactly one JSON object on stdout"
    return code, json.loads(out)


def failing(home: Path, capsys: Capsys, case: str) -> str:
    """The id of a stored failing run of the case."""
    run(home, capsys, "rerun", case, "--seed", "5")
    _, listed = run(home, capsys, "samples", case)
    return str(next(s["shown"]["id"] for s in listed["samples"] if s["shown"]["outcome"] == "fail"))


def test_futures_know_the_failure_rate_that_many_runs_show(home: Path, capsys: Capsys) -> None:
    code, found = run(home, capsys, "futures", "next-friday", "--draws", "0")
    assert code == 0
    rate = found["rate"]
    assert rate["method"] == "enumeration"
    # How many calls the server takes at once changes its sums: what two readings differed by stands in the range.
    assert rate["high"] - rate["low"] <= 0.01 + found["noise"]
    assert found["tokens"] <= 300
    masses = [
        found[name] for name in ("known_failure", "known_success", "known_invalid", "unexplored", "outside_top_k")
    ]
    assert sum(masses) + found["noise"] == pytest.approx(1)
    _, certified = run(home, capsys, "certify", "next-friday", "--target", "0.62", "--budget", "300")
    sampled = certified["rate"]
    assert sampled["low"] <= rate["high"]
    assert rate["low"] <= sampled["high"]


def test_plain_runs_agree_with_what_the_server_lists(home: Path, capsys: Capsys) -> None:
    _, found = run(home, capsys, "futures", "next-friday", "--draws", "40")
    assert found["agreement"]["agrees"]
    assert found["agreement"]["draws"] == 40
    assert "checked by 40 plain runs" in found["text"]


def test_futures_come_in_order_of_probability_each_judged(home: Path, capsys: Capsys) -> None:
    _, found = run(home, capsys, "futures", "next-friday", "--down-to", "1e-3")
    probs = [f["prob"] for f in found["completions"]]
    assert probs == sorted(probs, reverse=True)
    assert {f["outcome"] for f in found["completions"]} == {"pass", "fail"}
    assert all(p >= 1e-6 for p in probs)


def test_futures_that_are_stored_cost_no_call_again(home: Path, capsys: Capsys) -> None:
    _, first = run(home, capsys, "futures", "next-friday")
    _, again = run(home, capsys, "futures", "next-friday")
    assert again["calls"] == 0
    assert again["rate"] == first["rate"]


def test_a_budget_stops_futures_and_what_is_known_holds(home: Path, capsys: Capsys) -> None:
    code, found = run(home, capsys, "futures", "half-seven", "--budget", "2")
    assert code == 4
    assert not found["finished"]
    assert found["calls"] == 2
    assert found["rate"]["low"] <= 0.56 <= found["rate"]["high"]
    code, found = run(home, capsys, "futures", "half-seven")
    assert code == 0
    assert found["finished"]


def test_forks_name_the_token_that_decides_what_half_seven_means(home: Path, capsys: Capsys) -> None:
    sample = failing(home, capsys, "half-seven")
    code, found = run(home, capsys, "forks", sample, "--seed", "3")
    assert code == 0
    assert found["verdict"] == "dud"
    assert found["token"] == "18"
    assert found["tier"] == "A"
    # A band of 90 %, and the server's own numbers drift a little: near is what can be asked of one search.
    assert found["success_before"]["low"] - 0.08 <= 0.44 <= found["success_before"]["high"] + 0.08
    assert found["success_after"]["high"] < 0.3
    assert found["drop"]["low"] > 0.05
    best = max(found["alternatives"], key=lambda row: row["success"]["value"])
    assert best["token"] == "19"
    assert "“18”" in found["text"]
    assert "".join(t["text"] for t in found["tokens"]).startswith('{"date"')


def test_the_same_search_again_ends_where_it_ended_and_calls_nothing(home: Path, capsys: Capsys) -> None:
    sample = failing(home, capsys, "half-seven")
    _, found = run(home, capsys, "forks", sample, "--seed", "3")
    # What came since does not turn it.
    run(home, capsys, "forks", failing(home, capsys, "next-friday"))
    run(home, capsys, "futures", "half-seven")
    _, again = run(home, capsys, "forks", sample, "--seed", "3")
    assert again["cost"]["calls"] == 0
    assert again["cost"]["reused"] >= again["rollouts"] > 0
    assert {**again, "cost": 0} == {**found, "cost": 0}


def test_branches_from_before_a_check_was_written_are_no_evidence_by_it(tmp_path: Path, capsys: Capsys) -> None:
    init_project(tmp_path)
    sample = failing(tmp_path, capsys, "half-seven")
    run(tmp_path, capsys, "forks", sample, "--seed", "3")
    cases = tmp_path / "cases.yaml"
    cases.write_text(cases.read_text().replace("19:30", "19:29"))
    _, again = run(tmp_path, capsys, "forks", sample, "--seed", "3")
    assert (again["reused"], again["cost"]["reused"]) == (0, 0)
    assert (again["verdict"], again["cost"]["calls"] > 0) == ("doomed", True)


def test_a_search_that_was_stopped_goes_on_from_its_own_draws(tmp_path: Path, capsys: Capsys) -> None:
    init_project(tmp_path)
    sample = failing(tmp_path, capsys, "half-seven")
    code, cut = run(tmp_path, capsys, "forks", sample, "--seed", "3", "--budget", "40")
    assert (code, cut["finished"]) == (4, False)
    code, found = run(tmp_path, capsys, "forks", sample, "--seed", "3")
    assert (code, found["verdict"], found["token"]) == (0, "dud", "18")
    assert found["cost"]["reused"] >= cut["rollouts"] > 0
    assert found["cost"]["calls"] == found["rollouts"] - found["cost"]["reused"]


def test_a_budget_that_does_not_hold_the_scoring_of_an_answer_is_not_overrun(tmp_path: Path, capsys: Capsys) -> None:
    init_project(tmp_path)
    sample = failing(tmp_path, capsys, "half-seven")
    assert main(["forks", sample, "--project", str(tmp_path), "--budget", "20"]) == 2
    said = capsys.readouterr().err
    assert "first 22 calls to ask how likely each of its 22 tokens was" in said
    assert "takes 22 calls, and the budget has 20 left; give --budget 22 or more" in said
    with Store.open(tmp_path / ".reroll" / "store.sqlite") as store:
        assert store.samples(source="continued") == []


def test_forks_of_a_case_look_at_a_run_that_failed_as_most_did(tmp_path: Path, capsys: Capsys) -> None:
    init_project(tmp_path)
    assert main(["forks", "half-seven", "--project", str(tmp_path)]) == 2
    assert "`half-seven`: no run of it is stored; `reroll rerun half-seven` makes some" in capsys.readouterr().err
    failing(tmp_path, capsys, "half-seven")
    _, found = run(tmp_path, capsys, "forks", "half-seven")
    assert found["case"] == "half-seven"
    assert (found["verdict"], found["token"]) == ("dud", "18")
    _, fresh = run(tmp_path, capsys, "forks", "half-seven", "--fresh")
    assert (fresh["sample"], fresh["reused"]) == (found["sample"], 0)
    assert fresh["cost"]["calls"] >= fresh["rollouts"] > 0


def test_forks_refuse_what_did_not_fail(home: Path, capsys: Capsys) -> None:
    failing(home, capsys, "half-seven")
    _, listed = run(home, capsys, "samples", "half-seven")
    passing = next(s["shown"]["id"] for s in listed["samples"] if s["shown"]["outcome"] == "pass")
    assert main(["forks", passing, "--project", str(home)]) == 2
    assert "did not fail" in capsys.readouterr().err


def test_branches_are_no_runs_of_the_case_wherever_one_looks(home: Path, capsys: Capsys) -> None:
    run(home, capsys, "futures", "next-friday")
    with Store.open(home / ".reroll" / "store.sqlite") as store:
        continued = {s.id for s in store.samples(source="continued")}
    assert continued
    _, listed = run(home, capsys, "samples", "next-friday", "--limit", "1000")
    assert not continued & {s["shown"]["id"] for s in listed["samples"]}
    out = home / "all.jsonl"
    assert main(["export", "--out", str(out), "--project", str(home), "--json"]) == 0
    capsys.readouterr()
    assert not any(id in out.read_text() for id in continued)


def test_pages_of_tokens_hold_what_the_json_says(home: Path, capsys: Capsys) -> None:
    assert main(["futures", "next-friday", "--project", str(home), "--quiet"]) == 0
    page = capsys.readouterr().out
    assert "What can happen" in page
    assert "fails for sure" in page
    sample = failing(home, capsys, "half-seven")
    assert main(["forks", sample, "--project", str(home), "--quiet", "--seed", "3"]) == 0
    page = capsys.readouterr().out
    assert "One token led it astray" in page
    assert "18" in page


def test_an_ordinary_answer_is_not_called_surprising(home: Path, capsys: Capsys) -> None:
    sample = failing(home, capsys, "half-seven")
    code, found = run(home, capsys, "surprise", sample, "--per-day", "1000")
    assert code == 0
    assert found["verdict"] == "usual"
    assert found["at_least_this_surprising"]["low"] > 0.05
    assert found["log_prob"] == pytest.approx(sum(t["log_prob"] for t in found["tokens"]), abs=1e-6)
    assert "a day" in found["text"]


def test_an_answer_that_comes_in_a_third_of_runs_is_no_surprise(home: Path, capsys: Capsys) -> None:
    saw = home / "usual.txt"
    saw.write_text('{"date":"2026-11-20","time":"12:00","duration_min":60,"attendees":["Ana"]}')
    _, found = run(home, capsys, "surprise", "next-friday", "--saw", str(saw), "--draws", "40")
    counted = found["at_least_this_surprising"]
    assert counted["value"] > 0.15, "each run that said the same counts, however its tokens were rounded"
    assert (found["verdict"], counted["low"] > 0.05) == ("usual", True)


def test_a_text_that_another_request_would_write_is_told_from_a_rare_one(home: Path, capsys: Capsys) -> None:
    saw = home / "saw.txt"
    saw.write_text("Dear customer, thank you for your patience! We will write to you in the next few days.\r\n")
    _, found = run(home, capsys, "surprise", "next-friday", "--saw", str(saw))
    assert found["verdict"] == "other_request"
    assert found["departure"] < 1e-6
    saw.write_text('{"date":"2026-11-27","time":"12:30","duration_min":60,"attendees":["Ana"]}\n')
    _, found = run(home, capsys, "surprise", "next-friday", "--saw", str(saw))
    assert found["verdict"] in ("rare", "undecided")
    assert found["read_as"] == "without the line end at its end"


def test_an_empty_text_is_refused_in_a_sentence(home: Path, capsys: Capsys) -> None:
    (home / "nothing.txt").write_text("")
    assert main(["surprise", "next-friday", "--saw", str(home / "nothing.txt"), "--project", str(home)]) == 2
    assert "empty" in capsys.readouterr().err


def test_a_case_alone_is_asked_for_what_was_seen(home: Path, capsys: Capsys) -> None:
    assert main(["surprise", "next-friday", "--project", str(home)]) == 2
    assert "`next-friday` is a case: give what was seen with --saw FILE" in capsys.readouterr().err


def test_runs_of_a_case_are_shown_as_a_tree_that_counts_them_all(home: Path, capsys: Capsys) -> None:
    failing(home, capsys, "half-seven")
    code, found = run(home, capsys, "samples", "half-seven", "--tree")
    assert code == 0

    def leaves(branch: dict[str, Any]) -> list[dict[str, Any]]:
        return [leaf for inner in branch["branches"] for leaf in leaves(inner)] or [branch]

    assert sum(leaf["samples"] for leaf in leaves(found["tree"])) == found["samples"]
    assert found["tree"]["passes"] + found["tree"]["fails"] == found["samples"]
    assert main(["samples", "half-seven", "--tree", "--project", str(home)]) == 0
    assert "18:30" in capsys.readouterr().out
    assert main(["samples", "--tree", "--project", str(home)]) == 2


# -- on the screen and as pictures -------------------------------------------------------------------------------------


def told(line: str) -> tuple[int, str]:
    """What a line of progress says: how many calls were made, and the rest."""
    found = re.search(r" · ([\d,]+) of 400 calls · (.*)", line)
    assert found is not None, line
    return int(found[1].replace(",", "")), found[2]


def test_the_live_line_counts_the_calls_that_were_really_made(tmp_path: Path, capsys: Capsys) -> None:
    init_project(tmp_path)
    here = ["--project", str(tmp_path)]
    assert main(["futures", "next-friday", "--json", *here]) == 0
    out, err = capsys.readouterr()
    lines, cost = err.splitlines(), json.loads(out)["cost"]
    assert told(lines[0])[0] == 0
    assert told(lines[-1])[0] == cost["calls"] > 40, "greedy calls and plain runs alike"
    assert "fails for sure" in lines[-1]
    sample = failing(tmp_path, capsys, "half-seven")
    assert main(["forks", sample, "--json", "--seed", "3", *here]) == 0
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if line.startswith("half-seven")]
    assert told(lines[-1])[0] == json.loads(out)["cost"]["calls"] > 20
    assert not any("failed" in line for line in lines), "rollouts are no runs of the case"
    assert main(["surprise", sample, "--json", *here]) == 0
    out, err = capsys.readouterr()
    lines = [line for line in err.splitlines() if line.startswith("half-seven")]
    assert told(lines[-1])[0] == json.loads(out)["cost"]["calls"] > 0


def drawn(home: Path, capsys: Capsys, *words: str) -> tuple[str, bytes]:
    """The page of a command as SVG, well-formed, and as PNG where that can be drawn."""
    svg, png = home / "page.svg", home / "page.png"
    for path in (svg, png):
        path.unlink(missing_ok=True)
    also = ["--png", str(png)] if importlib.util.find_spec("resvg_py") else []
    quiet = [] if words[0] in ("samples", "show") else ["--quiet"]
    main([*words, "--project", str(home), *quiet, "--svg", str(svg), *also])
    capsys.readouterr()
    text = svg.read_text("utf-8")
    root = ElementTree.fromstring(text)
    assert root[0].text == f"reroll {' '.join(w for w in words if w not in ('--seed', '3'))}"
    if also:
        assert png.read_bytes().startswith(b"\x89PNG")
    return " ".join("".join(root.itertext()).replace("\xa0", " ").split()), png.read_bytes() if also else b""


def test_the_pages_of_tokens_are_drawn_as_they_are_printed(home: Path, capsys: Capsys) -> None:
    sample = failing(home, capsys, "half-seven")
    for words, said in (
        (("futures", "next-friday"), ("Where the probability is", "fails for sure", '{"date":"2026-11-27"')),
        (("forks", sample, "--seed", "3"), ("One token led it astray", "here it went wrong", "100 % │")),
        (("surprise", sample), ("What it said, by surprise", "At least this surprising")),
        (("rerun", "half-seven"), ("How often it fails",)),
        (("show", sample), ("What was sent",)),
    ):
        page, _ = drawn(home, capsys, *words)
        for piece in said:
            assert piece in page, (words, piece)


def test_the_same_page_gives_the_same_bytes_with_json_too(home: Path, capsys: Capsys) -> None:
    failing(home, capsys, "half-seven")
    first = drawn(home, capsys, "samples", "half-seven", "--tree")
    svg = (home / "page.svg").read_bytes()
    assert "18:30" in first[0]
    assert drawn(home, capsys, "samples", "half-seven", "--tree") == first
    assert (home / "page.svg").read_bytes() == svg
    again = home / "again.svg"
    _, found = run(home, capsys, "samples", "half-seven", "--tree", "--svg", str(again))
    assert found["schema"] == "reroll.tree/1"
    assert again.read_bytes() == svg


def test_a_picture_that_cannot_be_written_is_known_before_the_first_call(tmp_path: Path, capsys: Capsys) -> None:
    init_project(tmp_path)
    here = ["--project", str(tmp_path)]
    both = str(tmp_path / "x")
    for words, said in (
        (
            ["futures", "next-friday", "--svg", "/nope/x.svg"],
            "/nope/x.svg needs the folder /nope; choose another --svg",
        ),
        (["forks", "s_1", "--png", str(tmp_path)], "is a folder; choose another --png"),
        (["rerun", "half-seven", "--svg", both, "--png", both], "--svg and --png name the same file"),
        (["certify", "--explain", "--svg", both], "certify --explain prints no page"),
        (["show", "s_1", "--request", "--png", both], "show --request prints no page"),
    ):
        assert main([*words, *here]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert said in err
        assert err.endswith("[out]\n")
    assert not (tmp_path / ".reroll").exists(), "nothing was called, nothing stored"


def test_what_a_model_wrote_is_only_text_in_a_picture(tmp_path: Path, capsys: Capsys) -> None:
    hostile = '</text><script>alert(1)</script><image href="http://evil.example/x"/>{lines} & \x1b[2J 日本語 👩'
    rows = [{"case_id": "a", "run": i, "model": "m", "messages": [{"role": "user", "content": "a"}]} for i in range(3)]
    (tmp_path / "runs.jsonl").write_text("".join(json.dumps({**r, "completion": hostile}) + "\n" for r in rows))
    (tmp_path / "program.yaml").write_text("program: p\nmodel: recorded:runs.jsonl\neffects: none\ntarget: 0.9\n")
    case = {"id": "a", "set": "case", "input": {"request": "a"}, "checks": [{"equals": "ok"}]}
    (tmp_path / "cases.yaml").write_text(json.dumps({"cases": [case]}))
    main(["rerun", "a", "--project", str(tmp_path), "--quiet"])
    capsys.readouterr()
    for words in (["samples", "a", "--tree"], ["samples", "a"]):
        page, _ = drawn(tmp_path, capsys, *words)
        svg = (tmp_path / "page.svg").read_text("utf-8")
        assert "<script>alert(1)</script>" in page
        assert "<ESC>[2J" in page
        assert "<script" not in svg
        assert "<image" not in svg
        assert "\x1b" not in svg


def test_where_nothing_draws_a_png_a_sentence_says_so(
    home: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    assert main(["futures", "next-friday", "--project", str(home), "--png", str(home / "no.png")]) == 2
    assert "resvg-py, which is not installed here" in capsys.readouterr().err
    assert not (home / "no.png").exists()


def test_pages_of_tokens_can_be_read_in_forty_columns(
    home: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = failing(home, capsys, "half-seven")
    monkeypatch.setenv("COLUMNS", "40")
    for words in (["futures", "next-friday"], ["forks", sample, "--seed", "3"], ["surprise", sample]):
        main([*words, "--project", str(home), "--quiet"])
        page = capsys.readouterr().out
        assert max(len(line) for line in page.splitlines()) < 40
        for line in page.splitlines():
            assert not re.fullmatch(r" +(\d[\d.]* %|\([\d.]+–[\d.]+ %\))", line), f"a number alone: {line!r}"


@pytest.mark.parametrize("budget", [0, 1, 7, 20])
def test_surprise_draws_nothing_where_the_budget_does_not_hold_what_it_takes(
    tmp_path: Path, capsys: Capsys, budget: int
) -> None:
    init_project(tmp_path)
    said = tmp_path / "said.txt"
    said.write_text('{"date":"2026-11-27","time":"12:00","duration_min":60,"attendees":["Ana"]}')
    told = ["surprise", "next-friday", "--saw", str(said), "--project", str(tmp_path)]
    assert main([*told, "--budget", str(budget)]) == 2
    assert "--budget is too small: how likely the text was takes up to" in capsys.readouterr().err
    with Store.open(tmp_path / ".reroll" / "store.sqlite") as store:
        assert store.samples() == []


@pytest.mark.parametrize(("budget", "end"), [(40, ""), (60, "\n"), (94, "\n")])
def test_surprise_leaves_of_a_small_budget_what_scoring_takes(
    tmp_path: Path, capsys: Capsys, budget: int, end: str
) -> None:
    init_project(tmp_path)
    said = tmp_path / "said.txt"
    said.write_text('{"date":"2026-11-27","time":"12:00","duration_min":60,"attendees":["Ana"]}' + end)
    code, found = run(tmp_path, capsys, "surprise", "next-friday", "--saw", str(said), "--budget", str(budget))
    assert code == 0
    assert found["cost"]["calls"] <= budget
    assert 1 <= found["agreement"]["draws"] <= 60
