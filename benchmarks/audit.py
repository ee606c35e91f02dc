"""How often `audit` names a fault of serving that was planted, and how often it blames one where there is none.

    python benchmarks/audit.py                 20 audits of each world (some minutes)
    python benchmarks/audit.py --audits 100    more
    python benchmarks/audit.py --first 2 --last 4   only these worlds, by number, `none` being 0

Every audit is the whole product against a server on loopback (`_planted.py`): requests over HTTP, stored and judged.
Each audit draws another seed and another rate of ordinary failures (5 to 35 %, by chance, never at temperature 0).
`named`: the verdict is the planted one, or for a seed that is ignored that it is said to be. `blamed`: the load, the
cache, a replica, the model, the check or temperature 0 is said to matter where it does not.
"""

from __future__ import annotations

import asyncio
import logging
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))  # as a script

from _planted import FAULTS, Planted, serving
from _report import Report
from reroll.arms import Asked
from reroll.audited import Audited, audit_case
from reroll.case import Case
from reroll.checking import Checker
from reroll.models.registry import open_model
from reroll.program import Program
from reroll.project import Project
from reroll.session import Options, Session
from reroll.store import Store

BUDGET = 300
FLIPS = "import random\n\n\ndef right(text, sample):\n    return 'yes' in text and random.random() < 0.7\n"
HARMLESS = ("sampling", "steady", "undecided")


async def one(fault: str, rate: float, seed: int, folder: Path, budget: int = BUDGET) -> Audited:
    """One audit of a server with this fault; `checker`: the check fails three good answers in ten."""
    if fault == "checker":
        (folder / "checks.py").write_text(FLIPS)
    check = {"python": "checks:right"} if fault == "checker" else {"contains": "yes"}
    case = Case.model_validate({"id": "greet", "input": {"request": "Say yes"}, "checks": [check]})
    none = fault in ("checker", "steady")
    async with serving(Planted("steady" if none else fault, 0.0 if none else rate, seed)) as url:
        program = Program.model_validate(
            {
                "program": "greeting",
                "model": "openai:new",
                "base_url": url,
                "params": {"temperature": 1},
                "system": {"role": "Be kind."},
                "replicas": {"a": {"headers": {"x-replica": "a"}}, "b": {"headers": {"x-replica": "b"}}},
                "alternatives": {"model": ["old"]},
            }
        )
        project, model = Project(folder, program, (case,), (), ()), open_model("openai:new", base_url=url)
        with Store.open(folder / "store.sqlite") as store, Checker(folder) as checker:
            session = Session(project, store, model, checker, Options(budget=budget))
            found = await audit_case(session, case, Asked(seed=seed))
        await model.close()
        return found


def named(fault: str, found: Audited) -> bool:
    """Whether what was planted is what is said; where nothing was, that nothing is blamed."""
    if fault == "seed":
        return found.seed == "ignored"
    if fault in ("none", "steady"):
        return not blamed(fault, found)
    if fault == "replica" and not any(a.id == "R:b" and a.verdict == "worse" for a in found.arms):
        return False
    return found.verdict == fault


def blamed(fault: str, found: Audited) -> list[str]:
    """What is said to matter and does not."""
    wrong = [source for source in found.named if source not in (*HARMLESS, fault)]
    return wrong + (["seed"] if found.seed == "ignored" and fault not in ("seed", "nondeterminism") else [])


def main() -> int:
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    report = Report("audit", __doc__, audits=20, seed=1, first=0, last=99)
    rows, wrong = [], 0
    for number, fault in enumerate((*FAULTS, "checker")):
        if not report.args.first <= number <= report.args.last:
            continue
        rng = np.random.default_rng([report.args.seed, number])  # a world's audits are the same, whichever others run
        hits, false, calls, said = 0, 0, [], []
        for _ in range(report.args.audits):
            rate, seed = float(rng.uniform(0.05, 0.35)), int(rng.integers(1 << 30))
            with tempfile.TemporaryDirectory() as folder:
                found = asyncio.run(one(fault, rate, seed, Path(folder)))
            hits += named(fault, found)
            false += bool(blamed(fault, found))
            calls.append(found.cost.calls)
            said.append(found.verdict)
        n = report.args.audits
        print(f"{fault}: {hits} of {n}", file=sys.stderr, flush=True)
        common = ", ".join(f"{word} {said.count(word)}" for word in dict.fromkeys(sorted(said, key=said.count)[::-1]))
        rows.append([fault, f"{hits / n:.2f}", false, f"{statistics.mean(calls):.0f}", max(calls), common])
        wrong += false
        if fault not in ("none", "steady"):
            report.bar(f"`{fault}` named", hits / n, 0.90, most=False)
    head = ["planted", "named", "blamed something else", "mean calls", "most calls", "verdicts"]
    report.add("worlds", f"{report.args.audits} audits of each world", head, rows)
    total = report.args.audits * len(rows)
    report.bar("audits that blame what is not planted, of all", wrong / total, 0.05)
    return report.finish()


if __name__ == "__main__":
    raise SystemExit(main())
