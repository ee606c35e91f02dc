"""Every cause that is planted in the example project `meetings`: is it named, and is its effect the model's own?

    python benchmarks/meetings.py                        three inquiries into each (some minutes)
    python benchmarks/meetings.py --first 6 --last 7     only these, by number

The bundled model's failure rate as reported, and with what was named made neutral, is read token by token (teacher
forcing, `tests/exact.py`), without sampling error. `named`: just what was planted. `held`: the range of the effect
holds the exact drop; where a part can be made neutral in several ways, one between the smallest and the largest.

What comes with the project is asked about a second time by `reroll investigate` as everybody runs it first, whose 400
calls go to all questions of an answer: how often it fails, beside what, at which token, why.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).parent))  # as a script
sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.exact import answer_probability, right_answer

from _report import Report
from reroll.cli import main as reroll
from reroll.factor import Factor, groups_of
from reroll.factors import factors_of
from reroll.init import init_project
from reroll.models.local import LocalModel
from reroll.models.registry import open_model
from reroll.neutral import neutral_request
from reroll.project import Project, load_project

BUDGET = 900


def _example(name: str, user: str, date: str, time: str, minutes: int, who: str) -> dict[str, str]:
    answer = {"date": date, "time": time, "duration_min": minutes, "attendees": [who]}
    return {"name": name, "user": user, "assistant": json.dumps(answer, separators=(",", ":"))}


STALE = [_example("stale", "Coffee with Ben next Friday at 10:00 for 30 minutes", "2026-11-20", "10:00", 30, "Ben")]
OLD = [_example("old", "Coffee with Ben on Friday at 10:00 for 45 minutes", "20/11/2026", "10:00", 45, "Ben")]
SKEWED = [
    _example("eva", "Call with Eva on Friday at 11:00 for 30 minutes", "2026-11-20", "11:00", 30, "Eva"),
    _example("dan", "Sync with Dan tomorrow at 14:00 for 30 minutes", "2026-11-19", "14:00", 30, "Dan"),
    _example("mia", "Chat with Mia on Thursday at 16:30 for 30 minutes", "2026-11-19", "16:30", 30, "Mia"),
]
MISLEADING = "the coming Friday, or whichever weekday is named: always the nearest one"


@dataclass(frozen=True)
class Planted:
    """One cause: the case that fails, what is put into the program, the id that is to be named, words of it."""

    case: str
    id: str
    words: str = ""
    examples: tuple[dict[str, str], ...] = ()
    description: str = ""


PLANTED = {
    "next Friday": Planted("next-friday", "user.1", "next"),
    "half seven": Planted("half-seven", "user.1", "half seven"),
    "awkward wording": Planted("awkward", "user.wording"),
    "rambling": Planted("rambling", "user", "4 sentences"),
    "stale example": Planted("next-thursday-coffee", "examples.stale", examples=tuple(STALE)),
    "misleading description": Planted("next-thursday-coffee", "response.date.description", description=MISLEADING),
    "old date format": Planted("clear-thursday", "examples.old", examples=tuple(OLD)),
    "three of 30 minutes": Planted("clear-thursday", "examples", "3 examples", examples=tuple(SKEWED)),
}


def plant(planted: Planted, folder: Path) -> Project:
    """The example project with this cause in it."""
    init_project(folder)
    program = yaml.safe_load((folder / "program.yaml").read_text())
    if planted.examples:
        program["examples"] = [dict(one) for one in planted.examples]
    if planted.description:
        program["response"]["properties"]["date"]["description"] = planted.description
    (folder / "program.yaml").write_text(yaml.safe_dump(program, sort_keys=False))
    return load_project(folder)


def exact_drop(project: Project, planted: Planted) -> tuple[float, float, float]:
    """The exact failure rate as reported, and the least and the most by which it falls without what was planted."""
    case = project.case(planted.case)
    here = factors_of(project.program, case.input, case.history)

    async def ask() -> tuple[float, float, float]:
        model = open_model("bundled")
        assert isinstance(model, LocalModel)
        try:
            wire = await model.wire()

            async def fails(messages: Any, answer: str) -> float:
                return 1 - await answer_probability(wire, messages, answer)

            answer = right_answer(project.program, case)
            rate = await fails(project.program.render(case.input, case.history).body["messages"], answer)
            left = []
            if planted.id == "user.1":  # the words are shown by requests that say it otherwise
                for other in (c for c in project.cases if c.set == "lookalike" and c.of == case.id):
                    body = project.program.render(other.input, other.history).body
                    left.append(await fails(body["messages"], right_answer(project.program, other)))
            for factor, level in _neutral(here.all, planted):
                request = neutral_request(project.program, case.input, case.history, [(factor, level)])
                left.append(await fails(request.body["messages"], answer))
            return rate, rate - max(left), rate - min(left)
        finally:
            await model.close()

    return asyncio.run(ask())


def _neutral(factors: tuple[Factor, ...], planted: Planted) -> list[tuple[Factor, int]]:
    """What was planted, at each of its neutral levels."""
    if planted.id == "user.1":
        return []
    must = {k for k, f in enumerate(factors) if "Meeting with" in f.words}  # the sentence that says what is wanted
    every = (*factors, *groups_of(factors, must))
    found = next(f for f in every if f.id == planted.id)
    return [(found, level) for level in range(len(found.levels))]


def look_for(planted: Planted, folder: Path, seed: int, budget: int = BUDGET) -> dict[str, Any]:
    """What `reroll cause` says, as JSON."""
    return said_by("cause", planted.case, folder, "--seed", str(seed), "--budget", str(budget))


def said_by(command: str, *words: str | Path) -> dict[str, Any]:
    """What this command says, as JSON. The project follows the case, or what names it."""
    case, folder, *more = words
    said = io.StringIO()
    told = [command, *(["--case"] if command == "investigate" else []), str(case), "--project", str(folder), "--json"]
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(io.StringIO()):
        reroll([*told, "--yes", "--quiet", *map(str, more)])
    found: dict[str, Any] = json.loads(said.getvalue())
    return found


def judged(planted: Planted, found: dict[str, Any], drop: tuple[float, float]) -> tuple[bool, bool]:
    """Whether just what was planted was named, and whether the range of its effect holds the exact drop."""
    named = [one["id"] for one in found["factors"]] == [planted.id]
    if not named or planted.words not in found["factors"][0]["words"]:
        return False, True
    effect = found["factors"][0]["effect"]
    return True, effect["low"] <= drop[1] + 0.005 and effect["high"] >= drop[0] - 0.005


def at_first(report: Report) -> None:
    """What `investigate` names of the causes that come with the project, with its usual budget."""
    rows, right, asked = [], 0, 0
    for number, (name, planted) in enumerate(PLANTED.items()):
        if not report.args.first <= number <= report.args.last or planted.examples or planted.description:
            continue
        calls, named, token, other = [], 0, 0, []
        for k in range(report.args.runs):
            with tempfile.TemporaryDirectory() as home:
                plant(planted, folder := Path(home) / "m")
                found = said_by("investigate", planted.case, folder, "--seed", str(report.args.seed + k))
            cause = found["cause"]
            ids = [one["id"] for one in cause.get("factors", [])]
            named += ids == [planted.id]
            other += [cause.get("verdict", "not examined")] * (not ids) + [" ".join(ids)] * bool(
                set(ids) - {planted.id}
            )
            token += found["dud"].get("verdict") == "dud"
            calls.append(found["cost"]["calls"] + found["cost"]["control_calls"])
            print("investigate", name, ids, cause.get("verdict"), calls[-1], file=sys.stderr, flush=True)
        right, asked = right + named, asked + len(calls)
        counted = ", ".join(f"{n} {word}" for word, n in Counter(other).most_common())
        rows.append([name, f"{named} of {len(calls)}", counted or "–", f"{token} of {len(calls)}",
                     f"{sum(calls) / len(calls):.0f}", max(calls)])  # fmt: skip
    if rows:
        head = ["comes with it", "named", "else", "token found", "mean calls", "most"]
        report.add("at_first", "`reroll investigate` with its usual 400 calls", head, rows)
        report.number("causes named by one investigate of 400 calls", right / asked)


def main() -> int:
    report = Report("meetings", __doc__, runs=3, seed=1, first=0, last=99)
    rows, share, ranges = [], [], []
    for number, (name, planted) in enumerate(PLANTED.items()):
        if not report.args.first <= number <= report.args.last:
            continue
        right, held, calls, seen = 0, 0, [], []
        with tempfile.TemporaryDirectory() as home:
            rate, least, most = exact_drop(plant(planted, Path(home) / "exact"), planted)
            for k in range(report.args.runs):
                plant(planted, folder := Path(home) / str(k))
                found = look_for(planted, folder, report.args.seed + k)
                was, holds = judged(planted, found, (least, most))
                right, held = right + was, held + (was and holds)
                calls.append(found["cost"]["calls"] + found["cost"]["control_calls"])
                seen.append(f"{found['factors'][0]['effect']['value']:.2f}" if was else found["verdict"])
                print(name, seen[-1], calls[-1], [one["id"] for one in found["factors"]], file=sys.stderr, flush=True)
        share.append(right / report.args.runs)
        ranges.append((held, right))
        exact = f"{least:.3f}" if most - least < 5e-4 else f"{least:.3f} to {most:.3f}"
        rows.append([name, planted.id, f"{rate:.3f}", exact, f"{right} of {report.args.runs}", ", ".join(seen),
                     f"{held} of {right}", f"{sum(calls) / len(calls):.0f}", max(calls)])  # fmt: skip
    head = ["planted", "id", "fails, exactly", "less without, exactly", "named", "less, as measured", "held",
            "mean calls", "most"]  # fmt: skip
    report.add("causes", f"{report.args.runs} inquiries into each cause of `meetings`", head, rows)
    report.bar("causes named, of all inquiries", sum(share) / len(share), 0.90, most=False)
    at_first(report)
    report.bar("ranges that hold the exact drop", sum(h for h, _ in ranges) / max(1, sum(n for _, n in ranges)), 0.93,
               most=False)  # fmt: skip
    return report.finish()


if __name__ == "__main__":
    raise SystemExit(main())
