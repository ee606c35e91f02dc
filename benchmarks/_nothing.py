"""Seeded worlds of a known truth, run through the very code that says a word: in which of them it was ever said.

Each function takes a generator and a number of worlds and gives, for each, the calls after which the word was said, or
0 where it never was, looking after every outcome or as often as the product looks. `p` is always a failure rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from reroll.adjudicate import SEED_SHARE
from reroll.association import word_test
from reroll.audit import Drawn, claims, seed_honoured, shares_of, verdict_of, worth_more
from reroll.best import best_of, better_than_baseline, family_better
from reroll.beta import clopper_pearson
from reroll.clustering import stretches_of
from reroll.compare import compare_cases, compare_path, compare_scores
from reroll.dependence import STRANGE
from reroll.drift_rule import drift_rule
from reroll.evidence import Evidence
from reroll.hybrid import Stratum, stratum_race
from reroll.ledger import WORTH
from reroll.paired import sign_log_e, stakes
from reroll.piling import FAR, STEP, _rise
from reroll.race import Race, first_crossing
from reroll.rate_sums import Measured, sum_ranges
from reroll.recovery import Recovery, recovered, recovery_step
from reroll.reduction import Pairs, pairs_of
from reroll.sample import Token
from reroll.scorecard import ClaimWord, Rules, SetWord, claim_states
from reroll.suite_gate import Rule, gate
from reroll.surprise import Scored, at_least_this_surprising, score, surprise_verdict
from reroll.verdict import certify_path, luck_path
from reroll.watching import back_below
from reroll.wording_rounds import standing

Rng = np.random.Generator
Floats = npt.NDArray[np.float64]
Said = list[int]
Worlds = Callable[[Rng, int], Said]
ALPHA = 0.05
WORDS = np.array(["pass", "fail", "invalid"])


# ---------------------------------------------------------------- streams of one failure rate, and of others


def steady(rng: Rng, p: float, n: int, side: int) -> Floats:
    return np.full(n, p)


def drifting(rng: Rng, p: float, n: int, side: int) -> Floats:
    """Never on the other side of p: up to half as much again, in waves (`side` 1), or up to half of it less (-1)."""
    wave = np.abs(np.sin(np.arange(n) / rng.uniform(20, 200) + rng.uniform(0, 6)))
    return np.minimum(1.0, p * (1 + 0.5 * side * wave))


def hanging(rng: Rng, p: float, n: int, side: int) -> Floats:
    """One call's chance hangs on the last one's outcome, in runs of bad luck, yet never on the other side of p."""
    bad = np.zeros(n, bool)
    u, now = rng.random(n), False
    for i in range(n):
        bad[i] = now = u[i] < (0.9 if now else 0.02)
    return np.where(bad, np.minimum(1.0, p * (1.5 if side > 0 else 1.0)), p * (1.0 if side > 0 else 0.6))


def by_case(rng: Rng, p: float, n: int, side: int) -> Floats:
    """Each call of another case, some hard and most easy, p on average."""
    return rng.beta(p * 2, (1 - p) * 2, n)


KINDS = {"steady": steady, "drifting": drifting, "dependent": hanging, "cases of unequal difficulty": by_case}


def outcomes(rng: Rng, rates: Floats, invalid: float = 0.0) -> list[str]:
    codes = (rng.random(len(rates)) < rates).astype(int)
    if invalid:
        codes = np.where(rng.random(len(rates)) < invalid, 2, codes)
    words: list[str] = WORDS[codes].tolist()
    return words


def streams(rng: Rng, p: float, n: int, side: int, worlds: int) -> Iterator[list[str]]:
    """Worlds of every kind in turn, a fifth of them with outcomes that nobody can tell."""
    kinds = list(KINDS.values())
    for i in range(worlds):
        yield outcomes(rng, kinds[i % len(kinds)](rng, p, n, side), 0.05 if i % 5 == 4 else 0.0)


# ---------------------------------------------------------------- certify and luck


def certified(word: str, target: float, calls: int, p: float | None = None) -> Worlds:
    """The true rate is `p`; by default just the tolerated one, or on the wrong side of it."""

    def run(rng: Rng, worlds: int) -> Said:
        side = 1 if word == "met" else -1
        seen = streams(rng, round(1 - target, 12) if p is None else p, calls, side, worlds)
        found = (certify_path(o, target, ALPHA) for o in seen)
        return [(one.decided_at or 0) if one.verdict == word else 0 for one in found]

    return run


def certified_suite(word: str) -> Worlds:
    """Twenty fixed cases that together fail as often as tolerated: rounds over all of them."""

    def run(rng: Rng, worlds: int) -> Said:
        said = []
        for _ in range(worlds):
            rates = rng.dirichlet(np.full(20, 0.5)) * 20 * 0.1
            rates *= 0.1 / np.minimum(rates, 1).mean()
            rates = np.minimum(rates, 1)
            short = 0.1 - rates.mean()
            rates = np.where(rates < 1, rates + short * 20 / max(1, (rates < 1).sum()), rates)
            found = certify_path(outcomes(rng, np.tile(rates, 60)), 0.9, ALPHA, round_size=20)
            said.append((found.decided_at or 0) if found.verdict == word else 0)
        return said

    return run


def lucky(word: str, reference: float | None, p: float, calls: int, side: int) -> Worlds:
    def run(rng: Rng, worlds: int) -> Said:
        found = (luck_path(o, reference, None, ALPHA) for o in streams(rng, p, calls, side, worlds))
        return [(one.decided_at or 0) if one.verdict == word else 0 for one in found]

    return run


def first_reports(rng: Rng, worlds: int) -> Said:
    """The case is as good as its controls, of which nothing is known before: both are drawn as the product does."""
    import random

    from benchmarks.luck import one_report

    seed = random.Random(int(rng.integers(1 << 60)))
    rates = (0.0, 0.01, 0.02, 0.05, 0.1)
    found = (one_report(rates[i % 5], rates[i % 5], seed, upfront=False) for i in range(worlds))
    return [calls + controls if word == "worse_than_reference" else 0 for word, calls, controls in found]


def stretches(stay: float) -> Worlds:
    """Runs of which the next ends as the last one with chance `stay`, or else as any; certified against 90 %, and
    looked at once the verdict has fallen, with what was under way by then."""

    def run(rng: Rng, worlds: int) -> Said:
        said = []
        for i in range(worlds):
            p, n = (0.05, 0.12, 0.2, 0.4)[i % 4], 400
            fresh, drawn = rng.random(n) >= stay, rng.random(n) < p
            fresh[0] = True
            bad = drawn[np.maximum.accumulate(np.where(fresh, np.arange(n), 0))]
            seen = np.where(bad, "fail", "pass").tolist()
            at = certify_path(seen, 0.9, ALPHA).decided_at or n
            found = stretches_of(seen[: at + at // 8])
            said.append(at if found is not None and found.chance < STRANGE else 0)
        return said

    return run


# ---------------------------------------------------------------- two and more variants


def pair_words(rng: Rng, i: int, n: int, apart: float = 0.0) -> list[tuple[str, str]]:
    """Pairs of two variants of which B fails more often by `apart`: separate draws, hard cases shared, or drifting."""
    p = (0.02, 0.1, 0.3, 0.5)[i % 4]
    kind = i // 4 % 3
    rates = np.full(n, p)
    if kind == 1:
        rates = np.where(rng.random(n) < p / 2, 0.95, p / 2)
    elif kind == 2:
        rates = np.minimum(0.9, p * (1 + np.abs(np.sin(np.arange(n) / 50))))
    a, b = rng.random(n) < rates, rng.random(n) < np.minimum(1.0, rates + apart)
    return list(zip(WORDS[a.astype(int)].tolist(), WORDS[b.astype(int)].tolist(), strict=True))


def compared(words: set[str], pairs: int = 250, margin: float | None = None, apart: float = 0.0) -> Worlds:
    def run(rng: Rng, worlds: int) -> Said:
        found = (compare_path(pair_words(rng, i, pairs, apart), ALPHA, margin) for i in range(worlds))
        return [2 * (one.decided_at or 0) if one.verdict in words else 0 for one in found]

    return run


def compared_cases(rng: Rng, worlds: int) -> Said:
    """30 cases, 5 pairs each: as good on average, one or the other better on each."""
    said = []
    for _ in range(worlds):
        effect = np.clip(0.15 * rng.standard_normal((30, 1)), -0.25, 0.25)
        a, b = rng.random((30, 5)) < 0.3 + effect / 2, rng.random((30, 5)) < 0.3 - effect / 2
        cases = [list(zip(WORDS[x.astype(int)], WORDS[y.astype(int)], strict=True)) for x, y in zip(a, b, strict=True)]
        found = compare_cases(cases, ALPHA)
        said.append(10 * (found.decided_at or 0) if found.verdict == "better" else 0)
    return said


def compared_scores(rng: Rng, worlds: int) -> Said:
    found = (compare_scores(rng.beta(0.4, 0.2, (300, 2)), ALPHA) for _ in range(worlds))  # type: ignore[arg-type]
    return [2 * (one.decided_at or 0) if one.verdict == "better" else 0 for one in found]


def best_named(best: float, rest: float, names: str) -> Worlds:
    """The first of five, `a`, fails at `best`, the others at `rest`, on cases of which a tenth is hard for all."""

    def run(rng: Rng, worlds: int) -> Said:
        said = []
        for _ in range(worlds):
            p = np.array([best, rest, rest, rest, rest])
            x = (rng.random((150, 1)) < 0.08) | (rng.random((150, 5)) < (p - 0.08) / 0.92)
            found = best_of([dict(zip("abcde", WORDS[row.astype(int)].tolist(), strict=True)) for row in x], ALPHA)
            gone = sum(n for _, _, n in found.dropped) + (5 - len(found.dropped)) * (found.decided_at or 150)
            said.append(gone if found.best is not None and found.best in names else 0)
        return said

    return run


def family(rng: Rng, worlds: int) -> Said:
    """Eight variants, none better than the baseline; the family's own words, on running maxima."""
    return _baseline(rng, worlds, family_better, running=True)


def discoveries(rng: Rng, worlds: int) -> Said:
    """The same, explored at its end."""
    return _baseline(rng, worlds, better_than_baseline, running=False)


def _baseline(rng: Rng, worlds: int, rule: Callable[..., tuple[str, ...]], *, running: bool) -> int:
    said = []
    for _ in range(worlds):
        x = (rng.random((300, 1)) < 0.1) | (rng.random((300, 9)) < 0.1)
        base, each = x[:, -1:], x[:, :-1]
        won, lost = np.cumsum(base & ~each, axis=0), np.cumsum(each & ~base, axis=0)
        log_e = sign_log_e(won[..., None] * stakes(-1.0) + lost[..., None] * stakes(1.0))
        now = log_e.max(axis=0) if running else log_e[-1]
        said.append(int(bool(rule(dict(zip("abcdefgh", now.tolist(), strict=True)), ALPHA))))
    return said


# ---------------------------------------------------------------- wordings


def wordings(word: str, rates: Sequence[float], margin: float | None = None, drift: float = 0.0) -> Worlds:
    alike = [j for j, rate in enumerate(rates) if rate < 1]

    def run(rng: Rng, worlds: int) -> Said:
        said, p = [], np.clip(rates, 1e-9, 1 - 1e-9)
        for _ in range(worlds):
            odds = np.log(p / (1 - p)) + drift * rng.standard_normal((50, 1))
            fails = rng.random((50, len(p))) < 1 / (1 + np.exp(-odds))
            rounds = WORDS[fails.astype(int)].tolist()
            at = 0
            for n in (6, 10, 16, 24, 36, 50):
                seen = standing(rounds[:n], ALPHA, margin)
                if seen.verdict == word or (word == "aside" and set(seen.aside) & set(alike)):
                    at = n * len(p)
                if at or seen.verdict != "undecided":
                    break
            said.append(at)
        return said

    return run


# ---------------------------------------------------------------- the checker, the server


def adjudicated(word: str, p: float = 0.05) -> Worlds:
    """A checker that finds 4 of 5 bad answers, as 20 seeds say; `p` of the answers are bad, and 5 in 100 tolerated."""

    def run(rng: Rng, worlds: int) -> Said:
        said = []
        for _ in range(worlds):
            hits = int(rng.binomial(20, 0.8))
            low, _ = clopper_pearson(hits, 20, SEED_SHARE * ALPHA)
            race = Race(0.05 * low, 0.05, (1 - SEED_SHARE) * ALPHA)
            crossed = first_crossing(race, outcomes(rng, np.full(600, p * 0.8)))
            said.append(crossed[1] if crossed is not None and crossed[0] == word else 0)
        return said

    return run


COMPARED = (("L", "P", "load"), ("C", "W", "cold_cache"), ("R", "P", "replica"), ("V", "P", "model"))


def audited(guilty: str = "", more_failures: float = 0.0) -> Worlds:
    """Calls fail by chance, in the guilty arm more often; said: a circumstance is blamed, where one is guilty that one.

    300 calls at most, more for the arms that lean, as the audit does.
    """

    def run(rng: Rng, worlds: int) -> Said:
        return [_one_audit(rng, guilty, more_failures) for _ in range(worlds)]

    return run


def _one_audit(rng: Rng, guilty: str, more_failures: float) -> int:
    p = rng.uniform(0.05, 0.35)
    runs: dict[str, list[str]] = {arm: [] for arm in "PLCWRV"}
    asked = [arm for arm, _, _ in COMPARED]
    while asked:
        arms = sorted(set(asked) | {against for arm, against, _ in COMPARED if arm in asked})
        for arm in arms:
            rate = min(1.0, p + (more_failures if arm == guilty else 0.0))
            runs[arm] += outcomes(rng, np.full(12 if not runs[arm] else 2, rate))
        used = sum(map(len, runs.values()))
        found = claims({a: Drawn(tuple(o)) for a, o in runs.items()}, COMPARED, ALPHA)
        if shown := [c for c in found if c.shown]:
            production = Drawn(tuple(runs["P"]), tuple(map(str, range(len(runs["P"])))))
            zero = Drawn(("pass",) * 8, ("a",) * 8)
            word = verdict_of(production, zero, 0, shares_of(production, zero, 0.0, shown), shown)
            blamed = {source for arm, _, source in COMPARED if arm == (guilty or arm)}
            return used if word in blamed else 0
        asked = list(worth_more(found, 300 - used)) if used + 2 * len(COMPARED) <= 300 else []
    return 0


def seeds_honoured(rng: Rng, worlds: int) -> Said:
    """The server ignores seeds, and few different answers are likely."""
    said = []
    for _ in range(worlds):
        texts = rng.choice(6, size=18, p=rng.dirichlet(np.full(6, 0.3))).astype(str).tolist()
        found = seed_honoured(Drawn(said=tuple(texts[:12])), Drawn(said=tuple(texts[12:])), ALPHA)
        said.append(18 if found == "honoured" else 0)
    return said


# ---------------------------------------------------------------- tokens

LOOKS = (32, 64, 128)


def associated(words: set[str], p: float, lift: float = 0.0) -> Worlds:
    """30 places with four words each; the failing completion's word at place 0 makes failure `lift` more likely.

    Looked at after 32, 64 and 128 samples.
    """

    def run(rng: Rng, worlds: int) -> Said:
        said = []
        for _ in range(worlds):
            failing = [f"{i}:{rng.integers(4)}" for i in range(30)]
            texts = [[f"{i}:{v}" for i, v in enumerate(row)] for row in rng.integers(4, size=(128, 30))]
            rates = np.array([p + lift * (text[0] == failing[0]) for text in texts])
            samples = list(zip(texts, outcomes(rng, rates), strict=True))
            said.append(next((n for n in LOOKS if word_test(failing, samples[:n], rng, ALPHA).verdict in words), 0))
        return said

    return run


def surprising(word: str, rare: float = 0.05) -> Worlds:
    """So many completions are as improbable as the reported one, looked at after every twentieth sample."""

    def run(rng: Rng, worlds: int) -> Said:
        reported, said = Scored(-9.0, -9.0, -9.0, (), 1.0), []
        for _ in range(worlds):
            drawn = [(x, x) for x in np.where(rng.random(300) < rare, -9.0, -1.0).tolist()]
            seen = (
                (n, surprise_verdict(reported, at_least_this_surprising(reported, drawn[:n], ALPHA), checked=True))
                for n in range(20, 301, 20)
            )
            said.append(next((n for n, found in seen if found == word), 0))
        return said

    return run


def other_request(rng: Rng, worlds: int) -> Said:
    """Texts of 30 tokens drawn from the very request that they are scored under; said where a bet reaches a million."""
    said = []
    for _ in range(worlds):
        tokens = []
        for _ in range(15):
            p = np.sort(rng.dirichlet(np.full(8, 0.3)))[::-1].clip(1e-12)
            listed = tuple((str(k), math.log(x)) for k, x in enumerate((p / p.sum()).tolist()))
            k = int(rng.choice(8, p=p / p.sum()))
            tokens.append(Token(str(k), listed[k][1], listed))
        found = surprise_verdict(score(tokens), at_least_this_surprising(score(tokens), []), checked=True)
        said.append(int(found == "other_request"))
    return said


def token_wordings(word: str, chances: tuple[float, float], dud: tuple[float, float]) -> Worlds:
    """Two wordings at one place with two tokens: the dud's chance under each, and its success rate under each.

    The other token succeeds in 8 of 10. Said where the range of the change lies on one side of 0, after 4, 8, 16, 32
    and 64 runs of each token under each wording.
    """

    def run(rng: Rng, worlds: int) -> Said:
        (a, b), said = chances, []
        weights = [(-a, a - 1, b, 1 - b)]
        success = np.array([dud[0], 0.8, dud[1], 0.8])
        for _ in range(worlds):
            failed = np.cumsum(rng.random((64, 4)) >= success, axis=0)
            at = 0
            for n in (4, 8, 16, 32, 64):
                rates = [Measured(Evidence(int(f), n)) for f in failed[n - 1]]
                (change,) = sum_ranges(weights, rates, ALPHA)
                shown = "better" if (change.low or 0) > 0 else "worse" if (change.high or 0) < 0 else ""
                if shown:
                    at = 4 * n if shown == word else 0
                    break
            said.append(at)
        return said

    return run


STRATA = ((0.0, 0.1), (0.002, 0.3), (0.005, 0.05), (0.006, 0.2), (0.008, 0.4))  # known failure, mass of the rest


def enumerated(word: str, p: float = 0.01) -> Worlds:
    """A call that fails at `p` where 1 in 100 is tolerated, most of it read: draws come from the rest alone."""

    def run(rng: Rng, worlds: int) -> Said:
        said, at = [], np.array([0])
        for i in range(worlds):
            known, mass = STRATA[i % len(STRATA)]
            left = Stratum(at, at, np.array([mass]), known_failure=known, known_success=1 - known - mass)
            race = stratum_race(left, 0.99, ALPHA)
            if isinstance(race, Race):
                crossed = first_crossing(race, outcomes(rng, np.full(600, max(0.0, p - known) / mass)))
                said.append(crossed[1] if crossed is not None and crossed[0] == word else 0)
            else:
                said.append(int(race == word))
        return said

    return run


# ---------------------------------------------------------------- fixes


def drawn_pairs(rng: Rng, before: float, after: float, n: int, *, one_draw: bool) -> Pairs:
    u = rng.random(n)
    v = u if one_draw else rng.random(n)
    return pairs_of(zip(WORDS[(u < before).astype(int)], WORDS[(v < after).astype(int)], strict=True))


RATES: dict[str, dict[SetWord, tuple[float, float]]] = {
    "nothing": {"case": (0.5, 0.5), "neighbour": (0.5, 0.5)},
    "half": {"case": (0.5, 0.25), "neighbour": (0.5, 0.375)},
    "a quarter": {"case": (0.5, 0.375), "neighbour": (0.5, 0.375)},
    "the margin": {"lookalike": (0.05, 0.15), "control": (0.03, 0.05)},
}


def scored(rates: str, words: set[ClaimWord], state: str, most: int = 640) -> Worlds:
    """A fix on the border of what is claimed of it; looked at after every 40 pairs."""

    def run(rng: Rng, worlds: int) -> Said:
        said = []
        for i in range(worlds):
            pairs: dict[SetWord, Pairs] = {}
            calls = at = 0
            while calls < 2 * most * len(RATES[rates]) and not at:
                for name, (before, after) in RATES[rates].items():
                    pairs[name] = pairs.get(name, Pairs()) + drawn_pairs(rng, before, after, 40, one_draw=bool(i % 2))
                    calls += 80
                states = claim_states(pairs, Rules())
                at = calls if any(states[word] == state for word in words) else 0
            said.append(at)
        return said

    return run


def tried(kinds: tuple[str, ...], verdict: str, budget: int) -> Worlds:
    """Fixes of these kinds, of benchmarks/fixes.py, in a whole trial as the product makes it, to its verdict."""

    def run(rng: Rng, worlds: int) -> Said:
        from benchmarks import fixes

        those = [i for i, w in enumerate(fixes.WORLDS) if w.kind in kinds]
        first = int(rng.integers(1 << 30))
        found = [fixes.tried((those[i % len(those)], first + i, budget)) for i in range(worlds)]
        return [one["calls"] if one["verdict"] == verdict else 0 for one in found]

    return run


def piled(word: str, worth: float) -> Worlds:
    """An earlier fix whose removal raises failures by `worth`, taken out for 96 pairs at most."""

    def run(rng: Rng, worlds: int) -> Said:
        said = []
        for _ in range(worlds):
            pairs, p, at = Pairs(), rng.uniform(0.02, 0.4), 0
            while pairs.n < FAR:
                pairs += drawn_pairs(rng, p, min(1.0, p + worth), STEP, one_draw=False)
                seen = _rise(pairs, ALPHA)
                earns, debt = (seen.low or 0.0) > 0, seen.high is not None and seen.high < WORTH
                if earns or debt:
                    at = 2 * pairs.n if (earns if word == "earns" else debt) else 0
                    break
            said.append(at)
        return said

    return run


# ---------------------------------------------------------------- suites and streams


def suites(word: str, success: float, tests: int) -> Worlds:
    """Runs of a suite of tests, each of this success rate: any test is shown so."""

    def run(rng: Rng, worlds: int) -> Said:
        bounds, said = gate(Rule(), tests), []
        n = np.arange(1, bounds.rule.budget + 1)
        for _ in range(worlds):
            failed = np.cumsum(rng.random((tests, len(n))) >= success, axis=1)
            green, red = failed <= bounds.green[n], failed >= bounds.red[n]
            first_green = np.where(green.any(1), green.argmax(1), 1 << 30)
            first_red = np.where(red.any(1), red.argmax(1), 1 << 30)
            mine, other = (first_red, first_green) if word == "red" else (first_green, first_red)
            said.append(int(mine[mine < other].min() + 1) if (mine < other).any() else 0)
        return said

    return run


def resolved(p: float | None = None) -> Worlds:
    """After an alarm the rate stays at `p`, by default where an alarm is just not over: called over in 1,000 calls."""

    def run(rng: Rng, worlds: int) -> Said:
        said, below = [], back_below(0.01)
        for _ in range(worlds):
            state, at = Recovery(below), 0
            for n, lost in enumerate((rng.random(1000) < (below if p is None else p)).tolist(), 1):
                state = recovery_step(state, float(lost))
                if recovered(state):
                    at = n
                    break
            said.append(at)
        return said

    return run


def alarms(p: float, calls: int) -> Worlds:
    """A stream with a known baseline of 1 %, one false alarm promised in `calls` on average: alarms within as many."""

    def run(rng: Rng, worlds: int) -> Said:
        from benchmarks.drift import capped_calls

        took = capped_calls(drift_rule(0.01, float(calls)), p, worlds, rng, calls)
        return [int(n) if n < calls else 0 for n in took]

    return run


# ---------------------------------------------------------------- causes and duds


def inquiries(kinds: tuple[str, ...], word: str) -> Worlds:
    """Requests of 6, 12 and 20 factors of which the kind says what is to blame: the verdict of the whole inquiry."""

    def run(rng: Rng, worlds: int) -> Said:
        from benchmarks import inquiry

        said = []
        for i in range(worlds):
            seed = np.random.default_rng(int(rng.integers(1 << 60)))
            w = inquiry.world(kinds[i % len(kinds)], seed, (6, 12, 20)[i % 3])
            found, _ = inquiry.run_inquiry(w, seed)
            right = not w.triggers or {i for i, _ in found.factors} == set(w.triggers)
            wanted = found.verdict == word and (word != "systematic" or right)
            said.append(sum(found.calls.values()) if wanted else 0)
        return said

    return run


def duds(word: str, *, planted: bool = False, small: float = 0.05) -> Worlds:
    """Failing completions of 40 tokens; said: the word, of a place or a case of which it is not so.

    `dud`: success really falls there by less than `small`; `doomed`: the prompt succeeds in 15 of 100 or more. With
    `planted`, one token costs 30 points or more: said rightly.
    """

    def run(rng: Rng, worlds: int) -> Said:
        from benchmarks import _worlds, tokens

        cases = _worlds.worlds(worlds, 40, *((0.3, 1.0) if planted else (0.0, 0.15)), int(rng.integers(1 << 30)))
        said = []
        for w, f in zip(cases, tokens.run(cases, None, tokens.ours(tokens.RULE)), strict=True):
            at = f.dud is not None and f.dud.verdict == word
            if planted:
                at = at and tokens.hit(w, f.claimed)
            elif word == "dud":
                at = at and f.claimed is not None and w.drops[f.claimed - 1] < small
            else:
                at = at and w.success[0] >= 0.15
            said.append(w.tokens if at else 0)
        return said

    return run
