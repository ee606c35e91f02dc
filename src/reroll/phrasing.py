"""Wordings of one request held against each other at one token by real calls: what moved, and what it is worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from reroll.branching import Branch, Wanted
from reroll.case import Case
from reroll.caveats import time_was_up
from reroll.check import overall
from reroll.errors import UsageError
from reroll.evidence import Est, Evidence
from reroll.flattening import flattening, screen, split_change
from reroll.numbers import counts, percent
from reroll.odds import END, Odds
from reroll.phrased import PathToken, Phrased, PhrasePrice, Read, TokenRow, WordingVerdict, finite
from reroll.placing import (
    FIND,
    Namer,
    Place,
    Recorded,
    Spread,
    Voice,
    can_be_at,
    distances,
    furthest,
    longest,
    open_voice,
    place_of,
    recorded_of,
    scoring,
    stored_of,
)
from reroll.rate_sums import FEW, Measured, more_until, next_counts, sum_ranges
from reroll.runner import tell
from reroll.sample import Completion, Sample, Token
from reroll.session import Session, too_dear
from reroll.store import StoredSample
from reroll.wording import Wording

__all__ = ["Asked", "ask_phrase"]

MOST_TOKENS = 6  # at the place that runs follow; what is left of both distributions counts both ways
LEFT = 0.02  # of each distribution: less is not worth a run
TYPICAL = 250  # runs of a pair on the bundled model's cases until the ranges are 25 points wide; a screen takes half
_SHARE = 6  # a batch is a sixth of what was drawn


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked. sample: along whose completion; at: which token of it; width: of the ranges, in 0...1."""

    sample: str | None = None
    at: int | None = None
    width: float = 0.25


@dataclass(slots=True)
class _Cell:
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


@dataclass(frozen=True, slots=True)
class _Sums:
    """The weights of every range, by what it is of; all ranges come from one region, at one chance of error."""

    names: tuple[str, ...]
    rows: tuple[tuple[float, ...], ...]

    def ranges(self, rates: Sequence[Measured], alpha: float) -> dict[str, Est]:
        return dict(zip(self.names, sum_ranges(self.rows, rates, alpha), strict=True))


async def ask_phrase(
    sessions: Sequence[Session],
    case: Case,
    wordings: Sequence[Wording],
    asked: Asked,
    seed: int | None,
    tell_price: Callable[[PhrasePrice], None],
) -> Phrased:
    """Two wordings at one token, with the change of success there; of more, a screen by the first one's success.

    Args:    sessions: one for each wording; seed: for the choice of the place; None: the sample's own.
             tell_price: called with what it will take before the first run, once the completion is known.
    Raises:  UsageError, ModelError: one sentence each.
    """
    sessions[0].store.put_case(case)
    voices = [await open_voice(s, case, w) for s, w in zip(sessions, wordings, strict=True)]
    stored = stored_of(voices, asked.sample)
    price = _price(voices, stored)
    tell_price(price)
    found = await recorded_of(voices, stored)
    can_be_at(found, asked.at)
    pair = len(voices) == 2
    rows = await _scored(voices, found, pair)
    alpha = sessions[0].options.alpha
    owner = voices[found.voice]
    place = place_of(found, owner, rows, asked.at, alpha, found.stored.seq if seed is None else seed)
    namer = Namer()
    spreads = [namer.spread(row) for row in await _at_place(voices, found, place, rows)]
    cells = _cells(voices if pair else voices[:1], found, place, spreads)
    sessions[0].spent.reused = sum(cell.reused for cell in cells)
    sums = _sums(cells, spreads, pair)
    stopped, finished = await _drawn(voices, case, cells, sums, asked.width, alpha)
    return _answer(voices, case, found, place, spreads, rows, cells, sums, price, alpha, stopped, finished=finished)


# ---------------------------------------------------------------- reading


def _price(voices: Sequence[Voice], stored: tuple[StoredSample, int] | None) -> PhrasePrice:
    """What it will take. Raises: UsageError where the budget does not even reach for reading."""
    left, pair = voices[0].session.left, len(voices) == 2
    one, at = stored or (None, 0)
    length = longest(voices[at], one)
    ways = [1 if v.opened.continuer.scores_prompts and v.opened.continuer.exact else length for v in voices]
    own = 0 if one is not None and one.sample.completion and one.sample.completion.tokens else ways[at]
    least = len(voices) - 1
    if left <= least:
        raise UsageError(
            f"--budget is too small: reading {counts('wording', len(voices))} at one token takes "
            f"{counts('call', least)}, and runs from there come on top",
            slug="budget",
        )
    return PhrasePrice(
        finding=0 if one is not None else FIND * min(2, len(voices)),
        scoring=min(left, own + (min(max(ways), max(least, left // 2)) if pair else least)),
        runs=TYPICAL if pair else TYPICAL // 2,
        most=left,
    )


async def _scored(voices: Sequence[Voice], found: Recorded, pair: bool) -> list[list[Odds]]:
    """The chances along the whole completion: under the wording that it is of, and, of a pair, under the other too,
    unless that would eat up half of what is left of the budget; then only the place is read."""
    own = found.voice
    rows = {own: voices[own].chances(found.tokens, found.ends)}
    other = 1 - own
    if pair and scoring(voices[other], found.bare) <= voices[other].session.left // 2:
        rows[other] = voices[other].chances(await voices[other].branches.score(found.bare), found.ends)
    return [rows[i] for i in sorted(rows)]


async def _at_place(
    voices: Sequence[Voice], found: Recorded, place: Place, rows: Sequence[Sequence[Odds]]
) -> list[Odds]:
    """What may stand at the place under every wording: as it was scored along the way, or asked for now."""
    k = place.position
    out = []
    for i, voice in enumerate(voices):
        if len(rows) == len(voices):
            out.append(rows[i][k - 1])
        elif i == found.voice:
            out.append(rows[0][k - 1])
        else:
            scored = await voice.branches.score(found.bare[:k], first=k - 1)
            out += voice.chances(scored[k - 1 :], found.ends)
    return out


# ---------------------------------------------------------------- running


def _cells(voices: Sequence[Voice], found: Recorded, place: Place, spreads: Sequence[Spread]) -> list[_Cell]:
    """Every token that is followed, under every wording that is run; what earlier commands ran for this counts."""
    prefix = found.bare[: place.position - 1]
    cells = []
    for name, token in _followed(spreads).items():
        for i, voice in enumerate(voices):
            wanted = Wanted((*prefix, Token(token.text, id=token.id)))
            if name == END:
                cells.append(_Cell(i, name, wanted, [], 0, _ended(voice, prefix)))
                continue
            stored = [] if voice.session.fresh else voice.branches.drawn(wanted)
            cells.append(_Cell(i, name, wanted, stored, len(stored)))
    return cells


def _followed(spreads: Sequence[Spread]) -> dict[str, Token]:
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


def _sums(cells: Sequence[_Cell], spreads: Sequence[Spread], pair: bool) -> _Sums:
    """Of a pair: success under each, the change, its two terms; of a screen: success and every predicted change.
    Besides, every rate by itself."""
    chances = [[s.distribution.probs.get(cell.token, 0.0) for cell in cells] for s in spreads]
    of = [cell.voice for cell in cells]
    out = {"success 0": tuple(p if v == 0 else 0.0 for v, p in zip(of, chances[0], strict=True))}
    if pair:
        each = list(zip(of, *chances, strict=True))
        out["success 1"] = tuple(q if v else 0.0 for v, _, q in each)
        out["change"] = tuple(q if v else -p for v, p, q in each)
        out["moved"] = tuple((q - p) / 2 for _, p, q in each)
        out["rest"] = tuple((p + q) / (2 if v else -2) for v, p, q in each)
    else:
        for i, new in enumerate(chances[1:], 1):
            out[f"predicted {i}"] = tuple(q - p for p, q in zip(chances[0], new, strict=True))
    for k, cell in enumerate(cells):
        out[f"rate {cell.voice} {cell.token}"] = tuple(float(j == k) for j in range(len(cells)))
    return _Sums(tuple(out), tuple(out.values()))


async def _drawn(
    voices: Sequence[Voice], case: Case, cells: Sequence[_Cell], sums: _Sums, width: float, alpha: float
) -> tuple[str, bool]:
    """Runs where they narrow the ranges most, until all are as narrow as asked; why it stopped, and whether that was
    an end (a budget is one, since it is no verdict; a person, money and time are not)."""
    session = voices[0].session
    watched = [row for name, row in zip(sums.names, sums.rows, strict=True) if not name.startswith(("rate", "success"))]
    while True:
        rates = [cell.measured for cell in cells]
        total = sum(rate.seen.n for rate in rates)
        seen = sum((rate.seen for rate in rates), Evidence())
        tell(session, case.id, seen, "where does the change come from?", session.options.budget)
        if _narrow(watched, rates, width, alpha):
            return "", True
        given = next_counts(watched, rates, min(max(8 * len(voices[:2]), total // _SHARE), max(0, session.left)))
        if not sum(given):
            return (
                f"the budget of {counts('call', session.options.budget)} was used; the same command goes on from here",
                True,
            )
        for i in sorted({cell.voice for cell in cells}):
            mine = [(cell, n) for cell, n in zip(cells, given, strict=True) if cell.voice == i and n]
            wanted = [cell.wanted for cell, n in mine for _ in range(n)]
            came = await voices[i].branches.draw(wanted) if wanted else []
            of = [cell for cell, n in mine for _ in range(n)]
            for cell, branch in zip(of, came, strict=True):
                if branch is not None:
                    cell.branches.append(branch)
            if None in came:
                return _why(session), False


def _narrow(rows: Sequence[Sequence[float]], rates: Sequence[Measured], width: float, alpha: float) -> bool:
    """Whether every range is as narrow as asked, and no rate with weight is a guess."""
    used = [rate for k, rate in enumerate(rates) if any(row[k] for row in rows)]
    if any(rate.sure is None and rate.seen.n < FEW for rate in used):
        return False
    return all((est.high or 0.0) - (est.low or 0.0) <= width for est in sum_ranges(rows, rates, alpha))


def _why(session: Session) -> str:
    if session.stopped:
        return "you stopped it; the same command goes on from here"
    if session.spent.out_of_time():
        return time_was_up(session)
    return "the money was up" if too_dear(session) else "the calls were up; the same command goes on from here"


# ---------------------------------------------------------------- answering


def _answer(
    voices: Sequence[Voice],
    case: Case,
    found: Recorded,
    place: Place,
    spreads: Sequence[Spread],
    rows: Sequence[Sequence[Odds]],
    cells: Sequence[_Cell],
    sums: _Sums,
    price: PhrasePrice,
    alpha: float,
    stopped: str,
    *,
    finished: bool,
) -> Phrased:
    pair = len(voices) == 2
    rates = [cell.measured for cell in cells]
    ranges = sums.ranges(rates, alpha)
    aside = _aside(cells, spreads)
    change = moved = rest = None
    verdict: WordingVerdict | None = None
    needed = None
    if pair:
        low, high = aside.of_change(0, 1)
        change, moved = _wider(ranges["change"], low, high), _wider(ranges["moved"], low, high)
        rest = _wider(ranges["rest"], (low + high) / 2, (low + high) / 2)
        assert change.low is not None
        assert change.high is not None
        verdict = "better" if change.low > 0 else "worse" if change.high < 0 else "undecided"
        needed = more_until(sums.rows[sums.names.index("change")], rates, alpha, (-low, high))
    reads = _reads(voices, found, place, spreads, rows, cells, ranges, aside)
    lead = voices[0].session
    apart = distances(rows) if pair else []
    return Phrased(
        mode="pair" if pair else "screen",
        verdict=verdict,
        case=case.id,
        program={"name": lead.project.program.program, "id": lead.project.program.id},
        model=lead.model.identity,
        tier=voices[0].opened.continuer.tier,
        exact=voices[0].opened.continuer.exact,
        sample=found.stored.id,
        sample_of=voices[found.voice].wording.name,
        sample_fails=found.fails,
        position=place.position,
        chosen=place.chosen,
        before="".join(t.text for t in found.tokens[: place.position - 1]),
        watched=spreads[0].watched,
        differ_most=furthest(rows) if pair else None,
        wordings=tuple(reads),
        tokens=tuple(_token_rows(spreads, cells, ranges, pair)),
        path=tuple(
            PathToken(t.text, tuple(r[k].value(r[k].chosen) for r in rows), apart[k] if apart else 0.0)
            for k, t in enumerate(found.tokens)
        ),
        change=change,
        moved=moved,
        rest=rest,
        aside=aside.largest,
        calls_needed=needed,
        runs=sum(len(cell.branches) for cell in cells),
        reused=sum(cell.reused for cell in cells),
        price=price,
        method=found.method,
        alpha=alpha,
        cost=lead.spent.cost(),
        caveats=tuple(_caveats(voices, found, reads, aside, rates)),
        finished=finished,
        stopped=stopped,
    )


@dataclass(frozen=True, slots=True)
class _Aside:
    """Of each wording's distribution what no run followed (`left`: all of it may succeed or fail), and how far its
    chances may be off in all (`slack`)."""

    left: tuple[float, ...]
    slack: tuple[float, ...]

    def of_change(self, one: int, other: int) -> tuple[float, float]:
        """How far below and above its range a change from one wording to the other may lie."""
        slack = self.slack[one] + self.slack[other]
        return self.left[one] + slack, self.left[other] + slack

    @property
    def largest(self) -> float:
        return max(a + b for a, b in zip(self.left, self.slack, strict=True))


def _aside(cells: Sequence[_Cell], spreads: Sequence[Spread]) -> _Aside:
    followed = {cell.token for cell in cells}
    return _Aside(
        tuple(max(0.0, 1 - sum(s.distribution.probs.get(t, 0.0) for t in followed)) for s in spreads),
        tuple(s.slack for s in spreads),
    )


def _wider(est: Est, below: float, above: float) -> Est:
    assert est.low is not None
    assert est.high is not None
    return replace(est, low=max(-1.0, est.low - below), high=min(1.0, est.high + above))


def _reads(
    voices: Sequence[Voice],
    found: Recorded,
    place: Place,
    spreads: Sequence[Spread],
    rows: Sequence[Sequence[Odds]],
    cells: Sequence[_Cell],
    ranges: Mapping[str, Est],
    aside: _Aside,
) -> list[Read]:
    pair = len(voices) == 2
    a, watched = spreads[0].distribution, spreads[0].watched
    order = [0, 1]
    if not pair:
        success = {cell.token: ranges[f"rate 0 {cell.token}"] for cell in cells}
        others = {str(i): s.distribution for i, s in enumerate(spreads[1:], 1)}
        order = [0, *(int(one.wording) for one in screen(a, others, success, keep=len(others)))]
    out = []
    for i in order:
        voice, spread = voices[i], spreads[i]
        way = rows[i] if len(rows) == len(voices) else rows[0] if i == found.voice else None
        held = flattening(a, spread.distribution, watched)
        rate, change = ranges.get(f"success {i}"), ranges.get(f"predicted {i}")
        out.append(
            Read(
                id=chr(ord("A") + i) if i < 26 else str(i + 1),
                name=voice.wording.name,
                says=voice.wording.says,
                entropy=spread.distribution.entropy,
                margin=finite(spread.distribution.margin),
                prob=spread.distribution.probs.get(watched),
                unlisted=spread.distribution.unlisted,
                reach=None if way is None else _reach(way, place.position),
                success=None if rate is None else _within(_wider(rate, aside.slack[i], aside.left[i] + aside.slack[i])),
                total_variation=held.total_variation,
                jensen_shannon=held.jensen_shannon,
                flatter=held.flatter if i else None,
                predicted=None if change is None else _wider(change, *aside.of_change(0, i)),
                confirmed=pair or i == 0,
            )
        )
    return out


def _within(est: Est) -> Est:
    """A rate's range cannot leave 0...1, wherever arithmetic has put its ends."""
    return replace(est, low=max(0.0, est.low or 0.0), high=min(1.0, 1.0 if est.high is None else est.high))


def _reach(way: Sequence[Odds], position: int) -> float:
    reach = 1.0
    for row in way[: position - 1]:
        reach *= min(1.0, row.value(row.chosen))
    return reach


def _token_rows(
    spreads: Sequence[Spread], cells: Sequence[_Cell], ranges: Mapping[str, Est], pair: bool
) -> list[TokenRow]:
    by_token: dict[str, tuple[float, float]] = {}
    if pair:
        rates: list[dict[str, float]] = [
            {c.token: x for c in cells if c.voice == i and (x := c.measured.estimate) is not None} for i in (0, 1)
        ]
        split = split_change(spreads[0].distribution, spreads[1].distribution, rates[0], rates[1])
        by_token = {t: (moved, rest) for t, moved, rest in split.by_token}
    out = []
    for name in dict.fromkeys(cell.token for cell in cells):
        here = by_token.get(name)
        out.append(
            TokenRow(
                token=name,
                watched=name == spreads[0].watched,
                probs=tuple(s.distribution.probs.get(name) for s in spreads),
                success=tuple(_within(ranges[f"rate {c.voice} {name}"]) for c in cells if c.token == name),
                moved=here[0] if here else None,
                rest=here[1] if here else None,
            )
        )
    return sorted(out, key=lambda row: -max(p or 0.0 for p in row.probs))


def _caveats(
    voices: Sequence[Voice],
    found: Recorded,
    reads: Sequence[Read],
    aside: _Aside,
    rates: Sequence[Measured],
) -> list[str]:
    said = []
    reach = [r.reach for r in reads if r.reach is not None]
    if len(reach) == len(reads):
        ways = " and ".join(f"{percent(min(1.0, x))} of runs with {r.id}" for x, r in zip(reach, reads, strict=True))
        said.append(f"this is about answers that begin like {found.stored.id} up to the place: {ways}")
    else:
        said.append(
            f"this is about answers that begin like {found.stored.id} up to the place; how often that is under each "
            "wording was not read"
        )
    if aside.largest > 0.005:
        said.append(
            f"up to {percent(min(1.0, aside.largest), 'up')} of what may stand there was not followed or cannot be "
            "read exactly; the ranges allow for it both ways"
        )
    if not voices[0].opened.continuer.exact:
        said.append("prefixes go as text, which the server cuts into tokens anew at the seam: the place is approximate")
    if voices[0].sampling.unsure:
        said.append(f"left to the server, and read as if they did nothing: {', '.join(voices[0].sampling.unsure)}")
    said.append(
        f"the probabilities are the server's own; `reroll futures {voices[0].case.id}` holds plain runs against them"
    )
    invalid = sum(rate.seen.invalid for rate in rates)
    if invalid:
        said.append(f"{counts('run', invalid)} could not be judged, and count both ways")
    return said
