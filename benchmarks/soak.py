"""An hour of everything at once: does any process of reroll that stays up grow?

    python benchmarks/soak.py                 an hour
    python benchmarks/soak.py --minutes 5     shorter; too short to say anything of memory
    python benchmarks/soak.py --rounds 8      `serve` alone, as fast as it goes (about 100 s a round)

`reroll serve` gets pages opened, live updates followed, traces sent (some of them broken) and jobs started; beside it
`reroll watch` looks, `reroll record` passes calls on, and one `reroll certify` draws all the time. The model is
`reroll fake-server`, one call in fifty meets a fault. Every ten seconds memory (RSS), open files and threads of each of
the four processes are read from /proc. The slope is that of a line through the means of 20 blocks of what follows the
first quarter, its interval Student's, at 95 %: means of blocks, because samples ten seconds apart are not independent.

A round is 700 pages, 10 jobs followed live and 200 bodies of traces: more pages than in the hour above, fewer of the
rest. What does not come back grows by as much in each round; caches that fill have an end.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode, urlsplit

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent)]

from tests import otlp  # noqa: E402
from tests.pages import environment, served  # noqa: E402

from _report import Report  # noqa: E402
from kills import REROLL, fake_server, project, recount, stats  # noqa: E402
from reroll.store import Store  # noqa: E402

EVERY = 10.0  # seconds between two looks at /proc
BLOCKS = 20
FIELDS = re.compile(r"^(VmRSS|Threads):\s+(\d+)", re.MULTILINE)
GROWTH = 10.0  # MB an hour: a week of it is 1.7 GB, which a machine still has
WATCH = (
    "watch: soak\nfalse_alarms: {weeks: 8}\nruns: [imported, draw]\n"
    "streams:\n  - {name: meetings, checks: [{contains: Ana}], baseline: {first: 100}, silence: false}\n"
)
FAULTS = ("--fault", "429=0.005", "--fault", "500=0.005", "--fault", "reset=0.005", "--fault", "malformed=0.005")
PAGES = ("/", "/cases/greet", "/samples?case=greet", "/jobs", "/watch", "/project", "/settings", "/ideas", "/ledger",
         "/samples/groups?case=greet", "/learn", "/cases/none", "/samples?case=greet&outcome=fail")  # fmt: skip


@dataclass
class Seen:
    """What /proc said of one process: seconds since the start, MB, open files, threads."""

    pid: int
    rows: list[tuple[float, float, int, int]] = field(default_factory=list)

    def look(self, at: float) -> None:
        text = Path(f"/proc/{self.pid}/status").read_text()
        told = {name: int(line.split()[0]) for name, line in FIELDS.findall(text)}
        files = len(os.listdir(f"/proc/{self.pid}/fd"))
        self.rows.append((at, told["VmRSS"] / 1024, files, told["Threads"]))

    def settled(self) -> list[tuple[float, float, int, int]]:
        """What follows the first quarter."""
        return self.rows[len(self.rows) // 4 :]

    def growth(self) -> tuple[float, float, float]:
        """MB an hour: the slope and its 95 % interval."""
        from scipy import stats as scipy_stats

        rows = self.settled()
        size = len(rows) / BLOCKS
        blocks = [rows[round(i * size) : round((i + 1) * size)] for i in range(BLOCKS)]
        blocks = [one for one in blocks if one]
        if len(blocks) < 4:
            return float("nan"), float("-inf"), float("inf")
        hours = [statistics.mean(r[0] for r in one) / 3600 for one in blocks]
        line = scipy_stats.linregress(hours, [statistics.mean(r[1] for r in one) for one in blocks])
        half = float(scipy_stats.t.ppf(0.975, len(blocks) - 2) * line.stderr)
        return float(line.slope), float(line.slope) - half, float(line.slope) + half

    def more(self, column: int) -> int:
        """How many more there were at most in the last quarter than in the second."""
        rows, quarter = self.settled(), max(1, len(self.settled()) // 3)
        return max(int(r[column]) for r in rows[-quarter:]) - max(int(r[column]) for r in rows[:quarter])


@dataclass
class Load:
    """What is done to the processes, each kind in a thread of its own, until the time is over."""

    until: float
    done: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def go(self, name: str, every: float, act: Callable[[int], None]) -> threading.Thread:
        def work() -> None:
            for n in itertools.count():
                if time.monotonic() >= self.until:
                    return
                try:
                    act(n)
                    with self.lock:
                        self.done[name] = self.done.get(name, 0) + 1
                except Exception as error:  # one bad answer is counted, and does not end the hour
                    with self.lock:
                        self.wrong.append(f"{name}: {type(error).__name__}: {error}")
                time.sleep(max(0.0, min(every, self.until - time.monotonic())))

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        return thread


def ask(base: str, token: str, path: str, form: dict[str, str] | None = None) -> tuple[int, str, bytes]:
    """Status, location and body of a page, or of a form that is sent."""
    parts = urlsplit(base)
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    headers = {"authorization": f"Bearer {token}"}
    if form is None:
        connection.request("GET", path, headers=headers)
    else:
        headers |= {"content-type": "application/x-www-form-urlencoded"}
        connection.request("POST", path, urlencode(form), headers)
    reply = connection.getresponse()
    told = reply.status, reply.headers.get("location", ""), reply.read()
    connection.close()
    return told


def open_pages(base: str, token: str) -> Callable[[int], None]:
    def act(n: int) -> None:
        path = PAGES[n % len(PAGES)]
        status, _, body = ask(base, token, path)
        if status != (404 if path == "/cases/none" else 200) or not body:
            raise AssertionError(f"{path}: {status}")

    return act


def start_jobs(base: str, token: str) -> Callable[[int], None]:
    """A job, and its live updates until it is over."""

    def act(n: int) -> None:
        form = {"do": "rerun", "case": "greet", "fresh": "yes", "budget": str(20 + n % 7)}
        status, where, body = ask(base, token, "/jobs", form)
        if status != 303:
            raise AssertionError(f"a job was not taken: {status} {body[:200]!r}")
        told = ask(base, token, f"/events?job={where.rpartition('/')[2]}")
        if told[0] != 200 or (b'"over": true' not in told[2] and b'"over":true' not in told[2]):
            raise AssertionError(f"live updates ended early: {told[0]} {told[2][-200:]!r}")

    return act


def send_traces(base: str, token: str, waited: list[int]) -> Callable[[int], None]:
    """Traces; one body in ten is broken, one in ten is sent twice."""
    rng = random.Random(1)

    def act(n: int) -> None:
        body = otlp.traces(n * 9, 9).SerializeToString()
        exporter = otlp.Exporter(base, token)
        try:
            if n % 10 == 3:
                body = body[: rng.randrange(len(body))]
            for _ in range(2 if n % 10 == 6 else 1):
                while (reply := exporter.send(body)).status == 503:  # the store is busy: exporters send it again
                    waited.append(n)
                    time.sleep(1)
            if reply.status not in (200, 400):
                raise AssertionError(f"{reply.status} {reply.said}")
        finally:
            exporter.close()

    return act


def call(url: str) -> Callable[[int], None]:
    """A product that calls its model through the recorder."""

    def act(n: int) -> None:
        body = json.dumps({"model": "tiny", "messages": [{"role": "user", "content": f"Say yes, {n}"}]}).encode()
        request = urllib.request.Request(f"{url}/chat/completions", body, {"content-type": "application/json"})  # noqa: S310
        with contextlib.suppress(OSError, http.client.HTTPException), urllib.request.urlopen(request) as got:  # noqa: S310
            got.read()

    return act


@contextlib.contextmanager
def running(log: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command of reroll in a process of its own; ended as Ctrl-C does."""
    with log.open("w+b") as told:
        process = subprocess.Popen([*REROLL, *words], stdout=told, stderr=told, env=environment())
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait(60)
    if "Traceback" in log.read_text():
        raise SystemExit(log.read_text()[-4000:])


def port_of(log: Path) -> str:
    """The address that the recorder says it listens at."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        for word in log.read_text().replace('"', " ").split():
            if word.startswith("http://127.0.0.1:"):
                return word.rstrip(".,;")
        time.sleep(0.1)
    raise SystemExit(f"the recorder did not start: {log.read_text()}")


ROUND = {"pages": 700, "jobs": 10, "bodies of traces": 200}


def fast(report: Report, rounds: int) -> int:
    """Memory of `serve` after each round of work."""
    with contextlib.ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder = project(place / "pages", stack.enter_context(fake_server("--answer", "yes", "--fail", "0.1")))
        with Store.open(folder / ".reroll" / "store.sqlite") as store:
            _, token = store.new_token("soak", ("read", "run", "send"))
        server = stack.enter_context(served(folder))
        acts = (
            open_pages(server.base, token),
            start_jobs(server.base, token),
            send_traces(server.base, token, list[int]()),
        )
        seen = Seen(server.process.pid)
        seen.look(0.0)
        for n in range(rounds):
            for act, times in zip(acts, ROUND.values(), strict=True):
                for k in range(n * times, (n + 1) * times):
                    act(k)
            seen.look(n + 1.0)
    head = ["after round", *(f"{name} so far" for name in ROUND), "MB", "files", "threads"]
    rows = [[f"{at:.0f}", *(f"{at * times:,.0f}" for times in ROUND.values()), f"{mb:.1f}", files, threads]
            for at, mb, files, threads in seen.rows]  # fmt: skip
    report.add("rounds", "serve, round by round", head, rows)
    half = len(seen.rows) // 2
    more = (seen.rows[-1][1] - seen.rows[half][1]) / (len(seen.rows) - 1 - half)
    report.bar("serve: MB more a round, second half", more, GROWTH / 5)
    return report.finish()


def main() -> int:
    report = Report("soak", __doc__, minutes=60, rounds=0)
    if report.args.rounds:
        return fast(report, report.args.rounds)
    seconds = report.args.minutes * 60.0
    with contextlib.ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        flaky = stack.enter_context(fake_server("--answer", "yes", "--fail", "0.1", "--retry-after", "0.2", *FAULTS))
        steady = stack.enter_context(fake_server("--answer", "yes", "--latency", "1500", *FAULTS))
        folder, other = project(place / "pages", flaky), project(place / "long", steady)
        (folder / "watch.yaml").write_text(WATCH)
        with Store.open(folder / ".reroll" / "store.sqlite") as store:
            _, token = store.new_token("soak", ("read", "run", "send"))
        server = stack.enter_context(served(folder))
        watch = stack.enter_context(running(place / "watch.log", "watch", "--project", str(folder)))
        words = ("record", "--upstream", flaky, "--port", "0", "--out", str(place / "calls.jsonl"))
        recorder = stack.enter_context(running(place / "record.log", *words))
        through = port_of(place / "record.log")
        words = ("certify", "greet", "--target", "0.9999", "--budget", "100000", "--concurrency", "5", "--yes",
                 "--quiet", "--project", str(other))  # fmt: skip
        drawing = stack.enter_context(running(place / "certify.log", *words))
        seen = {
            name: Seen(process.pid)
            for name, process in (
                ("serve", server.process), ("watch", watch), ("record", recorder), ("certify", drawing),
            )
        }  # fmt: skip
        started = time.monotonic()
        load, waited = Load(started + seconds), list[int]()
        threads = [
            load.go("pages opened", 3, open_pages(server.base, token)),
            load.go("bodies of traces sent", 4, send_traces(server.base, token, waited)),
            load.go("jobs run and followed live", 45, start_jobs(server.base, token)),
            load.go("calls through the recorder", 1, call(through)),
        ]
        while time.monotonic() < load.until:
            for one in seen.values():
                one.look(time.monotonic() - started)
            time.sleep(EVERY)
        for thread in threads:
            thread.join(120)
        alive = [name for name, process in (("serve", server.process), ("watch", watch), ("record", recorder),
                                            ("certify", drawing)) if process.poll() is None]  # fmt: skip
        drawing.kill()  # counted while it draws, calls that begin meanwhile would look lost
        drawing.wait()
        while stats(steady)["in_flight"]:
            time.sleep(0.01)
        calls, drawn = stats(steady)["calls"], recount(other)
        with Store.open(folder / ".reroll" / "store.sqlite") as store:
            received = store.received().stored
            jobs = [job.state for job in store.jobs(limit=10_000)]
    said = {**load.done, "spans of calls stored": received, "samples of the long run": drawn[0]}
    said |= {"bodies of traces sent again, as the store was busy": len(waited)}
    report.add("done", "What was done", ["what", "how often"], [[k, f"{v:,}"] for k, v in said.items()])
    rows = []
    for name, one in seen.items():
        slope, low, high = one.growth()
        told = one.settled()
        rows.append([
            name, f"{told[0][1]:.1f}", f"{told[-1][1]:.1f}", f"{max(r[1] for r in one.rows):.1f}",
            f"{slope:+.2f} ({low:+.2f} to {high:+.2f})", f"{told[0][2]}, {told[-1][2]}", f"{told[0][3]}, {told[-1][3]}",
        ])  # fmt: skip
        report.bar(f"{name}: MB an hour, at most (95 %)", high, GROWTH)
        report.bar(f"{name}: more open files at most, last quarter against second", one.more(2), 4)
        report.bar(f"{name}: more threads at most, last quarter against second", one.more(3), 4)
    head = ["process", "MB after a quarter", "MB at the end", "most MB", "MB an hour (95 %)", "files", "threads"]
    report.add("memory", f"{report.args.minutes} minutes", head, rows)
    report.add("wrong", "What went wrong in the load", ["what"], [[one] for one in load.wrong[:20]])
    report.report["looks"] = {name: [[round(v, 1) for v in r] for r in one.rows] for name, one in seen.items()}
    report.bar("processes that ended before the time", len(seen) - len(alive), 0)
    report.bar("requests that were not answered as they should be", len(load.wrong), 0)
    report.bar("jobs that failed", jobs.count("failed"), 0)
    report.bar("samples of the long run less different slots", drawn[0] - drawn[1], 0)
    report.bar("calls of the long run that no attempt in the store tells of, beyond those in flight",
               max(0, calls - drawn[2] - 5), 0)  # fmt: skip
    return report.finish()


if __name__ == "__main__":
    raise SystemExit(main())
