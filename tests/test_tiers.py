"""`forks` where a server gives less than everything: what it falls back to, and what it says of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from reroll.astray import astray, unnatural
from reroll.branching import Branch
from reroll.check import Outcome
from reroll.errors import UsageError
from reroll.init import init_project
from reroll.sample import Completion, Sample
from reroll.store import Store
from tests.background import in_background, reroll, write_project
from tests.between import between
from tests.fake_server import Act, completion, error

Say = Callable[[list[dict[str, Any]], random.Random], str]
NEVER = re.compile(r"\bfork|\bdud\b|led astray|led it astray|to blame", re.IGNORECASE)


def chatting(say: Say, prefill: bool = False, **more: Any) -> Act:
    """A stateless chat endpoint without probabilities, as Claude 4.6 is: a last turn of the assistant is http 400."""
    rng = random.Random(1)

    async def act(request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        messages = body["messages"]
        if messages[-1]["role"] == "assistant" and not prefill:
            return await error(400, "This model does not support assistant message prefill.")(request)
        return web.json_response(completion(say(messages, rng), **more))

    return act


def meeting(messages: list[dict[str, Any]], rng: random.Random) -> str:
    """Half of the answers take the wrong hour, and only then fail; the rest of the words differ by themselves."""
    hour = "18:30" if rng.random() < 0.5 else "19:30"
    room = rng.choice(["blue", "green", "red"])
    return f"Booked for {hour} in the {room} room. {rng.choice(['See you', 'Bye'])}!"


MEETING = 'cases:\n  - {id: meet, input: {request: "half seven"}, checks: [{name: hour, contains: "19:30"}]}\n'


def failing(capsys: Any, project: Path, case: str, text: str = "") -> str:
    """The id of a stored failing run of the case, one that begins with the text."""
    done = reroll(capsys, "rerun", case, "--project", project, "--budget", "24", "--seed", "1", "--json")
    assert done.code == 0, done.err
    listed = samples_of(capsys, project, case)
    found = [s["shown"] for s in listed if s["shown"]["outcome"] == "fail" and s["shown"]["text"].startswith(text)]
    return str(found[0]["id"])


def samples_of(capsys: Any, project: Path, case: str = "trip") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = reroll(
        capsys, "samples", case, "--limit", "1000", "--project", project, "--json"
    ).json["samples"]
    return found


def forks(capsys: Any, project: Path, sample: str, *words: str) -> dict[str, Any]:
    done = reroll(capsys, "forks", sample, "--project", project, "--yes", "--json", *words)
    assert done.code in (0, 4), done.err
    found: dict[str, Any] = done.json
    return {**found, "told": done.err, "code": done.code}


# -- nothing can be run again: words


@pytest.fixture
def black_box(tmp_path: Path) -> Iterator[Path]:
    with in_background(chatting(meeting)) as (_, url):
        yield write_project(tmp_path, url, cases=MEETING)


def test_a_black_box_answers_with_the_words_that_go_with_failure(black_box: Path, capsys: Any) -> None:
    sample = failing(capsys, black_box, "meet")
    found = forks(capsys, black_box, sample)
    assert (found["schema"], found["tier"], found["verdict"]) == ("reroll.association/1", "D", "associated")
    assert "does not support assistant message prefill" in found["why"]
    assert [w["text"] for w in found["words"] if w["shown"]] == ["18:30"]
    best = found["words"][0]
    assert best["success_with"]["high"] < 0.1 < 0.9 < best["success_without"]["low"]
    assert best["difference"]["low"] > 0.8
    assert found["p_value"] <= found["alpha"] < 0.05
    assert "“18:30”" in found["text"]
    assert "no proof of a cause" in found["text"]


def test_words_are_looked_at_over_what_is_stored_and_as_many_more_as_were_told_before(
    black_box: Path, capsys: Any
) -> None:
    sample = failing(capsys, black_box, "meet")
    found = forks(capsys, black_box, sample)
    assert found["samples"] == 128
    assert found["stored"] > 0
    assert found["drawn"] == 128 - found["stored"]
    assert f"over {found['drawn']} more runs ({found['stored']} stored ones count)" in found["told"]
    again = forks(capsys, black_box, sample)
    assert (again["drawn"], again["cost"]["calls"]) == (0, 0)
    assert (again["words"], again["p_value"]) == (found["words"], found["p_value"])
    with Store.open(black_box / ".reroll" / "store.sqlite") as store:
        passing = [s for s in store.samples(source="draw") if s.id != sample]
    assert len(passing) == 128, "the failing sample is no evidence: it was picked because it failed"


def test_a_black_box_is_never_told_of_forks_and_duds(black_box: Path, capsys: Any) -> None:
    sample = failing(capsys, black_box, "meet")
    for words in ([], ["--draws", "32"]):
        found = forks(capsys, black_box, sample, *words)
        del found["told"]
        assert not NEVER.search(json.dumps(found))
        page = reroll(capsys, "forks", sample, "--project", black_box, "--yes", *words)
        assert "Some words go with failure" in page.out
        assert not NEVER.search(page.out + page.err)


def test_tokens_that_are_asked_for_where_none_can_be_run_again_are_refused_in_a_sentence(
    black_box: Path, capsys: Any
) -> None:
    sample = failing(capsys, black_box, "meet")
    said = reroll(capsys, "forks", sample, "--by", "tokens", "--project", black_box, "--yes").complaint
    assert "without --by tokens the best remaining method is used" in said
    at = ("--forks", "--no-cause", "--no-fixes", "--project", black_box, "--quiet", "--json")
    told = reroll(capsys, "investigate", "--case", "meet", *at).json["dud"]["not_examined"]
    assert "`reroll forks" in told
    assert "uses the best remaining method" in told
    assert "--by tokens" not in told
    said = reroll(capsys, "forks", sample, "--by", "turns", "--project", black_box, "--yes").complaint
    assert "it has no earlier turn of the assistant" in said


def choosing(texts: Callable[[random.Random], str], **more: Any) -> Act:
    return chatting(lambda messages, rng: texts(rng), **more)


def checked(pattern: str) -> str:
    return f"cases:\n  - {{id: meet, input: {{request: x}}, checks: [{{name: one, matches: '{pattern}'}}]}}\n"


def test_where_no_word_goes_with_failure_none_is_named(tmp_path: Path, capsys: Any) -> None:
    """An answer passes with an even number of these words, so that none of them tells anything by itself."""
    pairs = (("red", "blue"), ("cat", "dog"), ("tea", "milk"))
    even = "^(red cat milk|red dog tea|blue cat tea|blue dog milk)$"
    act = choosing(lambda rng: " ".join(rng.choice(pair) for pair in pairs))
    with in_background(act) as (_, url):
        project = write_project(tmp_path, url, cases=checked(even))
        sample = failing(capsys, project, "meet")
        found = forks(capsys, project, sample)
        page = reroll(capsys, "forks", sample, "--project", project, "--yes").out
    assert "No word is shown to go with failure" in page
    assert "not shown, p = " in page
    assert found["verdict"] == "undecided"
    assert found["p_value"] > found["alpha"]
    assert not any(w["shown"] for w in found["words"])
    assert "No word of this answer is shown to go with failure" in found["text"]
    assert found["finished"]
    assert ("runs in all would decide it" in found["text"]) == (found["next_look"] is not None)


def test_a_request_that_fails_nearly_always_is_not_blamed_on_words(tmp_path: Path, capsys: Any) -> None:
    act = choosing(lambda rng: rng.choice(["one day", "some day"]) if rng.random() < 0.97 else "Friday")
    with in_background(act) as (_, url):
        project = write_project(tmp_path, url, cases=checked("Friday"))
        sample = failing(capsys, project, "meet")
        found = forks(capsys, project, sample)
        page = reroll(capsys, "forks", sample, "--project", project, "--yes").out
    assert "It fails nearly always, whatever it says" in page
    assert found["verdict"] == "doomed"
    assert not any(w["shown"] for w in found["words"])
    assert "fails nearly always, whatever it says" in found["text"]


def test_answers_that_come_with_tokens_are_compared_token_by_token(tmp_path: Path, capsys: Any) -> None:
    """Probabilities, but no going on from a prefix: tier C."""
    rng = random.Random(4)

    async def act(request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        if body["messages"][-1]["role"] == "assistant":
            return await error(400, "no prefill")(request)
        text = rng.choice(["It is on Fri day", "It is on Sat day"])
        words = re.findall(r"\s*\S+", text)
        top = [{"token": "a", "logprob": -0.5}, {"token": "b", "logprob": -1.0}]
        listed = [{"token": w, "logprob": -0.5, "top_logprobs": top[: body.get("top_logprobs", 0)]} for w in words]
        more = {"logprobs": {"content": listed}} if body.get("logprobs") else {}
        return web.json_response(completion(text, **more))

    with in_background(act) as (_, url):
        project = write_project(tmp_path, url, "params: {logprobs: true, top_logprobs: 2}\n", checked("Fri"))
        found = forks(capsys, project, failing(capsys, project, "meet"))
    assert (found["tier"], found["unit"]) == ("C", "token")
    assert [w["text"] for w in found["words"] if w["shown"]] == ["Sat"]
    assert [piece["text"] for piece in found["completion"]] == ["It", " is", " on", " Sat", " day"]


def test_tools_that_an_answer_calls_are_among_its_words(tmp_path: Path, capsys: Any) -> None:
    rng = random.Random(5)

    async def act(request: web.Request) -> web.StreamResponse:
        place = rng.choice(["Oslo", "Rome"])
        call = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": f'{{"place": "{place}"}}'}}
        return web.json_response(completion(None, message={"tool_calls": [call]}))

    program = "tools: [{type: function, function: {name: weather, parameters: {type: object}}}]\n"
    check = "{tool_call: {name: weather, arguments: {place: Oslo}}}"
    cases = f"cases:\n  - {{id: meet, input: {{request: x}}, checks: [{check}]}}\n"
    with in_background(act) as (_, url):
        project = write_project(tmp_path, url, program, cases)
        found = forks(capsys, project, failing(capsys, project, "meet"))
    assert "`tools` is more than sampling tokens" in found["why"]
    assert [w["text"] for w in found["words"] if w["shown"]] == ["Rome"]


def test_a_stopped_look_says_what_is_missing_and_goes_on_from_there(black_box: Path, capsys: Any) -> None:
    sample = failing(capsys, black_box, "meet")
    stored = forks(capsys, black_box, sample, "--budget", "1")
    assert (stored["verdict"], stored["code"], stored["finished"]) == ("undecided", 4, False)
    assert "Too few runs" in stored["text"]
    assert stored["more_samples"] == 32 - stored["stored"] - stored["drawn"]
    assert forks(capsys, black_box, sample, "--draws", "32")["samples"] == 32


# -- products


def test_a_product_is_looked_at_by_its_words(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "product.py").write_text(
        "import random\n"
        "rng = random.Random(3)\n"
        "def answer(request):\n"
        "    city = rng.choice(['Rome', 'Paris'])\n"
        "    return f'The trip to {city} is planned for you'\n"
    )
    (tmp_path / "program.yaml").write_text("program: trips\nmodel: python:product:answer\neffects: none\n")
    (tmp_path / "cases.yaml").write_text(
        'cases:\n  - {id: trip, input: {request: "x"}, checks: [{name: rome, contains: "Rome"}]}\n'
    )
    sample = failing(capsys, tmp_path, "trip")
    found = forks(capsys, tmp_path, sample)
    assert found["tier"] == "D"
    assert "is a function of yours, and its answers are made of more than one model's tokens" in found["why"]
    assert [w["text"] for w in found["words"] if w["shown"]] == ["Paris"]
    assert found["unit"] == "word"
    for command in ("futures", "surprise"):
        target = "trip" if command == "futures" else sample
        said = reroll(capsys, command, target, "--project", tmp_path, "--yes").complaint
        assert "more than one model's tokens" in said
        assert "`re" in said, "the best remaining command is named"


def test_an_empty_answer_has_no_words_and_the_sentence_says_what_remains(tmp_path: Path, capsys: Any) -> None:
    with in_background(chatting(lambda messages, rng: "")) as (_, url):
        project = write_project(tmp_path, url)
        sample = failing(capsys, project, "greet")
        said = reroll(capsys, "forks", sample, "--project", project, "--yes").complaint
        assert "is empty, so no word of it can go with failure; `reroll rerun greet`" in said
        said = reroll(capsys, "surprise", sample, "--project", project, "--yes").complaint
        assert "empty" in said


@pytest.mark.parametrize(("text", "what"), [("", "is empty"), (" \n", "white space alone")])
def test_an_answer_without_words_has_none_that_led_anywhere_where_prefixes_go(text: str, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        astray(Sample(Completion(text)), (), None)


def test_a_model_that_thinks_in_hidden_tokens_is_looked_at_by_its_words(tmp_path: Path, capsys: Any) -> None:
    act = chatting(meeting, prefill=True, message={"reasoning_content": "Half seven may be 18:30."})
    with in_background(act) as (_, url):
        project = write_project(tmp_path, url, cases=MEETING)
        found = forks(capsys, project, failing(capsys, project, "meet"))
        assert (found["schema"], found["tier"]) == ("reroll.association/1", "D")
        assert "thinks before it answers, and those tokens are hidden" in found["why"]
        said = reroll(capsys, "futures", "meet", "--project", project, "--yes").complaint
        assert "thinks before it answers" in said
        assert "`rerun` and `certify` sample instead" in said


# -- conversations: turns


TALK = """cases:
  - id: trip
    input: {request: "Then book it, please."}
    history:
      - {role: user, content: "I have to be in Paris on Friday."}
      - {role: assistant, content: "Friday it is."}
      - {role: user, content: "Train or plane?"}
      - {role: assistant, content: "I would take the plane."}
      - {role: user, content: "As you say. A window, if there is one."}
      - {role: assistant, content: "A window seat, noted."}
    checks: [{name: booked, contains: "booked"}]
"""


def agent(messages: list[dict[str, Any]], rng: random.Random) -> str:
    """Who says plane in its second turn finds no seat in the end; no other turn matters."""
    said = [m["content"] for m in messages if m["role"] == "assistant"]
    if len(said) == 1:
        return "I would take the train." if rng.random() < 0.8 else "I would take the plane."
    if len(said) < 3:
        return rng.choice(["Noted.", "Friday it is.", "Of course."])
    works = 0.05 if any("plane" in text for text in said) else 0.95
    return "It is booked." if rng.random() < works else "There is no seat."


def conversation(tmp_path: Path, url: str, cases: str = TALK) -> Path:
    return write_project(tmp_path, url, cases=cases)


def test_a_stateless_chat_is_searched_turn_by_turn(tmp_path: Path, capsys: Any) -> None:
    with in_background(chatting(agent)) as (server, url):
        project = conversation(tmp_path, url)
        sample = failing(capsys, project, "trip")
        before = server.calls
        found = forks(capsys, project, sample, "--seed", "1", "--budget", "3000")
        assert (found["schema"], found["unit"], found["tier"], found["verdict"]) == ("reroll.dud/1", "turn", "D", "dud")
        assert (found["position"], found["token"]) == (2, "I would take the plane.")
        assert found["drop"]["low"] > 0.05
        assert found["success_before"]["high"] > 0.6 > 0.3 > found["success_after"]["low"]
        assert "turn 2 of the assistant" in found["text"]
        assert any("replayed as recorded" in caveat for caveat in found["caveats"])
        assert found["cost"]["calls"] <= server.calls - before
        assert re.search(r"about \d+ conversations on, in about [\d,]+ calls", found["told"])
        sent = [json.loads(body)["messages"] for body in server.bodies[before:]]
        asked = [m["content"] for m in sent[-1] if m["role"] == "user"]
        assert asked[-1] == "Then book it, please." or len(asked) < 4


def test_conversations_of_the_same_search_are_found_again_and_are_evidence_for_another(
    tmp_path: Path, capsys: Any
) -> None:
    with in_background(chatting(agent)) as (server, url):
        project = conversation(tmp_path, url)
        sample = failing(capsys, project, "trip")
        first = forks(capsys, project, sample, "--seed", "1", "--budget", "3000")
        asked = server.calls
        again = forks(capsys, project, sample, "--seed", "1", "--budget", "3000")
        assert server.calls == asked
        assert (again["cost"]["calls"], again["cost"]["reused"]) == (0, first["cost"]["calls"])
        assert {**again, "cost": 0, "told": 0} == {**first, "cost": 0, "told": 0}
        assert f"{first['cost']['calls']:,} calls of it are stored and cost nothing" in again["told"]
        fresh = forks(capsys, project, sample, "--seed", "1", "--budget", "3000", "--fresh")
        assert (fresh["reused"], fresh["cost"]["calls"] > 0, fresh["position"]) == (0, True, 2)
        other = [row["shown"]["id"] for row in samples_of(capsys, project) if row["shown"]["outcome"] == "fail"][1]
        assert forks(capsys, project, other, "--seed", "1", "--budget", "3000")["reused"] > first["reused"]
        with Store.open(project / ".reroll" / "store.sqlite") as store:
            played = [s for s in store.samples(source="continued") if " turn " not in s.series]
        assert played
        said = reroll(capsys, "forks", played[0].id, "--project", project, "--yes").complaint
        assert "answered another request" in said


def test_a_search_of_turns_that_was_stopped_goes_on_and_ends_as_one_that_was_not(tmp_path: Path, capsys: Any) -> None:
    with in_background(chatting(agent)) as (server, url):
        project = conversation(tmp_path, url)
        sample = failing(capsys, project, "trip")
        forks(capsys, project, sample, "--seed", "1", "--budget", "3")  # asks what the server can do
        before, spent = server.calls, []
        for _ in range(40):
            found = forks(capsys, project, sample, "--seed", "1", "--budget", "14")
            spent.append(found["cost"]["calls"])
            if found["finished"]:
                break
        assert found["finished"], "what does not hold a whole round holds some of its conversations"
        assert len(spent) > 4
        assert max(spent) <= 14
        assert server.calls - before == sum(spent)
        again = forks(capsys, project, sample, "--seed", "1", "--budget", "3000")
        assert (again["verdict"], again["position"], again["cost"]["calls"]) == ("dud", 2, 0)
        assert again["cost"]["reused"] == sum(spent)


def test_conversations_from_before_a_check_was_written_are_played_anew(tmp_path: Path, capsys: Any) -> None:
    with in_background(chatting(agent)) as (_, url):
        project = conversation(tmp_path, url)
        sample = failing(capsys, project, "trip")
        first = forks(capsys, project, sample, "--seed", "1", "--budget", "3000")
        cases = project / "cases.yaml"
        cases.write_text(cases.read_text().replace('contains: "booked"', 'matches: "It is booked"'))
        again = forks(capsys, project, sample, "--seed", "1", "--budget", "3000")
        assert first["cost"]["calls"] > 0
        assert (again["cost"]["reused"], again["reused"], again["position"]) == (0, 0, 2)
        assert again["cost"]["calls"] > 0


def test_a_check_that_was_written_after_looking_dooms_nothing_by_what_it_was_written_for(
    tmp_path: Path, capsys: Any
) -> None:
    """It calls wrong what was said by chance until then, and that would prove that nothing ever works."""

    def odd(messages: list[dict[str, Any]], rng: random.Random) -> str:
        return f"It is booked, number {rng.randrange(1000)}." if rng.random() < 0.01 else "There is no seat."

    def plain(messages: list[dict[str, Any]], rng: random.Random) -> str:
        return "It is booked." if rng.random() < 0.9 else "There is no seat."

    with in_background(chatting(odd)) as (server, url):
        project = conversation(tmp_path, url)
        sample = failing(capsys, project, "trip")
        assert forks(capsys, project, sample, "--seed", "1", "--budget", "400")["verdict"] == "doomed"
        server.acts = [chatting(plain)]
        cases = project / "cases.yaml"
        cases.write_text(cases.read_text().replace('contains: "booked"', 'matches: "It is booked"'))
        again = forks(capsys, project, sample, "--seed", "1", "--budget", "400")
        assert (again["reused"], again["verdict"] != "doomed") == (0, True)


@pytest.mark.parametrize("answers", [0, 9, 30, 61])
def test_what_a_server_that_went_down_left_of_a_conversation_is_asked_for_anew(
    answers: int, tmp_path: Path, capsys: Any
) -> None:
    """Down from the first call on, or within a round of conversations, some of which it had answered."""
    left = 10_000

    async def act(request: web.Request) -> web.StreamResponse:
        nonlocal left
        left -= 1
        return await (error(400, "gone") if left < 0 else chatting(agent))(request)

    with in_background(act) as (_, url):
        project = conversation(tmp_path, url)
        sample = failing(capsys, project, "trip")
        line = ("--seed", "1", "--concurrency", "1")
        forks(capsys, project, sample, *line, "--budget", "3")  # asks what the server can do
        left = answers
        lost = reroll(capsys, "forks", sample, "--project", project, "--yes", *line, "--budget", "3000")
        assert lost.code == (4 if answers else 2)
        assert re.search("(does not answer|stopped answering) calls of a conversation", lost.err)
        left = 10_000
        found = forks(capsys, project, sample, *line, "--budget", "3000")
        assert (found["verdict"], found["position"], found["invalid"]) == ("dud", 2, 0)
        assert found["cost"]["reused"] == answers


def test_the_page_of_a_conversation_marks_the_turn(tmp_path: Path, capsys: Any) -> None:
    with in_background(chatting(agent)) as (_, url):
        project = conversation(tmp_path, url)
        sample = failing(capsys, project, "trip")
        page = reroll(capsys, "forks", sample, "--project", project, "--yes", "--seed", "1", "--budget", "3000").out
        assert "One turn led it astray" in page
        assert "A window seat, noted." in page


def test_turns_with_tools_stay_as_they_were_recorded(tmp_path: Path, capsys: Any) -> None:
    call = '{id: c1, type: function, function: {name: seats, arguments: "{}"}}'
    cases = TALK.replace(
        '      - {role: user, content: "As you say.',
        f"      - {{role: assistant, content: null, tool_calls: [{call}]}}\n"
        '      - {role: tool, tool_call_id: c1, content: "12 seats"}\n'
        '      - {role: user, content: "As you say.',
    )
    with in_background(chatting(agent)) as (server, url):
        project = conversation(tmp_path, url, cases)

        def plain(messages: list[dict[str, Any]], rng: random.Random) -> str:
            return agent([m for m in messages if not m.get("tool_calls")], rng)

        server.acts = [chatting(plain)]
        sample = failing(capsys, project, "trip")
        before = server.calls
        found = forks(capsys, project, sample, "--seed", "1", "--budget", "3000")
        assert found["position"] == 2
        assert any("1 turn of the assistant with tools" in caveat for caveat in found["caveats"])
        for body in server.bodies[before:]:
            said = json.loads(body)["messages"]
            places = [k for k, m in enumerate(said) if m.get("role") == "tool"]
            assert all(said[k - 1].get("tool_calls") for k in places)


def test_a_budget_that_is_too_small_for_one_round_of_conversations_ends_the_search_unsure(
    tmp_path: Path, capsys: Any
) -> None:
    with in_background(chatting(agent)) as (server, url):
        project = conversation(tmp_path, url)
        sample = failing(capsys, project, "trip")
        before = server.calls
        found = forks(capsys, project, sample, "--budget", "3")
        assert (found["verdict"], found["finished"], found["code"]) == ("unsure", False, 4)
        assert found["cost"]["calls"] == 0
        assert server.calls >= before


@contextlib.contextmanager
def claude(say: Callable[[random.Random], str]) -> Iterator[str]:
    """Anthropic's messages as Claude 4.6 and later take them: no prefill, no probabilities; the address."""
    started = threading.Event()
    held: dict[str, Any] = {}
    rng = random.Random(6)

    async def answer(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if body["messages"][-1]["role"] == "assistant":
            said = "This model does not support assistant message prefill."
            wrong = {"type": "error", "error": {"type": "invalid_request_error", "message": said}}
            return web.json_response(wrong, status=400)
        text = [{"type": "text", "text": say(rng)}]
        usage = {"input_tokens": 9, "output_tokens": 7}
        return web.json_response({"type": "message", "content": text, "stop_reason": "end_turn", "usage": usage})

    async def serve() -> None:
        app = web.Application()
        app.router.add_post("/v1/messages", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        held.update(port=runner.addresses[0][1], loop=asyncio.get_running_loop(), done=asyncio.Event())
        started.set()
        await held["done"].wait()
        await runner.cleanup()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    assert started.wait(60)
    try:
        yield f"http://127.0.0.1:{held['port']}/v1"
    finally:
        held["loop"].call_soon_threadsafe(held["done"].set)
        thread.join(60)


def test_a_claude_that_forbids_prefill_is_looked_at_by_its_words(tmp_path: Path, capsys: Any) -> None:
    with claude(lambda rng: meeting([], rng)) as url:
        project = write_project(tmp_path, url, cases=MEETING)
        program = project / "program.yaml"
        text = program.read_text().replace("openai", "anthropic")
        program.write_text(re.sub(r"base_url: .*", f"base_url: {url}", text))
        sample = failing(capsys, project, "meet")
        found = forks(capsys, project, sample)
        assert (found["schema"], found["tier"]) == ("reroll.association/1", "D")
        assert "http 400, This model does not support assistant message prefill" in found["why"]
        assert [w["text"] for w in found["words"] if w["shown"]] == ["18:30"]
        said = reroll(capsys, "futures", "meet", "--project", project, "--yes").complaint
        assert "does not support assistant message prefill" in said
        assert "`rerun` and `certify` sample instead" in said


# -- llama.cpp behind a server that gives less

EARLY = '{"date":"2026-11-20","time":"18:30"'


@dataclass
class Less:
    """What the server holds back. most: alternatives that it lists; 0: it passes over `logprobs`.

    echo: it repeats a prompt with what it lists for each of its tokens, as SGLang does; llama.cpp does not.
    """

    most: int = 20
    prefill: bool = True
    ids: bool = True
    echo: bool = False
    echoed: int = 0


@contextlib.contextmanager
def holding_back(less: Less) -> Iterator[str]:
    """The bundled model on a real llama.cpp server, behind one that passes chat completions through; its address."""

    def alter(path: str, body: dict[str, Any]) -> dict[str, Any] | tuple[int, str]:
        chat = path.endswith("chat/completions")
        if not less.ids and not chat:
            return 404, "not here"
        if chat and body["messages"][-1]["role"] == "assistant" and not less.prefill:
            return 400, "This model does not support assistant message prefill."
        if less.most:
            return body
        return {key: value for key, value in body.items() if key not in ("logprobs", "top_logprobs")}

    def fewer(said: Any) -> Any:
        for choice in said.get("choices") or [] if isinstance(said, dict) else []:
            for token in (choice.get("logprobs") or {}).get("content") or []:
                token["top_logprobs"] = token["top_logprobs"][: less.most]
        return said

    async def echoing(session: aiohttp.ClientSession, inner: str, body: dict[str, Any]) -> Any:
        if not less.echo or not body.get("echo"):
            return None
        less.echoed += 1
        return await repeated(session, inner, body)

    with between(alter, fewer, echoing) as url:
        yield f"{url}/v1"


async def repeated(session: aiohttp.ClientSession, inner: str, body: dict[str, Any]) -> dict[str, Any]:
    """The prompt as an echo gives it back, each of its tokens as llama.cpp lists it after those before."""

    async def ask(path: str, asked: dict[str, Any]) -> dict[str, Any]:
        async with session.post(inner + path, json=asked) as answer:
            return dict(await answer.json())

    ids = body["prompt"]
    if isinstance(ids, str):
        ids = (await ask("/tokenize", {"content": ids}))["tokens"]
    texts, chances, tops = [], [], []
    for k, token in enumerate(ids):
        texts.append((await ask("/detokenize", {"tokens": [token]}))["content"])
        if k == 0:
            chances, tops = [None], [None]
            continue
        asked = {"prompt": ids[:k], "max_tokens": 1, "logprobs": 200, "temperature": 1}
        answer = await ask("/v1/completions", asked)
        listed = answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        chances.append(next((one["logprob"] for one in listed if one["id"] == token), -9999.0))
        top: dict[str, float] = {}
        for one in listed[: body["logprobs"]]:
            top.setdefault(one["token"], one["logprob"])
        tops.append(top)
    logprobs = {"tokens": texts, "token_logprobs": chances, "top_logprobs": tops, "text_offset": [-1] * len(ids)}
    choice = {"index": 0, "text": "".join(texts), "finish_reason": "length", "logprobs": logprobs}
    usage = {"prompt_tokens": len(ids), "completion_tokens": 1}
    return {"object": "text_completion", "choices": [choice], "usage": usage}


def meetings(folder: Path, url: str) -> Path:
    """The example project with its model at this address, sampled as plainly as reroll does it itself."""
    init_project(folder)
    text = (folder / "program.yaml").read_text()
    plain = "params: {temperature: 1, top_k: 0, top_p: 1, min_p: 0, repeat_penalty: 1, max_tokens: 96}"
    text = re.sub(r"^model: .*$", f"model: openai:bundled\nbase_url: {url}", text, flags=re.MULTILINE)
    (folder / "program.yaml").write_text(re.sub(r"^params: .*$", plain, text, flags=re.MULTILINE))
    return folder


def test_prefixes_alone_give_a_window_that_says_so(tmp_path: Path, capsys: Any) -> None:
    """A server that passes over `logprobs`, and repeats the beginning that it was given, as llama.cpp does."""
    with holding_back(Less(most=0, ids=False)) as url:
        project = meetings(tmp_path, url)
        sample = failing(capsys, project, "half-seven", EARLY)
        found = forks(capsys, project, sample, "--seed", "2", "--budget", "1500")
        again = forks(capsys, project, sample, "--seed", "2", "--budget", "1500")
        for command, name in (("futures", "half-seven"), ("surprise", sample)):
            said = reroll(capsys, command, name, "--project", project, "--yes").complaint
            assert "gives no token probabilities" in said
            assert "`re" in said
    assert (found["schema"], found["tier"], found["exact"]) == ("reroll.dud/1", "B", False)
    assert found["verdict"] == "dud"
    said = "".join(piece["text"] for piece in found["tokens"][found["first"] - 1 : found["last"]])
    assert "18" in said
    assert found["last"] - found["first"] <= 4, "a window, not the whole answer"
    assert "somewhere in" in found["text"] or found["first"] == found["last"]
    assert found["prob"] is None
    assert any("window" in caveat for caveat in found["caveats"])
    assert any("gives no token probabilities" in caveat for caveat in found["caveats"])
    assert again["text"] == found["text"]
    assert again["cost"]["calls"] == 0, "its own draws were found again"


def test_a_beginning_that_no_run_goes_on_from_as_the_answer_did_is_doubted() -> None:
    """As where a text is cut in the middle of what was one token: then the place shows the cut, not the answer."""

    def branches(*texts: str) -> list[Branch]:
        return [Branch(f"s_{k}", 3, False, Sample(Completion(t)), Outcome("fail", "")) for k, t in enumerate(texts)]

    found = astray(Sample(Completion('{"on":"18:30"}')), (), None)
    assert found.failing.tokens == ('{"', "on", '":"', "18:30", '"}')
    cut, natural = '{"on":"{"on"', '{"on":"18:30"}'
    assert unnatural(found, branches(*[cut] * 8), 3) == 8
    assert unnatural(found, branches(*[cut] * 8, natural), 3) == 0
    assert unnatural(found, branches(*[cut] * 7), 3) == 0, "too few to say"
    assert unnatural(found, branches(*[cut] * 8), 5) == 0, "nothing comes after the end"


def test_a_server_that_lists_few_alternatives_is_searched_and_the_caveat_says_how_few(
    tmp_path: Path, capsys: Any
) -> None:
    with holding_back(Less(most=2)) as url:
        project = meetings(tmp_path, url)
        found = forks(capsys, project, failing(capsys, project, "half-seven", EARLY), "--seed", "3")
    assert (found["tier"], found["verdict"], found["token"]) == ("A", "dud", "18")
    assert any(caveat.startswith("at most 2 tokens are listed at each place, not 20") for caveat in found["caveats"])


def test_a_server_that_lists_few_alternatives_leaves_futures_and_surprise_wider_and_says_so(
    tmp_path: Path, capsys: Any
) -> None:
    with holding_back(Less(most=2)) as url:
        project = meetings(tmp_path, url)
        said = ("--project", project, "--yes", "--json")
        found = reroll(capsys, "futures", "half-seven", "--draws", "20", *said).json
        assert found["outside_top_k"] > 1e-4
        assert any("begins with tokens that the server does not list" in caveat for caveat in found["caveats"])
        (project / "saw.txt").write_text("Dear Omar, dinner is at eight.")
        found = reroll(capsys, "surprise", "half-seven", "--saw", project / "saw.txt", *said).json
        assert any("the server did not list one of its tokens" in caveat for caveat in found["caveats"])


def test_a_server_that_cuts_a_prefix_anew_gives_a_place_that_is_called_approximate(tmp_path: Path, capsys: Any) -> None:
    with holding_back(Less(ids=False)) as url:
        project = meetings(tmp_path, url)
        program = project / "program.yaml"
        program.write_text(
            program.read_text().replace("max_tokens: 96}", "max_tokens: 96, logprobs: true, top_logprobs: 20}")
        )
        sample = failing(capsys, project, "half-seven", EARLY)
        found = forks(capsys, project, sample, "--seed", "3")
        said = reroll(capsys, "futures", "half-seven", "--project", project, "--yes").complaint
        assert "takes prefixes as text only" in said
        said = reroll(capsys, "surprise", sample, "--project", project, "--yes").complaint
        assert "takes prefixes as text only" in said
    assert (found["tier"], found["exact"], found["verdict"]) == ("A", False, "dud")
    assert found["token"] in ("18", "1", "8")
    assert any("cuts into tokens anew at the seam: the place is approximate" in caveat for caveat in found["caveats"])


def test_a_server_that_comes_to_refuse_beginnings_after_it_was_probed_is_looked_at_by_words(
    tmp_path: Path, capsys: Any
) -> None:
    less = Less(most=0, ids=False)
    with holding_back(less) as url:
        project = meetings(tmp_path, url)
        sample = failing(capsys, project, "half-seven", EARLY)
        forks(capsys, project, sample, "--budget", "4")  # probed: it goes on from beginnings
        less.prefill = False
        found = forks(capsys, project, sample, "--budget", "900")
        assert "sample instead" not in found["why"]
    assert (found["schema"], found["tier"]) == ("reroll.association/1", "D")
    assert "refuses to go on from a given beginning (http 400" in found["why"]
    assert [w["text"] for w in found["words"] if w["shown"]] == ["18:30"]


def test_chances_that_cannot_be_read_leave_a_window(tmp_path: Path, capsys: Any) -> None:
    """`xtc_probability` rolls dice of its own: what is listed is not what is drawn from."""
    init_project(tmp_path)
    program = tmp_path / "program.yaml"
    program.write_text(program.read_text().replace("max_tokens: 96}", "max_tokens: 96, xtc_probability: 0.01}"))
    sample = failing(capsys, tmp_path, "half-seven", EARLY)
    found = forks(capsys, tmp_path, sample, "--seed", "2", "--budget", "1500")
    assert (found["tier"], found["verdict"], found["exact"]) == ("B", "dud", True)
    assert found["first"] <= 9 <= found["last"]
    assert any("`xtc_probability` changes the chances" in caveat for caveat in found["caveats"])


def test_a_server_that_repeats_prompts_scores_a_reading_in_one_call_and_says_the_same(
    tmp_path: Path, capsys: Any
) -> None:
    """The bundled model: through an echo, and token by token."""
    (tmp_path / "saw.txt").write_bytes(b'{"date":"2026-11-18","time":"18:30"}\r\n')
    found = {}
    for echo in (True, False):
        less = Less(echo=echo)
        with holding_back(less) as url:
            project = meetings(tmp_path / str(echo), url)
            can = reroll(capsys, "doctor", "--project", project, "--json").json["capabilities"]
            assert (can["echo"], can["prompt_logprobs"]) == (echo, False)
            less.echoed = 0
            said = ("--project", project, "--yes", "--json", "--draws", "30", "--seed", "5")
            one = reroll(capsys, "surprise", "half-seven", "--saw", tmp_path / "saw.txt", *said).json
        found[echo] = one
        readings = 3  # as it was given, with line ends of one character, and without the line end at its end
        drawn = one["agreement"]["draws"]
        if echo:  # a fresh run may tell one of them; one call more may look for the token that ends an answer
            assert 2 <= less.echoed <= readings
            assert less.echoed <= one["cost"]["calls"] - drawn <= less.echoed + 1
        else:
            assert less.echoed == 0
    assert found[True]["read_as"] == found[False]["read_as"] == "without the line end at its end"
    assert [t["text"] for t in found[True]["tokens"]] == [t["text"] for t in found[False]["tokens"]]
    assert found[True]["log_prob"] == pytest.approx(found[False]["log_prob"], abs=0.05)
    assert found[True]["cost"]["calls"] < found[False]["cost"]["calls"]
