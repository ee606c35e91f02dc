"""Importing many calls: each is stored once, whatever dies meanwhile and whoever else imports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from reroll.errors import StoreError
from reroll.intake import traffic
from reroll.intake.formats import read_files
from reroll.intake.recording import Recording
from reroll.intake.traffic import take_in
from reroll.store import Store
from tests.postgres import either_store, server

__all__ = ["either_store", "server"]
KEY = "sk-the-key-in-use-1234"
CALLS, BATCH = 400, 40
EITHER = pytest.mark.parametrize("either_store", ["sqlite", "postgresql"], indirect=True)
# What is killed is killed while it reads on, with a batch being stored beside.
IMPORT = f"""
import itertools, os, signal, sys
from pathlib import Path
from reroll.intake import traffic
from reroll.intake.formats import read_files
from reroll.store import Store
file, url, dies_at = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
traffic.BATCH, number = {BATCH}, itertools.count()
def keep(call):
    if next(number) == dies_at:
        os.kill(os.getpid(), signal.SIGKILL)
with Store.open(url) as store:
    print(traffic.take_in(read_files([file]), store=store, folder=file.parent, keep=keep).stored)
"""


def call(number: int, question: str | None = None, **more: Any) -> dict[str, Any]:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": question or str(number % 7)}]
    choice = {"message": {"role": "assistant", "content": f"answer {number}"}, "finish_reason": "stop"}
    answer = {"id": f"c-{number}", "model": "m-1", "choices": [choice], "created": 1795780800 + number}
    return {"request": {"model": "m", "messages": messages, "temperature": 0.5, **more}, "response": answer}


def save(folder: Path, *calls: Any) -> Path:
    path = folder / "calls.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in calls), encoding="utf-8")
    return path


def take(path: Path, store: Store, **more: Any) -> Recording:
    return take_in(read_files([path]), store=store, folder=path.parent, **more)


def apart(path: Path, store: Store, dies_at: int = -1) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", IMPORT, str(path), store.name, str(dies_at)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def answers(store: Store) -> list[str]:
    return [s.sample.completion.text for s in store.samples() if s.sample.completion]


@EITHER
def test_an_import_that_was_killed_and_made_again_stores_every_call_once(either_store: Store, tmp_path: Path) -> None:
    path = save(tmp_path, *map(call, range(CALLS)))
    process = apart(path, either_store, dies_at=3 * BATCH + BATCH // 2)
    process.communicate()
    assert process.returncode == -9
    before = len(answers(either_store))
    assert before % BATCH == 0  # whole batches, and all of those that were waited for
    assert 2 * BATCH <= before <= 3 * BATCH
    assert take(path, either_store).stored == CALLS - before
    assert sorted(answers(either_store)) == sorted(f"answer {n}" for n in range(CALLS))
    assert take(path, either_store).stored == 0


@EITHER
def test_two_imports_at_once_store_every_call_once(either_store: Store, tmp_path: Path) -> None:
    path = save(tmp_path, *map(call, range(CALLS)))
    both = [apart(path, either_store) for _ in range(2)]
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
