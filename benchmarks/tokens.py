"""Finding the dud token: hits, false claims, tokens and intervals, beside exhaustive forking, PTS, entropy and LUCB.

    python benchmarks/tokens.py [--cases N] [--out X.json]

Seeded simulation on small language models whose success rates are known exactly (benchmarks/_worlds.py). A case
with a dud has a largest drop of 0.3 or more and is not doomed (success from the prompt 0.15 or more); one without
has none of 0.15. *hit*: the named position's true drop is within 0.05 of the largest. Tokens are generated tokens;
exhaustive forking with 30 rollouts of every alternative of 5 % or more is 100 %. `--cases 12`: under a minute of CPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from _report import Report
from _worlds import Model, World, worlds
from reroll.association import associations
from reroll.dud import DudRule
from reroll.dud_report import Dud, price, replay
from reroll.evidence import Est
from reroll.flattening import Distribution, predicted_change
from reroll.forking import Failing
from reroll.success_curve import Grader

DELTA = 0.2
RULE = DudRule(delta=DELTA, table=0)


@dataclass
class Found:
    """What one method said of one case: the position it claims (None: no dud) or would name, and what it took."""

    claimed: int | None
    named: int | None
    tokens: int
    seconds: float
    dud: Dud | None = None


Method = Callable[[World], tuple[int | None, int | None]]


def passes(world: World, prefix: int, n: int) -> float:
    return float(np.mean([o == "pass" for o, _, _ in world.continue_from(prefix, n)]))


def leaves(world: World, k: int, n: int) -> float:
    """The success rate of n rollouts that leave at k, the alternatives in proportion to their probabilities."""
    p = world.table[k - 1].copy()
    p[world.path[k - 1]] = 0
    counts = world.rng.multinomial(n, p / p.sum())
    return sum(o == "pass" for v, m in enumerate(counts) if m for o, _ in world.force(k, str(v), int(m))) / n


# ---------------------------------------------------------------- rivals


def branches(world: World, k: int) -> list[int]:
    return [v for v in range(world.table.shape[1]) if world.table[k - 1, v] >= 0.05 or v == world.path[k - 1]]


def exhaustive_tokens(world: World, n: int = 30) -> int:
    return sum(n * (world.length - k) * len(branches(world, k)) for k in range(1, world.length + 1))


def exhaustive(n: int) -> Method:
    """Bigelow et al. 2024: every position, every alternative of 5 % or more, n rollouts each."""

    def method(world: World) -> tuple[int | None, int | None]:
        drop = np.zeros(world.length)
        for k in range(1, world.length + 1):
            at = branches(world, k)
            weight = world.table[k - 1, at] / world.table[k - 1, at].sum()
            rate = np.array([np.mean([o == "pass" for o, _ in world.force(k, str(v), n)]) for v in at])
            drop[k - 1] = weight @ rate - rate[at.index(int(world.path[k - 1]))]
        best = int(drop.argmax())
        return (best + 1 if drop[best] >= DELTA else None), best + 1

    return method


def pts(n: int, split: str) -> Method:
    """Phi-4's pivotal token search: bisect while the ends differ by delta; at the middle token (codelion/pts), or
    at the middle of the cumulated log-probability (the report)."""

    def method(world: World) -> tuple[int | None, int | None]:
        surprise = np.concatenate([[0.0], np.cumsum(1e-9 - np.log(world.probs))])
        rate = {world.length: 0.0}
        best: list[tuple[float, int]] = []

        def at(i: int) -> float:
            if i not in rate:
                rate[i] = passes(world, i, n)
            return rate[i]

        def look(i: int, j: int) -> None:
            drop = at(i) - at(j)
            if abs(drop) < DELTA:
                return
            if j - i == 1:
                best.append((drop, j))
                return
            m = (i + j) // 2
            if split == "log-prob":
                m = int(np.clip(np.searchsorted(surprise, (surprise[i] + surprise[j]) / 2), i + 1, j - 1))
            look(i, m)
            look(m, j)

        look(0, world.length)
        drop, k = max(best, default=(0.0, 0))
        named = k if drop >= DELTA else None
        return named, named

    return method


def entropy_screen(world: World) -> tuple[int | None, int | None]:
    """Forks only at the fifth of the positions with the highest entropy, 10 rollouts a side."""
    drop = np.full(world.length, -1.0)
    for i in np.argsort(-world.entropy)[: max(1, round(0.2 * world.length))]:
        k = int(i) + 1
        stay = passes(world, k, 10) if k < world.length else 0.0
        drop[i] = (1 - world.probs[i]) * (leaves(world, k, 10) - stay)
    best = int(drop.argmax())
    return (best + 1 if drop[best] >= DELTA else None), best + 1


def lucb(world: World) -> tuple[int | None, int | None]:
    """The bound d <= 1 - p, then leader against strongest challenger, each position for itself (no curve)."""
    where = np.flatnonzero(1 - world.probs >= DELTA) + 1
    if not len(where):
        return None, None
    seen = np.zeros((len(where), 4))  # left n, passed; stayed n, passed
    open_mass, last = 1 - world.probs[where - 1], where == world.length

    def pull(i: int) -> None:
        k = int(where[i])
        seen[i] += (4, round(4 * leaves(world, k, 4)), 0, 0)
        if k < world.length:
            seen[i] += (0, 0, 4, round(4 * passes(world, k, 4)))

    for i in range(len(where)):
        pull(i)
    while True:
        a, s = (seen[:, 1] + 0.5) / (seen[:, 0] + 1), np.where(last, 0, (seen[:, 3] + 0.5) / (seen[:, 2] + 1))
        mean = open_mass * (a - s)
        spread = 1.64 * open_mass * np.sqrt(a * (1 - a) / (seen[:, 0] + 2) + s * (1 - s) / (seen[:, 2] + 2))
        i = int(mean.argmax())
        upper = np.where(np.arange(len(where)) == i, -1, mean + spread)
        j = int(upper.argmax())
        apart = mean[i] - spread[i] >= max(upper[j] - 0.03, DELTA / 2)
        if apart or (mean + spread).max() < DELTA or seen[:, [0, 2]].sum() > 2400:
            k = int(where[i])
            return (k if mean[i] >= DELTA else None), k
        for x in {i, j}:
            pull(x)


# ---------------------------------------------------------------- ours, and the scores


def ours(rule: DudRule = RULE, failing: Callable[[World], Failing] | None = None) -> Callable[[World, int], Dud]:
    def search(world: World, seed: int) -> Dud:
        known = failing(world) if failing else world.failing()
        return replay(world, known, np.random.default_rng([seed, 1]), rule)

    return search


def run(cases: Sequence[World], method: Method | None = None, search: Callable[[World, int], Dud] | None = None,
        flip: float = 0.0) -> list[Found]:  # fmt: skip
    found = []
    for seed, world in enumerate(cases):
        world.reset(seed, flip)
        started = time.process_time()
        dud = search(world, seed) if search else None
        claimed, named = (dud.position, dud.position) if dud else method(world) if method else (None, None)
        found.append(Found(claimed, named, world.tokens, time.process_time() - started, dud))
    return found


def hit(world: World, position: int | None, within: int = 0) -> bool:
    if position is None:
        return False
    if within:
        return bool(abs(position - 1 - int(world.drops.argmax())) <= within or hit(world, position))
    return bool(world.drops[position - 1] >= world.drops.max() - 0.05)


def hits(cases: Sequence[World], found: Sequence[Found], within: int = 0) -> float:
    return float(np.mean([hit(w, f.named, within) for w, f in zip(cases, found, strict=True)]))


def holds(est: Est | None, truth: float, spare: float = 0.0) -> bool:
    if est is None or est.low is None or est.high is None:
        return False
    return bool(est.low - spare <= truth <= est.high + spare)


def covered(cases: Sequence[World], found: Sequence[Found]) -> float:
    """How often the 90 % bands of the success rate before and after the dud hold the truth (grid: 0.01 spare)."""
    kept = []
    for world, f in zip(cases, found, strict=True):
        if f.dud and f.dud.first and f.dud.last:
            for est, at in ((f.dud.success_before, f.dud.first - 1), (f.dud.success_after, f.dud.last)):
                kept.append(holds(est, world.success[at], spare=0.01))
    return float(np.mean(kept))


def missed(cases: Sequence[World], found: Sequence[Found]) -> float:
    """How often a certified interval does not hold the true drop."""
    kept = [
        holds(f.dud.drop, world.success[f.dud.first - 1] - world.success[f.dud.last])
        for world, f in zip(cases, found, strict=True)
        if f.dud and f.dud.first and f.dud.last
    ]
    return 1 - float(np.mean(kept))


def with_dud(n: int, length: int, seed: int) -> list[World]:
    found: list[World] = []
    while len(found) < n:
        found += [w for w in worlds(n, length, 0.3, 2, seed) if w.success[0] >= 0.15]
        seed += 1000
    return found[:n]


# ---------------------------------------------------------------- the tables


def against_rivals(report: Report, n: int) -> tuple[list[World], list[World]]:
    duds, none = with_dud(n, 60, 7), worlds(n // 2, 60, 0, 0.15, 8)
    full = np.mean([exhaustive_tokens(w) for w in duds]) + np.mean([exhaustive_tokens(w) for w in none])
    methods: dict[str, Method | None] = {
        "exhaustive, 30 rollouts": exhaustive(30),
        "exhaustive, 10 rollouts": exhaustive(10),
        **{f"PTS, token midpoint, {m}": pts(m, "token") for m in (10, 30, 64)},
        **{f"PTS, log-prob midpoint, {m}": pts(m, "log-prob") for m in (10, 30, 64)},
        "top 20 % by entropy, 10": entropy_screen,
        "bound + LUCB, no curve": lucb,
        "reroll, certified": None,
    }
    rows, scores = [], {}
    for name, method in methods.items():
        search = None if method else ours()
        with_, without = run(duds, method, search), run(none, method, search)
        tokens = float(np.mean([f.tokens for f in with_])), float(np.mean([f.tokens for f in without]))
        rate, false = hits(duds, with_), float(np.mean([f.claimed is not None for f in without]))
        claimed = np.mean([f.claimed is not None and hit(w, f.claimed) for w, f in zip(duds, with_, strict=True)])
        share = sum(tokens) / full
        scores[name] = (rate, false, share, tokens[0])
        rows.append([name, f"{rate:.3f}", f"{claimed:.3f}", f"{false:.3f}", f"{tokens[0]:,.0f}", f"{tokens[1]:,.0f}",
                     f"{share:.2%}", f"{np.mean([f.seconds for f in with_ + without]):.2f}"])  # fmt: skip
    report.add("rivals", f"60 tokens: {len(duds)} cases with a dud, {len(none)} without; a certified claim is included "
               "in reroll's tokens", ["method", "hit", "hit and claimed", "false", "tokens, dud", "tokens, none",
               "of exhaustive", "CPU s"], rows)  # fmt: skip
    rate, false, share, tokens = scores["reroll, certified"]
    other = scores["PTS, log-prob midpoint, 64"]
    pts64 = "PTS, log-prob midpoint, 64"
    report.bar("60 tokens: hit", rate, 0.95, most=False, peer=(pts64, float(other[0])))
    report.bar("60 tokens: false claims", false, 0.02, peer=(pts64, float(other[1])))
    report.bar("60 tokens: share of exhaustive tokens", float(share), 0.025, peer=(pts64, float(other[2])))
    report.bar("60 tokens: hit, less that of PTS log-prob 64", rate - other[0], 0.0, most=False)
    report.bar("60 tokens: tokens / those of PTS log-prob 64, cases with a dud", float(tokens / other[3]), 1 / 3)
    return duds, none


def stress(report: Report, duds: list[World], none: list[World]) -> None:
    n = len(duds)
    known = replace(RULE, grader=Grader(0.05, 0.05))
    tens, tens_none = with_dud(n, 10, 13), worlds(n // 2, 10, 0, 0.15, 14)
    turns = replace(RULE, reach=0)
    at = {
        "as it is": (duds, none, ours(), 0.0),
        "grader flips 5 %, known": (duds, none, ours(known), 0.05),
        "grader flips 5 %, unknown": (duds, none, ours(), 0.05),
        "probabilities of temperature 0.7": (duds, none, ours(failing=lambda w: w.failing(temperature=0.7)), 0.0),
        "probabilities of temperature 1.4": (duds, none, ours(failing=lambda w: w.failing(temperature=1.4)), 0.0),
        "prefixes only": (duds, none, ours(failing=lambda w: w.failing(probs=False)), 0.0),
        "ten turns, prefixes only": (tens, tens_none,
                                     ours(turns, lambda w: w.failing(probs=False, unit="turn")), 0.0),
    }  # fmt: skip
    rows, misses, claims = [], [], 0
    for name, (cases, others, search, flip) in at.items():
        found, rest = run(cases, None, search, flip), run(others, None, search, flip)
        rate, near = hits(cases, found), hits(cases, found, 10)
        false, cover, miss = np.mean([f.claimed is not None for f in rest]), covered(cases, found), missed(cases, found)
        claimed = sum(f.claimed is not None for f in found)
        rows.append([name, f"{rate:.3f}", f"{near:.3f}", f"{false:.3f}", f"{cover:.2f}", f"{miss:.3f}",
                     f"{np.mean([f.tokens for f in found]):,.0f}",
                     f"{np.mean([f.dud.pairs for f in found if f.dud]):.0f}"])  # fmt: skip
        if name == "as it is":
            report.bar("90 % bands of success before and after the dud hold", float(cover), 0.85, most=False)
        if name.startswith(("grader", "prob")):
            report.bar(f"hit, {name}", rate, 0.90, most=False)
        if name == "prefixes only":
            report.bar("prefixes only: hit within 10 tokens", near, 0.85, most=False)
        if name.startswith("ten"):
            report.bar("ten turns: hit", rate, 0.90, most=False)
        if (flip == 0 and "temperature" not in name) or name.endswith(", known"):
            misses.append(miss * claimed)
            claims += claimed
    report.add("stress", "The same under stress", ["", "hit", "within 10", "false", "90 % bands hold",
               "certified interval misses", "tokens, dud", "pairs"], rows)  # fmt: skip
    report.bar("certified intervals that miss, where what they assume holds", sum(misses) / claims, 0.05)


def long_ones(report: Report, n: int) -> None:
    duds, none = with_dud(n, 200, 12), worlds(n // 2, 200, 0, 0.15, 15)
    full = np.mean([exhaustive_tokens(w) for w in duds]) + np.mean([exhaustive_tokens(w) for w in none])
    rows = []
    for name, method in (("PTS, log-prob midpoint, 30", pts(30, "log-prob")), ("reroll, certified", None)):
        found, rest = (run(c, method, None if method else ours()) for c in (duds, none))
        share = (np.mean([f.tokens for f in found]) + np.mean([f.tokens for f in rest])) / full
        false = np.mean([f.claimed is not None for f in rest])
        rate = hits(duds, found)
        rows.append([name, f"{rate:.3f}", f"{false:.3f}", f"{np.mean([f.tokens for f in found]):,.0f}",
                     f"{np.mean([f.tokens for f in rest]):,.0f}", f"{share:.2%}"])  # fmt: skip
    report.add("long", f"200 tokens: {len(duds)} cases with a dud, {len(none)} without",
               ["method", "hit", "false", "tokens, dud", "tokens, none", "of exhaustive"], rows)  # fmt: skip
    report.bar("200 tokens: hit", rate, 0.90, most=False)
    report.bar("200 tokens: share of exhaustive tokens", float(share), 0.01)
    cpu, drawing = [], []
    for seed, world in enumerate(with_dud(max(3, n // 5), 250, 16)):
        world.reset(seed)
        started = time.process_time()
        timed = Timed(world)
        replay(timed, world.failing(), np.random.default_rng(seed), RULE)
        cpu.append(time.process_time() - started - timed.seconds)
        drawing.append(timed.seconds)
    report.bar("CPU seconds for a case of 250 tokens besides the calls, mean", float(np.mean(cpu)), 1.0)
    report.report["cpu_250"] = {"mean": round(float(np.mean(cpu)), 3), "most": round(max(cpu), 3)}


class Timed:
    """A world that keeps the time that its own rollouts take."""

    def __init__(self, world: World) -> None:
        self.world, self.seconds = world, 0.0

    def continue_from(self, prefix: int, n: int) -> list:  # type: ignore[type-arg]
        started = time.process_time()
        out = self.world.continue_from(prefix, n)
        self.seconds += time.process_time() - started
        return out

    def force(self, position: int, token: str, n: int) -> list:  # type: ignore[type-arg]
        started = time.process_time()
        out = self.world.force(position, token, n)
        self.seconds += time.process_time() - started
        return out


def verdicts(report: Report, n: int) -> None:
    """Every failure as it comes: is a dud named where there is none, is a case called doomed that is not?"""
    cases = worlds(2 * n, 60, -1, 2, 21)
    found = run(cases, None, ours())
    words = ("dud", "slide", "doomed", "unsure")
    truth = ["doomed" if w.success[0] < 0.15 else "dud" if w.drops.max() >= DELTA else "slide" for w in cases]
    rows = [
        [true, *(sum(t == true and f.dud.verdict == word for t, f in zip(truth, found, strict=True) if f.dud)
                 for word in words)]
        for true in ("dud", "slide", "doomed")
    ]  # fmt: skip
    report.add("verdicts", "Failures as they come: truth by verdict (dud: a drop of 0.2)", ["truth", *words], rows)
    small = [f for w, f in zip(cases, found, strict=True) if w.drops.max() < 0.10]
    report.bar("a dud named where the largest drop is below 0.10",
               sum(f.claimed is not None for f in small) / max(1, len(small)), 0.05)  # fmt: skip
    fine = [f.dud for w, f in zip(cases, found, strict=True) if w.success[0] >= 0.15 and f.dud]
    report.bar("doomed said of a case that is not", float(np.mean([d.verdict == "doomed" for d in fine])), 0.05)
    told = price(cases[0].failing(), RULE)
    spent = [f.tokens for f in found]
    report.report["price"] = {"said": told.tokens, "most": told.most_tokens, "mean": round(float(np.mean(spent)))}
    report.bar("tokens spent / tokens said before, mean", float(np.mean(spent)) / told.tokens, 1.25)
    report.bar("tokens spent / the most said before, largest", float(max(spent) / told.most_tokens), 1.0)


def black_box(report: Report, n: int) -> None:
    """128 samples from the prompt, aligned word by word; any association that is shown counts as a claim."""
    rows = []
    for name, cases in (("with a dud", with_dud(n, 60, 17)), ("without", worlds(n, 60, 0, 0.15, 18))):
        claimed, right = [], []
        for seed, world in enumerate(cases):
            rng = np.random.default_rng([seed, 3])
            tokens, end = world.model.walk(0, np.full(128, world.states[0]), rng)
            words = [[f"{i}:{v}" for i, v in enumerate(row)] for row in tokens]  # the place is known: aligned at best
            passed = ["pass" if e >= 18 else "fail" for e in end]
            found = associations([f"{i}:{v}" for i, v in enumerate(world.path)], list(zip(words, passed, strict=True)),
                                 rng)  # fmt: skip
            claimed.append(bool(found))
            right.append(bool(found) and hit(world, found[0].position))
        rows.append([name, f"{np.mean(right):.2f}" if name == "with a dud" else "", f"{np.mean(claimed):.2f}"])
    report.add("association", "No prefixes: association over 128 samples, perfectly aligned",
               ["cases", "names the dud", "names something"], rows)  # fmt: skip
    report.bar("association named in cases without a dud", float(rows[1][2]), 0.12)


def wordings(report: Report, n: int) -> None:
    """Other wordings of a model: logits moved and flattened at random; is the change foreseen by scoring alone?"""
    rng = np.random.default_rng(19)
    predicted, true = [], []
    for world in with_dud(n, 60, 20):
        k = int(world.drops.argmax())
        n_v = rng.binomial(20, np.clip(world.after[k], 0, 1)) / 20
        success = {str(v): Est(float(r), 0.0, 1.0, 20) for v, r in enumerate(n_v)}
        for _ in range(6):
            logits = np.log(world.model.chance + 1e-9) * rng.uniform(0.5, 1.5)
            logits += rng.normal(0, 0.7, (world.length, 1, world.table.shape[1]))
            chance = np.exp(logits)
            other = Model(chance / chance.sum(axis=2, keepdims=True), world.model.to, world.model.begin)
            new = other.chance[k, world.states[k]]
            change = predicted_change(
                Distribution({str(v): float(p) for v, p in enumerate(world.table[k])}),
                Distribution({str(v): float(p) for v, p in enumerate(new)}),
                success,
            )
            predicted.append(change.value or 0.0)
            true.append(other.success[k, world.states[k]] - world.success[k])
    clear = np.abs(predicted) > 0.1
    right = float(np.mean(np.sign(np.array(predicted)[clear]) == np.sign(np.array(true)[clear])))
    rank = float(stats.spearmanr(predicted, true).statistic)
    report.add("screen", f"{len(true)} wordings scored at the fork, none of them run",
               ["rank correlation with the true change", "sign right where above 0.1"],
               [[f"{rank:.2f}", f"{right:.2f}"]])  # fmt: skip
    report.bar("wordings: rank correlation of predicted and true change", rank, 0.5, most=False)


def main() -> int:
    report = Report("tokens", __doc__, cases=100)
    n = report.args.cases
    duds, none = against_rivals(report, n)
    stress(report, duds, none)
    long_ones(report, max(4, n // 4))
    verdicts(report, n)
    black_box(report, max(10, n // 2))
    wordings(report, max(10, n // 2))
    return report.finish()


if __name__ == "__main__":
    raise SystemExit(main())
