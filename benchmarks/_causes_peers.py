"""Two diagnosers to hold the scoring against: one that knows, and leave-one-out with ten runs a part."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from scipy.stats import beta, fisher_exact

from benchmarks._causes import World

__all__ = ["leave_one_out", "oracle"]


def oracle(w: World) -> dict[str, Any]:
    """What a diagnoser would say that knows the world."""
    ids = [min(c.ids) for c in w.cues]
    rate = {"low": w.rate - 0.001, "high": w.rate + 0.001, "n": 1000, "estimate": w.rate}
    factors = []
    for i in ids:
        true = w.rate - w.without(frozenset({i}))
        factors.append({"id": i, "effect": {"value": true, "low": true - 0.01, "high": true + 0.01, "n": 1000}})
    return {"verdict": w.verdicts[0], "factors": factors, "rate": rate, "cost": {"calls": 1}, "oracle": True}


def leave_one_out(w: World, url: str, budget: int, runs: int = 10) -> dict[str, Any]:
    """Each clause deleted in turn, `runs` calls each; below p = .05 against as many plain ones it is named."""
    where = urlsplit(url)
    line = http.client.HTTPConnection(where.netloc)
    calls = 0

    def failures(body: Mapping[str, Any], n: int) -> int:
        nonlocal calls
        failed = 0
        for _ in range(n):
            line.request("POST", f"{where.path}/chat/completions", json.dumps(body))
            said = json.loads(line.getresponse().read())["choices"][0]["message"]["content"]
            failed += said not in w.passing
            calls += 1
        return failed

    plain = request(w)
    n = 3 * runs
    base = failures(plain, n)
    factors = []
    for part, text in clauses(w):
        if calls + runs > budget:
            break
        cut = json.loads(json.dumps(plain).replace(json.dumps(text)[1:-1], ""))
        f = failures(cut, runs)
        if fisher_exact([[base, n - base], [f, runs - f]], alternative="greater").pvalue < 0.05:
            factors.append({"id": part, "effect": {"value": base / n - f / runs}})
    line.close()
    low = float(beta.ppf(0.025, base, n - base + 1)) if base else 0.0
    high = float(beta.ppf(0.975, base + 1, n - base)) if base < n else 1.0
    verdict = "systematic" if factors else "bad_luck" if base else "not_reproduced"
    rate = {"low": low, "high": high, "n": n, "failures": base}
    return {"verdict": verdict, "factors": factors, "rate": rate, "cost": {"calls": calls}}


def request(w: World) -> dict[str, Any]:
    """The reported case's request, as the program renders it."""
    from reroll.program import Program

    program = w.program
    if "raw" in program:
        program = {**program, "raw": w.files["request.json"]}
    made = Program.model_validate(program).render(w.cases[0]["input"])
    return {"model": made.model.partition(":")[2], **made.body}


def clauses(w: World) -> list[tuple[str, str]]:
    from reroll.program import Program

    if "raw" in w.program:
        return []
    kinds = ("clause", "document", "example", "description")
    parts = Program.model_validate(w.program).parts(w.cases[0]["input"])
    return [(p.id, p.text.split("\n")[0]) for p in parts if p.kind in kinds]
