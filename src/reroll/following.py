"""The tokens at one place, each followed by runs under the wordings, until it is known what they do to success."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from reroll.branching import Branch, Wanted
from reroll.caveats import time_was_up
from reroll.check import overall
from reroll.evidence import Est, Evidence
from reroll.numbers import counts
from reroll.odds import END
from reroll.placing import Place, Recorded, Spread, Voice
from reroll.rate_sums import FEW, Measured, more_until, next_counts, sum_ranges
from reroll.sample import Completion, Sample, Token
from reroll.session import Session, too_dear
from reroll.words import between_points

__all__ = ["Cell", "Followed", "follow", "followed_of"]

MOST_TOKENS = 6  # at the place that runs follow; what is left of both distributions counts both ways
LEFT = 0.02  # of each distribution: less is not worth a run
_SHARE = 8  # a batch is an eighth of what was drawn


@dataclass(slots=True)
class Cell:
    """One token at the place under one wording: its runs so far, or what its outcome surely is."""

    voice: int
    token: str
    wanted: Wanted
    branches: list[Branch]
    reused: int
    sure: float | None = None

    @property
    def measured(self) -> Measured:
        return Measured(Evidence.of([b.outcome.outcome for b in self.branches]), self.sure)


@dataclass(frozen=True)
class Followed:
    """What is followed at a place, and what it tells. All ranges hold at once, however often one looks, except with
    a chance of `alpha`.

    spreads: of every wording; of a screen's only the first one has cells.
    """

    cells: tuple[Cell, ...]
    spreads: tuple[Spread, ...]
    pair: bool
    alpha: float

    @property
    def rates(self) -> list[Measured]:
        return [cell.measured for cell in self.cells]

    @cached_property
    def sums(self) -> dict[str, tuple[float, ...]]:
        """The weights of every range by its name. Of a pair: success under each, the change, its two terms; of a
        screen: success, and every predicted change. Besides, every rate by itself."""
        chances = [[s.distribution.probs.get(cell.token, 0.0) for cell in self.cells] for s in self.spreads]
        of = [cell.voice for cell in self.cells]
        out = {"success 0": tuple(p if v == 0 else 0.0 for v, p in zip(of, chances[0], strict=True))}
        if self.pair:
            each = list(zip(of, *chances, strict=True))
            out["success 1"] = tuple(q if v else 0.0 for v, _, q in each)
            out["change"] = tuple(q if v else -p for v, p, q in each)
            out["moved"] = tuple((q - p) / 2 for _, p, q in each)
            out["rest"] = tuple((p + q) / (2 if v else -2) for v, p, q in each)
        else:
            for i, new in enumerate(chances[1:], 1):
                out[f"predicted {i}"] = tuple(q - p for p, q in zip(chances[0], new, strict=True))
        for k, cell in enumerate(self.cells):
            out[f"rate {cell.voice} {cell.token}"] = tuple(float(j == k) for j in range(len(self.cells)))
        return out

    @cached_property
    def left(self) -> tuple[float, ...]:
        """Of each wording's distribution, what no run follows: all of it may succeed, or fail."""
        tokens = {cell.token for cell in self.cells}
        return tuple(max(0.0, 1 - sum(s.distribution.probs.get(t, 0.0) for t in tokens)) for s in self.spreads)

    @property
    def aside(self) -> float:
        """The most that is left of one of the distributions, with what reading it leaves open."""
        return max(left + spread.slack for left, spread in zip(self.left, self.spreads, strict=True))

    def ranges(self) -> dict[str, Est]:
        """Every range by its name, with what is left and what reading leaves open both ways."""
        found = dict(zip(self.sums, sum_ranges(tuple(self.sums.values()), self.rates, self.alpha), strict=True))
        for name, est in found.items():
            kind, _, which = name.partition(" ")
            if kind in ("change", "moved", "predicted"):
                found[name] = _wider(est, *self._open(int(which or 1)), -1.0)
            elif kind == "rest":
                half = sum(self._open(1)) / 2
                found[name] = _wider(est, half, half, -1.0)
            elif kind == "success":
                slack = self.spreads[int(which)].slack
                found[name] = _wider(est, slack, self.left[int(which)] + slack, 0.0)
            else:
                found[name] = _wider(est, 0.0, 0.0, 0.0)
        return found

    def more(self) -> int | None:
        """About how many more runs would show which wording is better; None: no end in sight."""
        below, above = self._open(1)
        return more_until(self.sums["change"], self.rates, self.alpha, (-below, above))

    def _open(self, other: int) -> tuple[float, float]:
        """How far below and above what runs show a change to this wording may lie."""
        slack = self.spreads[0].slack + self.spreads[other].slack
        return self.left[0] + slack, self.left[other] + slack


def followed_of(
    voices: Sequence[Voice], found: Recorded, place: Place, spreads: Sequence[Spread], alpha: float
) -> Followed:
    """Every token that is worth it, under every wording that is run; what earlier commands ran for this counts."""
    pair = len(voices) == 2
    prefix = found.bare[: place.position - 1]
    cells = []
    for name, token in _tokens(spreads).items():
        for i, voice in enumerate(voices if pair else voices[:1]):
            wanted = Wanted((*prefix, Token(token.text, id=token.id)))
            if name == END:
                cells.append(Cell(i, name, wanted, [], 0, _ended(voice, prefix)))
                continue
            stored = [] if voice.session.fresh else voice.branches.drawn(wanted)
            cells.append(Cell(i, name, wanted, stored, len(stored)))
    return Followed(tuple(cells), tuple(spreads), pair, alpha)


def _tokens(spreads: Sequence[Spread]) -> dict[str, Token]:
    """The watched token, and the likeliest under any wording until little of each distribution is left."""
    tokens = {name: token for spread in spreads for name, token in spread.tokens.items()}
    ranked = sorted(tokens, key=lambda t: -max(s.distribution.probs.get(t, 0.0) for s in spreads))
    watched = spreads[0].watched
    out = {watched: tokens[watched]}
    for name in ranked:
        left = [1 - sum(s.distribution.probs.get(t, 0.0) for t in out) for s in spreads]
        if max(left) <= LEFT or len(out) >= MOST_TOKENS:
            break
        out.setdefault(name, tokens[name])
    return out


def _ended(voice: Voice, prefix: Sequence[Token]) -> float | None:
    """Success where the answer ends here: known without a run."""
    sample = Sample(completion=Completion("".join(t.text for t in prefix), "stop"))
    said = overall(voice.session.checker.judge(voice.case, voice.session.judging, sample)).outcome
    return {"pass": 1.0, "fail": 0.0}.get(said)


async def follow(voices: Sequence[Voice], what: Followed, width: float) -> tuple[str, bool]:
    """Runs where they narrow the ranges most, until all are as narrow as asked.

    Returns: why it stopped before, and whether this is an end: a used-up budget is, since undecided is an answer; a
             person who stops, money and time are not.
    """
    session = voices[0].session
    rows = [
        row for name, row in what.sums.items() if name.partition(" ")[0] in ("change", "moved", "rest", "predicted")
    ]
    while True:
        rates = what.rates
        seen = sum((rate.seen for rate in rates), Evidence())
        now = sum_ranges(rows, rates, what.alpha)
        so_far = between_points(now[0].low or 0.0, now[0].high or 0.0)
        for voice in voices:  # each tells of its own calls
            voice.branches.tell(f"how much does success change? {so_far} so far")
        if _narrow(rows, rates, now, width):
            return "", True
        given = next_counts(rows, rates, min(max(8 * len(what.spreads[:2]), seen.n // _SHARE), max(0, session.left)))
        if not sum(given):
            return f"the budget of {counts('call', session.options.budget)} was used; the same command goes on", True
        for i in sorted({cell.voice for cell in what.cells}):
            of = [cell for cell, n in zip(what.cells, given, strict=True) if cell.voice == i for _ in range(n)]
            came = await voices[i].branches.draw([cell.wanted for cell in of])
            for cell, branch in zip(of, came, strict=True):
                if branch is not None:
                    cell.branches.append(branch)
            if None in came:
                return _why(session), False


def _narrow(rows: Sequence[Sequence[float]], rates: Sequence[Measured], now: Sequence[Est], width: float) -> bool:
    """Whether every range is as narrow as asked, and no rate with weight is a guess."""
    used = [rate for k, rate in enumerate(rates) if any(row[k] for row in rows)]
    if any(rate.sure is None and rate.seen.n < FEW for rate in used):
        return False
    return all((est.high or 0.0) - (est.low or 0.0) <= width for est in now)


def _why(session: Session) -> str:
    if session.stopped:
        return "you stopped it; the same command goes on from here"
    if session.spent.out_of_time():
        return time_was_up(session)
    return "the money was up" if too_dear(session) else "the calls were up; the same command goes on from here"


def _wider(est: Est, below: float, above: float, least: float) -> Est:
    assert est.low is not None
    assert est.high is not None
    return replace(est, low=max(least, est.low - below), high=min(1.0, est.high + above))
