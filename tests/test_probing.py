"""What a model can do: asked once, stored, and asked again when another version answers; and how tokens are probed."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from sqlalchemy import func, select, update

from reroll import fake_server
from reroll.fake_faults import Behaviour
from reroll.models.model import Capabilities, Draw
from reroll.models.openai import OpenAIModel
from reroll.models.probe_tokens import echo, logprobs_mode, prompt_logprobs, token_prompt
from reroll.models.registry import open_model
from reroll.probing import PROBE, Change, capabilities_of, probe_now
from reroll.program import Request
from reroll.sample import Completion, Sample
from reroll.store import NewSample, Store
from reroll.store_schema import probes
from tests.background import by_number, in_background, reroll, write_project
from tests.fake_server import Act, body, completion, error, reset, serving

ABLE = Capabilities(n=True, logprobs=5, seed=True)


class Counted:
    """A model that counts how often it is probed, and says which version answers."""

    name, identity, concurrency, priced = "tiny", "openai:tiny@http://x/v1", 1, False

    def __init__(self, *versions: str, able: Capabilities = ABLE) -> None:
        self.versions, self.able, self.probes = versions, able, 0

    async def check(self) -> None: ...

    async def close(self) -> None: ...

    async def draw(self, draw: Draw) -> Sample:
        raise AssertionError("nothing is drawn here")

    async def probe(self) -> Capabilities:
        self.probes += 1
        return Capabilities(n=self.able.n, logprobs=self.able.logprobs, seed=self.able.seed, versions=self.versions)


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with Store.open(tmp_path / "store.sqlite") as store:
        store.put_request("r1:0", Request("openai:tiny", None, {}), Counted.identity)
        yield store


def answered(store: Store, idx: int, model: str | None, fingerprint: str | None = None, source: Any = "draw") -> None:
    """An answer of the model that names this version."""
    sample = Sample(Completion("x"), model=model, fingerprint=fingerprint)
    store.add_samples([NewSample(sample, "r1:0", "open", idx, "p1:0", "greet", source=source)])


def asked(store: Store, model: Counted) -> Capabilities:
    return asyncio.run(capabilities_of(store, model))


def test_a_model_is_probed_once_and_then_remembered_also_by_another_command(store: Store, tmp_path: Path) -> None:
    model = Counted("m-1 fp_1")
    first = asked(store, model)
    assert (first.n, first.logprobs, first.versions) == (True, 5, ("m-1 fp_1",))
    with Store.open(tmp_path / "store.sqlite") as again:
        assert asked(again, model) == first
    assert model.probes == 1


def test_an_answer_of_another_version_makes_the_probe_stale_and_one_of_a_known_version_does_not(store: Store) -> None:
    model = Counted("m-1 fp_1")
    asked(store, model)
    answered(store, 0, "m-1", "fp_1")
    answered(store, 1, None)  # says nothing of itself
    answered(store, 2, "m-0", source="imported")  # answered somebody else
    asked(store, model)
    assert model.probes == 1
    answered(store, 3, "m-2", "fp_9")
    model.versions = ("m-2 fp_9",)
    assert asked(store, model).versions == ("m-2 fp_9",)
    answered(store, 4, "m-1", "fp_1")
    assert asked(store, model).versions == ("m-1 fp_1",)
    assert model.probes == 2


def test_versions_that_take_turns_are_known_together(store: Store) -> None:
    model = Counted("m fp_a", "m fp_b")
    asked(store, model)
    for idx, fingerprint in enumerate(["fp_a", "fp_b", "fp_a"]):
        answered(store, idx, "m", fingerprint)
        asked(store, model)
    assert model.probes == 1


def test_a_probe_that_hears_of_no_version_is_about_the_one_that_answered_before(store: Store) -> None:
    model = Counted()
    answered(store, 0, "m-1")
    for idx in (1, 2):
        asked(store, model)
        answered(store, idx, "m-1")
    assert model.probes == 1


def test_what_an_earlier_probe_found_is_asked_anew_and_what_it_did_not_ask_has_not_changed(store: Store) -> None:
    model = Counted("m-1")
    store.put_probe(model.identity, ["m-1"], PROBE - 1, {"n": True, "logprobs": 20, "unheard_of": 1})
    found = asyncio.run(probe_now(store, model))
    assert [(c.name, c.before, c.after) for c in found.changes] == [("logprobs", 20, 5)]
    assert asked(store, model).logprobs == 5
    assert model.probes == 1


def test_a_change_of_version_is_a_change(store: Store) -> None:
    model = Counted("m-1")
    first = asyncio.run(probe_now(store, model))
    assert first.changes == ()
    assert first.probed is not None
    model.versions = ("m-2",)
    assert asyncio.run(probe_now(store, model)).changes == (Change("version", "m-1", "m-2", first.probed),)


def test_a_probe_that_got_no_answer_does_not_replace_one_that_did(store: Store) -> None:
    model = Counted("m-1")
    asked(store, model)
    model.able = Capabilities()
    assert asyncio.run(probe_now(store, model)).probed is None
    assert asked(store, model).logprobs == 5


def test_a_key_in_a_servers_words_is_not_stored(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REROLL_API_KEY", "hunter2hunter2hunter2")
    store.put_probe("m", [""], PROBE, {"notes": ["Refused: hunter2hunter2hunter2."]})
    assert store.probes("m")[0].capabilities == {"notes": ["Refused: [secret]."]}


def test_the_bundled_model_is_probed_once(tmp_path: Path) -> None:
    async def run() -> tuple[Capabilities, Capabilities, int]:
        with Store.open(tmp_path / "store.sqlite") as store:
            model = open_model("bundled")
            both = await capabilities_of(store, model), await capabilities_of(store, model)
            await model.close()
            return *both, len(store.probes(model.identity))

    first, second, rows = asyncio.run(run())
    assert first == second
    assert rows == 1
    assert (first.logprobs_mode, first.post_sampling, first.prompt_logprobs, first.echo) == ("raw", True, False, False)
    assert (first.token_ids, first.token_prompt, first.n) == (True, True, True)
    assert first.versions[-1].startswith("bundled ")


def test_the_completions_of_llama_cpp_take_token_ids_and_several_completions_a_call() -> None:
    async def run() -> Capabilities:
        bundled = open_model("bundled")
        address = (await bundled.wire()).base  # type: ignore[attr-defined]
        model = open_model("openai-completions:bundled", base_url=address, environment={})
        found = await model.probe()
        await model.close()
        await bundled.close()
        return found

    found = asyncio.run(run())
    assert (found.n, found.token_prompt, found.logprobs_mode, found.post_sampling) == (True, True, "raw", True)
    assert (found.prompt_logprobs, found.echo) == (False, False), "llama.cpp takes echo and passes over it"


def test_a_server_that_takes_everything_and_does_nothing_is_found_able_to_do_nothing() -> None:
    async def run() -> list[Capabilities]:
        async with fake_server.serving(Behaviour()) as (_, url):
            models = [
                open_model(f"{kind}:x", base_url=url, environment={}) for kind in ("openai", "openai-completions")
            ]
            found = [await model.probe() for model in models]
            for model in models:
                await model.close()
            return found

    for found in asyncio.run(run()):
        assert (found.n, found.seed, found.logprobs, found.logprobs_mode) == (False, False, 0, None)
        assert (found.post_sampling, found.prompt_logprobs, found.token_prompt) == (False, False, False)
        assert found.echo is False


# -- tokens

LISTED = {"a": -0.5, "b": -1.5, "c": -3.5}


@pytest.mark.parametrize(
    ("at_two", "mode"),
    [
        (LISTED, "raw"),
        ({"a": -0.8, "b": -1.32, "c": -2.29}, "sampled"),  # halved, and normalised anew
        ({"a": -0.8, "b": -1.5, "c": -2.9}, None),  # something else again
        ({"x": -0.1}, None),
        ({}, None),
    ],
)
def test_whether_probabilities_are_from_before_temperature_shows_in_their_differences(
    at_two: Mapping[str, float], mode: str | None
) -> None:
    async def first_at(temperature: float) -> Mapping[str, float]:
        return LISTED if temperature == 1 else at_two

    notes: list[str] = []
    assert asyncio.run(logprobs_mode(first_at, notes)) == mode
    assert bool(notes) == (mode is None)


VLLM = [None, {"5": {"logprob": -1.0}}, {"6": {"logprob": -2.0}}]
CUT = ("One", " two", " three four", " five")


def echoed(*texts: str, told: bool = True, listed: bool = True) -> dict[str, Any]:
    """The prompt and a token that is new, as /completions gives them back."""
    told_of = [None, *(-float(k) for k in range(1, len(texts)))] if told else [None] * len(texts)
    tops = [None, *({text: -0.5} for text in texts[1:])] if listed else None
    logprobs = {"tokens": list(texts), "token_logprobs": told_of, "top_logprobs": tops}
    return {"completions": {"choices": [{"text": "".join(texts), "logprobs": logprobs}]}}


@pytest.mark.parametrize(
    ("answers", "scores", "repeats"),
    [
        ({"chat/completions": {"choices": [{}], "prompt_logprobs": VLLM}}, True, False),
        ({"completions": {"choices": [{"text": "x", "prompt_logprobs": VLLM}]}}, True, False),
        (echoed(*CUT), False, True),
        (echoed("<|begin_of_text|>", *CUT), False, True),  # Llama 3
        (echoed("<s>", "One", "two", "three", "four", "five"), False, True),  # Llama 2: without its spaces
        (echoed(*CUT, told=False), False, False),  # repeated, but not scored
        (echoed(*CUT, listed=False), False, False),  # scored, but without the tokens that it could have been
        (echoed(" five"), False, False),
        ({"completions": {"choices": [{"text": " five", "logprobs": {"tokens": 5}}]}}, False, False),
        ({"chat/completions": {"choices": [{}], "prompt_logprobs": [None]}}, False, False),
        ({"completions": {"choices": [None]}, "chat/completions": []}, False, False),
        ({}, False, False),
    ],
)
def test_scoring_a_given_text_is_found_in_each_of_its_shapes_and_nowhere_else(
    answers: Mapping[str, Any], scores: bool, repeats: bool
) -> None:
    async def post(path: str, body: Mapping[str, Any]) -> tuple[int, Any]:
        return (200, answers[path]) if path in answers else (404, None)

    notes: list[str] = []
    assert asyncio.run(prompt_logprobs(post, {"messages": []}, notes)) is scores
    assert asyncio.run(echo(post, notes)) is repeats
    assert len(notes) == scores + repeats


@pytest.mark.parametrize(("per_id", "able"), [(1, True), (0, False), (3, False)])
def test_a_prompt_of_token_ids_counts_as_many_tokens_as_it_has_ids(per_id: int, able: bool) -> None:
    async def post(path: str, body: Mapping[str, Any]) -> tuple[int, Any]:
        if path.startswith("/"):
            return 404, None
        return 200, {"usage": {"prompt_tokens": 1 + per_id * len(body["prompt"])}}  # one more: a token of beginning

    assert asyncio.run(token_prompt(post, [7, 8])) is able


# -- doctor


def with_logprobs(most: int, version: str) -> Act:
    """A server that lists so many alternatives for its one token."""

    async def act(request: web.Request) -> web.StreamResponse:
        asked = json.loads(await request.read()).get("top_logprobs", 0)
        top = [{"token": t, "logprob": float(-i)} for i, t in enumerate("abcdefgh"[: min(asked, most)])]
        more = {"logprobs": {"content": [{"token": "a", "logprob": 0.0, "top_logprobs": top}]}} if top else {}
        return web.json_response({**completion("ok", **more), "model": version})

    return act


def test_the_doctor_stores_what_it_finds_and_says_what_changed(tmp_path: Path, capsys: Any) -> None:
    acts = [with_logprobs(5, "tiny-1")]
    with in_background(*acts) as (server, url):
        project = write_project(tmp_path, url)
        first = reroll(capsys, "doctor", "--project", project, "--json").json
        assert (first["capabilities"]["logprobs"], first["capabilities"]["logprobs_mode"]) == (5, "raw")
        assert (first["changes"], first["capabilities"]["versions"]) == ([], ["tiny-1 fp_1"])
        server.acts = [with_logprobs(0, "tiny-2")]
        then = reroll(capsys, "doctor", "--project", project).out
    day = datetime.fromtimestamp(first["probed"], UTC).strftime("%Y-%m-%d")
    assert f"logprobs: 5 → 0 since {day}" in then
    assert f"version: tiny-1 fp_1 → tiny-2 fp_1 since {day}" in then
    assert "tiny-2 fp_1 answered." in then
    with Store.open(project / ".reroll" / "store.sqlite") as store:
        assert [p.version for p in store.probes(first["identity"])] == ["tiny-1 fp_1", "tiny-2 fp_1"]


def test_outside_a_project_the_doctor_leaves_no_file_behind(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with in_background(error(500, "down")) as (_, url):
        assert reroll(capsys, "doctor", "openai:tiny", "--base-url", url).complaint.endswith("[model-no-answer]")
        assert not list(tmp_path.iterdir())
        reroll(capsys, "doctor", "openai:tiny", "--base-url", url, "--store", tmp_path / "team.sqlite")
    with Store.open(tmp_path / "team.sqlite", create=False) as store:
        assert store.probes(f"openai:tiny@{url}/v1") == [], "nothing was found out"


@pytest.mark.parametrize("fault", [error(429, "later"), error(503, "busy"), body({"choices": 0}, 502), reset()])
def test_a_moment_without_an_answer_is_not_kept_as_what_a_server_cannot_do(tmp_path: Path, fault: Any) -> None:
    """Kept, it would take the dearer way for good: no look at probabilities, no going on from a beginning."""
    plain, away = with_logprobs(5, "tiny-1"), {"now": True}
    calls = by_number(lambda n: plain if n == 1 or not away["now"] else fault)

    async def run() -> tuple[Any, Any]:
        async def no_time(seconds: float) -> None:
            await asyncio.sleep(0)

        async with serving(calls) as (_, url):
            with Store.open(tmp_path / "store.sqlite") as store:
                model = OpenAIModel("tiny", url, environment={}, sleep=no_time)
                busy = await capabilities_of(store, model)
                away["now"] = False
                return busy, await capabilities_of(store, model)

    busy, then = asyncio.run(run())
    assert (busy.logprobs, busy.seed, busy.tools) == (None, None, None)
    assert not any("refused" in note or "do not work" in note for note in busy.notes)
    assert (then.logprobs, then.unanswered) == (5, 0)


class Refusing(Counted):
    """One of its abilities always ends in 503."""

    async def probe(self) -> Capabilities:
        self.probes += 1
        return Capabilities(n=True, logprobs=None, seed=True, versions=self.versions, unanswered=3)


def test_what_a_server_never_answers_is_asked_again_after_an_hour_then_after_a_day(store: Store) -> None:
    model, began = Refusing("tiny-1"), time.time()
    minutes = (0, 1, 2, 59, 62, 63, 1440, 1506, 1507)  # 62: the second one's hour is over; 1506: the third one's day
    probed = []
    for at in minutes:
        now = began + 60 * at
        asked = asyncio.run(capabilities_of(store, model, clock=lambda now=now: now))
        assert (asked.n, asked.logprobs) == (True, None)
        with store._write() as connection:  # the store's own clock goes along
            newest = select(func.max(probes.c.seq)).scalar_subquery()
            if model.probes > len(probed):
                connection.execute(update(probes).where(probes.c.seq == newest).values(probed_us=round(now * 1e6)))
                probed.append(at)
    assert probed == [0, 1, 62, 1506]
    asyncio.run(probe_now(store, model))
    assert model.probes == 5, "the doctor asks at once"


def test_a_whole_probe_stands_against_a_later_one_in_a_busy_moment(store: Store) -> None:
    asyncio.run(capabilities_of(store, Counted("tiny-1")))
    busy = Refusing("tiny-1")
    for _ in range(3):
        found = asyncio.run(probe_now(store, busy))
        assert found.changes == (), "what was not found out has not changed"
    assert asyncio.run(capabilities_of(store, busy)).logprobs == 5
    assert busy.probes == 3


def test_a_draw_and_the_probe_name_a_version_alike(tmp_path: Path) -> None:
    """Otherwise every answer would make the probe stale."""

    async def run() -> list[str]:
        async with serving(with_logprobs(0, "tiny-1")) as (_, url):
            with Store.open(tmp_path / "store.sqlite") as store:
                model = OpenAIModel("tiny", url, environment={})
                await capabilities_of(store, model)
                request = Request("openai:tiny", None, {"messages": []})
                store.put_request("r1:1", request, model.identity)
                sample = await model.draw(Draw(request, "case", 0))
                store.add_samples([NewSample(sample, "r1:1", "open", 0, "p1:0", "case")])
                await capabilities_of(store, model)
                await model.close()
                return [p.version for p in store.probes(model.identity)]

    assert asyncio.run(run()) == ["tiny-1 fp_1"]
