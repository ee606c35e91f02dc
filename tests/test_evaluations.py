"""What checks said goes out as evaluation events, to a file or a collector, and comes back as scores."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from reroll.checking import Checker
from reroll.project import load_project
from reroll.sample import Completion, Sample
from reroll.store import Store
from reroll.store_rows import Evaluation, NewSample, Origin
from tests import postgres
from tests.background import in_background, in_thread, in_turn, reroll, write_project
from tests.fuzz_targets import shown
from tests.test_ai_sdk import said, span

server, store = postgres.server, postgres.either_store
SECRET = "hunter2-hunter2"


def traced(folder: Path) -> Path:
    """Three calls in a trace: one right, one wrong, one that failed."""
    spans = []
    for n, (text, more) in enumerate((("yes", {}), ("no", {}), (None, {"status": {"code": 2, "message": "No: 500"}}))):
        asked = json.dumps([{"role": "user", "content": said(f"Say yes, {n}")}])
        answer = {"ai.response.text": text, "ai.response.id": f"chatcmpl-{n}"} if text else {}
        spans.append(span("ai.generateText.doGenerate", {"ai.prompt.messages": asked, **answer}, **more))
    file = folder / "spans.json"
    file.write_text(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}))
    return file


def imported(capsys: Any, folder: Path, *files: Path, check: str | None = "contains: 'yes'") -> Path:
    project = write_project(folder, "http://127.0.0.1:1")
    checks = ["--check", check] if check else []
    assert reroll(capsys, "import", *files, *checks, "--project", project).code == 0
    return project


def records(text: str) -> list[dict[str, Any]]:
    """The log records of exports, each with its attributes as a mapping."""
    found = []
    for line in text.splitlines():
        for resource in json.loads(line)["resourceLogs"]:
            for record in resource["scopeLogs"][0]["logRecords"]:
                about = {a["key"]: next(iter(a["value"].values())) for a in record["attributes"]}
                found.append({**record, "attributes": about})
    return found


# -- to a file, and back -----------------------------------------------------------------------------------------------


def test_an_event_says_what_a_check_said_at_the_span_of_the_call(tmp_path: Path, capsys: Any) -> None:
    file = traced(tmp_path)
    project = imported(capsys, tmp_path / "a", file)
    found = records(reroll(capsys, "export", "--evaluations", "-", "--project", project).out)
    spans = json.loads(file.read_text())["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert [(r["traceId"], r["spanId"]) for r in found] == [(s["traceId"], s["spanId"]) for s in spans]
    assert {r["eventName"] for r in found} == {"gen_ai.evaluation.result"}
    about = [r["attributes"] for r in found]
    assert [a["gen_ai.evaluation.score.label"] for a in about] == ["pass", "fail", "invalid"]
    assert [a.get("gen_ai.evaluation.score.value") for a in about] == [1.0, 0.0, None]
    assert [a.get("gen_ai.response.id") for a in about] == ["chatcmpl-0", "chatcmpl-1", None]
    assert {a["gen_ai.evaluation.name"] for a in about} == {"contains-1"}
    assert about[1]["gen_ai.evaluation.explanation"] == "does not contain 'yes'"
    assert [a.get("error.type") for a in about] == [None, None, "_OTHER"]


def test_what_went_out_comes_back_as_scores_of_the_same_calls(tmp_path: Path, capsys: Any) -> None:
    file, out = traced(tmp_path), tmp_path / "evaluations.jsonl"
    first = imported(capsys, tmp_path / "a", file)
    assert reroll(capsys, "export", "--evaluations", out, "--project", first).code == 0
    other = write_project(tmp_path / "b", "http://127.0.0.1:1")
    told = reroll(capsys, "import", out, file, "--project", other, "--json").json
    assert told["intake"]["marked"] == {"contains-1": 3}
    assert told["intake"]["left_out"] == []
    # Without a check, what came with a call judges it, and so goes out once more.
    again = records(reroll(capsys, "export", "--evaluations", "-", "--project", other).out)
    was = [r for r in records(out.read_text()) if r["attributes"]["gen_ai.evaluation.score.label"] != "invalid"]
    labels = [
        [(r["spanId"], r["attributes"]["gen_ai.evaluation.score.label"]) for r in found] for found in (was, again)
    ]
    assert labels[0] == labels[1]


def rewards(capsys: Any, project: Path) -> list[Any]:
    lines = reroll(capsys, "export", "--project", project).out.splitlines()
    return [json.loads(line).get("reward") for line in lines]


@pytest.mark.parametrize("first", ["calls", "evaluations", "both, calls first"])
def test_evaluations_judge_their_calls_whichever_comes_first(tmp_path: Path, capsys: Any, first: str) -> None:
    file, out = traced(tmp_path), tmp_path / "evaluations.jsonl"
    reroll(capsys, "export", "--evaluations", out, "--project", imported(capsys, tmp_path / "a", file))
    other = write_project(tmp_path / "b", "http://127.0.0.1:1")
    orders = {"calls": [[file], [out]], "evaluations": [[out], [file]], "both, calls first": [[file, out]]}
    told = [reroll(capsys, "import", *files, "--project", other, "--json").json["intake"] for files in orders[first]]
    assert [one["left_out"] for one in told] == [[]] * len(told)
    assert sum(one["evaluated"] for one in told) == 3
    assert told[-1]["awaiting"] == 0
    assert told[0]["awaiting"] == (3 if first == "evaluations" else 0)
    if first.startswith("both"):
        assert told[0]["marked"] == {"contains-1": 3}  # read before the calls, so that they are counted with them
    assert rewards(capsys, other) == [1.0, 0.0, None]
    again = reroll(capsys, "import", out, "--project", other, "--json").json["intake"]
    assert (again["awaiting"], rewards(capsys, other)) == (0, [1.0, 0.0, None])


def test_an_evaluation_whose_call_is_nowhere_is_kept_and_said(tmp_path: Path, capsys: Any) -> None:
    file, out = traced(tmp_path), tmp_path / "evaluations.jsonl"
    reroll(capsys, "export", "--evaluations", out, "--project", imported(capsys, tmp_path / "a", file))
    other = write_project(tmp_path / "b", "http://127.0.0.1:1")
    said_of = reroll(capsys, "import", out, "--project", other).out
    assert "3 evaluations in the store wait for their call, which is not here" in " ".join(said_of.split())


def test_a_score_of_langfuse_finds_its_observation_in_another_file(tmp_path: Path, capsys: Any) -> None:
    asked = [{"role": "user", "content": "Say yes"}]
    observation = {"id": "o-1", "traceId": "t-1", "type": "GENERATION", "model": "m", "input": asked, "output": "yes"}
    score = {"id": "s-1", "traceId": "t-1", "observationId": "o-1", "name": "right", "stringValue": "fail", "value": 0}
    whole = {"id": "s-2", "traceId": "t-1", "observationId": None, "name": "mood", "value": 0.5}
    calls, scores = tmp_path / "calls.jsonl", tmp_path / "scores.jsonl"
    calls.write_text(json.dumps(observation) + "\n")
    scores.write_text(f"{json.dumps(score)}\n{json.dumps(whole)}\n")
    project = write_project(tmp_path / "p", "http://127.0.0.1:1")
    for file in (calls, scores):
        told = reroll(capsys, "import", file, "--project", project, "--json").json["intake"]
    assert (told["evaluated"], told["awaiting"]) == (1, 0)
    assert "is a score of a whole trace" in told["left_out"][0]["why"]
    assert rewards(capsys, project) == [0.0]


def test_what_is_said_of_a_call_is_joined_to_it_in_either_order(store: Store) -> None:
    def made(idx: int, origin: Origin, **more: Any) -> NewSample:
        return NewSample(
            Sample(Completion("yes")), "r1:a", "x", idx, "p1:a", "a", source="imported", origin=origin, **more
        )

    def reward_of(id: str) -> float | None:
        return store.sample(id).sample.reward

    def said_of(place: Origin, label: str = "pass", **more: Any) -> Evaluation:
        return Evaluation(place.trace, place.span, place.response, "right", label, **more)

    one, two = Origin("a" * 32, "b" * 16, "r-1"), Origin("a" * 32, "c" * 16, "r-2")
    assert store.put_evaluations([said_of(one), said_of(one, "fail"), said_of(two), said_of(two)]) == (3, 3)
    assert store.evaluated() == (3, 3)
    first, second = store.add_samples([made(0, one), made(1, two)])
    assert store.evaluated() == (3, 0)
    assert [reward_of(first), reward_of(second)] == [0.0, 1.0]
    assert [e.label for e in store.evaluations([first, second])[first]] == ["pass", "fail"]
    # By the server's own name for the answer, also where the record lies in a span of whoever judged.
    found = [Evaluation("d" * 32, "e" * 16, "r-2", "right", "fail"), said_of(Origin(), "pass")]
    assert store.put_evaluations(found) == (2, 1)
    assert reward_of(second) == 0.0
    # A number without a word says neither pass nor fail, and takes no failure back.
    assert store.put_evaluations([said_of(one, "", score=0.3)]) == (1, 0)
    assert reward_of(first) == 0.0
    # A server that gives every answer the same name names none of them; a call of several answers is judged as one.
    same = Origin("a" * 32, "f" * 16, "chatcmpl"), Origin("a" * 32, "0" * 16, "chatcmpl")
    third, fourth, fifth = store.add_samples([made(2, same[0]), made(3, same[0], choice=1), made(4, same[1])])
    assert store.put_evaluations([Evaluation("", "", "chatcmpl", "right", "pass")]) == (1, 1)
    assert store.put_evaluations([said_of(same[0]), said_of(same[1], "fail")]) == (2, 0)
    assert [reward_of(third), reward_of(fourth), reward_of(fifth)] == [1.0, 1.0, 0.0]
    assert store.put_evaluations([said_of(same[0], "fail")]) == (1, 0)
    assert [reward_of(third), reward_of(fourth)] == [None, None]  # which of the two it is about, nobody knows


def test_a_score_by_itself_is_no_verdict(tmp_path: Path, capsys: Any) -> None:
    file, out = traced(tmp_path), tmp_path / "evaluations.jsonl"
    first = imported(capsys, tmp_path / "a", file)
    reroll(capsys, "export", "--evaluations", out, "--project", first)
    out.write_text(out.read_text().replace('"stringValue":"fail"', '"stringValue":"low"'))
    other = imported(capsys, tmp_path / "b", out, file, check=None)
    lines = reroll(capsys, "export", "--project", other).out.splitlines()
    assert [json.loads(line).get("reward") for line in lines] == [1.0, None, None]


def test_what_was_drawn_here_has_the_servers_own_name_and_no_trace(tmp_path: Path, capsys: Any) -> None:
    with in_background(in_turn("yes", "no")) as (_, url):
        project = write_project(tmp_path, url)
        reroll(capsys, "rerun", "greet", "--budget", 4, "--project", project)
    found = records(reroll(capsys, "export", "greet", "--evaluations", "-", "--project", project).out)
    assert [r["attributes"]["gen_ai.evaluation.score.label"] for r in found] == ["pass", "fail"] * (len(found) // 2)
    assert len(found) == len(reroll(capsys, "samples", "--project", project, "--json").json["samples"]) > 0
    assert {r["attributes"]["gen_ai.response.id"] for r in found} == {"x"}
    assert not any("traceId" in r for r in found)


def test_where_a_sample_was_made_is_kept_once_and_with_it(store: Store) -> None:
    def made(idx: int, origin: Origin | None) -> NewSample:
        return NewSample(
            Sample(Completion("yes")), "r1:a", "imported x", idx, "p1:a", "a", source="imported", origin=origin
        )

    trace = "a" * 32
    one, two, three = store.add_samples(
        [made(0, Origin(trace, "b" * 16, "r\0\ud83d")), made(1, Origin("c")), made(2, None)]
    )
    assert store.add_samples([made(0, Origin("d"))]) == [one]
    assert store.add_samples([made(2, Origin("e")), made(0, None)]) == [three, one]  # what was not known until now
    found = store.origins([one, two, three])
    assert (found[one].trace, found[one].span) == (trace, "b" * 16)
    assert found[two] == Origin("c", "", "")
    assert found[three] == Origin("e", "", "")


# -- to a collector ----------------------------------------------------------------------------------------------------

Answer = Callable[[int], web.Response]


class Collector:
    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []

    async def take(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.json())
        self.headers.append(dict(request.headers))
        return self.answer(len(self.bodies))


@contextlib.asynccontextmanager
async def collecting(answer: Answer = lambda n: web.json_response({})) -> AsyncIterator[tuple[Collector, str]]:
    collector = Collector(answer)
    app = web.Application()
    app.router.add_post("/v1/logs", collector.take)
    runner = web.AppRunner(app, shutdown_timeout=0.05)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield collector, f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.fixture
def project(tmp_path: Path, capsys: Any, monkeypatch: Any) -> Path:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"Authorization=Bearer%20{SECRET},x-team=a")
    return imported(capsys, tmp_path / "p", traced(tmp_path))


def test_events_are_sent_with_the_headers_of_the_environment(project: Path, capsys: Any) -> None:
    with in_thread(collecting()) as (collector, url):
        ran = reroll(capsys, "export", "--to", url, "--project", project)
    assert (ran.code, len(collector.bodies)) == (0, 1)
    assert "sent 3 evaluations of 3 samples" in ran.err
    assert collector.headers[0]["Authorization"] == f"Bearer {SECRET}"
    written = reroll(capsys, "export", "--evaluations", "-", "--project", project).out
    sent = records("\n".join(json.dumps(b) for b in collector.bodies))
    assert [r["attributes"] for r in sent] == [r["attributes"] for r in records(written)]


def test_a_busy_collector_is_asked_again_when_it_says(project: Path, capsys: Any) -> None:
    def busy(n: int) -> web.Response:
        return web.Response(status=503, headers={"Retry-After": "0"}) if n < 3 else web.json_response({})

    with in_thread(collecting(busy)) as (collector, url):
        assert reroll(capsys, "export", "--to", url, "--project", project).code == 0
    assert len(collector.bodies) == 3
    assert collector.bodies[0] == collector.bodies[2]


def test_a_refusal_is_said_without_the_key_that_the_collector_repeats(project: Path, capsys: Any) -> None:
    def refuse(n: int) -> web.Response:
        return web.json_response({"code": 16, "message": f"bad token {SECRET}"}, status=401)

    with in_thread(collecting(refuse)) as (collector, url):
        complaint = reroll(capsys, "export", "--to", f"{url}/v1/logs", "--project", project).complaint
    assert len(collector.bodies) == 1  # it will not get better by itself
    assert "answered HTTP 401: bad token [secret]" in complaint
    assert SECRET not in complaint


def test_keys_do_not_follow_a_redirect(project: Path, capsys: Any) -> None:
    with in_thread(collecting()) as (other, there):

        def away(n: int) -> web.Response:
            return web.Response(status=307, headers={"Location": f"{there}/v1/logs"})

        with in_thread(collecting(away)) as (_, url):
            assert "HTTP 307" in reroll(capsys, "export", "--to", url, "--project", project).complaint
    assert other.bodies == []


def test_what_a_collector_refused_of_an_export_is_counted(project: Path, capsys: Any) -> None:
    said = {"partialSuccess": {"rejectedLogRecords": "2", "errorMessage": "too old"}}
    with in_thread(collecting(lambda n: web.json_response(said))) as (_, url):
        ran = reroll(capsys, "export", "--to", url, "--project", project, "--json")
    assert (ran.code, ran.json["samples"]) == (4, 3)
    assert "refused 2 evaluations: too old" in ran.err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--to", "collector"], "wants the address of a collector"),
        (["--to", f"http://me:{SECRET}@127.0.0.1:1"], "without user, password or query"),
        (["--to", "http://127.0.0.1:99999"], "wants the address of a collector"),
        (["--to", "http://127.0.0.1:1", "--csv", "x.csv"], "give --csv or --to"),
        (["--evaluations", "-", "--json"], "name a file"),
        (["--evaluations", "--json"], "wants a file, or -"),
        (["--evaluations", "x", "--format", "rft"], "take --out"),
        (["--evaluations", "/nowhere/x"], "choose another --evaluations"),
        (["tea", "--evaluations", "-"], "no sample of case `tea`"),
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(words: list[str], complaint: str, project: Path, capsys: Any) -> None:
    said = reroll(capsys, "export", *words, "--project", project).complaint
    assert complaint in said
    assert SECRET not in said


def test_a_collector_that_is_not_there_is_said_at_once(project: Path, capsys: Any) -> None:
    said = reroll(capsys, "export", "--to", "http://127.0.0.1:1", "--project", project).complaint
    assert "http://127.0.0.1:1/v1/logs cannot be reached: connection refused" in said


def test_headers_that_are_none_are_not_repeated(project: Path, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"Authorization: Bearer {SECRET}")
    said = reroll(capsys, "export", "--to", "http://127.0.0.1:1", "--project", project).complaint
    assert "OTEL_EXPORTER_OTLP_HEADERS wants NAME=VALUE" in said
    assert SECRET not in said


@pytest.mark.parametrize("order", ["AeB", "eAB", "ABe", "BeA", "eBA"])
def test_a_named_span_is_believed_where_a_server_gives_every_answer_one_name(store: Store, order: str) -> None:
    ids: dict[str, str] = {}
    for what in order:
        if what == "e":
            store.put_evaluations([Evaluation("t", "B", "chatcmpl-0", "tone", "fail")])
        else:
            made = Origin("t", what, "chatcmpl-0")
            new = NewSample(Sample(Completion("hi")), "r1:0", what, 0, "p1:0", "a", origin=made)
            [ids[what]] = store.add_samples([new])
    assert [store.sample(ids[what]).sample.reward for what in "AB"] == [None, 0.0]


def test_a_name_that_a_second_call_has_too_names_neither_any_more(store: Store) -> None:
    ids = []
    store.put_evaluations([Evaluation("", "", "chatcmpl-0", "tone", "fail")])
    for at, reward in (("A", 0.0), ("B", None)):
        new = NewSample(Sample(Completion("hi")), "r1:0", at, 0, "p1:0", "a", origin=Origin("t", at, "chatcmpl-0"))
        ids += store.add_samples([new])
        assert store.sample(ids[0]).sample.reward == reward
    assert store.evaluated() == (1, 1)


def test_a_number_takes_no_verdict_back(store: Store) -> None:
    new = NewSample(Sample(Completion("hi"), reward=0.0), "r1:0", "A", 0, "p1:0", "a", origin=Origin("t", "A", ""))
    [id] = store.add_samples([new])
    store.put_evaluations([Evaluation("t", "A", "", "length", "", 0.4)])
    assert store.sample(id).sample.reward == 0.0, "known before evaluations were kept"
    store.put_evaluations([Evaluation("t", "A", "", "tone", "fail"), Evaluation("t", "A", "", "style", "low")])
    assert store.sample(id).sample.reward == 0.0


# -- said again, and otherwise -----------------------------------------------------------------------------------------


def call_of(span: str = "A", **more: Any) -> NewSample:
    return NewSample(
        Sample(Completion("yes")), "r1:0", span, 0, "p1:0", "a", source="imported", origin=Origin("t", span, ""), **more
    )


@pytest.mark.parametrize("backwards", [False, True])
def test_of_one_name_and_scorer_the_later_word_counts_whichever_came_first(store: Store, backwards: bool) -> None:
    def reward_after(*told: tuple[str, str, str, float | None]) -> float | None:
        [id] = store.add_samples([call_of(f"{told}")])
        for name, scorer, label, at in told[::-1] if backwards else told:
            store.put_evaluations([Evaluation("t", f"{told}", "", name, label, scorer=scorer, said=at)])
        return store.sample(id).sample.reward

    wrong, right = ("right", "", "fail", 10.0), ("right", "", "pass", 20.0)
    assert reward_after(wrong, right) == 1.0
    assert reward_after(wrong, right, ("right", "", "fail", 30.0)) == 0.0, "and said wrong once more"
    assert reward_after(("right", "", "pass", 10.0), ("right", "", "fail", 20.0)) == 0.0
    # Another name, another scorer, an unknown time, the same moment: one does not correct the other.
    assert reward_after(wrong, ("tone", "", "pass", 20.0)) == 0.0
    assert reward_after(("right", "ana", "fail", 10.0), ("right", "ben", "pass", 20.0)) == 0.0
    assert reward_after(wrong, ("right", "", "pass", None)) == 0.0
    assert reward_after(wrong, ("right", "", "pass", 10.0)) == 0.0
    # What is neither pass nor fail corrects nothing.
    assert reward_after(wrong, ("right", "", "low", 20.0)) == 0.0


def test_of_several_completions_of_a_call_none_is_corrected_by_what_may_be_about_another(store: Store) -> None:
    ids = store.add_samples([call_of(), replace(call_of(choice=1), idx=1)])
    for label, at in (("fail", 10.0), ("pass", 20.0)):
        store.put_evaluations([Evaluation("t", "A", "", "right", label, said=at)])
    assert [store.sample(id).sample.reward for id in ids] == [None, None]
    assert [one.label for one in store.evaluations_about(ids[1])] == ["fail", "pass"]


CHECKS = [
    {"name": "alone", "reward": 1},
    {"name": "negated", "not": {"reward": 1}},
    {"name": "both", "all": [{"contains": "yes"}, {"reward": 1}]},
    {"name": "either", "any": [{"contains": "nothing of the kind"}, {"reward": 1}]},
    {"name": "other", "contains": "yes"},
]


def test_a_check_that_read_the_reward_is_asked_again_once_the_reward_has_changed(tmp_path: Path, capsys: Any) -> None:
    asked = [{"role": "user", "content": "Say yes"}]
    observation = {"id": "o-1", "traceId": "t-1", "type": "GENERATION", "model": "m", "input": asked, "output": "yes"}
    score = {"traceId": "t-1", "observationId": "o-1", "name": "right", "value": 0, "stringValue": "fail"}
    calls, first, later = (tmp_path / f"{name}.jsonl" for name in ("calls", "first", "later"))
    calls.write_text(json.dumps(observation) + "\n")
    first.write_text(json.dumps({**score, "timestamp": "2026-11-27T12:00:00Z"}) + "\n")
    later.write_text(
        json.dumps({**score, "value": 1, "stringValue": "pass", "timestamp": "2026-11-28T12:00:00Z"}) + "\n"
    )
    project = write_project(tmp_path / "p", "http://127.0.0.1:1", cases=json.dumps(
        {"cases": [{"id": "greet", "input": {"request": "Say yes"}, "checks": CHECKS}]}
    ))  # fmt: skip
    (project / "program.yaml").write_text("program: p\nmodel: openai:m\nbase_url: http://127.0.0.1:1/v1\n")
    words = []
    for file in (first, calls, later, later):
        told = reroll(capsys, "import", file, "--project", project, "--json").json["intake"]
        assert told["evaluated"] == (file is first or (file is later and not words[1:])), "what was known is no news"
        if file is not first:
            [shown] = reroll(capsys, "samples", "--project", project, "--json").json["samples"]
            words.append([one["outcome"] for one in kept_outcomes(capsys, project, shown["shown"]["id"])])
    assert words[0] == ["fail", "pass", "fail", "fail", "pass"]
    assert words[1] == words[2] == ["pass", "fail", "pass", "pass", "pass"]


def kept_outcomes(capsys: Any, project: Path, sample: str) -> list[dict[str, Any]]:
    """What the checks say of a sample, stored by then."""
    with Store.open(project / ".reroll" / "store.sqlite") as store:
        found = load_project(project)
        with Checker(project) as checker:
            stored, case = store.sample(sample), found.case("greet")
            said = checker.judging(case, found.program)(stored.sample)
            ids = checker.ids(case, found.program)
            have = store.outcomes([sample], ids).get(sample, {})
            store.add_outcomes(sample, [(i, o) for i, o in zip(ids, said, strict=True) if i not in have])
    outcomes: list[dict[str, Any]] = reroll(capsys, "show", sample, "--project", project, "--json").json["outcomes"]
    return outcomes


def test_the_page_of_a_sample_lists_what_was_said_of_it_elsewhere() -> None:
    there = shown()
    [id] = there.home.store.add_samples([replace(call_of("page"), case_id=there.case.id, request_id=there.request_id)])
    for label, comment, at in (("fail", "<b>wrong</b> day", 10.0), ("pass", "looked again", 20.0)):
        told = Evaluation("t", "page", "", "right", label, 0.25, comment, scorer="API ana", said=at)
        there.home.store.put_evaluations([told])
    page = there.client.get(f"/samples/{id}").text.split("What was said of it elsewhere")[1].split("</ul>")[0]
    first, later = page.split("<li>")[1:]
    assert "&lt;b&gt;wrong&lt;/b&gt; day" in first
    assert "a later one of the same name counts instead" in first
    assert "looked again" in later
    assert "instead" not in later
    assert "API ana" in later
