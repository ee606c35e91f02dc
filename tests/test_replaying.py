"""The exact request of a stored sample can be read and sent again; stored samples also leave as Parquet."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reroll.sample import Completion, Sample, Token, Usage
from reroll.store import NewSample, Store
from tests.background import in_background, in_turn, reroll, write_project
from tests.fake_server import FakeServer

SECRET = "sk-replay-0123456789abcdef"


@pytest.fixture
def drawn(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[FakeServer, Path, str]]:
    """A server, a project with one drawn sample, and that sample's id."""
    monkeypatch.setenv("REROLL_API_KEY", SECRET)
    with in_background(in_turn("no", "yes")) as (server, url):
        project = write_project(tmp_path, url, 'params: {top_p: 0.5, user: "é"}\n')
        ran = reroll(capsys, "rerun", "greet", "--project", project, "--budget", 1, "--seed", 7)
        assert ran.code == 0, ran.err
        with Store.open(tmp_path / ".reroll" / "store.sqlite") as store:
            [sample] = store.samples()
        yield server, project, sample.id


def test_show_request_prints_the_very_bytes_that_were_sent(drawn: tuple[FakeServer, Path, str], capsys: Any) -> None:
    server, project, id = drawn
    ran = reroll(capsys, "show", id, "--request", "--project", project)
    assert ran.code == 0
    assert ran.out.encode() == server.bodies[0]
    assert json.loads(ran.out)["seed"] is not None
    assert SECRET not in ran.out
    assert server.calls == 1


def test_replay_sends_the_same_bytes_and_stores_the_answer_apart(
    drawn: tuple[FakeServer, Path, str], tmp_path: Path, capsys: Any
) -> None:
    server, project, id = drawn
    ran = reroll(capsys, "replay", id, "--project", project, "--json")
    assert ran.code == 0
    assert server.bodies[1] == server.bodies[0]
    assert ran.json["source"] == "replay"
    assert ran.json["shown"]["text"] == "yes"
    with Store.open(tmp_path / ".reroll" / "store.sqlite") as store:
        first, again = store.samples()
        assert (first.source, again.source, again.series, again.idx) == ("draw", "replay", "replay", 0)
        assert again.request_id == first.request_id
        assert store.spend().calls == 1
    for file in (tmp_path / ".reroll").iterdir():
        assert SECRET.encode() not in file.read_bytes()
    after = reroll(capsys, "rerun", "greet", "--project", project, "--budget", 0, "--json")
    assert after.json["rate"]["n"] == 1  # chosen by somebody, so never evidence


def test_a_replay_that_brings_no_answer_does_not_exit_0(
    drawn: tuple[FakeServer, Path, str], tmp_path: Path, capsys: Any
) -> None:
    from tests.fake_server import error

    server, project, id = drawn
    server.acts = [error(400, "no such thing")]
    ran = reroll(capsys, "replay", id, "--project", project)
    assert ran.code == 4
    assert "no such thing" in ran.out


def test_what_was_never_sent_is_not_replayed(tmp_path: Path, capsys: Any) -> None:
    project = write_project(tmp_path, "http://127.0.0.1:1")
    with Store.open(tmp_path / ".reroll" / "store.sqlite") as store:
        id = store.add_samples(
            [NewSample(Sample(Completion("x")), "r1:0", "import", 0, "p1:0", "greet", source="imported")]
        )[0]
    for words in (["replay", id], ["show", id, "--request"]):
        ran = reroll(capsys, *words, "--project", project)
        assert (ran.code, ran.out) == (2, "")
        assert ran.complaint.endswith("[not-sent]")


# -- Parquet -----------------------------------------------------------------------------------------------------------


def stored(folder: Path) -> Path:
    samples = [
        Sample(
            Completion("hi", tokens=(Token("hi", -0.5, (("hi", -0.5), ("ho", -1.25)), 12), Token(chr(0xD83D)))),
            seed=2**64 - 1,
        ),
        Sample(Completion("", "tool_calls", ({"name": "book"},), refusal="No."), seed=7, reward=0.5),
        Sample(error="timed out", usage=Usage(9, usd=0.5, cached_tokens=4)),
    ]
    new = [NewSample(s, "r1:0", "rerun", i, "p1:0", "greet") for i, s in enumerate(samples * 700)]
    with Store.open(folder / ".reroll" / "store.sqlite") as store:
        store.add_samples(new)
    return write_project(folder, "http://127.0.0.1:1")


def test_parquet_has_the_columns_and_rows_of_the_jsonl(tmp_path: Path, capsys: Any) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed: pip install 'reroll[parquet]'")
    project, out = stored(tmp_path), tmp_path / "out.parquet"
    ran = reroll(capsys, "export", "--parquet", out, "--project", project, "--json")
    assert ran.json == {"schema": "reroll.export/1", "file": str(out), "samples": 2100}
    lines = [json.loads(line) for line in reroll(capsys, "export", "--project", project).out.splitlines()]
    table = parquet.read_table(out)
    assert {key for line in lines for key in line} - {"usage"} <= set(table.column_names)
    rows = table.to_pylist()
    assert [r["run"] for r in rows] == [line["run"] for line in lines]
    hi, tool, gone = rows[:3]
    assert (hi["completion"], hi["seed"], hi["error"]) == ("hi", None, None)
    listed = [{"token": "hi", "logprob": -0.5}, {"token": "ho", "logprob": -1.25}]
    assert hi["logprobs"][0] == {"token": "hi", "logprob": -0.5, "top_logprobs": listed, "id": 12}
    assert hi["logprobs"][1]["token"] == "?"
    assert (tool["completion"], tool["refusal"], tool["seed"], tool["reward"]) == ("", "No.", 7, 0.5)
    assert json.loads(tool["tool_calls"]) == [{"name": "book"}]
    assert (gone["completion"], gone["error"]) == (None, "timed out")
    took = [gone[name] for name in ("prompt_tokens", "cached_tokens", "completion_tokens", "usd")]
    assert took == [9, 4, None, 0.5]
    assert not list(tmp_path.glob(".*.part"))


def test_parquet_that_cannot_be_written_is_one_sentence(tmp_path: Path, capsys: Any) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install 'reroll[parquet]'")
    project = stored(tmp_path)
    ran = reroll(capsys, "export", "--parquet", tmp_path / "no" / "out.parquet", "--project", project)
    assert (ran.code, ran.out) == (2, "")
    assert "cannot be written" in ran.complaint


def test_parquet_without_pyarrow_says_what_to_install(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = stored(tmp_path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    ran = reroll(capsys, "export", "--parquet", tmp_path / "out.parquet", "--project", project)
    assert ran.code == 2
    assert "pip install 'reroll[parquet]'" in ran.complaint


# -- a store that cannot be written ------------------------------------------------------------------------------------


def test_a_read_only_store_ends_a_run_with_one_sentence_before_anything_is_called(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sqlite3

    with in_background(in_turn("yes")) as (server, url):
        project = write_project(tmp_path, url)
        Store.open(tmp_path / ".reroll" / "store.sqlite").close()
        # Root may write anything, so the connection itself refuses, as a read-only disk does.
        opened = sqlite3.connect

        def refusing(*given: Any, **options: Any) -> sqlite3.Connection:
            connection = opened(*given, **options)
            connection.execute("PRAGMA query_only = ON")
            return connection

        monkeypatch.setattr(sqlite3.dbapi2, "connect", refusing)
        ran = reroll(capsys, "rerun", "greet", "--project", project)
        assert (ran.code, ran.out) == (2, "")
        assert "cannot be written; make the file and its folder writable [store-not-writable]" in ran.complaint
        assert server.calls == 0
