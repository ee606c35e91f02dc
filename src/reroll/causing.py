"""The cause of one case's failures, in the order of work: the check first, then the parts, then where it is served."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from reroll.answer import CauseSection, Cost, Hunch, LeftOut, LikeReport, NamedFactor, OutcomeWord, to_json
from reroll.case import Case
from reroll.cause import CheckDoubt, always, cause_sentences, never_asked, sentence_for_doubt
from reroll.conclude import rate_of
from reroll.doubting import doubt_about
from reroll.errors import NotCompleted, UsageError
from reroll.evidence import Est
from reroll.factors import Factors, factors_of, inside
from reroll.inquiry import Found, Inquiry
from reroll.match import nearest
from reroll.program import Program, content_id
from reroll.remembering import Known, known_map, remember_cause, remember_map, remembered
from reroll.runner import crashing_check, draw_more
from reroll.screening import Screening
from reroll.session import Session, slots

__all__ = ["AskedCause", "Caused", "find_cause", "other_models"]

FIRST = 12  # runs as reported, before anything is asked about the check
REMEMBERED = 1000.0  # times the usual suspicion: what was the cause before is tried at once
SUSPECTED = 10.0  # and what a person names
SHARES = {"parts": 0.8, "words": 0.1}  # of alpha: for the parts, and for the words of each of two
WORDS = 90  # calls that finding the words inside a part may take
TOLERABLE = 0.05
MOST_BASE = 400  # earlier runs that are looked at


@dataclass(frozen=True, slots=True)
class AskedCause:
    """suspects: ids that somebody suspects; ask: whether a person may be asked about failing answers."""

    suspects: tuple[str, ...] = ()
    ask: bool = True


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


def other_models(program: Program) -> list[Program]:
    """The program with each other model that it names, so that a factor `model` has somewhere to go."""
    named = [v for v in program.alternatives.get("model", ()) if isinstance(v, str) and v != program.model]
    return [program.model_copy(update={"model": name}) for name in dict.fromkeys(named)]


async def find_cause(sessions: Sequence[Session], case: Case, asked: AskedCause) -> Caused:
    """Which part of the request carries the failure, or that nothing does; every draw and the decision are stored.

    Args:    sessions: the program's own, then one for each other model that it names.
    Raises:  UsageError, ModelError: one sentence each.
    """
    hunt = _Hunt(sessions, case, asked)
    broken = ""
    try:
        section = await hunt.go()
    except NotCompleted as error:
        broken, section = str(error), hunt.so_far()
    session = sessions[0]
    hunt.keep(section, broken)
    return Caused(
        section=section,
        case=case.id,
        program={"name": session.project.program.program, "id": session.project.program.id},
        model=session.model.identity,
        cost=session.spent.cost(),
        caveats=tuple(hunt.caveats(section)),
        stopped=broken or hunt.why,
        finished=not broken and hunt.finished,
        alpha_total=section.alpha,
    )


@dataclass(slots=True)
class _State:
    """What is known at some moment, from which a section is made."""

    found: Found | None = None
    doubt: CheckDoubt = field(default_factory=CheckDoubt)
    verdict: Literal["checker", "expectation"] | None = None
    unasked: str | None = None
    words: dict[int, str] = field(default_factory=dict)  # narrower words of a named factor
    like: LikeReport | None = None


class _Hunt:
    """One inquiry from the first run to the section."""

    def __init__(self, sessions: Sequence[Session], case: Case, asked: AskedCause) -> None:
        self.session, self.case, self.asked = sessions[0], case, asked
        session = self.session
        program = session.project.program
        if session.model.name.startswith("recorded:"):
            raise UsageError(
                "a recording answers no changed request, so no cause can be looked for; name a model that runs",
                slug="no-cause",
            )
        checked = json.dumps([check.form() for check in case.checks], ensure_ascii=False)
        self.factors: Factors = factors_of(program, case.input, case.history, checked)
        self.prior = self._suspicion()
        self.key = content_id(
            "cause",
            [
                [program.id, session.model.identity, case.content_id],
                session.checker.ids(case, session.judging),
                [[f.id, f.words, [[level.how, level.value] for level in f.levels]] for f in self.factors.all],
            ],
        )
        self.rng = np.random.default_rng(int(hashlib.blake2b(self.key.encode(), digest_size=8).hexdigest(), 16))
        self.controls = [c for c in session.project.cases if c.set == "control" and c.checks and c.id != case.id]
        self.screening = Screening(
            {s.project.program.model: s for s in sessions},
            case,
            self.factors.all,
            self.controls,
            f"cause {self.key}",
        )
        self.base: list[OutcomeWord] = []
        self.state = _State()
        self.finished, self.why = True, "the question was decided"
        self.known: list[Known] = []

    def _suspicion(self) -> dict[int, float]:
        """Factors that somebody suspects. Raises: UsageError for what is no factor here."""
        out: dict[int, float] = {}
        for name in self.asked.suspects:
            mine = [k for k, f in enumerate(self.factors.all) if f.id == name or f.id.startswith(f"{name}.")]
            if not mine:
                left = dict(self.factors.left_out)
                if name in left:
                    raise UsageError(f"--suspect {name}: it cannot be looked at: {left[name]}", slug="no-factor")
                ids = list(dict.fromkeys(f.id for f in self.factors.all))
                hint = nearest(name, ids) or f"; there are {', '.join(ids)}"
                raise UsageError(f"--suspect {name}: the request has no such part{hint}", slug="no-factor")
            out |= dict.fromkeys(mine, SUSPECTED)
        return out

    # ---------------------------------------------------------------- the order of work

    async def go(self) -> CauseSection:
        session, case = self.session, self.case
        session.store.put_program(session.project.program)
        session.store.put_case(case)
        await self._first_runs()
        if self.state.verdict is None:
            self.known = remembered(session, case, self.factors.all, self.failing)
            await self._screen()
            await self._narrow()
            self._conclude()
        return self.so_far()

    async def _first_runs(self) -> None:
        """Runs as reported, those of earlier commands included, and what they say of the check."""
        session, case = self.session, self.case
        at = slots(session, case)
        runs = session.runs(case)
        session.spent.reused += len(runs)
        while len(runs) < min(FIRST, len(runs) + session.left) and not session.stopped:
            before = len(runs)
            await draw_more(session, [at], min(FIRST - before, session.left))
            runs = session.runs(case)
            if len(runs) == before:
                break
        crashing_check(case, runs)
        newest = runs[max(0, len(runs) - MOST_BASE) :] if len(runs) > MOST_BASE else list(runs)
        self.base = [run.outcome.outcome for run in newest]
        self.screening.seqs.update(run.stored.seq for run in newest)
        failing = [run for run in newest if run.outcome.outcome == "fail"]
        doubt = self.state.doubt = doubt_about(session, case, failing[:64], ask=self.asked.ask)
        self.failing = doubt.names
        self.state.unasked = never_asked(
            session.project.program.render(case.input, case.history),
            [check for name, check in zip(case.check_names(), case.checks, strict=True) if name in doubt.names],
        )
        if doubt.by is not None:
            every = always(self.base.count("fail"), len(self.base))
            unstated = every and doubt.by == "person" and self.state.unasked is not None
            self.state.verdict = "expectation" if unstated else "checker"

    async def _screen(self) -> None:
        """The inquiry itself; begun anew where one way of making parts neutral makes it fail by itself."""
        found = await self.screening.run(inquiry := self._inquiry())
        worse = self.screening.worse_way
        if worse is not None and not inquiry.done and not self.session.stopped:
            self.base += self.screening.as_reported
            self.screening.as_reported = []
            found = await self.screening.run(inquiry := self._inquiry(), bland=not worse)
        self.base += self.screening.as_reported
        self.state.found = found
        self.why = found.why
        self.finished = self.screening.finished
        if inquiry.mapped is not None:
            remember_map(self.session, self.factors.all, inquiry.mapped)

    def _inquiry(self) -> Inquiry:
        session = self.session
        prior = [1.0] * len(self.factors)
        for k, weight in self.prior.items():
            prior[k] = weight
        for known in self.known:
            for k in known.factors:
                prior[k] = REMEMBERED
        return Inquiry(
            len(self.factors),
            alpha=SHARES["parts"] * session.options.alpha,
            rng=self.rng,
            budget=max(0, session.left),
            width=max(2, min(8, session.options.concurrency or session.model.concurrency)),
            prior=prior,
            load_bearing=known_map(session, self.factors.all),
            controls=bool(self.controls),
            tolerable=self._tolerable(),
            base=self.base,
        )

    def _tolerable(self) -> float:
        target = self.session.project.program.target
        return TOLERABLE if target is None else max(TOLERABLE, 1 - target)

    async def _narrow(self) -> None:
        """The words inside a part that is named, where it has several, as far as the budget goes."""
        found, session, case = self.state.found, self.session, self.case
        if found is None or found.verdict != "systematic" or found.logic == "or":
            return
        program = session.project.program
        for k, _ in found.factors[:2]:
            parts = inside(program, case.input, case.history, self.factors[k])
            if len(parts) < 2 or session.left < 2 or session.stopped:
                continue
            inner = replace(
                self.screening, factors=parts, controls=(), series=f"{self.screening.series} words {k}", name=case.id
            )
            inquiry = Inquiry(
                len(parts),
                alpha=SHARES["words"] * session.options.alpha,
                rng=self.rng,
                budget=min(WORDS, session.left),
                width=max(2, min(8, session.options.concurrency or session.model.concurrency)),
                load_bearing=(),
                tolerable=self._tolerable(),
                base=self.base[-60:],
            )
            words = await inner.run(inquiry, bland=False)
            if words.verdict == "systematic":
                named = sorted(i for i, _ in words.factors)
                self.state.words[k] = " … ".join(parts[i].words for i in named)

    def _conclude(self) -> None:
        """What follows where no part was named."""
        found = self.state.found
        if found is None or found.verdict not in ("nothing", "undecided"):
            return
        if always(self.base.count("fail"), len(self.base)) and self.state.unasked is not None:
            self.state.verdict = "expectation"

    # ---------------------------------------------------------------- the section

    def so_far(self) -> CauseSection:
        """All that is known by now, as a section."""
        state, found = self.state, self.state.found
        rate = rate_of(self.base, self.session.options.alpha)
        verdict = state.verdict or _verdict(found, every=always(rate.failures, rate.n))
        named = self._named(verdict)
        section = CauseSection(
            verdict=verdict,
            logic=found.logic if found and verdict == "systematic" else None,
            factors=named,
            cleared=self._ids(found.cleared if found else (), but=[n.id for n in named]),
            smallest_visible=found.smallest_visible if found else None,
            load_bearing=self._ids(found.load_bearing if found else ()),
            together=found.joint if found and verdict == "systematic" else None,
            suspects=tuple((self.factors[k].id, share) for k, share in (found.suspected if found else ())),
            left_out=tuple(LeftOut(id, why) for id, why in self.factors.left_out),
            hunch=self._hunch(verdict, named),
            like=self._like(named) if verdict == "systematic" else None,
            rate=rate,
            calls=dict(found.calls) if found else {},
            calls_needed=found.calls_needed if found and verdict == "undecided" else None,
            text="",
            alpha=self.session.options.alpha,
        )
        return replace(section, text=cause_sentences(section, self._extra(verdict)))

    def _named(self, verdict: str) -> tuple[NamedFactor, ...]:
        if verdict == "checker":
            return tuple(
                NamedFactor(f"check.{name}", "checker", name, Est(None, None, None, 0))
                for name in self.state.doubt.names
            )
        found = self.state.found
        if verdict != "systematic" or found is None:
            return ()
        out: dict[str, NamedFactor] = {}
        for k, effect in found.factors:
            factor = self.factors[k]
            words = self.state.words.get(k, factor.words)
            same = out.get(factor.id)
            if same is None:
                out[factor.id] = NamedFactor(factor.id, factor.cls, words, effect)
            else:  # two phrases of one sentence
                out[factor.id] = replace(same, words=f"{same.words} … {words}")
        return tuple(out.values())

    def _ids(self, of: Sequence[int], but: Sequence[str] = ()) -> tuple[str, ...]:
        return tuple(id for id in dict.fromkeys(self.factors[k].id for k in of) if id not in but)

    def _hunch(self, verdict: str, named: Sequence[NamedFactor]) -> Hunch | None:
        if not self.asked.suspects:
            return None
        name = ", ".join(self.asked.suspects)
        if verdict in ("undecided", "not_reproduced"):
            return Hunch(name, None)
        ids = {one.id for one in named}
        return Hunch(name, any(self.factors[k].id in ids for k in self.prior))

    def _like(self, named: Sequence[NamedFactor]) -> LikeReport | None:
        ids = {one.id for one in named}
        for known in self.known:
            if set(known.ids) == ids:
                return LikeReport(known.case, known.decision, tuple(known.ids))
        return None

    def _extra(self, verdict: str) -> str:
        if verdict == "checker":
            return sentence_for_doubt(self.state.doubt)
        if verdict == "expectation":
            return (
                f"It fails every time ({self.base.count('fail')} of {len(self.base)} runs), and nothing in the request "
                f"asks for what is checked: “{self.state.unasked}”. Say what is expected, or correct the check."
            )
        if verdict == "undecided" and self.state.found and self.state.found.verdict == "nothing":
            return (
                "It fails every time whatever is changed: the model may not be able to do this, or the check is wrong."
            )
        return ""

    def caveats(self, section: CauseSection) -> list[str]:
        """What a reader must know besides."""
        said = []
        if section.left_out and section.verdict in ("bad_luck", "undecided"):
            said.append("not looked at: " + "; ".join(f"{one.id} ({one.why})" for one in section.left_out))
        if not self.controls and section.verdict != "checker":
            said.append(
                "there are no control cases, so nothing says which parts must stay for the request to work at all"
            )
        if not self.state.doubt.labels and section.rate.failures:
            said.append("no person has looked at the failing answers; --person CMD, or labels.jsonl, lets one")
        if self.screening.worse_way is not None:
            what = "bland text in its place" if self.screening.worse_way else "taking parts out"
            said.append(f"{what} makes the request fail by itself, so it was not used further")
        return said

    def keep(self, section: CauseSection, broken: str) -> None:
        """The decision with what it rests on, so that it can be replayed, and found again by a later report."""
        remember_cause(
            self.session, self.case, section, self.failing_names(), self.screening.seqs, broken or self.why, self.key
        )

    def failing_names(self) -> tuple[str, ...]:
        return self.state.doubt.names


def _verdict(found: Found | None, *, every: bool) -> Literal["systematic", "bad_luck", "not_reproduced", "undecided"]:
    if found is None:
        return "undecided"
    if found.verdict == "nothing":
        return "undecided" if every else "bad_luck"
    return found.verdict
