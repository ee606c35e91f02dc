"""Receiving traces: what `reroll serve` takes from exporters a second, and the CPU that each thousand spans costs it.

    python benchmarks/receiver.py                  100,000 spans in batches of 512, from four exporters at once
    python benchmarks/receiver.py --gzip 1         packed as Collectors send them

A span is of 1.5 kB where it is a call of a model, with its messages, and of 0.8 kB where it is not; one in three is a
call, and a tenth of the calls ask something new. Sending goes as fast as the server acknowledges, while it reads what
came before. CPU is all that the server's process took, from its start-up to the last sample stored, without start-up.
"""

from __future__ import annotations

import gzip
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent)]

from tests import otlp  # noqa: E402
from tests.pages import served, until  # noqa: E402

from _report import Report  # noqa: E402
from reroll.init import init_project  # noqa: E402
from reroll.store import Store  # noqa: E402

BATCH = 512
ONE = threading.Lock()  # takes the next batch
LEAST = 5000.0  # spans for a second of CPU
READ = """
import sys, time
from pathlib import Path
from reroll.project import load_project
from reroll.receiving import Reader
from reroll.store import Store
folder = Path(sys.argv[1])
with Store.open(folder / ".reroll" / "store.sqlite") as store:
    project = load_project(folder)
    reader = Reader(store, folder, lambda: project)
    started = time.process_time()
    while reader.read():
        pass
    print(time.process_time() - started)
"""


def cpu_of(process: int) -> float:
    """Seconds of CPU that the process took so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_of(process: int) -> float:
    """The most memory that it ever had, in MB."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{process}/status").read_text())[1]) / 1e3  # type: ignore[index]


def bodies(spans: int, packed: bool) -> list[bytes]:
    made = (otlp.traces(i, min(BATCH, spans - i), guests=max(1, spans // 30)) for i in range(0, spans, BATCH))
    whole = (one.SerializeToString() for one in made)
    return [gzip.compress(one, 6) if packed else one for one in whole]


def send(base: str, token: str, given: Iterator[bytes], packing: str, seconds: list[float]) -> None:
    """Send one after the other; each is sent until it is acknowledged."""
    exporter = otlp.Exporter(base, token)
    for body in iter(lambda: next_of(given), None):
        started = time.perf_counter()
        while (reply := exporter.send(body, packing)).status == 503:
            time.sleep(0.1)
        if reply.status != 200:
            raise SystemExit(f"{reply.status}: {reply.said}")
        seconds.append(time.perf_counter() - started)
    exporter.close()


def next_of(given: Iterator[bytes]) -> bytes | None:
    with ONE:
        return next(given, None)


def main() -> int:
    report = Report("receiver", __doc__, spans=100_000, exporters=4, gzip=0)
    spans, packing = report.args.spans, "gzip" if report.args.gzip else ""
    sent = bodies(spans, bool(packing))
    calls = len(range(0, spans, 3))
    seconds: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "meetings"
        init_project(folder)
        with Store.open(folder / ".reroll" / "store.sqlite") as store:
            _, token = store.new_token("benchmark", ("send",))
            with served(folder) as running:
                process = running.process.pid
                otlp.Exporter(running.base, token).send(otlp.traces(spans, 3).SerializeToString())  # what it imports
                until(lambda: store.received().stored == 1)
                before, started = cpu_of(process), time.perf_counter()
                given = iter(sent)
                told = (running.base, token, given, packing, seconds)
                threads = [threading.Thread(target=send, args=told) for _ in range(report.args.exporters)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                acknowledged = time.perf_counter() - started
                until(lambda: not store.received().waiting, 600)
                read = time.perf_counter() - started
                cpu, peak = cpu_of(process) - before, peak_of(process)
            if store.received().stored != calls + 1:
                raise SystemExit(f"{store.received().stored} of {calls + 1} calls were stored")
        alone = read_alone(Path(name) / "alone", sent, packing)
    thousands, waits = spans / 1000, [1e3 * one for one in seconds]
    rows = [
        ["spans, calls among them", f"{spans:,}, {calls:,}"],
        ["sent, MB", round(sum(map(len, sent)) / 1e6)],
        ["acknowledged a second, while reading", round(spans / acknowledged)],
        ["acknowledged after, median and longest, ms", f"{statistics.median(waits):.0f}, {max(waits):.0f}"],
        ["read into samples a second", round(spans / read)],
        ["CPU of 1,000 spans, acknowledged and read, ms", round(1e3 * cpu / thousands)],
        ["of these: reading (alone, in a process of its own), ms", round(1e3 * alone / thousands)],
        ["peak memory of the server, MB", round(peak)],
    ]  # fmt: skip
    report.add("receiver", f"{spans:,} spans from {report.args.exporters} exporters", ["what", "measured"], rows)
    report.bar("spans acknowledged and read for a second of CPU", spans / cpu, LEAST, most=False)
    return report.finish()


def read_alone(folder: Path, sent: list[bytes], packing: str) -> float:
    """Seconds of CPU that reading takes, where all of it waits in the store."""
    from reroll.intake.otlp_bodies import Body
    from reroll.web.receiver import kept

    init_project(folder)
    with Store.open(folder / ".reroll" / "store.sqlite") as store:
        for body in sent:
            store.keep_received([kept(Body("traces", "protobuf", packing, body), "benchmark")])
    ran = subprocess.run([sys.executable, "-c", READ, str(folder)], stdout=subprocess.PIPE, text=True, check=True)
    return float(ran.stdout)


if __name__ == "__main__":
    raise SystemExit(main())
