"""What every benchmark prints: Markdown tables, rows of one shape that say whether a bar is met, one JSON block."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Report", "Row", "bars_table", "circumstances", "commit", "cpu_seconds", "least", "machine", "table"]

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Row:
    """One measured number. `ours`, the best peer's and the bound are in the same unit, `unit`.

    `most`: the bound, a bar that was set, is an upper one; None where nothing was promised. Where `ours` is counted in
    multiples of what no method can beat, `limit` says of which limit. `of`: the seeded worlds of which `ours` is the
    share; `exact`: that chance by computation; `calls`: mean calls of the worlds where it was said.
    """

    what: str
    ours: float
    bound: float | None
    most: bool = True
    unit: str = ""
    peer: tuple[str, float] | None = None
    limit: str = ""
    of: int | None = None
    exact: float | None = None
    calls: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the bar is met. A share of seeded worlds misses an upper one where its 99.9 % limit lies above it."""
        if self.bound is None:
            return None
        if self.of is not None and self.most:
            return (least(self.ours, self.of) if self.exact is None else self.exact) <= self.bound
        return self.ours <= self.bound if self.most else self.ours >= self.bound

    def named(self, script: str) -> dict[str, Any]:
        """As the JSON has it; `id` is made of the script and of what was measured."""
        ratio = None if not self.bound else self.ours / self.bound
        return {
            "id": f"{script}/{slug(self.what)}",
            "what": self.what,
            "ours": _short(self.ours),
            "unit": self.unit,
            "peer": None if self.peer is None else {"name": self.peer[0], "value": _short(self.peer[1])},
            "bound": None if self.bound is None else {"value": _short(self.bound), "most": self.most},
            "limit": self.limit or None,
            "ratio": _short(ratio),
            "met": self.met,
            **({} if self.of is None else {"of": self.of, "exact": _short(self.exact), "calls": _short(self.calls)}),
        }


def least(share: float, of: int, sure: float = 0.999) -> float:
    """The chance is at least this, except in one of 1,000 such shares. Source: Clopper & Pearson 1934."""
    from reroll.beta import clopper_pearson

    return clopper_pearson(round(share * of), of, 2 * (1 - sure))[0]


def slug(text: str) -> str:
    """A name for a row that its words give, and that stays while they stay.

    >>> slug("certify 99 % at 0.1%: calls, times the limit")
    'certify-99-at-0.1-calls-times-the-limit'
    """
    text = text.replace("±", "+-").replace("<", "below ").lower()
    return re.sub(r"[^a-z0-9.+=^-]+", "-", text).strip("-.")


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{float(value):.6g}")


class Report:
    """Collects what one script prints: Markdown as it goes, then one JSON block; exits 1 where a bar is missed."""

    def __init__(self, name: str, doc: str | None, **options: int) -> None:
        parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
        for option, default in options.items():
            parser.add_argument(f"--{option}", type=int, default=default)
        parser.add_argument("--out", type=Path, help="also write the JSON there")
        self._begin(name, parser.parse_args())
        self.report["options"] = {option: getattr(self.args, option) for option in options}

    @classmethod
    def of(cls, name: str, args: argparse.Namespace) -> Report:
        """For a script that reads its options itself."""
        report = cls.__new__(cls)
        report._begin(name, args)
        return report

    def _begin(self, name: str, args: argparse.Namespace) -> None:
        self.name, self.args = name, args
        self.started, self.cpu = time.perf_counter(), cpu_seconds()
        self.rows: list[Row] = []
        command = shlex.join(["python", f"benchmarks/{name}.py", *_told()])
        self.report: dict[str, Any] = {"schema": f"reroll.benchmark.{name}/2", **circumstances(command)}

    def add(self, name: str, title: str, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """Print a table now, keep its cells for the JSON, and the table as it is shown for the page."""
        print(f"### {title}\n\n{table(head, rows)}\n", flush=True)
        self.report[name] = [dict(zip(head, row, strict=True)) for row in rows]
        shown = {"title": title, "head": list(head), "rows": [[str(cell) for cell in row] for row in rows]}
        self.report.setdefault("tables", {})[name] = shown

    def bar(
        self,
        what: str,
        ours: float,
        bar: float,
        *,
        most: bool = True,
        unit: str = "",
        peer: tuple[str, float] | None = None,
        limit: str = "",
        of: int | None = None,
        exact: float | None = None,
    ) -> None:
        """A number that something was promised of."""
        self.rows.append(Row(what, float(ours), float(bar), most, unit, peer, limit, of, exact))

    def number(
        self,
        what: str,
        ours: float,
        *,
        unit: str = "",
        peer: tuple[str, float] | None = None,
        of: int | None = None,
        calls: float | None = None,
    ) -> None:
        """A number that nothing was promised of."""
        self.rows.append(Row(what, float(ours), None, True, unit, peer, of=of, calls=calls))

    def save(self) -> str:
        """The JSON so far, written to --out: whoever stops a long run keeps the rows that it has."""
        self.report["seconds"] = round(time.perf_counter() - self.started, 1)
        self.report["cpu_seconds"] = round(cpu_seconds() - self.cpu, 1)
        self.report["load_at_the_end"] = _load()
        self.report["rows"] = [row.named(self.name) for row in self.rows]
        text = json.dumps(self.report, indent=1, default=str)
        if out := getattr(self.args, "out", None):
            Path(out).write_text(text + "\n", encoding="utf-8")
        return text

    def finish(self) -> int:
        if self.rows:
            print(f"### Bars\n\n{bars_table(self.rows)}\n")
        print(f"```json\n{self.save()}\n```")
        return 1 if any(row.met is False for row in self.rows) else 0


def _told() -> list[str]:
    """The arguments, without the one that only says where to write."""
    words, kept = iter(sys.argv[1:]), []
    for word in words:
        if word == "--out":
            next(words, None)
        elif not word.startswith("--out="):
            kept.append(word)
    return kept


def circumstances(command: str) -> dict[str, Any]:
    """When, where and of which version: what every number needs beside it."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": command,
        "machine": machine(),
        "load": _load(),
        "commit": commit(),
    }


def machine() -> str:
    """Operating system, cores, processor and Python, in words."""
    cpu = ""
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [s.split(":", 1)[1].strip() for s in info.read_text().splitlines() if s.startswith("model name")]
        cpu = f" ({names[0]})" if names else ""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores{cpu}, Python {platform.python_version()}"


def commit() -> str:
    """The version that was measured, marked where files differ from it; empty where there is no git."""
    try:
        head = subprocess.run(["git", "rev-parse", "--short=9", "HEAD"], cwd=HERE, capture_output=True, text=True)
        changed = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no", "--", "../src"],
            cwd=HERE,
            capture_output=True,
            text=True,
        )
    except OSError:
        return ""
    if head.returncode:
        return ""
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


def _load() -> float | None:
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def cpu_seconds() -> float:
    """CPU seconds of this process and of those that it started and waited for."""
    took = os.times()
    return took.user + took.system + took.children_user + took.children_system


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)])


def bars_table(rows: Sequence[Row]) -> str:
    cells = [
        [
            r.what,
            f"{r.ours:.4g} {r.unit}".strip(),
            "–" if r.bound is None else f"{'≤' if r.most else '≥'} {r.bound:.4g}",
            {True: "yes", False: "**no**", None: "–"}[r.met],
            "–" if r.peer is None else f"{r.peer[0]}: {r.peer[1]:.4g}",
        ]
        for r in rows
    ]
    return table(["question", "measured", "bar", "met", "best peer"], cells)
