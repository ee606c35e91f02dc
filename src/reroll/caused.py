"""What is known of a case's cause at some moment of the work, as the section of an answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from reroll.answer import CauseSection, Cost, Hunch, LeftOut, LikeReport, NamedFactor, OutcomeWord, to_json
from reroll.audit import Claim
from reroll.cause import BETTER, CheckDoubt, always, cause_sentences, sentence_for_doubt
from reroll.conclude import rate_of
from reroll.evidence import Est
from reroll.factor import Factor
from reroll.inquiry import Found
from reroll.remembering import Known

__all__ = ["Caused", "Stage", "State", "section_of", "served", "verdict_of", "why_open"]


NEXT = 100  # calls that the next question takes, about: its own words, or how it is served


@dataclass(frozen=True, slots=True)
class Caused:
    """What carries one case's failure, with all that an answer shows of it."""

    section: CauseSection
    case: str
    program: dict[str, Any]
    model: str
    cost: Cost
    caveats: tuple[str, ...]
    stopped: str
    finished: bool
    alpha_total: float

    def as_json(self) -> dict[str, Any]:
        """The shape `reroll.cause/1`."""
        rest = {k: v for k, v in to_json(self).items() if k != "section"}
        return {"schema": "reroll.cause/1", **to_json(self.section), **rest}


@dataclass(frozen=True, slots=True)
class Stage:
    """One inquiry: over which factors, and what it found."""

    factors: tuple[Factor, ...]
    found: Found
    note: str = ""  # what a reader must know of how it was shown


@dataclass(slots=True)
class State:
    """All that is known: inquiries in the order they were made, the first over the parts of the program.

    base: outcomes of the request as reported; unasked: what the failing checks want and the request nowhere mentions;
    words: of a named factor's id, narrower ones; serving: what circumstances were shown to carry it.
    """

    suspects: tuple[str, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    alpha: float = 0.05
    base: list[OutcomeWord] = field(default_factory=list)
    doubt: CheckDoubt = field(default_factory=CheckDoubt)
    unasked: str | None = None
    stages: list[Stage] = field(default_factory=list)
    words: dict[str, str] = field(default_factory=dict)
    serving: tuple[NamedFactor, ...] = ()
    unlooked: bool = False  # something could still be looked at, and was not
    open: tuple[str, ...] = ()  # circumstances that seem to matter, and were not shown to
    spent: dict[str, float] = field(default_factory=dict)  # times alpha, by what was looked into
    known: list[Known] = field(default_factory=list)

    @property
    def every(self) -> bool:
        """Whether it fails every time."""
        return always(self.base.count("fail"), len(self.base))

    @property
    def named(self) -> Stage | None:
        """The inquiry that named something."""
        return next((stage for stage in reversed(self.stages) if stage.found.verdict == "systematic"), None)


Verdict = Literal["systematic", "bad_luck", "not_reproduced", "checker", "expectation", "undecided"]


def section_of(state: State) -> CauseSection:
    """The section of what is known by now."""
    verdict = verdict_of(state)
    stage = state.named
    main = state.stages[0].found if state.stages else None
    named = _named(state, verdict)
    calls: Counter[str] = Counter()
    for one in state.stages:
        calls.update(one.found.calls)
    shown = stage.found if stage and verdict == "systematic" and not state.serving else None
    # What is one of many that carry it together is not free of blame, though it was not found to carry it by itself.
    blamed = [n.id for n in named]
    blamed += [f.id for k, _ in shown.factors for f in stage.factors[k].members] if stage and shown else []
    section = CauseSection(
        verdict=verdict,
        logic=shown.logic if shown and len(named) > 1 else "one" if verdict == "systematic" else None,
        factors=named,
        cleared=_ids(state, lambda found: found.cleared, blamed),
        smallest_visible=main.smallest_visible if main else None,
        load_bearing=_ids(state, lambda found: found.load_bearing, [n.id for n in named]),
        together=_above(shown.joint) if shown and shown.joint else None,
        suspects=_suspects(state) if verdict == "undecided" else (),
        left_out=tuple(LeftOut(id, why) for id, why in state.left_out),
        hunch=_hunch(state, verdict, named),
        like=_like(state, named) if verdict == "systematic" else None,
        rate=rate_of(state.base, state.alpha),
        calls=dict(calls),
        calls_needed=_needed(state) if verdict == "undecided" else None,
        text="",
        brief="",
        alpha=round(state.alpha * max(1.0, sum(state.spent.values())), 12),
    )
    said = cause_sentences(section, _extra(state, verdict), _looked_at(state))
    return replace(section, text=" ".join(said), brief=said[0])


def verdict_of(state: State) -> Verdict:
    """What may be said by now."""
    if state.doubt.by is not None:
        unstated = state.every and state.doubt.by == "person" and state.unasked is not None
        return "expectation" if unstated else "checker"
    if state.serving or state.named:
        return "systematic"
    if not state.stages:
        return "undecided"
    found = state.stages[0].found
    if found.verdict == "not_reproduced":
        return "not_reproduced"
    # That it fails every time is no chance, whatever nobody is to blame for.
    if state.every:
        return "expectation" if state.unasked is not None else "undecided"
    main = state.stages[0].found
    clear = (
        bool(main.cleared)
        and not state.unlooked
        and not state.open
        and all(stage.found.verdict == "nothing" for stage in state.stages)
    )
    return "bad_luck" if clear else "undecided"


def served(claim: Claim, words: str) -> NamedFactor:
    """A circumstance that was shown to matter, as a factor: how much more often it fails under it."""
    found = claim.difference
    low, high = found.low or 0.0, 1.0 if found.high is None else found.high
    ends = (max(0.0, low), high) if claim.verdict == "worse" else (max(0.0, -high), -low)
    id = "serving.replica" if claim.arm.startswith("R") else f"serving.{claim.source}"
    if claim.verdict == "better":
        words = f"the server as reported; {words} {BETTER}"
    return NamedFactor(id, "serving", words, Est(abs(found.value or 0.0), *ends, found.n))


def why_open(state: State) -> str:
    """Why it is undecided though no part was found to carry it: what else is open. Empty where that is not so."""
    if not state.stages or state.stages[0].found.verdict != "nothing" or verdict_of(state) != "undecided":
        return ""
    said = "no part by itself was found to carry the failure"
    if state.open:
        return f"{said}, and what looks like a difference in how it is served is not shown: {', '.join(state.open)}"
    if state.every:
        return f"{said}, and it fails every time, which is no chance"
    if state.unlooked:
        return f"{said}, and what else could was not looked at to the end"
    return f"{said}, and smaller searches were left open"


def _named(state: State, verdict: Verdict) -> tuple[NamedFactor, ...]:
    if verdict == "checker":
        nothing = Est(None, None, None, 0)
        return tuple(NamedFactor(f"check.{name}", "checker", name, nothing) for name in state.doubt.names)
    if verdict != "systematic" or state.serving:
        return state.serving
    stage = state.named
    assert stage is not None
    out: dict[str, NamedFactor] = {}
    for k, effect in stage.found.factors:
        factor = stage.factors[k]
        effect = _above(effect) if len(stage.found.factors) == 1 else effect
        words = state.words.get(factor.id, factor.words)
        same = out.get(factor.id)
        # Two phrases of one sentence are one part, with both their words.
        out[factor.id] = (
            NamedFactor(factor.id, factor.cls, words, effect)
            if same is None
            else replace(same, words=f"{same.words} … {words}")
        )
    # A field that is renamed loses its place and its type along with its name: what says so by itself is the cause.
    fields = {one.id.rpartition(".")[0] for one in out.values() if not one.id.endswith(".name")}
    if len(out) > 1:
        out = {
            id: one
            for id, one in out.items()
            if not (id.endswith(".name") and (id.removesuffix(".name") in fields or "response.order" in out))
        }
    return tuple(out.values())


def _above(effect: Est) -> Est:
    """The drop that was shown to be one: its verdict excludes what lies below 0, even where its range does not yet."""
    return Est(effect.value, max(0.0, effect.low or 0.0), effect.high, effect.n)


def _ids(state: State, which: Any, but: Sequence[str]) -> tuple[str, ...]:
    """The ids of those factors in all inquiries, each once; none that was named."""
    found = [stage.factors[k].id for stage in state.stages for k in which(stage.found)]
    return tuple(id for id in dict.fromkeys(found) if id not in but)


def _needed(state: State) -> int | None:
    """About how many more calls would decide; None where nobody can tell."""
    if state.stages and not state.stages[0].factors:
        return None
    if state.stages and state.stages[0].found.verdict == "undecided":
        return state.stages[0].found.calls_needed
    return None if state.every else NEXT


def _looked_at(state: State) -> dict[str, NamedFactor]:
    """Every part that was screened, by its id, in the words that are its own."""
    every = [factor for stage in state.stages for factor in stage.factors]
    nothing = Est(None, None, None, 0)
    return {f.id: NamedFactor(f.id, f.cls, state.words.get(f.id, f.words), nothing) for f in every}


def _suspects(state: State) -> tuple[tuple[str, float | None], ...]:
    best: dict[str, float] = {}
    for stage in state.stages:
        for k, share in stage.found.suspected:
            id = stage.factors[k].id
            best[id] = max(best.get(id, 0.0), share)
    likely = sorted(best.items(), key=lambda one: -one[1])
    return (*likely, *((id, None) for id in dict.fromkeys(state.open)))


def _hunch(state: State, verdict: Verdict, named: Sequence[NamedFactor]) -> Hunch | None:
    if not state.suspects:
        return None
    name = ", ".join(state.suspects)
    if verdict in ("undecided", "not_reproduced"):
        return Hunch(name, None)
    if any(one.id == s or one.id.startswith(f"{s}.") for one in named for s in state.suspects):
        return Hunch(name, True)
    clear = [stage.factors[k].id for stage in state.stages for k in stage.found.cleared]
    looked_at = all(any(id == s or id.startswith(f"{s}.") for id in clear) for s in state.suspects)
    return Hunch(name, False if looked_at else None)


def _like(state: State, named: Sequence[NamedFactor]) -> LikeReport | None:
    ids = {one.id for one in named}
    return next((LikeReport(k.case, k.decision, k.ids) for k in state.known if set(k.ids) == ids), None)


def _extra(state: State, verdict: Verdict) -> str:
    """What only the work itself knows of why the verdict is this."""
    if verdict == "checker":
        return sentence_for_doubt(state.doubt)
    if verdict == "expectation":
        return (
            f"It fails every time ({state.base.count('fail')} of {len(state.base)} runs), and nothing in the request "
            f"asks for what is checked by name: “{state.unasked}”. Say what is expected, or correct the check; if it "
            "has to be worked out, the model does not."
        )
    if verdict == "undecided" and state.stages and not state.stages[0].factors:
        return "There is no part of the request that could be changed, so none could be looked at."
    if verdict == "undecided" and state.every and state.stages and state.stages[0].found.calls.get("screen"):
        return "It fails every time whatever is changed: the model may not be able to do this, or the check is wrong."
    return ""
