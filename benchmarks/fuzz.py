"""Damaged files, bodies and texts by the ten thousand: a right result, or one sentence that has a name; nothing else.

    python benchmarks/fuzz.py                        50,000 examples in all
    python benchmarks/fuzz.py --examples 2000        fewer
    python benchmarks/fuzz.py --seed 2               others
    python benchmarks/fuzz.py --first 7 --last 7     only the seventh of what is fuzzed

What is fuzzed and what must hold stands in tests/fuzz_targets.py; `make test` gives each target a few examples. Here
what breaks is collected by where it broke, each kind with its smallest example, and the run goes on.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent.parent), str(Path(__file__).parent)]

from hypothesis import HealthCheck, Phase, given, seed, settings  # noqa: E402
from tests.fuzz_targets import TARGETS, Target  # noqa: E402

from _report import Report  # noqa: E402

SLOW = 5.0  # seconds of CPU for one example


@dataclass
class Found:
    """What came of one target. broke: by the place, how often and the smallest example."""

    examples: int = 0
    slowest: float = 0.0
    seconds: float = 0.0
    broke: dict[str, tuple[int, str, str]] = field(default_factory=dict)

    def add(self, error: BaseException, example: Any) -> None:
        frames = [
            f for f in traceback.extract_tb(error.__traceback__) if "reroll" in f.filename or "tests" in f.filename
        ]
        at = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
        key = f"{type(error).__name__} at {at}"
        shown, said = repr(example), f"{error}"[:300]
        before = self.broke.get(key)
        if before is None or len(shown) < len(before[2]):
            self.broke[key] = (1 + (before[0] if before else 0), said, shown)
        else:
            self.broke[key] = (before[0] + 1, *before[1:])


def fuzz(target: Target, examples: int, number: int) -> Found:
    strategy, check = target
    found = Found()
    began = time.perf_counter()

    @seed(number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def one(example: Any) -> None:
        found.examples += 1
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            started = time.process_time()
            try:
                check(example, Path(folder))
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                found.add(error, example)
            found.slowest = max(found.slowest, time.process_time() - started)

    one()
    found.seconds = time.perf_counter() - began
    return found


def main() -> int:
    report = Report("fuzz", __doc__, examples=50_000, seed=1, first=1, last=len(TARGETS))
    chosen = dict(list(TARGETS.items())[report.args.first - 1 : report.args.last])
    each = max(1, report.args.examples // len(chosen))
    rows, broken = [], []
    every, slowest = 0, 0.0
    for name, target in chosen.items():
        with contextlib.redirect_stdout(sys.stderr):
            found = fuzz(target, each, report.args.seed)
        every += found.examples
        print(
            f"{name}: {found.examples} examples, {found.seconds:.0f} s, {len(found.broke)} kinds of break",
            file=sys.stderr,
        )
        for key, (n, said, shown) in found.broke.items():
            print(f"  {n} times {key}: {said}\n    {shown[:600]}", file=sys.stderr, flush=True)
        rows.append([name, f"{found.examples:,}", f"{found.slowest:.2f}", sum(n for n, *_ in found.broke.values())])
        broken += [[name, key, n, said, shown[:600]] for key, (n, said, shown) in found.broke.items()]
        slowest = max(slowest, found.slowest)
    report.add("targets", "What was fuzzed", ["what", "examples", "slowest, s of CPU", "broke"], rows)
    if broken:
        report.add("broken", "What broke", ["what", "where", "times", "said", "example"], broken)
    report.bar("slowest example, s of CPU", slowest, SLOW)
    report.bar("examples with another end than a result or a sentence", sum(row[2] for row in broken), 0)
    report.number("examples", every)
    return report.finish()


if __name__ == "__main__":
    raise SystemExit(main())
