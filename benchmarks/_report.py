"""The head of every benchmark's JSON block, Markdown tables, and how a measured number meets its bar."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

__all__ = ["Bar", "Report", "bars_table", "table"]


@dataclass(frozen=True)
class Bar:
    """One promise and what was measured. `measured` and `bar` in the same unit; `most`: the bar is an upper one."""

    question: str
    measured: float
    bar: float
    most: bool = True

    @property
    def met(self) -> bool:
        return self.measured <= self.bar if self.most else self.measured >= self.bar


class Report:
    """Collects what one script prints: Markdown as it goes, then one JSON block; exits 1 where a bar is missed."""

    def __init__(self, name: str, doc: str | None, **options: int) -> None:
        parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
        for option, default in options.items():
            parser.add_argument(f"--{option}", type=int, default=default)
        parser.add_argument("--out", type=Path, help="also write the JSON there")
        self.args = parser.parse_args()
        self.started = time.perf_counter()
        self.bars: list[Bar] = []
        self.report: dict[str, Any] = {
            "schema": f"reroll.benchmark.{name}/1",
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "command": shlex.join(["python", f"benchmarks/{name}.py", *sys.argv[1:]]),
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python "
            f"{platform.python_version()}",
            **{option: getattr(self.args, option) for option in options},
        }

    def add(self, name: str, title: str, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Print a table now, keep its cells for the JSON."""
        print(f"### {title}\n\n{table(head, rows)}\n", flush=True)
        self.report[name] = [dict(zip(head, row, strict=True)) for row in rows]

    def bar(self, question: str, measured: float, bar: float, *, most: bool = True) -> None:
        self.bars.append(Bar(question, measured, bar, most))

    def finish(self) -> int:
        self.report["bars"] = [asdict(b) | {"met": b.met} for b in self.bars]
        self.report["seconds"] = round(time.perf_counter() - self.started, 1)
        if self.bars:
            print(f"### Bars\n\n{bars_table(self.bars)}\n")
        text = json.dumps(self.report, indent=1)
        print(f"```json\n{text}\n```")
        if self.args.out:
            self.args.out.write_text(text + "\n", encoding="utf-8")
        return 0 if all(b.met for b in self.bars) else 1


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)])


def bars_table(bars: Sequence[Bar]) -> str:
    rows = [
        [b.question, f"{b.measured:.4g}", f"{'≤' if b.most else '≥'} {b.bar:.4g}", "yes" if b.met else "**no**"]
        for b in bars
    ]
    return table(["question", "measured", "bar", "met"], rows)
