"""What reroll says when nothing is wrong, word by word, and what it finds when something is: seeded worlds, real code.

    python benchmarks/nothing_wrong.py [--worlds N] [--seed N] [--first N] [--last N] [--out X.json]

In the first table saying the word would be wrong: its share must not lie above the promised alpha. Where the chance can
be computed, it stands beside. In the second an effect of a stated size is planted: how often it is found, and after how
many calls. `--worlds` is what a cheap row gets; a dear one gets its part of them, as the tables say. `--first` and
`--last` choose rows, by number.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent)]

from benchmarks._claims import FALSE, POWER, Claim  # noqa: E402
from benchmarks._report import Report  # noqa: E402

LEAST = 5


def said(claim: Claim, worlds: int, seed: int) -> list[int]:
    """The calls after which each of these worlds had the word, 0 where it never had; a row's worlds are its own."""
    name = f"{claim.of} {claim.word} {claim.world}"
    return claim.run(np.random.default_rng([seed, *name.encode()]), max(LEAST, round(worlds * claim.part)))


def title(claim: Claim) -> str:
    return f"{claim.word} ({claim.of.split('.')[0]}): {claim.world}"


def main() -> int:
    report = Report("nothing_wrong", __doc__, worlds=10_000, seed=1, first=0, last=999)
    args, rows = report.args, []
    chosen = list(enumerate([*FALSE, *POWER]))[args.first : args.last + 1]
    for i, claim in chosen:
        began = time.process_time()
        found = said(claim, args.worlds, args.seed)
        took, hits = time.process_time() - began, [n for n in found if n]
        share, n = len(hits) / len(found), len(found)
        wrong = i < len(FALSE)
        exact = claim.exact() if claim.exact else None
        if wrong:
            report.bar(f"wrong: {title(claim)}", share, claim.alpha, of=n, exact=exact)
        else:
            report.number(f"found: {title(claim)}", share, of=n, calls=float(np.mean(hits)) if hits else None)
        calls = f"{np.mean(hits):.0f}" if hits else "–"
        alpha = f"{100 * claim.alpha:g} %" if wrong else "power"
        shown = "–" if exact is None else f"{100 * exact:.2f} %"
        rows.append([i, title(claim), f"{100 * share:.2f} %", alpha, shown, n, calls, f"{took:.1f}"])
        print(f"{i}: {title(claim)}: {100 * share:.2f} % of {n} ({took:.0f} s)", file=sys.stderr, flush=True)
        report.save()
    head = ["row", "word: world", "said", "promised", "exact, steady", "worlds", "calls, mean where said", "CPU s"]
    report.add("rows", "Said when nothing is wrong, and when something is", head, rows)
    return report.finish()


if __name__ == "__main__":
    raise SystemExit(main())
