"""Importing many calls: each is stored once, whatever dies meanwhile and whoever else imports."""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from reroll import store_schema
from reroll.check import Check
from reroll.errors import StoreError
from reroll.intake import beside, traffic
from reroll.intake.formats import read_files
from reroll.intake.recording import Recording
from reroll.intake.traffic import take_in
from reroll.store import Store
from tests.postgres import either_store, server
from tests.test_ai_sdk import said, span

__all__ = ["either_store", "server"]
KEY = "sk-the-key-in-use-1234"
CALLS, BATCH = 400, 40
BEGAN = 1795780800 * 10**6  # the first call, in microseconds; of some the file does not say when they were
EITHER = pytest.mark.parametrize("either_store", ["sqlite", "postgresql"], indirect=True)
NEVER = 10**9  # calls from which on a process of its own stores
# What is ended is ended while it reads on, with a batch being stored beside. Whoever stores has the same stderr, so
# whoever waits for its end waits for both.
IMPORT = f"""
import itertools, os, signal, sys
from pathlib import Path
from reroll.intake import beside, traffic
from reroll.intake.formats import read_files
from reroll.store import Store
file, url, dies_at, apart, how = Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:])
traffic.BATCH, beside.APART, number = {BATCH}, apart, itertools.count()
def keep(call):
    if next(number) == dies_at:
        os.kill(os.getpid(), how) if how == signal.SIGKILL else os.killpg(0, how)
with Store.open(url) as store:
    print(traffic.take_in(read_files([file]), store=store, folder=file.parent, keep=keep).stored)
"""


def call(number: int, question: str | None = None, **more: Any) -> dict[str, Any]:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": question or str(number % 7)}]
    choice = {"message": {"role": "assistant", "content": f"answer {number}"}, "finish_reason": "stop"}
    answer = {"id": f"c-{number}", "model": "m-1", "choices": [choice], "created": BEGAN // 10**6 + number}
    return {"request": {"model": "m", "messages": messages, "temperature": 0.5, **more}, "response": answer}


def save(folder: Path, *calls: Any) -> Path:
    path = folder / "calls.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in calls), encoding="utf-8")
    return path


def take(path: Path, store: Store, **more: Any) -> Recording:
    return take_in(read_files([path]), store=store, folder=path.parent, **more)


def begun(path: Path, store: Store, dies_at: int = -1, apart: int = NEVER, how: int = 9) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", IMPORT, str(path), store.name, *map(str, (dies_at, apart, how))]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def answers(store: Store) -> list[str]:
    return [s.sample.completion.text for s in store.samples() if s.sample.completion]


@pytest.mark.parametrize(
    ("either_store", "apart", "how"),
    [
        ("sqlite", NEVER, signal.SIGKILL),
        ("sqlite", 0, signal.SIGKILL),
        ("postgresql", 0, signal.SIGKILL),
        ("sqlite", 0, signal.SIGINT),
    ],
    indirect=["either_store"],
)
def test_an_import_that_was_ended_and_made_again_stores_every_call_once(
    either_store: Store, tmp_path: Path, apart: int, how: int
) -> None:
    path = save(tmp_path, *map(call, range(CALLS)))
    process = begun(path, either_store, dies_at=3 * BATCH + BATCH // 2, apart=apart, how=how)
    process.communicate(timeout=60)
    assert process.returncode == -how
    before = len(answers(either_store))
    assert before % BATCH == 0  # whole batches, and all of those that were waited for
    assert 2 * BATCH <= before <= 3 * BATCH
    # A server of the store may be about to commit a batch when the process that sent it is gone.
    assert CALLS - before - take(path, either_store).stored in (0, BATCH)
    assert sorted(answers(either_store)) == sorted(f"answer {n}" for n in range(CALLS))
    assert take(path, either_store).stored == 0


@EITHER
def test_two_imports_at_once_store_every_call_once(either_store: Store, tmp_path: Path) -> None:
    path = save(tmp_path, *map(call, range(CALLS)))
    both = [begun(path, either_store, apart=apart) for apart in (0, NEVER)]
    said = [one.communicate() for one in both]
    assert [one.returncode for one in both] == [0, 0], said
    assert sum(int(out) for out, _ in said) == CALLS
    assert sorted(answers(either_store)) == sorted(f"answer {n}" for n in range(CALLS))
    assert len(either_store.cases()) == 7
    for id in {s.request_id for s in either_store.samples()}:
        assert either_store.get_request(id).id == id


@EITHER
def test_only_calls_that_hold_a_key_are_left_out_of_their_batch(
    either_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr(traffic, "BATCH", 30)
    leaking = (0, 17, 18, 44, 99)
    path = save(tmp_path, *(call(n, f"my key is {KEY}" if n in leaking else None) for n in range(100)))
    found = take(path, either_store)
    assert found.intake is not None
    assert [(one.count, "holds a key in use" in one.why) for one in found.intake.left_out] == [(len(leaking), True)]
    assert found.stored == 100 - len(leaking)
    assert answers(either_store) == [f"answer {n}" for n in range(100) if n not in leaking]


@pytest.mark.parametrize("name", ["Authorization", "x_api_key", "\u212ba", "api\u212aey"])
def test_a_named_secret_is_found_however_its_name_is_spelt(name: str, tmp_path: Path) -> None:
    with Store.open(":memory:") as store:
        found = take(save(tmp_path, call(1), call(2, extra_headers={name: "Bearer abc"})), store)
        secret = name != "\u212ba"
        assert found.stored == (1 if secret else 2)


def test_calls_differ_where_their_requests_do_in_anything(tmp_path: Path) -> None:
    """What is remembered of a request is remembered of that one alone."""
    asked = [{"temperature": 1}, {"temperature": 1.0}, {"temperature": True}, {"top_p": None}, {}, {"stop": ["1"]}]
    path = save(tmp_path, *(call(10 * n + again, "2+2?", **more) for again in (0, 1) for n, more in enumerate(asked)))
    with Store.open(":memory:") as store:
        assert take(path, store).stored == 2 * len(asked)
        bodies = [json.dumps(store.get_request(s.request_id).request.body) for s in store.samples()]
        assert bodies[: len(asked)] == bodies[len(asked) :]
        assert len(set(bodies)) == len(asked)


def test_a_request_that_is_forgotten_and_comes_again_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path, *map(call, range(50)))
    with Store.open(":memory:") as store, Store.open(":memory:") as other:
        take(path, store)
        monkeypatch.setattr(traffic, "SAME_BYTES", 0)
        monkeypatch.setattr(traffic, "REMEMBERED", 0)
        monkeypatch.setattr(traffic, "BATCH_BYTES", 1)
        take(path, other)
        assert [(s.request_id, s.case_id, s.series, s.sample) for s in store.samples()] == [
            (s.request_id, s.case_id, s.series, s.sample) for s in other.samples()
        ]


def test_a_store_that_breaks_in_the_middle_is_one_sentence_and_nothing_is_said_to_be_stored(tmp_path: Path) -> None:
    path = save(tmp_path, *map(call, range(10)))
    store = Store.open(tmp_path / "store.sqlite")
    store.close()
    with pytest.raises(StoreError, match="was closed"):
        take(path, store)


# -- storing in a process of its own -----------------------------------------------------------------------------------

APART = ("id", "sample_id", "put_us", "seen_us")  # what is made at random, or is the time of storing


def rows(store: Store) -> dict[str, list[Any]]:
    """All that an import stores, table by table, without what differs from import to import."""
    found = {}
    with store._read() as connection:
        names = {row.seq: row.id for row in connection.execute(select(store_schema.samples))}
        numbers = {id: seq for seq, id in names.items()}
        for name in ("programs", "cases", "requests", "samples", "payloads", "origins", "series"):
            table = store_schema.metadata.tables[name]
            found[name] = [
                {
                    **{k: v for k, v in row.items() if k not in APART or (k == "id" and name != "samples")},
                    **({"sample": numbers[row["sample_id"]]} if name == "origins" else {}),
                    **({"settled_us": None} if "settled_us" in row and row["settled_us"] - BEGAN > 10**9 else {}),
                }
                for row in connection.execute(select(table)).mappings()
            ]
            found[name].sort(key=lambda row: repr(row))
    return found


def kinds(folder: Path) -> list[Path]:
    """Files in which there is all that a call can have: tokens, several answers, an error, a trace, a key, junk."""
    probable = {"content": [{"token": "a", "logprob": -0.5, "top_logprobs": [{"token": "a", "logprob": -0.5}]}]}
    more: list[Any] = [call(n) for n in range(60)]
    for n in (3, 4, 31):
        more[n]["response"]["choices"][0]["logprobs"] = probable
    more[5]["response"]["choices"] *= 2
    more[6]["response"] = {"error": {"message": "No: 500"}}
    more[7] = {"request": more[7]["request"]}
    more[8] = call(8, f"my key is {KEY}")
    more[9] = call(9, "half a character \ud83d")
    more[10] = {"request": {"messages": "none"}}
    del more[11]["response"]["created"]
    nested: Any = []
    for _ in range(150):
        nested = [nested]
    more[12]["request"]["response_format"] = {"deep": nested}
    more += more[20:25]
    spans = [
        span("ai.generateText.doGenerate", {"ai.prompt.messages": said_of(n), "ai.response.text": "yes"})
        for n in range(15)
    ]
    file = folder / "spans.json"
    file.write_text(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}))
    return [save(folder, *more), file]


def said_of(n: int) -> str:
    return json.dumps([{"role": "user", "content": said(f"Say yes, {n}")}])


@EITHER
def test_a_process_of_its_own_stores_the_very_rows_that_a_thread_does(
    either_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr(traffic, "BATCH", 10)
    files = kinds(tmp_path)
    checks = (Check.of("contains", "answer"),)
    with Store.open(tmp_path / "thread.sqlite") as other:
        one = take_in(read_files(files), store=other, folder=tmp_path, checks=checks)
        monkeypatch.setattr(beside, "APART", 25)  # the first batches in a thread
        two = take_in(read_files(files), store=either_store, folder=tmp_path, checks=checks)
        assert one == two
        assert one.stored == len(other.samples()) == 60 - 3 + 1 + 15
        assert rows(other) == rows(either_store)


def test_where_a_second_process_cannot_be_a_thread_does_the_same_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(beside, "APART", 0)
    broken = tmp_path / "python"
    broken.write_text(f'#!/bin/sh\nexec {sys.executable} -c "import nothing_of_this_name"\n')
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    path = save(tmp_path, *map(call, range(10)))
    with Store.open(tmp_path / "store.sqlite") as store:
        assert take_in(read_files([path]), store=store, folder=tmp_path, checks=()).stored == 10
    assert capfd.readouterr().err == ""


def test_where_the_process_that_stores_dies_one_sentence_says_so_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(traffic, "BATCH", BATCH)
    monkeypatch.setattr(beside, "APART", 0)
    children, counted = [], itertools.count(1)
    popen = subprocess.Popen

    def starting(*words: Any, **more: Any) -> Any:
        children.append(popen(*words, **more))
        return children[-1]

    def keep(_: Any) -> None:
        if next(counted) == 3 * BATCH + BATCH // 2:
            children[0].kill()

    path = save(tmp_path, *map(call, range(CALLS)))
    with Store.open(tmp_path / "store.sqlite") as store:
        with monkeypatch.context() as patch:
            patch.setattr(beside.subprocess, "Popen", starting)
            with pytest.raises(StoreError, match="ended in the middle; whole batches are stored") as caught:
                take(path, store, keep=keep)
        assert caught.value.slug == "import-worker"
        before = len(answers(store))
        assert before in (2 * BATCH, 3 * BATCH)
        assert take(path, store).stored == CALLS - before
        assert sorted(answers(store)) == sorted(f"answer {n}" for n in range(CALLS))
    assert capfd.readouterr().err == ""


def test_a_small_import_starts_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traffic, "BATCH", BATCH)
    monkeypatch.setattr(beside.subprocess, "Popen", None)  # whatever called it would fail
    with Store.open(tmp_path / "store.sqlite") as store:
        assert take(save(tmp_path, *map(call, range(CALLS))), store).stored == CALLS


def test_another_store_in_the_place_of_the_first_is_not_written_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traffic, "BATCH", BATCH)
    monkeypatch.setattr(beside, "APART", 0)
    place = tmp_path / "store.sqlite"
    path = save(tmp_path, *map(call, range(BATCH)))
    with Store.open(place) as store:
        opening = store.opening
        assert opening is not None
        place.rename(tmp_path / "moved.sqlite")
        Store.open(place).close()
        with opening.open() as other, pytest.raises(StoreError, match="was moved or removed"):
            take(path, other)
