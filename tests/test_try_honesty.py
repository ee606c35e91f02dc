"""What must never be called fixed: guards in the way, pairs out of step, one request for many, harm unlooked for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from benchmarks._planted import planted_server
from benchmarks._tried import BASE, CASE, Product, Rates, project

from reroll.case import Case
from reroll.program import Program
from reroll.reduction import pairs_of
from reroll.scorecard import Rules, expected, score
from reroll.trial import untouched
from reroll.trying import Asked, Sets
from tests.background import reroll

GOOD: Rates = (0.02, 0.02, 0.04, 0.03)
WIDE = ("--case", "refund", "--yes", "--quiet", "--margin", 0.2, "--lookalike-margin", 0.2)
DUD = {"kind": "clause.edit", "target": "system.role", "text": "You serve a shop, as ever."}
GENERAL = {"kind": "clause.add", "target": "system.money", "text": "GENERAL rule about money."}
MEND = {"kind": "patch.postprocess", "when": {"completion": "lost|unknown"}, "replace": [["lost|unknown", "done"]]}
AGAIN = {"kind": "patch.retry", "when": {"completion": "lost|unknown"}, "times": 10}
ON_INPUT = {"step": "block", "on": "input", "when": {"input": "(?i)refund|money|order|payment"}, "says": "Wait."}
ON_ANSWER = {"step": "block", "on": "completion", "when": {"completion": "lost"}, "says": "Wait."}


def tried(capsys: Any, folder: Path, name: str, *more: object) -> dict[str, Any]:
    found: dict[str, Any] = reroll(capsys, "try", name, "--project", folder, *WIDE, "--json", *more).json
    return found


@pytest.mark.parametrize("guard", [ON_INPUT, ON_ANSWER])
def test_a_guard_that_is_there_already_makes_no_dud_look_good(
    capsys: Any, tmp_path: Path, guard: dict[str, Any]
) -> None:
    with planted_server(Product(seed=1)) as url:  # type: ignore[arg-type]
        folder = project(tmp_path, url, {"dud": DUD}, steps=[guard])
        found = tried(capsys, folder, "dud", "--budget", 500)
    assert found["verdict"] != "accept"
    assert found["fixes"][0]["claims"]["helps"] != "shown"


def test_an_answer_that_is_stopped_is_no_right_answer(capsys: Any, tmp_path: Path) -> None:
    stop = {"kind": "guard.block", "on": "completion", "when": {"completion": "lost|unknown"}, "says": "Wait."}
    with planted_server(Product(seed=2)) as url:  # type: ignore[arg-type]
        found = tried(capsys, project(tmp_path, url, {"stop": stop}), "stop", "--budget", 500)
    card = found["fixes"][0]
    assert found["verdict"] == "reject"
    assert (card["stopped"] > 20, card["stopped_right"]) == (True, 0)
    assert card["control_harm"]["value"] in (None, 0)
    assert "withheld" in found["text"]


def test_two_commands_at_once_keep_every_completion_with_its_own_pair(tmp_path: Path) -> None:
    """A patch that mends every wrong answer leaves none, whoever else draws for the same trial."""
    with planted_server(Product(seed=3)) as url:  # type: ignore[arg-type]
        folder = project(tmp_path, url, {"mend": MEND})
        told = [str(word) for word in ("try", "mend", "--project", folder, *WIDE, "--budget", 150, "--json")]
        command = [sys.executable, "-c", "import sys; from reroll.cli import main; sys.exit(main())", *told]
        both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) for _ in range(2)]
        said = [json.loads(one.communicate(timeout=120)[0]) for one in both]
    for found in said:
        card = found["fixes"][0]
        assert card["case"]["pairs"] > 8
        assert card["case"]["after"]["failures"] == card["neighbours"]["after"]["failures"] == 0


def test_retries_that_go_on_after_the_budget_ended_are_paired_as_if_it_had_not(capsys: Any, tmp_path: Path) -> None:
    product = Product(seed=4)
    with planted_server(product) as url:  # type: ignore[arg-type]
        folder = project(tmp_path, url, {"again": AGAIN})
        for budget in (40, 40, 40):
            before = product.calls
            found = tried(capsys, folder, "again", "--budget", budget)
            assert product.calls - before <= budget, "each retry is a call, and the budget holds"
    card = found["fixes"][0]
    assert card["case"]["before"]["failures"] > 2
    assert card["case"]["after"]["n"] == card["case"]["before"]["n"]


def test_a_rewrite_that_only_acts_on_what_an_earlier_one_wrote_is_not_called_idle() -> None:
    case = Case(id="c", input={"request": "What is the price?"})
    first = {"step": "rewrite", "on": "input", "replace": [["What is the price", "WHATPRICE"]]}
    then = {"step": "rewrite", "on": "input", "replace": [["WHATPRICE", "Tell me the fare"]]}
    base = Program(program="p", system={"role": "Be kind."}, steps=(first,))
    assert not untouched(base, base.model_copy(update={"steps": (first, then)}), case)
    other = {**then, "when": {"input": "refund"}}
    assert untouched(base, base.model_copy(update={"steps": (first, other)}), case)


def changed(folder: Path, keep: Any) -> None:
    """The project with other cases."""
    path = folder / "cases.yaml"
    cases = [kept for case in yaml.safe_load(path.read_text())["cases"] if (kept := keep(case)) is not None]
    path.write_text(yaml.safe_dump({"cases": cases}, sort_keys=False))


def test_without_any_ordinary_request_nothing_is_accepted_and_other_cases_stand_in_for_them(
    capsys: Any, tmp_path: Path
) -> None:
    harmful: Rates = (0.02, 0.02, 0.04, 0.9)
    with planted_server(Product({"GENERAL": harmful}, seed=5)) as url:  # type: ignore[arg-type]
        alone = project(tmp_path / "alone", url, {"general": GENERAL})
        changed(alone, lambda case: case if case.get("set") in (None, "neighbour") else None)
        found = tried(capsys, alone, "general", "--budget", 400)
        assert found["verdict"] == "undecided"
        assert "none to try it on" in found["text"]
        others = project(tmp_path / "others", url, {"general": GENERAL})
        changed(others, lambda case: {**case, "set": "case"} if case.get("set") == "control" else case)
        assert "spares_control" in tried(capsys, others, "general", "--budget", 900)["fixes"][0]["reasons"]


def test_one_held_out_request_run_again_and_again_is_not_many(capsys: Any, tmp_path: Path) -> None:
    with planted_server(Product({"GENERAL": GOOD}, seed=6)) as url:  # type: ignore[arg-type]
        folder = project(tmp_path, url, {"general": GENERAL})
        few = ("neighbour-1", "neighbour-2")
        changed(folder, lambda case: case if case.get("set") != "neighbour" or case["id"] in few else None)
        found = tried(capsys, folder, "general", "--budget", 700)
    assert found["verdict"] == "undecided"
    assert any("one neighbour is held out" in caveat for caveat in found["caveats"])


def test_a_patch_of_ones_own_that_breaks_has_failed_and_is_not_the_servers_silence(capsys: Any, tmp_path: Path) -> None:
    with planted_server(Product(seed=7)) as url:  # type: ignore[arg-type]
        breaks = {"kind": "patch.python", "function": "patches:mend", "on": "completion"}
        folder = project(tmp_path, url, {"breaks": breaks})
        (folder / "patches.py").write_text("def mend(text):\n    raise ValueError('no')\n")
        ran = reroll(capsys, "try", "breaks", "--project", folder, *WIDE, "--json", "--budget", 300)
    assert (ran.code, ran.json["verdict"]) == (1, "reject")
    card = ran.json["fixes"][0]
    assert card["broke"] >= card["case"]["after"]["n"] + card["neighbours"]["after"]["n"]
    assert "its own step broke: 'step 1 (python): patch patches:mend crashed: ValueError('no')" in ran.json["text"]


def test_several_completions_a_call_and_names_that_are_taken_are_refused(capsys: Any, tmp_path: Path) -> None:
    with planted_server(Product(seed=8)) as url:  # type: ignore[arg-type]
        several = project(tmp_path / "n", url, {"general": GENERAL}, params={"n": 3})
        assert "[several]" in reroll(capsys, "try", "general", "--project", several, *WIDE).complaint
        folder = project(tmp_path / "names", url, {"baseline": GENERAL})
        assert "cannot be called `baseline`" in reroll(capsys, "try", "baseline", "--project", folder, *WIDE).complaint


def test_a_recording_cannot_say_what_a_lever_would_do(capsys: Any, tmp_path: Path) -> None:
    rows = [
        {"case_id": id, "run": k, "model": "m", "messages": [], "completion": '{"answer": "lost"}'}
        for id in ("refund", *(f"neighbour-{n}" for n in range(1, 9)))
        for k in range(6)
    ]
    where = {"model": "recorded:runs.jsonl", "base_url": None}
    folder = project(tmp_path, "", {"general": GENERAL, "mend": MEND}, **where)
    (folder / "runs.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    assert "is a recording" in reroll(capsys, "try", "general", "--project", folder, *WIDE).complaint
    found = tried(capsys, folder, "mend")
    assert found["fixes"][0]["case"]["after"]["failures"] == 0


def test_of_several_fixes_no_scorecard_is_stricter_than_the_trial_that_led_to_it() -> None:
    """A good one may be refuted while choosing and again at the end: both share alpha."""
    sets, none = Sets((), (), (), (), ()), cast(Any, None)
    one, two = (Asked(sets, Rules(), none, [(name, none, none) for name in names]).rules for names in ("a", "ab"))
    assert (one.phases, two.phases) == (1, 2)
    pairs = {"case": expected(64, 0.5, 0.1), "neighbour": expected(64, 0.5, 0.1)}
    verdicts = []
    for harmed in range(1, 12):
        pairs["control"] = pairs_of([("pass", "fail")] * harmed + [("pass", "pass")] * 40)
        verdicts.append((score(pairs, one).verdict, score(pairs, two).verdict))
    assert ("reject", "undecided") in verdicts  # what lies between the two bars
    assert ("undecided", "reject") not in verdicts


def test_the_planted_product_is_what_its_rates_say() -> None:
    product = Product({"GENERAL": GOOD}, seed=1)
    body = {"messages": [{"role": "system", "content": "GENERAL"}, {"role": "user", "content": CASE}]}
    assert product.rate(body) == GOOD[0]
    assert product.rate({"messages": [{"role": "user", "content": "Anything else?"}]}) == BASE[3]


def test_a_fix_that_is_tried_again_from_zero_says_so_and_one_that_goes_on_does_not(capsys: Any, tmp_path: Path) -> None:
    with planted_server(Product(seed=9)) as url:  # type: ignore[arg-type]
        folder = project(tmp_path, url, {"dud": DUD})
        found = [tried(capsys, folder, "dud", "--budget", 40, *more) for more in ((), (), ("--fresh",))]
    said = [any("from zero each time" in caveat for caveat in one["caveats"]) for one in found]
    assert said == [False, False, True]
    assert "this was tried 1 time before on this case, from zero each time" in " ".join(found[-1]["caveats"])


def test_a_fix_that_helps_too_little_is_not_said_to_help_nothing(capsys: Any, tmp_path: Path) -> None:
    with planted_server(Product(seed=10)) as url:  # type: ignore[arg-type]
        found = tried(capsys, project(tmp_path, url, {"dud": DUD}), "dud", "--budget", 500)
    assert found["verdict"] == "reject"
    assert "by less than 25 % of its failures, if at all" in found["text"]


def test_nothing_is_accepted_where_ordinary_requests_fail_anyway_and_could_show_no_harm(
    capsys: Any, tmp_path: Path
) -> None:
    base: Rates = (0.6, 0.6, 0.04, 0.97)
    for control, verdict in ((0.97, "undecided"), (0.03, "accept")):
        product = Product({"GENERAL": (0.02, 0.02, 0.04, control)}, base=(*base[:3], control), seed=11)  # type: ignore[arg-type]
        with planted_server(product) as url:  # type: ignore[arg-type]
            folder = project(tmp_path / verdict, url, {"general": GENERAL})
            found = tried(capsys, folder, "general", "--budget", 900)
        assert found["verdict"] == verdict
        assert any("harm could hardly be seen" in caveat for caveat in found["caveats"]) == (verdict == "undecided")
