"""Fixes of known truth tried by the whole command, `reroll try`, against a planted server; and forecasts of retries.

    python benchmarks/fixes_product.py [--seeds N] [--worlds N] [--out X.json]

Levers, special cases, guards, post-processing, retries, duds and harm: verdicts, calls, and whether the limit of harm
holds what was planted.  Then simulated populations of inputs, each foretold from twenty inputs with ten runs each
without a retry: whether what retries then deliver, and what they cost, lies in the range.
"""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from _planted import planted_server
from _report import Report
from _tried import BASE, CASE, CONTROLS, NEIGHBOURS, Product, Rates, project
from reroll.cli import main as reroll
from reroll.retry_forecast import Flags, foretell_retry

Doc = dict[str, Any]
WRONG = {"completion": "lost|unknown"}
FEW_SHOT = '"role": "assistant"'  # only an example puts an answer into the request
PROMISED = 150


class Uneven(Product):
    """Neighbours of which every other one always fails, and the others never do."""

    def rate(self, body: Mapping[str, Any]) -> float:
        asked = str(body["messages"][-1]["content"])
        return float(NEIGHBOURS.index(asked) % 2) if asked in NEIGHBOURS else super().rate(body)


@dataclass(frozen=True)
class Planted:
    """A fix and what is true of it.

    truth: `good` (general, harmless), `special` (and its like), `dud` or `harm`; marks: failure rates with it, of
    a lever; harm: by how much control cases fail more often; margin and budget: as `reroll try` is told.
    """

    name: str
    truth: str
    fix: Doc
    marks: Mapping[str, Rates] = field(default_factory=dict)
    harm: float = 0.0
    product: type[Product] = Product
    margin: float = 0.1
    budget: int = 1500


def clause(name: str, truth: str, rates: Rates, text: str = "RULE: see to the money.", **more: Any) -> Planted:
    fix = {"kind": "clause.add", "target": "system.rule", "text": text}
    return Planted(name, truth, fix, {text: rates}, rates[3] - BASE[3], **more)


GENERAL: Rates = (0.03, 0.04, 0.04, 0.03)
RATES = {
    "describe": (0.06, 0.10, 0.05, 0.032),
    "contrast": (0.05, 0.14, 0.06, 0.033),
    "copied": (0.02, 0.33, 0.16, 0.045),
}
PLANTED = [
    clause("general clause", "good", GENERAL),
    Planted(
        "field described",
        "good",
        {"kind": "field.describe", "target": "response.answer.description", "text": "DONE once the money is back."},
        {"DONE once": RATES["describe"]},
        0.002,
    ),
    Planted(
        "contrastive pair",
        "good",
        {"kind": "contrast.add", "target": "system.pair", "right": "done", "wrong": "lost", "reason": "It was paid."},
        {"It was paid.": RATES["contrast"]},
        0.003,
    ),
    clause("clause for this one only", "special", (0.0, 0.48, 0.04, 0.03)),
    Planted(
        "few-shot copied from the case",
        "special",
        {"kind": "example.add", "target": "examples.ana", "user": CASE, "assistant": '{"answer": "done"}'},
        {FEW_SHOT: RATES["copied"]},
        0.015,
    ),
    clause('"never do X"', "special", (0.12, 0.36, 0.14, 0.040), "NEVER lose a refund."),
    Planted(
        "special case by a regex",
        "special",
        {"kind": "patch.special_case", "when": {"input": "(?i)please refund"}, "text": '{"answer": "done"}'},
    ),
    Planted(
        "special case of this very input",
        "special",
        {"kind": "patch.special_case", "when": {"input": "order 17 to Ana"}, "text": '{"answer": "done"}'},
    ),
    Planted(
        "detect and block by a regex",
        "special",
        {"kind": "guard.block", "on": "input", "when": {"input": "(?i)refund"}, "says": "A person will help you."},
        harm=(1 - 2 * BASE[3]) / len(CONTROLS),
    ),
    Planted(
        "post-processing that is right",
        "good",
        {"kind": "patch.postprocess", "when": WRONG, "replace": [["lost|unknown", "done"]]},
        harm=-BASE[3],
    ),
    Planted(
        "retry, failing is chance",
        "good",
        {"kind": "patch.retry", "when": WRONG, "times": 2},
        harm=BASE[3] ** 3 - BASE[3],
    ),
    Planted(
        "retry, failing sits in inputs",
        "special",
        {"kind": "patch.retry", "when": WRONG, "times": 2},
        harm=BASE[3] ** 3 - BASE[3],
        product=Uneven,
    ),
    clause("a dud", "dud", BASE),
    clause("helps, and harms all others", "harm", (0.06, 0.10, 0.25, 0.25)),
    clause("general clause, margin 2 points", "good", GENERAL, margin=0.02, budget=6000),
    clause("harm of twice a margin of 2 points", "harm", (0.06, 0.10, 0.05, 0.07), margin=0.02, budget=6000),
]


def attempt(which_and_seed: tuple[int, int]) -> Doc:
    """One trial by the command as a person runs it; its card, and whether its limits hold."""
    which, seed = which_and_seed
    one = PLANTED[which]
    os.environ.setdefault("OPENAI_API_KEY", "none")
    product = one.product(one.marks, seed=1000 * which + seed)
    out = io.StringIO()
    with planted_server(product) as url, tempfile.TemporaryDirectory() as home:  # type: ignore[arg-type]
        folder = project(Path(home), url, {"it": one.fix})
        line = ["try", "it", "--case", "refund", "--project", str(folder), "--json", "--yes", "--quiet"]
        line += ["--margin", str(one.margin), "--lookalike-margin", "0.1", "--budget", str(one.budget)]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
            code = reroll(line)
    if code not in (0, 1, 3):
        raise RuntimeError(f"{one.name}: exit {code}: {out.getvalue()[-300:]}")
    found = json.loads(out.getvalue())
    card = found["fixes"][0]
    gain = card["neighbour_gain"]
    true_gain = 1 - next(iter(one.marks.values()))[1] / BASE[1] if one.marks else None
    return {
        "verdict": card["verdict"],
        "calls": product.calls,
        "reasons": card["reasons"],
        "harm_holds": one.harm <= card["control_harm"]["high"] + 1e-9,
        "gain_holds": true_gain is None or gain["low"] <= true_gain <= gain["high"],
    }


def whole_command(report: Report, seeds: int) -> None:
    with multiprocessing.Pool(2) as pool:
        jobs = [(which, seed) for which in range(len(PLANTED)) for seed in range(seeds)]
        done = pool.map(attempt, jobs, chunksize=1)
    rows, by_truth, patches = [], {}, []  # type: ignore[var-annotated]
    for which, one in enumerate(PLANTED):
        found = [card for (at, _), card in zip(jobs, done, strict=True) if at == which]
        by_truth.setdefault(one.truth, []).extend(found)
        if one.truth == "special" and one.fix["kind"] in ("patch.special_case", "guard.block"):
            patches += found
        why = [reason for card in found for reason in card["reasons"]]
        calls = [card["calls"] for card in found]
        rows.append(
            [
                one.name,
                one.truth,
                f"{100 * one.margin:g} points",
                *(sum(card["verdict"] == verdict for card in found) for verdict in ("accept", "reject", "undecided")),
                f"{np.median(calls):.0f} ({min(calls)} to {max(calls)})",
                max(set(why), key=why.count) if why else "-",
            ]
        )
    head = ["fix", "truth", "margin", "accept", "reject", "undecided", "calls: median (range)", "mostly because"]
    report.add("tried", f"`reroll try` against a product whose rates are known ({seeds} trials each)", head, rows)

    def share(truth: str, verdict: str) -> float:
        return float(np.mean([card["verdict"] == verdict for card in by_truth[truth]]))

    report.bar("special cases and their like accepted", share("special", "accept"), 0.02)
    report.bar("duds and harm accepted", max(share("dud", "accept"), share("harm", "accept")), 0.02)
    report.bar("harmless general fixes accepted", share("good", "accept"), 0.75, most=False)
    report.bar("harmless general fixes rejected", share("good", "reject"), 0.15)
    report.bar("control harm is below its limit", float(np.mean([c["harm_holds"] for c in done])), 0.95, most=False)
    report.bar(
        "the neighbours' gain is in its range", float(np.mean([c["gain_holds"] for c in done])), 0.95, most=False
    )
    soon = [card["verdict"] == "reject" and card["calls"] <= PROMISED for card in patches]
    report.bar(f"hard-coded patches rejected in {PROMISED} calls", float(np.mean(soon)), 1, most=False)


# ---------------------------------------------------------------- retries foretold

Population = Callable[[np.random.Generator, int], Any]
POPULATIONS: dict[str, Population] = {
    "every input alike, 10 %": lambda rng, size: np.full(size, 0.1),
    "every input alike, 50 %": lambda rng, size: np.full(size, 0.5),
    "spread over inputs, Beta(.1, .9)": lambda rng, size: rng.beta(0.1, 0.9, size),
    "spread over inputs, Beta(1, 3)": lambda rng, size: rng.beta(1, 3, size),
    "a tenth of inputs always": lambda rng, size: (rng.random(size) < 0.1).astype(float),
    "a fifth of inputs half the time": lambda rng, size: np.where(rng.random(size) < 0.2, 0.5, 0.0),
}
INPUTS, RUNS, TIMES = 20, 10, 2


def delivered(p: Any, tpr: float, fpr: float) -> tuple[float, float]:
    """The share of bad answers at inputs of these chances with TIMES retries, and the calls for one answer."""
    flagged = p * tpr + (1 - p) * fpr
    through = sum((p * (1 - tpr) * flagged**j for j in range(TIMES + 1)), start=np.zeros_like(p))
    calls = sum((flagged**j for j in range(TIMES + 1)), start=np.zeros_like(p))
    return float((through + flagged**TIMES * p * tpr).mean()), float(calls.mean())


def foretold(args: tuple[str, float, float, int]) -> list[float]:
    """In how many of so many worlds the truth lies in the range: of the population, of these inputs, calls; width."""
    name, tpr, fpr, worlds = args
    draw = POPULATIONS[name]
    rng = np.random.default_rng([len(name), int(100 * tpr)])
    truth, calls = delivered(draw(np.random.default_rng(1), 400_000), tpr, fpr)
    held = np.zeros(3)
    width = 0.0
    for _ in range(worlds):
        p = draw(rng, INPUTS)
        bad = rng.binomial(RUNS, p)
        caught, false = rng.binomial(bad, tpr), rng.binomial(RUNS - bad, fpr)
        counted = np.column_stack([caught, bad - caught, false, RUNS - bad - false])
        found = foretell_retry([Flags(*counts) for counts in counted.tolist()], TIMES)
        for k, (said, true) in enumerate(
            ((found.after, truth), (found.after, delivered(p, tpr, fpr)[0]), (found.calls, calls))
        ):
            held[k] += (said.low or 0.0) <= true <= (said.high if said.high is not None else 1.0)
        width += (found.after.high or 1.0) - (found.after.low or 0.0)
    return [*(held / worlds).tolist(), width / worlds, truth]


def retries(report: Report, worlds: int) -> None:
    jobs = [(name, tpr, fpr, worlds) for name in POPULATIONS for tpr, fpr in ((1.0, 0.0), (0.8, 0.05))]
    with multiprocessing.Pool(2) as pool:
        done = pool.map(foretold, jobs, chunksize=1)
    rows = [
        [name, f"{tpr:g}, {fpr:g}", f"{found[4]:.3f}", *(f"{x:.2f}" for x in found[:3]), f"{found[3]:.3f}"]
        for (name, tpr, fpr, _), found in zip(jobs, done, strict=True)
    ]
    report.add(
        "retries",
        f"What {TIMES} retries deliver, foretold from {INPUTS} inputs with {RUNS} runs each ({worlds} worlds a row)",
        [
            "inputs fail",
            "caught, false alarms",
            "bad answers then",
            "in the range: all inputs",
            "these",
            "calls",
            "width",
        ],
        rows,
    )
    report.bar(
        "predicted effect of retries in its range, all inputs, the worst row", min(d[0] for d in done), 0.9, most=False
    )
    report.bar("the same, these inputs", min(d[1] for d in done), 0.9, most=False)
    report.bar("predicted calls of retries in their range, the worst row", min(d[2] for d in done), 0.9, most=False)


def main() -> int:
    report = Report("fixes_product", __doc__, seeds=3, worlds=150)
    retries(report, report.args.worlds)
    if report.args.seeds:
        whole_command(report, report.args.seeds)
    return report.finish()


if __name__ == "__main__":
    sys.exit(main())
