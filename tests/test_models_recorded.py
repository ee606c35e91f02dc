"""Recorded completions: handed out in order, never twice; every fault of a file named by its line."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
from pathlib import Path
from typing import Any

import pytest

from reroll.engine import run_draws
from reroll.errors import FileError, ModelError, UsageError
from reroll.intake.recorded import read_rows
from reroll.models.conformance import check_model
from reroll.models.model import Draw
from reroll.models.prices import price
from reroll.models.recorded import RecordedModel
from reroll.models.registry import open_model
from reroll.program import Request
from reroll.sample import Sample, Usage


def draw_of(case: str, index: int, variant: str = "baseline") -> Draw:
    return Draw(Request("recorded", None, {}), case, index, variant=variant)


def row(case: str = "a", run: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "case_id": case,
        "run": run,
        "model": "m",
        "params": {},
        "messages": [],
        "completion": f"{case}{run}",
        **more,
    }


def write(path: Path, *rows: Any) -> Path:
    text = "".join(r if isinstance(r, str) else json.dumps(r) + "\n" for r in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def take(model: RecordedModel, *draws: Draw) -> list[Sample]:
    async def run() -> list[Sample]:
        return [await model.draw(d) for d in draws]

    return asyncio.run(run())


def text_of(sample: Sample) -> str:
    assert sample.completion is not None
    return sample.completion.text


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_rows_come_in_the_order_of_run_whatever_the_order_of_the_file(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, row(run=5), "\n", row(run=1), row("b", 0), row(run=3))
    model = open_model(f"recorded:{name}", project=tmp_path)
    assert isinstance(model, RecordedModel)
    got = take(model, *[draw_of("a", i) for i in range(3)])
    assert [text_of(s) for s in got] == ["a1", "a3", "a5"]
    assert [(s.usage.usd, s.model) for s in got] == [(0.0, "m")] * 3


def test_a_resumed_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", *[row(run=i) for i in range(6)])
    first, second = RecordedModel(str(path)), RecordedModel(str(path))
    assert [text_of(s) for s in take(first, draw_of("a", 0), draw_of("a", 1))] == ["a0", "a1"]
    assert [text_of(s) for s in take(second, draw_of("a", 2), draw_of("a", 3))] == ["a2", "a3"]


def test_an_exhausted_case_is_an_error_and_never_a_repeated_row(tmp_path: Path) -> None:
    model = RecordedModel(str(write(tmp_path / "r.jsonl", row(run=0), row(run=1))))
    with pytest.raises(
        ModelError, match=r"has only 2 recorded completions of case `a`; call number 3 was asked for"
    ) as e:
        take(model, draw_of("a", 2))
    assert e.value.slug == "recorded-exhausted"
    with pytest.raises(ModelError, match="its cases are a"):
        take(model, draw_of("other", 0))


def test_the_engine_hands_out_every_row_before_it_reports_the_end(tmp_path: Path) -> None:
    model = RecordedModel(str(write(tmp_path / "r.jsonl", *[row(run=i) for i in range(5)])))
    got: list[str] = []
    draws = [draw_of("a", i) for i in range(8)]
    with pytest.raises(ModelError, match="only 5"):
        asyncio.run(run_draws(model, draws, 4, lambda d, s: got.append(text_of(s))))
    assert sorted(got) == [f"a{i}" for i in range(5)]


def test_variants_are_apart_and_one_may_be_chosen_as_the_baseline(tmp_path: Path) -> None:
    rows = [row(run=0), row(run=0, variant="brief", completion="short"), row("b", 0, variant="brief", completion="b!")]
    path = write(tmp_path / "r.jsonl", *rows)
    plain, chosen = RecordedModel(str(path)), RecordedModel(f"{path}#variant=brief")
    assert text_of(take(plain, draw_of("a", 0))[0]) == "a0"
    assert text_of(take(plain, draw_of("a", 0, "brief"))[0]) == "short"
    assert text_of(take(chosen, draw_of("b", 0))[0]) == "b!"
    with pytest.raises(ModelError, match=r"it has variants brief: choose one as recorded:r.jsonl#variant=brief"):
        take(plain, draw_of("b", 0))
    assert plain.identity != chosen.identity


def test_two_models_in_one_file_are_not_one(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", row(model="x"), row(model="y", completion="from y"))
    with pytest.raises(ModelError, match=r"holds completions of 2 models \(x, y\)"):
        RecordedModel(str(path))
    assert text_of(take(RecordedModel(f"{path}#model=y"), draw_of("a", 0))[0]) == "from y"
    with pytest.raises(ModelError, match="no recorded completions with model=z"):
        RecordedModel(f"{path}#model=z")


def test_rewards_errors_tool_calls_and_tokens_are_read(tmp_path: Path) -> None:
    call = {"type": "function", "function": {"name": "f", "arguments": "{}"}}
    logprobs = [{"token": "Hi", "logprob": -0.5, "top_logprobs": []}]
    rows = [
        row(run=0, completion=None, reward=0.5),
        row(run=1, completion=None, error="http 500"),
        row(run=2, completion={"text": "", "tool_calls": [call], "finish_reason": "tool_calls"}),
        row(run=3, completion="Hi", logprobs=logprobs),
        row(run=4, completion="Hi", logprobs={"content": logprobs}, expected="Hi"),
    ]
    path = write(tmp_path / "r.jsonl", *rows)
    reward, failed, called, *hi = take(RecordedModel(str(path)), *[draw_of("a", i) for i in range(5)])
    assert (reward.reward, reward.completion, reward.error) == (0.5, None, None)
    assert failed.error == "http 500"
    assert called.completion is not None
    assert called.completion.tool_calls == (call,)
    assert all(s.completion is not None and s.completion.tokens[0].logprob == -0.5 for s in hi)
    assert list(read_rows(path))[4].expected == "Hi"


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('{"case_id": "a", "run"', "is not JSON"),
        ("[1]", "is a JSON list"),
        ({"input": "x", "output": "y"}, "`completion`: the row has no completion"),
        ({"completion": "x", "run": 0}, "`case_id`: missing"),
        ({"completion": "x", "case_id": "a"}, "`run`: missing"),
        ({"completion": "x", "case_id": "a", "run": "0"}, '`run`: must be a whole number, got "0"'),
        (row(completion=None), "`completion`: the row has no completion, no reward and no error"),
        (row(error="x"), "`error`: the row has both"),
        (row(completion=None, reward=7), "`reward`: must lie in 0 to 1, got 7"),
        (row(completion=7), "`completion`: must be"),
        (row(completion={"tool_calls": 1}), "`completion`: `tool_calls` must be a list"),
        (row(messages={"a": 1}), "`messages`: must be a list"),
        (row(messages=["a"]), "`messages`: must be a list of objects"),
        (row(logprobs=[{"text": "x"}]), "`logprobs`: `logprobs.content` has an entry that is no token"),
    ],
)
def test_a_wrong_line_is_named_with_file_line_and_key(tmp_path: Path, line: Any, complaint: str) -> None:
    path = write(tmp_path / "r.jsonl", row(), line)
    with pytest.raises(FileError) as problem:
        list(read_rows(path))
    assert str(problem.value).startswith(f"{path}:2: {complaint}")


def test_a_truncated_gzip_file_says_so_after_the_rows_that_are_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl.gz", *[row(run=i, completion=os.urandom(40).hex()) for i in range(3000)])
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    whole: list[int] = []
    with pytest.raises(FileError, match=r"r\.jsonl\.gz:\d+: the gzip file breaks off") as problem:
        whole.extend(r.run for r in read_rows(path))
    assert len(whole) > 500
    assert problem.value.line == len(whole) + 1


def test_a_missing_file_and_an_empty_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="there is no such file"):
        open_model("recorded:nothing.jsonl", project=tmp_path)
    write(tmp_path / "empty.jsonl")
    with pytest.raises(ModelError, match="has no recorded completions"):
        open_model("recorded:empty.jsonl", project=tmp_path)
    with pytest.raises(FileError, match="cannot be read"):
        open_model("recorded:.", project=tmp_path)


def test_it_keeps_the_promises_of_a_model(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", row())
    assert text_of(asyncio.run(check_model(RecordedModel(str(path)), draw_of("a", 0)))) == "a0"


# -- references and prices


@pytest.mark.parametrize(
    ("ref", "words"),
    [
        ("", "is no model that reroll knows"),
        ("bundeld", "did you mean `bundled`?"),
        ("bundled:x", "write bundled"),
        ("openai", "write openai:NAME"),
        ("openia:gpt-4o", "did you mean `openai:gpt-4o`?"),
        ("gpt-4o", "openai:NAME with base_url"),
        ("antropic:claude", "did you mean `anthropic:claude`?"),
        ("https://localhost:1/ask", "write `http:https://localhost:1/ask`"),
        ("gguf:", "write gguf:PATH"),
        ("recorded:", "write recorded:FILE"),
    ],
)
def test_an_unknown_reference_names_the_known_forms(ref: str, words: str) -> None:
    with pytest.raises(UsageError) as problem:
        open_model(ref)
    assert words in str(problem.value)


def test_a_base_url_where_none_belongs_is_refused() -> None:
    with pytest.raises(UsageError, match="base_url is for models at an address"):
        open_model("bundled", base_url="http://localhost:1")


def test_prices_are_known_or_none_and_never_a_made_up_zero() -> None:
    usage = Usage(1000, 100)
    assert price("gpt-4o", usage, "openai") == pytest.approx(price("gpt-4o", usage, "https://api.openai.com/v1"))
    assert (price("gpt-4o", usage, "openai") or 0) > (price("gpt-4o", usage, "openai", cached_tokens=900) or 0) > 0
    assert price("no-such-model", usage, "openai") is None
    assert price("gpt-4o", usage, "https://my-own.example/v1") is None
    assert price("gpt-4o", usage, "http://127.0.0.1:8080/v1") is None
    assert price("gpt-4o", usage, None) is None
    assert price("gpt-4o", Usage(), "openai") is None
    assert [price("x", Usage(), p) for p in ("bundled", "gguf", "recorded")] == [0.0] * 3


# -- real recordings, where they are at hand

DATA = Path(os.environ.get("REROLL_DATA") or Path(__file__).parents[2] / "shared" / "data")


@pytest.mark.parametrize(
    ("reference", "case", "rows", "wanted"),
    [
        ("tau-airline-gpt-4o.jsonl.gz", "airline-00", 4, 200),
        ("gpt4o-math-variants.jsonl.gz#variant=plain", "math-000", 2, 4264),
        ("temperature-zero-reruns.jsonl.gz#model=gpt-35", "ruin_names-000", 1, 4270),
    ],
)
def test_real_recordings_are_read(reference: str, case: str, rows: int, wanted: int) -> None:
    file = DATA / reference.partition("#")[0]
    if not file.exists():
        pytest.skip(f"no recorded data at {DATA}; set REROLL_DATA to its folder")
    model = open_model(f"recorded:{reference}", project=DATA)
    assert isinstance(model, RecordedModel)
    got = take(model, *[draw_of(case, i) for i in range(rows)])
    assert all((s.completion is not None) != (s.reward is not None) for s in got)
    assert sum(1 for _ in read_rows(file)) == wanted
