"""Every command under every kind of failure: what is set up, what is broken, and what must hold of each cell.

The commands are those that the command line has: one that is in no list here fails a test. Calls go to the fake server
that comes with reroll, in a thread of this process; waits between tries take no time. A cell is a project of its own,
with runs from an earlier day, on which the command runs under the fault and then once more without it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import io
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from reroll import opening
from reroll.cli import app, main
from reroll.fake_faults import Behaviour
from reroll.fake_server import FakeServer, serving
from reroll.models import connections
from reroll.models.registry import open_model
from reroll.store import Store
from tests.background import no_room
from tests.fuzz_targets import slugs

__all__ = ["CALLING", "EXCUSED", "FAULTS", "READING", "Cell", "Ground", "ground", "named_commands", "try_cell"]

KEY = "a-key-of-the-matrix"
HOW = ("--concurrency", "4", "--yes", "--quiet", "--json")
DRAWING = ("--budget", "24", *HOW)
CASES = """cases:
  - {id: greet, input: {request: "Say yes. Be brief, please."}, checks: [{name: says-yes, contains: "yes"}]}
  - {id: near, set: neighbour, of: greet, input: {request: "Say yes now."}, checks: [{contains: "yes"}]}
  - {id: near2, set: neighbour, of: greet, input: {request: "Please say yes."}, checks: [{contains: "yes"}]}
  - {id: like, set: lookalike, of: greet, input: {request: "Say no."}, checks: [{contains: "yes"}]}
  - {id: plain, set: control, input: {request: "Hello there."}, checks: [{contains: "yes"}]}
"""
PROGRAM = """program: greeting
model: openai:tiny
base_url: {url}/v1
system: {{role: Be kind., form: Use words.}}
target: 0.9
"""
FIX = "fix: kinder\nkind: clause.edit\ntarget: system.role\ntext: Be very kind.\nauthor: ana\n"
IDEAS = "ideas:\n  - {idea: Be kinder., by: lena, case: greet, fix: kinder, confirmed: true}\n"
WATCH = "watch: greeting\nruns: [imported, draw]\nstreams: [{name: all, baseline: 0.5, silence: false}]\n"
CALL = {"request": {"model": "tiny", "messages": [{"role": "user", "content": "Say yes. Be brief, please."}]},
        "response": {"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}]}}  # fmt: skip

# Commands that make calls; SAMPLE stands for a stored failing one, URL for the server.
CALLING: Mapping[str, Sequence[str]] = {
    "investigate": ("investigate", "--case", "greet", "--no-forks", "--no-cause", "--no-fixes", "--fresh", *DRAWING),
    "rerun": ("rerun", "greet", "--fresh", *DRAWING),
    "certify": ("certify", "greet", "--fresh", *DRAWING),
    "compare": ("compare", "params.temperature=0", "--case", "greet", *DRAWING),
    "futures": ("futures", "greet", *DRAWING),
    "surprise": ("surprise", "SAMPLE", *DRAWING),
    "forks": ("forks", "SAMPLE", "--budget", "140", *HOW),
    "phrase": ("phrase", "greet", "--by-rule", "2", *DRAWING),
    "audit": ("audit", "greet", *DRAWING),
    "cause": ("cause", "greet", "--budget", "60", *HOW),
    "neighbours": ("neighbours", "greet", *DRAWING),
    "try": ("try", "kinder", "--case", "greet", *DRAWING),
    "replay": ("replay", "SAMPLE", "--json"),
    "doctor": ("doctor", "openai:tiny", "--base-url", "URL/v1", "--json"),
}
# Commands that read what is stored, or files, and make no call.
READING: Mapping[str, Sequence[str]] = {
    "samples": ("samples", "greet", "--json"),
    "show": ("show", "SAMPLE", "--json"),
    "export": ("export", "greet"),
    "check": ("check", "--json"),
    "ledger": ("ledger", "--json"),
    "ideas": ("ideas", "--json"),
    "import": ("import", "FOLDER/calls.jsonl", "--json"),
    "watch": ("watch", "--once", "--json"),
    "token": ("token", "somebody", "--json"),
    "apply": ("apply", "kinder", "--anyway", "--json"),
}
EXCUSED: Mapping[str, str] = {
    "demo": "runs `investigate` on the model that comes along, which has no server that could fail",
    "init": "writes files only (tests/test_init.py)",
    "fake-server": "is what fails",
    "serve": "starts the commands above as jobs; its own faults: tests/test_pages_live.py, benchmarks/soak.py",
    "record": "passes faults on as they are: tests/test_recorder.py",
    "slack": "Slack's faults: tests/test_slack.py; what it measures are jobs",
}


def named_commands() -> set[str]:
    """The commands that the command line has."""
    return {name for name in app if not name.startswith("-")}


# -- faults ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fault:
    """One kind of failure. net: it strikes calls, so that commands without any are left out.

    ends: whether a command that meets it may go on as if nothing were; `breaks` sets it up for the length of a command.
    """

    words: str
    net: bool = True
    behaviour: Mapping[str, Any] = field(default_factory=dict)
    breaks: Callable[[Ground, Path], contextlib.AbstractContextManager[Any]] | None = None
    extra: Sequence[str] = ()
    apart: bool = False  # struck from outside, on a process of its own


@dataclass
class Ground:
    """The server, and a project with earlier runs that each cell begins from."""

    server: FakeServer
    url: str
    folder: Path
    sample: str


SOON, AMPLE = "0.3", "20"  # seconds until a call is given up


def _net(name: str, share: float = 0.3, **more: Any) -> Mapping[str, Any]:
    return {"faults": {name: share}, "retry_after": 7.0, "drip": 1.0, **more}


@contextlib.contextmanager
def _locked(there: Ground, folder: Path) -> Iterator[None]:
    holder = sqlite3.connect(folder / ".reroll" / "store.sqlite", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    opened = Store.open
    impatient = mock.patch.object(Store, "open", lambda url, **kw: opened(url, **{**kw, "busy_seconds": 0.05}))
    try:
        with impatient:
            yield
    finally:
        holder.close()


@contextlib.contextmanager
def _full(there: Ground, folder: Path) -> Iterator[None]:
    with no_room():
        yield


@contextlib.contextmanager
def _read_only(there: Ground, folder: Path) -> Iterator[None]:
    """Nobody may write: for root, who may all, by being somebody else for as long."""
    home = folder / ".reroll"
    for path in [home, *home.iterdir()]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    for above in [folder, *folder.parents]:
        with contextlib.suppress(OSError):
            if not above.stat().st_mode & 0o001:
                above.chmod(above.stat().st_mode | 0o055)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        for path in [home, *home.iterdir()]:
            path.chmod(0o755 if path.is_dir() else 0o644)


@contextlib.contextmanager
def _no_name(there: Ground, folder: Path) -> Iterator[None]:
    async def unknown(name: str, port: int) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    _base_url(folder, "http://nowhere.invalid:80/v1")
    with mock.patch.object(connections, "look_up", unknown):
        yield


@contextlib.contextmanager
def _tls(there: Ground, folder: Path) -> Iterator[None]:
    _base_url(folder, there.url.replace("http:", "https:") + "/v1")
    yield


@contextlib.contextmanager
def _gone(there: Ground, folder: Path) -> Iterator[None]:
    (folder / "program.yaml").rename(folder / "away")
    try:
        yield
    finally:
        (folder / "away").rename(folder / "program.yaml")


@contextlib.contextmanager
def _wrong(there: Ground, folder: Path) -> Iterator[None]:
    before = (folder / "cases.yaml").read_text()
    (folder / "cases.yaml").write_text(before.replace("checks:", "chekcs:", 1))
    try:
        yield
    finally:
        (folder / "cases.yaml").write_text(before)


@contextlib.contextmanager
def _damaged(there: Ground, folder: Path) -> Iterator[None]:
    path = folder / ".reroll" / "store.sqlite"
    before = path.read_bytes()
    path.write_bytes(before[:4096] + bytes(len(before) - 8192) + before[-4096:])
    try:
        yield
    finally:
        for left in path.parent.glob("store.sqlite-*"):
            left.unlink()
        path.write_bytes(before)


@contextlib.contextmanager
def _newer(there: Ground, folder: Path) -> Iterator[None]:
    def say(version: str) -> str:
        with contextlib.closing(sqlite3.connect(folder / ".reroll" / "store.sqlite")) as db, db:
            before = str(db.execute("SELECT version_num FROM reroll_version").fetchone()[0])
            db.execute("UPDATE reroll_version SET version_num = ?", (version,))
            return before

    before = say("9999")
    try:
        yield
    finally:
        say(before)


def _base_url(folder: Path, url: str) -> None:
    path = folder / "program.yaml"
    path.write_text(re.sub(r"base_url: .*", f"base_url: {url}", path.read_text()))


FAULTS: Mapping[str, Fault] = {
    "none": Fault("nothing fails"),
    "429": Fault("too many requests, Retry-After 7 s", behaviour=_net("429")),
    "529": Fault("overloaded", behaviour=_net("529")),
    "500": Fault("server error", behaviour=_net("500")),
    "503": Fault("unavailable", behaviour=_net("503")),
    "reset": Fault("connection reset", behaviour=_net("reset")),
    "hang": Fault("no answer, ever", behaviour=_net("hang")),
    "drip": Fault("a body that drips", behaviour=_net("drip")),
    "truncated": Fault("a body that breaks off", behaviour=_net("truncated")),
    "malformed": Fault("JSON that breaks off", behaviour=_net("malformed")),
    "html": Fault("a web page with status 200", behaviour=_net("html")),
    "content-type": Fault("JSON that calls itself text", behaviour=_net("content-type")),
    "refusal": Fault("the model refuses", behaviour=_net("refusal")),
    "filter": Fault("a content filter ends the answer", behaviour=_net("filter")),
    "prompt-filter": Fault("a content filter stops the prompt", behaviour=_net("prompt-filter")),
    "length": Fault("cut off by max_tokens", behaviour=_net("length")),
    "empty": Fault("an answer without text", behaviour=_net("empty")),
    "dead": Fault("every connection is reset", behaviour=_net("reset", 1.0)),
    "key": Fault("the key is refused from the first call", behaviour=_net("401", 1.0)),
    "key expires": Fault("the key expires after 5 calls", behaviour={"key": KEY, "expire_after": 5}),
    "no model": Fault("the server has no such model", behaviour={"models": ("other",)}),
    "TLS": Fault("https:// where plain HTTP is spoken", breaks=_tls),
    "DNS": Fault("the host's name is not known", breaks=_no_name),
    "spend cap": Fault("--max-usd of a model without a known price", extra=("--max-usd", "0.01")),
    "time is up": Fault("--max-seconds is up", behaviour={"latency": 0.15}, extra=("--max-seconds", "0.2")),
    "Ctrl-C": Fault("SIGINT after five calls", behaviour={"latency": 0.05}, apart=True),
    "locked": Fault("another process holds the store", net=False, breaks=_locked),
    "full": Fault("the disk is full", net=False, breaks=_full),
    "read-only": Fault("the store may not be written", net=False, breaks=_read_only),
    "damaged": Fault("the store is damaged", net=False, breaks=_damaged),
    "newer": Fault("a newer reroll wrote the store", net=False, breaks=_newer),
    "no project": Fault("program.yaml is gone", net=False, breaks=_gone),
    "bad project": Fault("cases.yaml has a misspelt key", net=False, breaks=_wrong),
}  # fmt: skip
ELSEWHERE: Mapping[str, Callable[[str], str]] = {
    "TLS": lambda url: url.replace("http:", "https:"),
    "DNS": lambda url: "http://nowhere.invalid:80",
}
TAKES_CAPS = {name for name, words in CALLING.items() if "--budget" in words}


# -- a cell ------------------------------------------------------------------------------------------------------------


@dataclass
class Cell:
    """What came of one command under one fault: its exit code, its one sentence's name, and what does not hold."""

    command: str
    fault: str
    code: int = 0
    slug: str = ""
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def shown(self) -> str:
        return f"{self.code} {self.slug}".strip() + (" **!**" if self.wrong else "")


@contextlib.contextmanager
def ground(place: Path) -> Iterator[Ground]:
    """A server in a thread and a project in which every command has something to do."""
    started, held = threading.Event(), {}

    async def serve() -> None:
        async with serving(Behaviour(answer="yes", wrong="no", fail=0.3)) as (server, url):
            held.update(server=server, url=url, loop=asyncio.get_running_loop(), over=asyncio.Event())
            started.set()
            await held["over"].wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    if not started.wait(20):
        raise RuntimeError("the server did not start")
    url = held["url"].removesuffix("/v1")
    folder = place / "ground"
    (folder / "fixes").mkdir(parents=True)
    (folder / "program.yaml").write_text(PROGRAM.format(url=url))
    (folder / "cases.yaml").write_text(CASES)
    (folder / "fixes" / "kinder.yaml").write_text(FIX)
    (folder / "ideas.yaml").write_text(IDEAS)
    (folder / "watch.yaml").write_text(WATCH)
    (folder / "calls.jsonl").write_text(json.dumps(CALL) + "\n")
    try:
        with environment():
            code, _, err = run_here("certify", "greet", "--target", "0.99", "--project", str(folder), *DRAWING)
            if code not in (0, 1, 3):
                raise RuntimeError(err)
            with Store.open(folder / ".reroll" / "store.sqlite") as store:
                samples = store.samples()
                failing = next(s.id for s in samples if s.sample.completion and s.sample.completion.text == "no")
            (folder / "labels.jsonl").write_text(
                "".join(
                    json.dumps({"sample": s.id, "outcome": "fail" if s.id == failing else "pass", "by": "ana"}) + "\n"
                    for s in samples
                    if s.id == failing or (s.sample.completion and s.sample.completion.text == "yes")
                )
            )
            yield Ground(held["server"], url, folder, failing)
    finally:
        held["loop"].call_soon_threadsafe(held["over"].set)
        thread.join(20)


@contextlib.contextmanager
def environment() -> Iterator[None]:
    """No settings but a key, a time-out that no busy machine reaches, and waits between tries that take no time."""
    keep = {k: v for k, v in os.environ.items() if not k.startswith("REROLL_") and not k.endswith("_API_KEY")}

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(0)

    opened = functools.partial(open_model, sleep=sleep)
    with (
        mock.patch.dict(os.environ, {**keep, "REROLL_API_KEY": KEY, "REROLL_TIMEOUT": AMPLE}, clear=True),
        mock.patch.object(opening, "open_model", opened),
    ):
        yield


def run_here(*words: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(list(words))
    return code, out.getvalue(), err.getvalue()


def run_apart(there: Ground, *words: str) -> tuple[int, str, str]:
    """The same in a process of its own, which gets Ctrl-C once the server was called five times."""
    before = there.server.calls
    env = {**os.environ, "REROLL_TIMEOUT": AMPLE, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-m", "reroll", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    )
    while process.poll() is None and there.server.calls < before + 5:
        time.sleep(0.01)
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@dataclass(frozen=True)
class Count:
    """What a store holds, counted by SQLite itself."""

    samples: int
    slots: int
    attempts: int
    answers: int
    sound: bool


def recount(folder: Path) -> Count:
    with contextlib.closing(sqlite3.connect(folder / ".reroll" / "store.sqlite")) as db:
        slots = "count(DISTINCT request_id || ' ' || series || ' ' || idx || ' ' || choice)"
        total, different, answers = db.execute(
            f"SELECT count(*), {slots}, sum(error IS NULL AND source = 'draw') FROM samples"
        ).fetchone()
        attempts = db.execute("SELECT count(*) FROM attempts").fetchone()[0]
        return Count(total, different, attempts, answers or 0, db.execute("PRAGMA quick_check").fetchone()[0] == "ok")


def applies(command: str, fault: str) -> bool:
    """Whether the fault can strike the command at all."""
    one = FAULTS[fault]
    if command in READING:
        return not one.net or fault == "none"
    return not one.extra or command in TAKES_CAPS


def try_cell(there: Ground, command: str, fault: str, place: Path) -> Cell:
    """Run the command under the fault on a copy of the ground, then once more without it."""
    one, folder = FAULTS[fault], place / f"{command}-{fault}".replace(" ", "-")
    shutil.copytree(there.folder, folder)
    words = [w.replace("SAMPLE", there.sample).replace("URL", there.url).replace("FOLDER", str(folder))
             for w in {**CALLING, **READING}[command]]  # fmt: skip
    words += ["--project", str(folder)]
    cell, before = Cell(command, fault), recount(folder)
    usual = there.server.behaviour
    told = dict(one.behaviour)
    if "expire_after" in told:
        told["expire_after"] += there.server.calls
    there.server.behaviour = Behaviour(answer="yes", wrong="no", fail=0.3, seed=5, **told)
    calls, answered, started = there.server.calls, _answered(there.server), time.perf_counter()
    away = there.server.done["401"]
    try:
        with one.breaks(there, folder) if one.breaks else contextlib.nullcontext():
            asked = [*words, *one.extra]
            if command == "doctor" and fault in ("TLS", "DNS"):
                asked = [
                    w.replace(
                        there.url,
                        there.url.replace("http:", "https:") if fault == "TLS" else "http://nowhere.invalid:80",
                    )
                    for w in asked
                ]
            with mock.patch.dict(os.environ, {"REROLL_TIMEOUT": SOON}):  # some faults never answer
                cell.code, out, err = run_apart(there, *asked) if one.apart else run_here(*asked)
    finally:
        _come_to_rest(there.server)
        there.server.behaviour = usual
        _base_url(folder, f"{there.url}/v1")
    _judge_end(cell, out, err)
    after = recount(folder)
    away = there.server.done["401"] - away
    _judge_store(cell, before, after, there.server.calls - calls, _answered(there.server) - answered, away)
    code, out, err = run_here(*words)
    _judge_again(cell, code, err, recount(folder), after)
    cell.seconds = time.perf_counter() - started
    shutil.rmtree(folder, ignore_errors=True)
    return cell


def _answered(server: FakeServer) -> int:
    """Completions that the server gave away, right, wrong or odd."""
    given = ("answer", "wrong", "refusal", "filter", "length", "empty", "content-type", "prompt-filter")
    return sum(server.done[name] for name in given)


def _come_to_rest(server: FakeServer) -> None:
    until = time.monotonic() + 20
    while server.in_flight and time.monotonic() < until:
        time.sleep(0.01)


def _judge_end(cell: Cell, out: str, err: str) -> None:
    """One of the exit codes there are, none of an answer where no call got through, and with 2 one sentence that has a
    name; nothing that nobody foresaw."""
    said = [line for line in err.splitlines() if line.startswith("reroll: ")]
    last = re.findall(r"\[([a-z0-9-]+)\]$", said[-1]) if said else []
    cell.slug = last[0] if last else ""
    if cell.code not in (0, 1, 2, 3, 4):
        cell.wrong.append(f"exit code {cell.code}")
    if "Traceback" in out + err:
        cell.wrong.append("a traceback")
    if cell.fault in NOTHING_CAME and cell.code not in (2, 4):
        cell.wrong.append(f"exit code {cell.code} though nothing came back")
    if cell.slug == "unexpected":
        cell.wrong.append(said[-1][:300])
    if cell.code == 2 and len(said) != 1:
        cell.wrong.append(f"{len(said)} sentences with exit code 2")
    if cell.code == 2 and cell.slug not in slugs():
        cell.wrong.append(f"`{cell.slug}` is not explained")
    if cell.code == 2 and out.strip():
        cell.wrong.append(f"exit code 2 and something on stdout: {out[:80]!r}")
    if cell.code in (0, 1, 3, 4) and "--json" in {**CALLING, **READING}[cell.command] and out.strip():
        try:
            json.loads(out)
        except ValueError:
            cell.wrong.append(f"not one JSON object on stdout: {out[:80]!r}")


def _judge_store(cell: Cell, before: Count, after: Count, calls: int, answered: int, turned_away: int) -> None:
    """The store is sound, no slot is there twice, and whatever came back is in it."""
    if not after.sound:
        cell.wrong.append("the store is not sound")
    if after.samples != after.slots:
        cell.wrong.append(f"{after.samples} samples in {after.slots} slots")
    if after.samples < before.samples or after.attempts < before.attempts:
        cell.wrong.append("stored samples are gone")
    if cell.command in STORES_ALL and cell.fault not in MAY_LOSE:
        if not calls - turned_away <= after.attempts - before.attempts <= calls:
            cell.wrong.append(f"{calls} calls, {after.attempts - before.attempts} attempts stored")
        if after.answers - before.answers != answered:
            cell.wrong.append(f"{answered} completions came, {after.answers - before.answers} stored")


# No call gets through, so that nothing can have been answered.
NOTHING_CAME = ("dead", "key", "no model", "DNS")
# Every call of theirs is a draw of the case. The others also ask what the server can, or write with it.
STORES_ALL = ("rerun", "certify", "investigate", "compare", "phrase", "try")
# What is in flight at an interrupt is ended; what came while the disk was full is kept in a file beside the store.
MAY_LOSE = ("Ctrl-C", "time is up", "full", "hang", "drip")


def _judge_again(cell: Cell, code: int, err: str, now: Count, after: Count) -> None:
    """Without the fault the same command does its work, and what was there stays."""
    if code not in USUAL.get(cell.command, (0, 1, 3)):
        cell.wrong.append(f"afterwards exit code {code}: {err.strip()[-200:]}")
    if now.samples < after.samples or now.samples != now.slots or not now.sound:
        cell.wrong.append("afterwards the store is wrong")


# This server tells no probabilities; of four runs of each neighbour too many may fail; what is applied is applied.
USUAL: Mapping[str, Sequence[int]] = {"futures": (2,), "surprise": (2,), "neighbours": (0, 2), "apply": (0, 2)}
