"""The pages' speed: the first page, pages over 100,000 samples, live updates, memory over 10,000 updates, 50 readers.

    python benchmarks/pages.py                 about 3 minutes, on a store made for it
    python benchmarks/pages.py --samples 20000 a smaller store

The browser's own time is measured in Chromium (navigation start to the load event); the server's by plain requests.
"""

from __future__ import annotations

import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent)]

from tests.pages import browser, run, served, tab  # noqa: E402

from _report import Report  # noqa: E402
from reroll.check import Outcome  # noqa: E402
from reroll.checking import Checker  # noqa: E402
from reroll.project import load_project  # noqa: E402
from reroll.sample import Completion, Sample  # noqa: E402
from reroll.store import NewSample, Store  # noqa: E402

READERS = 50
UPDATES = 10_000
CHUNK = 2000
AGAIN = ("rerun", "half-seven", "--fresh", "--budget", "400", "--quiet", "--yes")
LOADED = "() => performance.getEntriesByType('navigation')[0].loadEventEnd / 1000"  # seconds


def filled(folder: Path, n: int) -> None:
    """So many judged samples of one case, every fifth one wrong."""
    run("init", str(folder))
    run("rerun", "next-friday", "--project", str(folder), "--quiet", "--yes")
    project = load_project(folder)
    case = project.case("next-friday")
    with Store.open(folder / ".reroll" / "store.sqlite") as store, Checker(folder) as checker:
        ids = checker.ids(case, project.program)
        first = store.samples(case_id=case.id, limit=1)[0]
        for start in range(0, n, CHUNK):
            new = [
                NewSample(
                    Sample(Completion(f'{{"date":"2026-11-{20 if i % 5 == 0 else 27}","time":"12:00"}}')),
                    first.request_id, "bulk", i, project.program.id, case.id,
                )
                for i in range(start, min(n, start + CHUNK))
            ]  # fmt: skip
            stored = store.add_samples(new)
            judged = {}
            for i, id in zip(range(start, start + CHUNK), stored, strict=False):
                wrong = i % 5 == 0
                said = [Outcome("fail" if wrong else "pass", 'date is "2026-11-20"' if wrong else "", "right-date")]
                said += [Outcome("pass", "", name) for name in case.check_names()[1:]]
                judged[id] = list(zip(ids, said, strict=True))
            store.add_all_outcomes(judged)


@contextmanager
def inside(link: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Address and cookie of a visitor who opened the link."""
    parts = urlsplit(link)
    connection = http.client.HTTPConnection(parts.netloc)
    connection.request("GET", f"{parts.path}?{parts.query}")
    cookie = connection.getresponse().headers["set-cookie"].partition(";")[0]
    yield parts.netloc, {"cookie": cookie}


def took(address: str, headers: dict[str, str], path: str) -> float:
    began = time.perf_counter()
    connection = http.client.HTTPConnection(address, timeout=60)
    connection.request("GET", path, headers=headers)
    reply = connection.getresponse()
    reply.read()
    assert reply.status == 200, (path, reply.status)
    connection.close()
    return time.perf_counter() - began


def resident(pid: int) -> float:
    """Megabytes that a process holds."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) / 1024


def live(address: str, headers: dict[str, str], folder: Path, updates: int, pid: int) -> tuple[float, float, float]:
    """Median and worst seconds from an outcome's storing to its arrival at a reader; megabytes gained on the way."""
    with Store.open(folder / ".reroll" / "store.sqlite") as store:
        job, _ = store.ask_job(["rerun", "--", "next-friday"], title="live", key="live", by="benchmark")
        store.claim_job(job.id, "benchmark")
        sent: dict[int, float] = {}
        late: list[float] = []
        done = threading.Event()

        def read() -> None:
            connection = http.client.HTTPConnection(address, timeout=60)
            connection.request("GET", f"/events?job={job.id}", headers=headers)
            reply = connection.getresponse()
            while line := reply.readline():
                if line.startswith(b"data:"):
                    word = json.loads(line[5:])
                    calls = (word["progress"] or {}).get("calls")
                    if calls in sent:
                        late.append(time.perf_counter() - sent[calls])
                    if word["over"]:
                        break
            done.set()

        reader = threading.Thread(target=read)
        reader.start()
        before = resident(pid)
        for k in range(updates):
            sent[k] = time.perf_counter()
            store.beat(
                job.id, "benchmark", {"phase": "case", "calls": k, "failures": k // 5, "invalid": 0, "strip": "p"}
            )
            if k < 60:  # apart, so that each is seen by itself
                time.sleep(0.25)
        store.end_job(job.id, "done")
        done.wait(30)
        reader.join()
        return statistics.median(late), max(late), resident(pid) - before


def read_by_many(address: str, headers: dict[str, str], paths: list[str]) -> list[float]:
    """Seconds that each page took with 50 readers at once."""
    with ThreadPoolExecutor(READERS) as readers:
        return list(readers.map(lambda i: took(address, headers, paths[i % len(paths)]), range(READERS)))


def main() -> None:
    report = Report("pages", __doc__, samples=100_000)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "meetings"
        filled(folder, report.args.samples)
        with Store.open(folder / ".reroll" / "store.sqlite") as store:
            sample = store.samples(case_id="next-friday", limit=1, newest=True)[0].id
        paths = {
            "inbox (first page)": "/",
            "answer": "/cases/next-friday",
            "samples at a glance": "/samples?case=next-friday",
            "samples that failed": "/samples?case=next-friday&outcome=fail",
            "one sample": f"/samples/{sample}?case=next-friday",
            "watch": "/watch",
            "project": "/project",
        }
        rows = []
        with served(folder) as server, browser() as chromium:
            began = time.perf_counter()
            with tab(chromium, server.link) as visit:
                first = time.perf_counter() - began
                for name, path in paths.items():
                    seen = []
                    for _ in range(3):
                        visit.go(path)
                        visit.page.wait_for_timeout(50)
                        seen.append(float(visit.page.evaluate(LOADED)))
                    rows.append((name, seen[0], statistics.median(seen)))
            with inside(server.another_link()) as (address, headers):
                gained = resident(server.process.pid)
                middle, worst, grew = live(address, headers, folder, UPDATES, server.process.pid)
                job = subprocess.Popen(
                    [sys.executable, "-m", "reroll", *AGAIN, "--project", str(folder)], stdout=subprocess.DEVNULL
                )
                many = read_by_many(address, headers, ["/", "/cases/next-friday", "/jobs", "/project"])
                job.wait()
        shown = [(name, f"{a:.2f}", f"{b:.2f}") for name, a, b in rows]
        title = f"Seconds until a page is loaded, {report.args.samples:,} samples"
        report.add("pages", title, ("page", "first", "median"), shown)
        report.add(
            "live",
            "Live",
            ("what", "measured"),
            [
                ("opening the link to the first page, s", f"{first:.2f}"),
                ("an outcome to its reader, median s", f"{middle:.3f}"),
                ("an outcome to its reader, worst s", f"{worst:.3f}"),
                (f"memory after {UPDATES:,} updates, MB more", f"{grew:.1f}"),
                ("memory of the server before, MB", f"{gained:.0f}"),
                (f"{READERS} readers at once while a run goes on: median page, s", f"{statistics.median(many):.2f}"),
                (f"{READERS} readers at once: slowest page, s", f"{max(many):.2f}"),
            ],
        )
        report.bar("the first page, s", rows[0][1], 0.5)
        report.bar("any page with that many samples, s", max(row[1] for row in rows), 1.0)
        report.bar("a live update after its outcome, s", middle, 0.3)
        report.bar("memory over 10,000 updates, MB", grew, 5.0)
        report.number(f"{READERS} readers at once: slowest page, s", max(many), unit="s")
    sys.exit(report.finish())


if __name__ == "__main__":
    main()
