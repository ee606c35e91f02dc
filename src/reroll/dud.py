"""Which token, if any, led one failing completion astray: the next rollouts to draw, and the verdict.

Most failures have no such token.  The verdict is one of four words: `dud` (after this token
success collapsed, shown on fresh pairs), `slide` (it was lost little by little), `doomed` (it was
lost before the first token), `unsure`.  A search is a value: `next_step` says what to draw,
`observe` takes what came back, and the same value goes on tomorrow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from reroll.fork_certificate import Certificate, certificate_alpha, certified_drop, pair_draws, with_pairs
from reroll.fork_search import Standing, counted, drop_at, next_search, standing
from reroll.forking import Draw, Failing, Outcome, Rollout
from reroll.success_curve import (
    Counts,
    CurveModel,
    Curves,
    Grader,
    Prior,
    curve_model,
    marginals,
    no_counts,
    sample_curves,
)
from reroll.verdict import certify_path

__all__ = ["DudRule", "DudSearch", "DudVerdict", "begin", "curves_of", "next_step", "observe"]

DudVerdict = Literal["dud", "slide", "doomed", "unsure"]
Phase = Literal["triage", "search", "certify", "alternatives", "done"]

_LOOKED = 12  # rollouts from the prompt after which a case that is rather not doomed is searched
_FEW = 4  # rollouts of one look while it is asked whether the case is doomed
_SHARE = 12  # a batch of the search is a twelfth of what it has drawn
_CAREFUL = 5  # times as many curves before the search stops
_RATHER = 0.5  # the share at which another place than the certified one is looked at first
_PATIENT = 100  # rollouts until neighbours that cannot be told apart are named together
_SETTLED, _NARROW = 200, 0.12  # after so many rollouts, a largest drop known this well near delta stays undecided


@dataclass(frozen=True, slots=True)
class DudRule:
    """What counts as a dud, how sure the verdict must be, and what it may cost.

    delta:    the drop in success rate looked for; least: what the certified lower end must exceed.
    alpha:    the chance that the search EVER ends in a wrong `dud` (a drop of `least` or less), and as much again
              that it ends in a wrong `doomed`. `slide` and `unsure` claim nothing that is proved.
    sure:     posterior chance at which the search stops; tie: drops that far from the largest are as good.
    doomed:   success rate from the prompt below which no token is to blame.
    cap:      rollouts of triage and search; pairs_cap: fresh pairs of one certificate; places: at most so many.
    table:    rollouts of each alternative in the table of forks, of at most `rows`; 0: no table.
    reach:    positions that a place may take in on each side, where the dud cannot be told from its neighbours.
              None: 1 with probabilities (a span of 3 tokens), 10 without, 0 for turns and sentences.
    draws:    curves drawn from the posterior at each look; points: grid of rates.
    """

    delta: float = 0.2
    least: float = 0.05
    alpha: float = 0.05
    sure: float = 0.9
    tie: float = 0.05
    doomed: float = 0.15
    cap: int = 1000
    triage_cap: int = 60
    pairs_cap: int = 100
    places: int = 3
    batch: int = 8
    table: int = 20
    rows: int = 5
    reach: int | None = None
    draws: int = 200
    points: int = 21
    prior: Prior | None = None
    grader: Grader = field(default_factory=Grader)

    def __post_init__(self) -> None:
        for name in ("delta", "alpha", "sure", "doomed"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} must lie strictly between 0 and 1, got {getattr(self, name)!r}")
        if not 0 <= self.least < self.delta:
            raise ValueError(f"least must lie in 0...delta ({self.delta:g}), got {self.least!r}")
        if min(self.cap, self.triage_cap, self.pairs_cap, self.places, self.batch) < 1 or self.draws < 50:
            raise ValueError("cap, triage_cap, pairs_cap, places and batch must be at least 1, draws at least 50")


@dataclass(frozen=True, slots=True)
class DudSearch:
    """Where one search stands. Make it by `begin`; read it by `dud_report.conclude`.

    triage:       outcomes of rollouts from the prompt, in the order drawn, stored ones first.
    certificates: one for each place tried; the last is under way in the phases after the search.
    entered:      pairs of the certificate under way when its phase began.
    table:        outcomes of each alternative at the place of the dud, in the order drawn.
    """

    failing: Failing
    rule: DudRule
    model: CurveModel
    counts: Counts
    phase: Phase = "triage"
    verdict: DudVerdict | None = None
    reason: str = ""
    triage: tuple[Outcome, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    position: int | None = None
    table: tuple[tuple[str, tuple[Outcome, ...]], ...] = ()
    rollouts: int = 0
    reused: int = 0
    invalid: int = 0
    tokens: int = 0
    searched: int = 0
    entered: int = 0

    @property
    def reach(self) -> int:
        if self.rule.reach is not None:
            return self.rule.reach
        return 0 if self.failing.unit != "token" else 10 if self.failing.probs is None else 1


def begin(failing: Failing, rule: DudRule | None = None, stored: Sequence[Rollout] = ()) -> DudSearch:
    """A search that has drawn nothing yet.

    Args:    stored: earlier samples of the case as rollouts, in the order drawn: those from the prompt (prefix 0)
             with the position at which they left, or any that begin with a prefix of the completion. The
             failing completion itself is not among them: it was picked because it failed.
    """
    rule = rule or DudRule()
    model = curve_model(failing.probs, failing.length, rule.delta / 2, rule.prior, rule.grader, rule.points)
    search = DudSearch(failing, rule, model, counted(model, no_counts(model), stored))
    root = tuple(r.outcome for r in stored if r.prefix == 0 and r.token is None)
    invalid = sum(r.outcome == "invalid" for r in stored)
    return replace(search, triage=root, reused=len(stored), invalid=invalid)


def next_step(search: DudSearch, rng: np.random.Generator) -> tuple[DudSearch, tuple[Draw, ...]]:
    """What to draw now, as a batch that may run at once; nothing means that the verdict has fallen.

    The returned search is the one to `observe` with. `rng` is the only source of chance.
    """
    while search.phase != "done":
        move = {"triage": _triage, "search": _search, "certify": _certify, "alternatives": _alternatives}[search.phase]
        search, draws = move(search, rng)
        if draws:
            return search, draws
    return search, ()


def observe(search: DudSearch, draws: Sequence[Draw], rollouts: Sequence[Rollout]) -> DudSearch:
    """The search with the rollouts of one batch added, in the order of its draws.

    Raises:  ValueError: another number of rollouts than was asked for.
    """
    asked = sum(draw.count for draw in draws)
    if len(rollouts) != asked:
        raise ValueError(f"a batch of {asked} rollouts came back as {len(rollouts)}; errors count as invalid ones")
    why = draws[0].why if draws else "search"
    search = replace(
        search,
        # The table draws every alternative equally often: together they are no sample of what leaves at the place.
        counts=search.counts if why == "alternatives" else counted(search.model, search.counts, rollouts),
        rollouts=search.rollouts + len(rollouts),
        invalid=search.invalid + sum(r.outcome == "invalid" for r in rollouts),
        tokens=search.tokens + sum(r.tokens for r in rollouts),
        searched=search.searched + (len(rollouts) if why in ("triage", "search") else 0),
    )
    if why == "triage":
        return replace(search, triage=search.triage + tuple(r.outcome for r in rollouts))
    if why == "certify":
        last = with_pairs(search.certificates[-1], search.failing, [r.outcome for r in rollouts])
        search = replace(search, certificates=(*search.certificates[:-1], last))
    if why in ("certify", "alternatives") and search.position is not None:
        return replace(search, table=_tabled(search, rollouts))
    return search


def curves_of(search: DudSearch, rng: np.random.Generator, times: int = 1) -> Curves:
    """Curves drawn from what is known now, so many times as many as the rule says."""
    return sample_curves(search.model, search.counts, search.rule.draws * times, rng)


def standing_of(search: DudSearch, curves: Curves) -> Standing | None:
    """How the decision stands on these curves; a span of tokens is named only once single ones had their chance."""
    reach = search.reach if search.failing.probs is None or search.searched >= _PATIENT else 0
    return standing(search.model, curves, search.rule.delta, search.rule.tie, reach)


# ---------------------------------------------------------------- the phases


def _triage(search: DudSearch, rng: np.random.Generator) -> tuple[DudSearch, tuple[Draw, ...]]:
    """A few rollouts from the prompt: is there anything to lose at all?"""
    rule, n = search.rule, len(search.triage)
    alone = float(np.prod(search.failing.probs)) if search.failing.probs is not None else 0.0
    if alone > 1 - rule.doomed and rule.grader.sharpness == 1:  # s_0 <= 1 - its probability, and nothing need be drawn
        return _done(search, "doomed", f"the failing completion itself has probability {alone:.2f}"), ()
    if n:
        if _shown_doomed(search):
            return _doomed(search), ()
        allowed = 1 - rule.sure if n < _LOOKED else 0.5
        if n >= min(rule.triage_cap, rule.cap) or (n >= _FEW and _maybe_doomed(search) < allowed):
            return replace(search, phase="search"), ()
    return search, (Draw(0, min(_FEW, rule.cap), "triage"),)


def _search(search: DudSearch, rng: np.random.Generator) -> tuple[DudSearch, tuple[Draw, ...]]:
    """Rollouts where they teach most, until a place or none is sure enough."""
    rule = search.rule
    curves = curves_of(search, rng)
    now = standing_of(search, curves)
    if now is not None and max(now.share, now.none) >= rule.sure:
        # Looked at often, the share of a few curves is above the bar by chance some time: draw anew, and more.
        curves = curves_of(search, rng, _CAREFUL)
        now = standing_of(search, curves)
    if now is None or now.none >= rule.sure:
        maybe_doomed = float((curves.success[:, 0] < rule.doomed).mean())
        if maybe_doomed > 1 - rule.sure and len(search.triage) < rule.triage_cap:
            return replace(search, phase="triage"), (Draw(0, _FEW, "triage"),)
        if now is None:
            return _none(search, curves, "every token was so probable that none can have cost that much"), ()
        return _none(search, curves, f"no token cost {rule.delta + rule.tie:g}, with probability {now.none:.2f}"), ()
    if now.share >= rule.sure:
        tried = [c.place for c in search.certificates]
        if now.place in tried:  # tried before: its pairs go on, and no error chance is spent anew
            again = search.certificates[tried.index(now.place)]
            kept = tuple(c for c in search.certificates if c is not again)
            return _enter(search, now.position, (*kept, again)), ()
        if len(tried) >= rule.places:
            return _proved(search, curves, f"{len(tried)} places were tried on fresh pairs, and none was shown"), ()
        new = Certificate(now.place, certificate_alpha(rule.alpha, len(tried)), now.position)
        return _enter(search, now.position, (*search.certificates, new)), ()
    if search.searched >= rule.cap:
        return _proved(search, curves, f"{rule.cap} rollouts did not tell"), ()
    low, high = now.largest
    if search.searched >= _SETTLED and high - low < _NARROW and low < rule.delta:
        return _proved(search, curves, f"the largest drop is too near {rule.delta:g} to say that it reaches it"), ()
    size = min(max(rule.batch, search.searched // _SHARE), rule.cap - search.searched)
    return search, next_search(search.failing, search.model, curves, now.label, size, rng)


def _certify(search: DudSearch, rng: np.random.Generator) -> tuple[DudSearch, tuple[Draw, ...]]:
    """Fresh pairs at the place, until its drop is shown, or is no longer believed."""
    rule, certificate = search.rule, search.certificates[-1]
    low, high = certified_drop(certificate, search.failing, rule.grader)
    curves = curves_of(search, rng)
    drop = drop_at(search.model, curves, certificate.place)
    looked = len(certificate.pairs) > search.entered
    if low > rule.least and drop.mean() >= rule.delta:
        now = standing_of(search, curves)
        elsewhere = now is not None and not certificate.place.first <= now.position <= certificate.place.last
        if looked and elsewhere and now is not None and now.share >= _RATHER:
            return replace(search, phase="search", position=None, table=()), ()  # a dud, but another one cost more
        return _dud(search, "shown on fresh pairs"), ()
    # New pairs at every visit: so a place that is proposed and dismissed again and again comes to its cap.
    if looked and (high < rule.delta or (drop >= rule.delta).mean() < 1 - rule.sure):
        return replace(search, phase="search", position=None, table=()), ()
    if len(certificate.pairs) >= rule.pairs_cap:
        return _proved(search, curves, f"{len(certificate.pairs)} fresh pairs did not show the drop"), ()
    size = max(4, len(certificate.pairs) // 4)
    size = min(size, rule.pairs_cap - len(certificate.pairs))
    return search, pair_draws(search.failing, certificate.place, size, rng)


def _alternatives(search: DudSearch, rng: np.random.Generator) -> tuple[DudSearch, tuple[Draw, ...]]:
    """The likeliest alternatives at the dud, each run often enough for an interval of its own."""
    del rng
    assert search.position is not None
    draws = tuple(
        Draw(search.position - 1, search.rule.table - len(outcomes), "alternatives", token)
        for token, outcomes in search.table
        if len(outcomes) < search.rule.table and token in _rows(search)
    )
    return (search, draws) if draws else (replace(search, phase="done"), ())


# ---------------------------------------------------------------- helpers


def _shown_doomed(search: DudSearch) -> bool:
    return certify_path(search.triage, search.rule.doomed, search.rule.alpha).verdict == "not_met"


def _doomed(search: DudSearch) -> DudSearch:
    n, bound = len(search.triage), search.rule.doomed
    return _done(search, "doomed", f"{n} runs from the prompt show a success rate below {bound:g}")


def _none(search: DudSearch, curves: Curves, why: str) -> DudSearch:
    if any(certified_drop(c, search.failing, search.rule.grader)[0] > search.rule.least for c in search.certificates):
        return _proved(search, curves, f"{why}, and yet a smaller one was shown")
    if curves.success[:, 0].mean() >= search.rule.doomed:
        return _done(search, "slide", why)
    return _done(search, "unsure", f"{why}; whether the prompt itself was hopeless is not shown")


def _enter(search: DudSearch, position: int, certificates: tuple[Certificate, ...]) -> DudSearch:
    pairs = len(certificates[-1].pairs)
    return replace(search, phase="certify", position=position, certificates=certificates, entered=pairs, table=())


def _proved(search: DudSearch, curves: Curves, reason: str) -> DudSearch:
    """`unsure`, unless a place that was shown before was left only because another one seemed to cost more."""
    rule = search.rule
    for one in search.certificates:
        shown = certified_drop(one, search.failing, rule.grader)[0] > rule.least
        if shown and drop_at(search.model, curves, one.place).mean() >= rule.delta:
            kept = tuple(c for c in search.certificates if c is not one)
            search = _enter(search, one.position, (*kept, one))
            return _dud(search, "shown on fresh pairs, though another token may have cost more")
    return _done(search, "unsure", reason)


def _dud(search: DudSearch, reason: str) -> DudSearch:
    table = tuple((token, _outcomes(search, token)) for token in _rows(search))
    return replace(search, phase="alternatives", verdict="dud", reason=reason, table=table)


def _done(search: DudSearch, verdict: DudVerdict, reason: str) -> DudSearch:
    return replace(search, phase="done", verdict=verdict, reason=reason, table=())


def _maybe_doomed(search: DudSearch) -> float:
    at_root = marginals(search.model, search.counts)[0]
    return float(at_root[search.model.grid < search.rule.doomed].sum())


def _rows(search: DudSearch) -> tuple[str, ...]:
    """The likeliest alternatives, at most `rows`, none rarer than 1 in 20 among those that leave."""
    if search.failing.probs is None or search.position is None or not search.rule.table:
        return ()
    others = sorted(search.failing.others[search.position - 1], key=lambda other: -other[1])
    listed = search.failing.listed(search.position)
    return tuple(token for token, q in others[: search.rule.rows] if q >= 0.05 * listed and q > 0)


def _outcomes(search: DudSearch, token: str) -> tuple[Outcome, ...]:
    return dict(search.table).get(token, ())


def _tabled(search: DudSearch, rollouts: Sequence[Rollout]) -> tuple[tuple[str, tuple[Outcome, ...]], ...]:
    """The table with the first `table` fresh rollouts of each alternative: a fixed number, so an exact interval."""
    table = dict(search.table)
    for rollout in rollouts:
        if rollout.token is None or rollout.prefix + 1 != search.position:
            continue
        have = table.get(rollout.token, ())
        if len(have) < search.rule.table:
            table[rollout.token] = (*have, rollout.outcome)
    return tuple(table.items())
