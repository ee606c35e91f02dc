"""The real llama.cpp in this process: seeds, neutral sampling, sharing, and a port that is free again."""

from __future__ import annotations

import asyncio
import json
import math
import shutil
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pytest

from reroll.engine import run_draws
from reroll.errors import ModelError
from reroll.models import local
from reroll.models.conformance import check_model
from reroll.models.gguf import context_length, read_metadata
from reroll.models.local import NEUTRAL, LocalModel, bundled_file
from reroll.models.model import Capabilities, Draw
from reroll.models.registry import open_model
from reroll.program import Request
from reroll.sample import Completion, Sample

pytest.importorskip("xllamacpp", reason="xllamacpp has no wheel for this machine")
if not bundled_file().exists():
    pytest.skip("the bundled model is not in this checkout", allow_module_level=True)

T = TypeVar("T")
MESSAGES = [
    {"role": "system", "content": "You turn meeting requests into JSON. Reply with JSON only."},
    {"role": "user", "content": "Book 30 minutes with Ana next Friday at 15:00."},
]


def draw_of(index: int = 0, seed: int | None = None, raw: str | None = None, **params: Any) -> Draw:
    body = json.loads(raw) if raw else {"messages": MESSAGES, "max_tokens": 40, **params}
    return Draw(Request("bundled", None, body, raw), "case", index, seed)


def with_model(work: Callable[[LocalModel], Awaitable[T]]) -> T:
    async def run() -> T:
        model = open_model("bundled")
        assert isinstance(model, LocalModel)
        try:
            return await work(model)
        finally:
            await model.close()

    return asyncio.run(run())


def said(sample: Sample) -> Completion:
    assert sample.completion is not None, sample.error
    return sample.completion


def test_it_keeps_the_promises_of_a_model() -> None:
    model = open_model("bundled")
    sample = asyncio.run(check_model(model, draw_of(seed=3)))
    assert said(sample).text
    assert (sample.usage.usd, sample.model, sample.seed) == (0.0, "bundled", 3)
    assert model.identity.startswith("bundled@")
    assert len(model.identity) == len("bundled@") + 12


def test_a_seed_gives_the_same_answer_and_another_seed_another() -> None:
    async def work(model: LocalModel) -> list[str]:
        return [said(await model.draw(draw_of(seed=s, temperature=1.5))).text for s in (5, 5, *range(12))]

    texts = with_model(work)
    assert texts[0] == texts[1]
    assert len(set(texts[2:])) > 1


def test_without_a_seed_repeats_are_drawn_anew_and_never_served_from_a_cache() -> None:
    async def work(model: LocalModel) -> list[str]:
        return [said(await model.draw(draw_of(temperature=1.5))).text for _ in range(12)]

    assert len(set(with_model(work))) > 1


def test_neutral_sampling_is_sent_unless_the_program_sets_it() -> None:
    async def work(model: LocalModel) -> tuple[Any, Any, bytes]:
        wire = await model.wire()
        raw = '{"messages": [],  "max_tokens": 3}'
        return (
            json.loads(wire.payload(draw_of())),
            json.loads(wire.payload(draw_of(temperature=0.3, top_k=40))),
            wire.payload(draw_of(raw=raw)),
        )

    plain, own, raw = with_model(work)
    assert {k: plain[k] for k in NEUTRAL} == dict(NEUTRAL)
    assert {"temperature": 1, "top_k": 0, "top_p": 1, "min_p": 0}.items() <= NEUTRAL.items()
    assert (own["temperature"], own["top_k"], own["top_p"]) == (0.3, 40, 1)
    assert raw == b'{"messages": [],  "max_tokens": 3}'


def test_the_server_itself_is_neutral_so_that_raw_requests_are_too() -> None:
    async def work(model: LocalModel) -> Any:
        status, data = await (await model.wire()).post("/completion", {"prompt": "a", "n_predict": 1})
        assert status == 200
        return data["generation_settings"]

    settings = with_model(work)
    assert {k: settings[k] for k in NEUTRAL} == dict(NEUTRAL)


def test_the_tail_of_the_distribution_is_drawn_from_as_often_as_its_probability_says() -> None:
    """At temperature 4 half the mass lies in rare tokens; any cut (top_k, top_p, min_p) would take it away."""
    n, heat = 400, 4.0
    body = {"messages": MESSAGES, "max_tokens": 1, "temperature": heat}

    async def work(model: LocalModel) -> tuple[list[tuple[str, float]], list[str]]:
        ask = Request("bundled", None, {**body, "logprobs": True, "top_logprobs": 100_000})
        top = said(await model.draw(Draw(ask, "c", 0, 1))).tokens[0].top
        weights = [math.exp(logprob / heat) for _, logprob in top]
        seen: list[str] = []
        ask = Request("bundled", None, body)
        draws = [Draw(ask, "c", i, 1000 + i) for i in range(n)]
        await run_draws(model, draws, 8, lambda d, s: seen.append(said(s).text))
        return [(text, w / sum(weights)) for (text, _), w in zip(top, weights, strict=True)], seen

    probs, seen = with_model(work)
    tail = {text for text, _ in probs[40:]} - {text for text, _ in probs[:40]}
    expected = sum(p for text, p in probs if text in tail)
    assert expected > 0.02, "the prompt leaves no tail to look at"
    spread = math.sqrt(expected * (1 - expected) / n)
    assert abs(sum(t in tail for t in seen) / n - expected) < 5 * spread


def test_logprobs_come_with_ids_and_alternatives() -> None:
    tokens = said(with_model(lambda m: m.draw(draw_of(seed=1, logprobs=True, top_logprobs=5)))).tokens
    assert len(tokens) > 5
    assert all(t.logprob is not None and t.logprob <= 0 and t.id is not None and len(t.top) == 5 for t in tokens)


def test_a_given_prefix_is_continued_and_its_echo_cut_off() -> None:
    prefix = '{"date":"'
    messages = [*MESSAGES, {"role": "assistant", "content": prefix}]

    async def work(model: LocalModel) -> Completion:
        return said(await model.draw(draw_of(seed=1, messages=messages, logprobs=True, top_logprobs=1)))

    completion = with_model(work)
    assert completion.text
    assert not completion.text.startswith(prefix)
    assert "".join(t.text for t in completion.tokens).startswith(completion.text[:10])


def test_a_json_schema_is_enforced() -> None:
    schema = {"type": "object", "properties": {"x": {"enum": ["left", "right"]}}, "required": ["x"]}
    form = {"type": "json_schema", "json_schema": {"name": "s", "strict": True, "schema": schema}}
    completion = said(with_model(lambda m: m.draw(draw_of(seed=1, response_format=form))))
    assert json.loads(completion.text)["x"] in ("left", "right")


def test_eight_at_a_time_through_the_engine_agree_with_one_at_a_time() -> None:
    async def work(model: LocalModel) -> tuple[dict[int, str], dict[int, str]]:
        found: tuple[dict[int, str], dict[int, str]] = ({}, {})
        for many, texts in zip((1, 8), found, strict=True):
            draws = [draw_of(i, seed=100 + i) for i in range(40)]
            await run_draws(model, draws, many, lambda d, s, t=texts: t.update({d.index: said(s).text}))  # type: ignore[misc]
        return found

    one, eight = with_model(work)
    assert len(one) == len(eight) == 40
    assert sum(one[i] == eight[i] for i in range(40)) >= 38, "float noise under batching may change one in some hundred"


def test_a_prompt_beyond_the_context_is_an_error_with_the_servers_words() -> None:
    messages = [{"role": "user", "content": "word " * 3000}]
    sample = with_model(lambda m: m.draw(draw_of(messages=messages)))
    assert sample.error is not None
    assert sample.error.startswith("http 400: ")
    assert "context" in sample.error


def test_the_capabilities_of_the_bundled_model_are_found() -> None:
    found = with_model(lambda m: m.probe())
    assert isinstance(found, Capabilities)
    assert (found.n, found.seed, found.temperature, found.logprobs) == (True, True, True, 20)
    assert (found.prefix_continuation, found.token_ids, found.json_schema) == (True, True, True)


def listening(address: str) -> bool:
    parts = urlsplit(address)
    with socket.socket() as probe:
        return probe.connect_ex((parts.hostname or "", parts.port or 0)) == 0


def test_models_of_one_file_share_a_server_and_the_last_close_frees_the_port(tmp_path: Path) -> None:
    other = shutil.copy(bundled_file(), tmp_path / "other.gguf")

    async def run() -> None:
        a, b, c = open_model("bundled"), open_model("bundled"), open_model("gguf:other.gguf", project=tmp_path)
        assert isinstance(a, LocalModel)
        assert isinstance(b, LocalModel)
        assert isinstance(c, LocalModel)
        texts = [said(await m.draw(draw_of(seed=4))).text for m in (a, b, c)]
        assert len(set(texts)) == 1, "the same weights under two names"
        first, second, third = [(await m.wire()).base for m in (a, b, c)]
        assert first == second != third
        assert c.identity == "gguf:other.gguf@" + a.identity.removeprefix("bundled@")
        await a.close()
        assert listening(first), "b still uses it"
        await b.close()
        assert not listening(first)
        assert listening(third)
        await c.close()
        assert not listening(third)
        assert not local._servers
        assert said(await b.draw(draw_of(seed=4))).text == texts[0], "a closed model can be used again"
        await b.close()

    assert Path(other).exists()
    asyncio.run(run())


def test_closing_with_a_call_in_flight_does_no_harm() -> None:
    async def run() -> Sample | BaseException:
        model = open_model("bundled")
        await model.check()
        task = asyncio.create_task(model.draw(draw_of(max_tokens=400, seed=1)))
        await asyncio.sleep(0.002)
        task.cancel()
        await model.close()
        return (await asyncio.gather(task, return_exceptions=True))[0]

    assert isinstance(asyncio.run(run()), asyncio.CancelledError | Sample)


def test_llama_cpp_is_silent_and_a_process_that_forgets_to_close_ends_well() -> None:
    script = (
        "import asyncio\n"
        "from reroll.models.registry import open_model\n"
        "from reroll.models.model import Draw\n"
        "from reroll.program import Request\n"
        "async def main():\n"
        "    m = open_model('bundled')\n"
        "    body = {'messages': [{'role': 'user', 'content': 'Hi'}], 'max_tokens': 4}\n"
        "    s = await m.draw(Draw(Request('bundled', None, body), 'c', 0))\n"
        "    assert s.completion, s.error\n"
        "    await m._wire.close()\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_missing_or_foreign_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"there is no model file .*nothing\.gguf"):
        open_model("gguf:nothing.gguf", project=tmp_path)
    (tmp_path / "text.gguf").write_text("hello")
    with pytest.raises(ModelError, match="is no GGUF file"):
        open_model("gguf:text.gguf", project=tmp_path)
    (tmp_path / "cut.gguf").write_bytes(bundled_file().read_bytes()[:2000])
    with pytest.raises(ModelError, match="breaks off"):
        open_model("gguf:cut.gguf", project=tmp_path)


def test_a_file_that_llama_cpp_cannot_load_is_one_sentence(tmp_path: Path) -> None:
    whole = bundled_file().read_bytes()
    (tmp_path / "half.gguf").write_bytes(whole[: len(whole) // 2])
    model = open_model("gguf:half.gguf", project=tmp_path)
    with pytest.raises(ModelError, match=r"llama\.cpp cannot load"):
        asyncio.run(model.check())
    asyncio.run(model.close())


def test_without_xllamacpp_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(ModelError, match="pip install xllamacpp"):
        asyncio.run(open_model("bundled").check())


def test_the_head_of_a_gguf_file_is_read() -> None:
    metadata = read_metadata(bundled_file())
    assert metadata["general.architecture"] == "llama"
    assert context_length(metadata) == metadata["llama.context_length"]
    assert "tokenizer.ggml.tokens" not in metadata
