"""The audit: planted faults of serving are named, nothing else is blamed, and what cannot be tried is said."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from benchmarks._planted import Planted, planted_server

from reroll.audit import (
    Drawn,
    chance_alike,
    claims,
    flips_of,
    seed_honoured,
    shares_of,
    smallest_seen,
    verdict_of,
    worth_more,
)
from reroll.circumstances import at_zero, begun_anew, seeded
from reroll.program import Program, Request
from reroll.store import Store
from tests.background import Ran, in_background, reroll
from tests.fake_server import answer

CHECK = 'contains: "yes"'


def project(folder: Path, url: str, more: str = "", check: str = CHECK, model: str = "openai:tiny") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    head = f"program: greeting\nmodel: {model}\nbase_url: {url}\nparams: {{temperature: 1}}\neffects: none\n"
    (folder / "program.yaml").write_text(head + "system: {role: Be kind.}\n" + more)
    (folder / "cases.yaml").write_text(
        f'cases:\n  - {{id: greet, input: {{request: "Say yes"}}, checks: [{{name: y, {check}}}]}}\n'
    )
    return folder


def audit(capsys: Any, folder: Path, *more: object) -> Ran:
    return reroll(capsys, "audit", "greet", "--project", folder, "--yes", "--quiet", "--seed", 4, *more)


def audited(capsys: Any, folder: Path, *more: object) -> dict[str, Any]:
    found: dict[str, Any] = audit(capsys, folder, "--json", *more).json
    return found


def arm(found: dict[str, Any], id: str) -> dict[str, Any]:
    return next(one for one in found["arms"] if one["id"] == id)


# -- what may be concluded ---------------------------------------------------------------------------------------------


def words(fails: Sequence[int], said: str = "") -> Drawn:
    texts = tuple(said) if said else tuple("no" if f else "yes" for f in fails)
    return Drawn(tuple("fail" if f else "pass" for f in fails), texts)


def test_comparisons_share_alpha_and_stay_wrong_no_more_often_than_it() -> None:
    rng, wrong, trials = np.random.default_rng(8), 0, 100
    compared: list[Any] = [("L", "P", "load"), ("R:a", "P", "replica"), ("R:b", "P", "replica")]
    for _ in range(trials):
        runs = {id: words((rng.random(40) < 0.4).tolist()) for id in ("P", "L", "R:a", "R:b")}
        wrong += any(claim.shown for claim in claims(runs, compared, 0.2))
    assert wrong <= 0.2 * trials + 3 * (0.2 * 0.8 * trials) ** 0.5
    assert wrong < trials / 5


def test_a_large_difference_is_shown_by_about_a_dozen_pairs() -> None:
    runs = {"P": words([0] * 14), "L": words([1] * 14), "C": words([0] * 14), "W": words([0] * 14)}
    found = claims(runs, [("L", "P", "load"), ("C", "W", "cold_cache")])
    assert [claim.shown for claim in found] == [True, False]
    assert found[0].ruled_out is None
    assert found[1].ruled_out is not None
    assert 0 < found[1].ruled_out < 0.6


def test_the_chance_that_answers_are_alike_is_exact() -> None:
    drawn, others = "aab", "aa"
    pool = [*drawn, *others]
    picks = list(itertools.combinations(range(len(pool)), 2))
    exact = sum(pool[i] == pool[j] for i, j in picks) / comb(5, 2)
    assert chance_alike(Drawn(said=tuple(drawn)), Drawn(said=tuple(others))) == pytest.approx(exact)


def test_a_seed_is_said_to_be_honoured_only_where_answers_without_it_differ() -> None:
    assert seed_honoured(Drawn(said=tuple("abcabcab")), Drawn(said=("a",) * 6)) == "honoured"
    assert seed_honoured(Drawn(said=("a",) * 19 + ("b",)), Drawn(said=("a",) * 6)) == "not_known"
    assert seed_honoured(Drawn(said=tuple("abcabcab")), Drawn(said=tuple("aaaaab"))) == "ignored"


def test_flips_of_a_check_take_their_part_of_the_variance_and_no_more() -> None:
    flips, inside = flips_of([["pass", "fail", "pass", "fail"]] * 8)
    assert flips == 8
    production = words([1, 0] * 4, "abababab")
    shares = shares_of(production, None, inside, ())
    assert [share.source for share in shares] == ["checker"]
    assert sum(share.value for share in shares) == pytest.approx(1)
    assert verdict_of(production, None, flips, shares, ()) == "checker"


def test_shares_add_up_and_lie_in_their_ranges() -> None:
    runs = {"P": words([0, 0, 0, 0, 1] * 6), "L": words([1] * 30), "Z": words([0, 1] * 5)}
    shown = [claim for claim in claims(runs, [("L", "P", "load")]) if claim.shown]
    shares = shares_of(runs["P"], runs["Z"], 0.05, shown)
    assert {s.source for s in shares} == {"load", "checker", "nondeterminism"}
    assert sum(s.value for s in shares) == pytest.approx(1)
    assert all(0 <= s.low <= s.value <= s.high <= 1 for s in shares)


def test_the_verdict_is_what_was_shown_before_what_is_left() -> None:
    varies, steady = words([0, 1, 0, 0, 1]), words([0] * 8)
    assert verdict_of(varies, steady, 0, shares_of(varies, steady, 0, ()), ()) == "sampling"
    assert verdict_of(varies, varies, 0, shares_of(varies, varies, 0, ()), ()) == "nondeterminism"
    assert verdict_of(varies, None, 0, shares_of(varies, None, 0, ()), ()) == "undecided"
    assert verdict_of(steady, steady, 0, (), ()) == "steady"
    runs = {"P": words([0] * 20), "params.temperature=0": words([1] * 20), "L": words([1] * 20)}
    cold = claims(runs, [("params.temperature=0", "P", "parameter")])
    assert verdict_of(varies, steady, 0, (), cold) == "sampling", "how much is left to chance is no fault"
    both = claims(runs, [("params.temperature=0", "P", "parameter"), ("L", "P", "load")])
    assert verdict_of(varies, steady, 0, (), both) == "load"


def test_pairs_go_to_the_comparisons_that_lean_most_where_not_all_can_have_them() -> None:
    compared: list[Any] = [("L", "P", "load"), ("C", "W", "cold_cache"), ("R:a", "P", "replica")]
    runs = {
        "P": words([0] * 24),
        "L": words([1] * 5 + [0] * 19),
        "R:a": words([1, 0] * 2 + [0] * 20),
        "C": words([1, 1, 1, 0] + [0] * 20),
        "W": words([0] * 24),
    }
    found = claims(runs, compared)
    assert worth_more(found, 1000) == ("L", "C", "R:a")
    assert worth_more(found, 60) == ("L",), "the calls reach for one of them"
    assert worth_more(claims(runs | {"R:a": words([0] * 24)}, compared), 1000) == ("L", "C"), "where nothing differs"
    shown = claims(runs | {"L": words([1] * 24)}, compared)
    assert worth_more(shown, 1000) == ("C",), "once one was shown: only the cold cache, which had few pairs so far"


def test_what_could_stay_unseen_is_the_rate_that_hides_with_one_chance_in_twenty() -> None:
    for n in (6, 20, 59):
        assert (1 - smallest_seen(n)) ** n == pytest.approx(0.05)


# -- what is sent ------------------------------------------------------------------------------------------------------

BODIES: tuple[tuple[dict[str, Any], str], ...] = (
    ({"messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]}, "messages"),
    ({"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]}, "messages"),
    ({"prompt": "Hi", "max_tokens": 3}, "prompt"),
    ({"system": "Be kind.", "messages": [{"role": "user", "content": "Hi"}]}, "system"),
    ({"instructions": "Be kind.", "input": "Hi"}, "instructions"),
    ({"input": "Hi"}, "input"),
)


@pytest.mark.parametrize(("body", "where"), BODIES)
def test_a_number_stands_before_the_first_text_and_nothing_else_changes(body: dict[str, Any], where: str) -> None:
    for raw in (None, json.dumps(body)):
        changed = begun_anew(Request("openai:m", None, body, raw), "7f")
        assert isinstance(changed, Request)
        sent = dict(changed.body) if changed.raw is None else json.loads(changed.raw)
        assert json.dumps(sent).replace("[Reference number 7f]\\n", "", 1) == json.dumps(body)
        assert sent[where] != body[where]
        assert {k: v for k, v in sent.items() if k != where} == {k: v for k, v in body.items() if k != where}


@pytest.mark.parametrize("model", ["python:m:f", "http:https://example.com/x", "recorded:runs.jsonl"])
def test_products_and_recordings_have_no_settings_to_change(model: str) -> None:
    request = Request(model, None, {"input": {"request": "Hi"}})
    assert all(isinstance(made, str) for made in (at_zero(request), seeded(request, 1), begun_anew(request, "1")))


def test_a_stored_request_is_written_anew_at_temperature_0() -> None:
    program = Program(program="p", model="openai:m", raw='{"model": "m", "temperature": 1, "messages": []}')
    changed = at_zero(program.render({}))
    assert isinstance(changed, Request)
    assert changed.raw is not None
    assert json.loads(changed.raw) == {"model": "m", "temperature": 0, "messages": []}


# -- planted faults, through the whole product -------------------------------------------------------------------------


def test_where_nothing_is_planted_it_is_chance_and_nothing_is_blamed(capsys: Any, tmp_path: Path) -> None:
    planted = Planted("none", 0.3, seed=2)
    with planted_server(planted) as url:
        ran = audit(capsys, project(tmp_path, url), "--json", "--alpha", "0.001")  # a claim by chance is not tested
        found = ran.json
    assert found["schema"] == "reroll.audit/1"
    # A comparison may happen to lean when the calls are used up: then it stays open, and nothing is named.
    assert (found["verdict"], found["named"]) in (("sampling", ["sampling"]), ("undecided", []))
    assert found["seed"] == "honoured"
    assert arm(found, "P")["n"] >= 20
    assert arm(found, "Z")["distinct"] == 1
    assert {left["id"] for left in found["left_out"]} == {"J", "R", "V"}
    assert planted.calls == found["cost"]["calls"] <= 300
    assert "at the very most 300 calls" in ran.err
    cold = [b["messages"][0]["content"] for b in planted.bodies if "Reference" in b["messages"][0]["content"]]
    assert len(set(cold)) == arm(found, "C")["n"]
    assert max(map(cold.count, cold)) == 2, "each new beginning is sent twice"
    assert sum(cold.count(text) == 1 for text in set(cold)) <= 1, "but for the last one, where the budget ends"
    with Store.open(tmp_path / ".reroll" / "store.sqlite") as store:
        variants = {one.variant for one in store.samples(case_id="greet")}
        assert "baseline" not in variants, "an audit's samples are no runs of the case"


@pytest.mark.parametrize(("fault", "more"), [("load", ""), ("cold_cache", "")])
def test_a_planted_fault_of_the_server_is_named(capsys: Any, tmp_path: Path, fault: str, more: str) -> None:
    with planted_server(Planted(fault, 0.1, seed=5)) as url:
        found = audited(capsys, project(tmp_path, url, more))
    assert found["verdict"] == fault
    assert found["named"][0] == fault
    assert fault in {share["source"] for share in found["shares"]}


def test_a_bad_replica_and_a_worse_model_are_named_and_one_that_is_not_there_is_left_out(
    capsys: Any, tmp_path: Path
) -> None:
    more = "replicas:\n  a: {headers: {x-replica: a}}\n  b: {headers: {x-replica: b}}\n  gone: {base_url: GONE}\n"
    with planted_server(Planted("replica", 0.1, seed=5)) as url:
        more = more.replace("GONE", "http://127.0.0.1:1/v1")
        found = audited(capsys, project(tmp_path / "r", url, more))
    assert found["verdict"] == "replica"
    assert (arm(found, "R:b")["verdict"], arm(found, "R:b")["against"]) == ("worse", "others")
    assert arm(found, "R:a")["verdict"] != "worse"
    assert "At replica a" not in found["text"]
    assert any(left["id"] == "R:gone" and "127.0.0.1:1" in left["why"] for left in found["left_out"])
    assert "At replica b it fails more often" in found["text"]
    with planted_server(Planted("model", 0.1, seed=5)) as url:
        folder = project(tmp_path / "m", url, "alternatives: {model: [old]}\n", model="openai:new")
        found = audited(capsys, folder, "--budget", 400)
    assert found["verdict"] == "model"
    assert arm(found, "model=old")["verdict"] == "better"


def test_an_ignored_seed_and_a_server_that_varies_at_temperature_0_are_told(capsys: Any, tmp_path: Path) -> None:
    with planted_server(Planted("seed", 0.2, seed=1)) as url:
        found = audited(capsys, project(tmp_path / "s", url), "--arms", "PZS")
    assert (found["verdict"], found["seed"]) == ("sampling", "ignored")
    assert "does not honour a seed" in found["text"]
    with planted_server(Planted("nondeterminism", 0.4, seed=1)) as url:
        found = audited(capsys, project(tmp_path / "n", url), "--arms", "PZ")
    assert found["verdict"] == "nondeterminism"


def test_a_check_that_flips_is_named_and_ends_the_audit_early(capsys: Any, tmp_path: Path) -> None:
    with planted_server(Planted("steady", 0.0)) as url:
        folder = project(tmp_path, url, check="python: 'checks:right'")
        (folder / "checks.py").write_text(
            "import random\n\n\ndef right(text, sample):\n    return random.random() < 0.5\n"
        )
        found = audited(capsys, folder, "--gate")
    assert found["verdict"] == "checker"
    assert found["checker"]["flips"] >= 2
    assert found["stopped"] == "the check alone explains most of it"
    assert found["cost"]["calls"] < 60


def test_a_case_that_never_varies_is_steady(capsys: Any, tmp_path: Path) -> None:
    with planted_server(Planted("steady", 0.0)) as url:
        ran = audit(capsys, project(tmp_path, url), "--gate")
    assert ran.code == 0
    assert "Nothing varies" in ran.out
    assert "could have stayed unseen" in " ".join(ran.out.split())


# -- going on, and what cannot be --------------------------------------------------------------------------------------


def test_a_small_budget_holds_and_the_same_command_goes_on(capsys: Any, tmp_path: Path) -> None:
    planted = Planted("none", 0.2, seed=3)
    with planted_server(planted) as url:
        folder = project(tmp_path, url)
        first = audited(capsys, folder, "--budget", 30)
        assert planted.calls == first["cost"]["calls"] <= 30
        assert "budget" in first["stopped"]
        second = audited(capsys, folder)
        assert second["cost"]["reused"] >= 20
        before = planted.calls
        third = audited(capsys, folder)
    assert planted.calls == before, "all is stored: nothing is drawn again"
    assert third["cost"]["calls"] == 0
    assert third["verdict"] == second["verdict"]
    assert third["arms"] == second["arms"]


def test_load_is_not_named_before_three_bursts(capsys: Any, tmp_path: Path) -> None:
    with planted_server(Planted("load", 0.05, seed=3)) as url:
        folder = project(tmp_path, url)
        few = audited(capsys, folder, "--arms", "PL", "--budget", 28)
        assert arm(few, "L")["n"] < 24
        assert "load" not in few["named"]
        assert audited(capsys, folder, "--arms", "PL")["verdict"] == "load"


def test_on_a_real_llama_cpp_it_is_chance_and_the_server_is_not_blamed(capsys: Any, tmp_path: Path) -> None:
    """Its runs have no seed, so that each audit is another one: a claim by chance has one in ten thousand here.

    An audit may end undecided, where a comparison happens to lean: 6 of 60 did, and none blamed anything at 5 %.
    """
    reroll(capsys, "init", tmp_path / "m")
    found = reroll(
        capsys, "audit", "half-seven", "--project", tmp_path / "m", "--seed", 1, "--json", "--quiet", "--budget", 110,
        "--alpha", "0.0001",
    ).json  # fmt: skip
    assert (found["verdict"], found["named"]) in (("sampling", ["sampling"]), ("undecided", []))
    assert found["seed"] != "ignored"
    assert arm(found, "S")["distinct"] == arm(found, "Z")["distinct"] == 1
    assert arm(found, "P")["distinct"] > 1
    for ids in ("P", "L", "CW"):
        failures, runs = (sum(arm(found, id)["rate"][what] for id in ids) for what in ("failures", "n"))
        assert 0 < failures < runs, ids
    assert all(arm(found, id)["verdict"] == "undecided" for id in "CL")
    assert found["cost"]["cached_tokens"] > 0


def test_a_stored_request_and_plain_completions_are_audited_too(capsys: Any, tmp_path: Path) -> None:
    for kind, body in (("openai", BODIES[0][0]), ("openai-completions", {"prompt": "Say yes"})):
        with planted_server(Planted("none", 0.2, seed=3)) as url:
            folder = project(tmp_path / kind, url)
            (folder / "request.json").write_text(json.dumps({"model": "tiny", "temperature": 1, **body}))
            (folder / "program.yaml").write_text(
                f"program: p\nmodel: {kind}:tiny\nbase_url: {url}\nraw: request.json\neffects: none\n"
            )
            found = audited(capsys, folder, "--budget", 60)
        assert {one["id"] for one in found["arms"]} == {"P", "Z", "C", "W", "L", "S"}
        assert arm(found, "C")["n"] >= 8
        assert arm(found, "Z")["distinct"] == 1


def test_one_bad_replica_of_two_behind_the_reported_address_is_held_against_the_other_servers(
    capsys: Any, tmp_path: Path
) -> None:
    """As reported every second call goes to the bad one: held against that, each replica shows half the difference."""
    found = []
    for seed in range(3):
        turns, chance = itertools.count(), np.random.default_rng(seed)

        async def either(request: web.Request, turns: Any = turns, chance: Any = chance) -> web.StreamResponse:
            await request.read()
            where = request.headers.get("x-replica") or "ab"[next(turns) % 2]
            return await answer("no" if where == "b" and chance.random() < 0.7 else "yes")(request)

        with in_background(either) as (_, url):
            more = "replicas:\n  a: {headers: {x-replica: a}}\n  b: {headers: {x-replica: b}}\n"
            found.append(audited(capsys, project(tmp_path / f"{seed}", url, more), "--budget", 250))
    assert [one["verdict"] for one in found].count("replica") >= 2
    for one in (one for one in found if one["verdict"] == "replica"):
        bad = arm(one, "R:b")
        assert (bad["against"], bad["verdict"]) == ("others", "worse")
        assert bad["difference"]["value"] > 0.38  # 0.35 against what is as reported
        assert "At replica b it fails more often" in one["text"]
        assert "At replica a" not in one["text"]


def test_a_replica_that_is_no_address_an_unknown_arm_and_a_horizon_are_refused(capsys: Any, tmp_path: Path) -> None:
    folder = project(tmp_path, "http://127.0.0.1:1/v1")
    assert "[audit]" in audit(capsys, folder, "--arms", "PX").complaint
    assert "[audit]" in audit(capsys, folder, "--arms", "Z").complaint
    assert "[audit]" in audit(capsys, folder, "--burst", "1").complaint
    assert "[horizon]" in audit(capsys, folder, "--horizon", "50").complaint
    with planted_server(Planted()) as url:
        folder = project(tmp_path, url, "replicas: {a: {port: 80}}\n")
        assert "[replicas]" in audit(capsys, folder).complaint
