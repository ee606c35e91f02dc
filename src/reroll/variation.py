"""Where an outcome's variance comes from: the draw, the wording, the version; and whether wordings differ at all.

Shares of variance are estimates from mean squares.  "Wordings differ" is a
verdict, valid at every look and whatever happens between rounds: in a round
every wording is run once, side by side, and only which of them failed is
used, never how many.  If wordings do not matter, every set of T wordings is
equally likely to be the one that failed, in a bad hour as in a good one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from reroll.evidence import Est, Evidence, interval_array
from reroll.shrinkage import LEAST_LEVELS

__all__ = [
    "Source",
    "Wordings",
    "differ_log_e",
    "predicted_log_odds",
    "round_log_e",
    "variance_shares",
    "wordings_differ",
]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

SourceName = Literal["sampling", "wording", "version", "wording x version"]

STRENGTHS = (1.0, 3.0, 10.0)
"""How many runs at the common rate a wording's own past is mixed with, to predict its odds; the bets are averaged."""
_LEAST_RATE = 1e-4  # no wording is predicted closer to never, or to always


# ---------------------------------------------------------------- do wordings differ?


@dataclass(frozen=True, slots=True)
class Wordings:
    """Whether wordings fail unequally often.

    verdict: `differ`, which is wrong with chance alpha at most however often one
             looks; else `undecided`: that they are alike cannot be shown without a margin.
    log_e:   evidence in nats that they differ, as it stood when the verdict fell, else now.
    rates:   each wording's failure rate; all ranges hold at once, at every look, except with chance alpha.
    decided_at: calls until the verdict; None if undecided.
    """

    verdict: Literal["differ", "undecided"]
    log_e: float
    alpha: float
    rates: tuple[Est, ...]
    calls: int
    decided_at: int | None


def wordings_differ(rounds: Sequence[Sequence[str]], alpha: float = 0.05) -> Wordings:
    """Whether wordings fail unequally often, from rounds in which each was run once.

    An invalid outcome is taken as the pass or the failure that lowers the
    evidence most, in its round: no hidden outcome could make the verdict wrong,
    but many invalid ones make it late.

    Args:    rounds: (rounds, wordings) outcomes, in the order drawn.
    Raises:  ValueError: rounds of unequal size, fewer than 2 wordings, another outcome, alpha out of range.
    Assumes: if wordings do not matter, the outcomes of one round may be swapped
             among them: run a round's calls together, or in random order.
    Source:  conditional likelihood ratio as in Turner, Ly & Gruenwald 2024;
             elementary symmetric polynomials as in conditional logit (Cox 1972).

    >>> wordings_differ([["fail", "pass", "pass"]] * 6).verdict
    'differ'
    >>> wordings_differ([["fail", "fail", "fail"], ["pass", "pass", "pass"]] * 50).log_e
    0.0
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie strictly between 0 and 1, got {alpha!r}")
    fails, invalid = _rounds(rounds)
    width = fails.shape[1]
    path = _path(fails, invalid)
    crossed = np.flatnonzero(path >= -math.log(alpha))
    at = int(crossed[0]) if len(crossed) else len(path) - 1
    decided_at = (at + 1) * width if len(crossed) else None
    cases = [Evidence(int(f), len(fails), int(u)) for f, u in zip(fails.sum(0), invalid.sum(0), strict=True)]
    lows, highs = _ranges(cases, alpha)
    return Wordings(
        verdict="undecided" if decided_at is None else "differ",
        log_e=float(path[at]),
        alpha=alpha,
        rates=tuple(
            Est(case.estimate, float(low), float(high), case.n)
            for case, low, high in zip(cases, lows, highs, strict=True)
        ),
        calls=fails.size,
        decided_at=decided_at,
    )


def differ_log_e(rounds: Sequence[Sequence[str]]) -> Floats:
    """The evidence that wordings fail unequally often as it stood after each round, in nats: (rounds,).

    What `wordings_differ` holds against log(1 / alpha); arguments and errors as there.
    """
    return _path(*_rounds(rounds))


def _path(fails: Bools, invalid: Bools) -> Floats:
    failed, judged = np.cumsum(fails, axis=0) - fails.astype(int), np.cumsum(~invalid, axis=0) - (~invalid).astype(int)
    unknown = np.flatnonzero(invalid.any(axis=1))
    bets = np.empty((len(STRENGTHS), len(fails)))
    for k, strength in enumerate(STRENGTHS):
        odds = predicted_log_odds(failed.astype(np.float64), judged.astype(np.float64), strength)
        steps = round_log_e(fails, odds)
        for i in unknown:
            steps[i] = _least_log_e(fails[i], invalid[i], odds[i])
        bets[k] = np.cumsum(steps)
    top = bets.max(axis=0)
    path: Floats = top + np.log(np.exp(bets - top).mean(axis=0))
    return path


def round_log_e(fail: Bools, log_odds: Floats) -> Floats:
    """log of (chance of this set of failures by these odds) / (chance if every set of its size is as likely).

    Its exponential has mean 1 over all sets of the same size, whatever the odds.

    Args:    fail, log_odds: (..., J).
    Returns: (...,); 0 where none or all of the J failed.
    """
    width = fail.shape[-1]
    sums = _log_symmetric(log_odds)
    size = fail.sum(axis=-1)
    of_that_size = np.take_along_axis(sums, size[..., None], axis=-1)[..., 0]
    chosen = np.where(fail, log_odds, 0.0).sum(axis=-1)
    log_e: Floats = chosen - of_that_size + _log_choose(width)[size]
    return np.where((size == 0) | (size == width), 0.0, log_e)


def predicted_log_odds(failed: Floats, judged: Floats, strength: float) -> Floats:
    """The log odds of failing for each wording, from the past rounds only.

    Each wording's failures among its judged runs, with `strength` more runs at the common rate added.

    Args:    failed, judged: (..., J) counts before this round.
    """
    common = (failed.sum(axis=-1, keepdims=True) + 0.5) / (judged.sum(axis=-1, keepdims=True) + 1)
    rate = np.clip((strength * common + failed) / (strength + judged), _LEAST_RATE, 1 - _LEAST_RATE)
    odds: Floats = np.log(rate) - np.log1p(-rate)
    return odds


def _least_log_e(fail: Bools, unknown: Bools, log_odds: Floats) -> float:
    """The evidence of a round under the outcomes of its invalid calls that give the least.

    For a given number of failures among them, it is least if the likeliest to pass have failed.
    """
    order = np.flatnonzero(unknown)
    order = order[np.argsort(log_odds[order])]
    filled = np.repeat(fail[None, :], len(order) + 1, axis=0)
    for t in range(1, len(order) + 1):
        filled[t, order[:t]] = True
    return float(round_log_e(filled, np.broadcast_to(log_odds, filled.shape)).min())


def _log_symmetric(log_odds: Floats) -> Floats:
    """log e_T of the odds for T = 0...J, by adding one wording after the other: (..., J + 1)."""
    width = log_odds.shape[-1]
    sums = np.full((*log_odds.shape[:-1], width + 1), -np.inf)
    sums[..., 0] = 0.0
    for j in range(width):
        sums[..., 1 : j + 2] = np.logaddexp(sums[..., 1 : j + 2], sums[..., : j + 1] + log_odds[..., j : j + 1])
    return sums


def _log_choose(n: int) -> Floats:
    return np.array([math.log(math.comb(n, k)) for k in range(n + 1)])


def _rounds(rounds: Sequence[Sequence[str]]) -> tuple[Bools, Bools]:
    widths = {len(one) for one in rounds}
    if len(widths) != 1 or min(widths) < 2:
        raise ValueError(f"each round needs one outcome of each of at least 2 wordings, got rounds of {sorted(widths)}")
    known = {"pass", "fail", "invalid"}
    odd = next((outcome for one in rounds for outcome in one if outcome not in known), None)
    if odd is not None:
        raise ValueError(f"an outcome is pass, fail or invalid, got {odd!r}")
    words = np.array([list(one) for one in rounds])
    return words == "fail", words == "invalid"


def _ranges(cells: Sequence[Evidence], alpha: float) -> tuple[Floats, Floats]:
    """Where each one's failure rate lies, whatever the invalid samples were; all together wrong with chance alpha."""
    n, each = [cell.n for cell in cells], alpha / len(cells)
    low, _ = interval_array([cell.failures for cell in cells], n, each)
    _, high = interval_array([cell.at_worst for cell in cells], n, each)
    return low, high


# ---------------------------------------------------------------- shares of the variance


@dataclass(frozen=True, slots=True)
class Source:
    """What one source adds to the variance of an outcome.

    name:     `sampling`, `wording`, `version`, or `wording x version`: what only their combination explains.
    levels:   how many wordings, versions or cells there were; for sampling, how many judged samples.
    variance: estimate in squared rates, unbiased, so that it may be below 0.
    share:    its part of the sum over the sources that have one, those below 0 taken as 0. A source with
              fewer than 12 levels has none (three versions give a share as uncertain as itself): `largest`
              compares its levels instead, and the shares are of the variance inside one of them.
    largest:  with few levels: the failure rate of the worst minus that of the best. The range holds for
              the true largest difference, at the ends of rounds, except with chance alpha; the value reads high.
    """

    name: SourceName
    levels: int
    variance: float
    share: float | None
    largest: Est | None


def variance_shares(cells: Sequence[Sequence[Evidence]], alpha: float = 0.05) -> tuple[Source, ...]:
    """How the variance of one outcome divides over versions, wordings, their combination, and the draw.

    Every version runs every wording.  With one version (or one wording) that
    source is left out: nothing then tells its share from the rest.  Mean
    squares over judged samples; the comparisons count every invalid sample both ways.

    Args:    cells: (versions, wordings), each with at least 2 judged samples.
    Raises:  ValueError: a ragged table, a single cell, a cell with fewer, alpha out of range.
    Assumes: levels drawn from populations of their own; runs not decided by outcomes.
    Source:  two-way random effects on cell means, Searle, Casella & McCulloch 1992, ch. 4.

    >>> alike = [[Evidence(0, 10), Evidence(10, 10)]]
    >>> [(s.name, round(s.variance, 2), s.share) for s in variance_shares(alike)]
    [('wording', 0.5, None), ('sampling', 0.0, None)]
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie strictly between 0 and 1, got {alpha!r}")
    _check_cells(cells)
    versions, wordings = len(cells), len(cells[0])
    judged = np.array([[cell.n - cell.invalid for cell in row] for row in cells], dtype=np.float64)
    rate = np.array([[cell.failures for cell in row] for row in cells]) / judged
    within = rate * (1 - rate) * judged / (judged - 1)
    noise, sampling = float((within / judged).mean()), float(within.mean())
    by_version, by_wording = rate.mean(axis=1), rate.mean(axis=0)
    found: list[tuple[SourceName, int, float]] = []
    if versions == 1:
        found.append(("wording", wordings, float(by_wording.var(ddof=1)) - noise))
    elif wordings == 1:
        found.append(("version", versions, float(by_version.var(ddof=1)) - noise))
    else:
        rest = rate - by_version[:, None] - by_wording[None, :] + rate.mean()
        both = float((rest**2).sum()) / ((versions - 1) * (wordings - 1))
        found.append(("version", versions, float(by_version.var(ddof=1)) - both / wordings))
        found.append(("wording", wordings, float(by_wording.var(ddof=1)) - both / versions))
        found.append(("wording x version", versions * wordings, both - noise))
    found.append(("sampling", int(judged.sum()), sampling))
    stated: set[SourceName] = {
        name for name, levels, _ in found if name in ("version", "wording") and levels >= LEAST_LEVELS
    }
    if stated:
        stated |= {"wording x version", "sampling"}
    total = sum(max(0.0, variance) for name, _, variance in found if name in stated)
    per_level = {
        "version": [sum(row, start=Evidence()) for row in cells],
        "wording": [sum(column, start=Evidence()) for column in zip(*cells, strict=True)],
    }
    return tuple(
        Source(
            name,
            levels,
            variance,
            max(0.0, variance) / total if name in stated and total > 0 else None,
            _largest(per_level[name], alpha) if name in per_level and levels < LEAST_LEVELS else None,
        )
        for name, levels, variance in found
    )


def _largest(levels: Sequence[Evidence], alpha: float) -> Est:
    """The largest difference between two levels' failure rates."""
    rates = [level.failures / (level.n - level.invalid) for level in levels]
    low, high = _ranges(levels, alpha)
    least, most = float(low.max() - high.min()), float(high.max() - low.min())
    return Est(max(rates) - min(rates), max(0.0, least), most, sum(level.n for level in levels))


def _check_cells(cells: Sequence[Sequence[Evidence]]) -> None:
    widths = {len(row) for row in cells}
    if len(widths) != 1 or len(cells) * max(widths) < 2:
        raise ValueError(
            f"shares need at least 2 cells, every version with every wording, got rows of {sorted(widths)} cells"
        )
    least = min(cell.n - cell.invalid for row in cells for cell in row)
    if least < 2:
        raise ValueError(f"each cell needs at least 2 judged samples, got one with {least}; run it more often")
