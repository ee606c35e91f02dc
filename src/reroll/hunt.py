"""One inquiry into the cause of a case's failures: what it knows, and the smaller questions that it asks besides."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from reroll.answer import CauseSection
from reroll.case import Case
from reroll.caused import State
from reroll.caveats import asked_before
from reroll.errors import UsageError
from reroll.factor import Factor, Factors
from reroll.factors import factors_of
from reroll.fillers import differing
from reroll.inquiry import Found, Inquiry
from reroll.match import nearest
from reroll.opposing import Opposed
from reroll.program import content_id, fill
from reroll.remembering import CAUSE, allowed_before, remember_cause
from reroll.screening import Screening
from reroll.session import Session, one_a_call

__all__ = ["AskedCause", "Hunt", "suspected"]

TOLERABLE = 0.05  # a failure rate that nobody looks into
BRIEF = 60  # the newest of the earlier runs, for a smaller question


@dataclass(frozen=True, slots=True)
class AskedCause:
    """suspects: ids that somebody suspects; alone: a command of its own, which may ask a person about failing answers;
    leave: calls of the budget that other questions need."""

    suspects: tuple[str, ...] = ()
    alone: bool = True
    leave: int = 0


class Hunt:
    """From the first run to the section. `finished` is False where the budget, a person or an outage ended it; `why`
    says what did."""

    def __init__(self, sessions: Sequence[Session], case: Case, asked: AskedCause) -> None:
        self.session, self.case, self.asked = sessions[0], case, asked
        session = self.session
        program = session.project.program
        if session.model.name.startswith("recorded:"):
            raise UsageError(
                "a recording answers no changed request, so no cause can be looked for; name a model that runs",
                slug="no-cause",
            )
        one_a_call(session, "a cause is looked for run by run")
        checked = json.dumps([check.form() for check in case.checks], ensure_ascii=False)
        factors: Factors = factors_of(program, case.input, case.history, checked)
        self.parts = tuple(f for f in factors.all if not f.phrase)
        self.phrases = tuple(f for f in factors.all if f.phrase)
        self._are_factors(factors)
        self.key = content_id(
            "cause",
            [
                [program.id, session.model.identity, case.content_id],
                session.checker.ids(case, session.judging),
                [[f.id, f.words, [[level.how, level.value] for level in f.levels]] for f in factors.all],
            ],
        )
        cases = session.project.cases
        self.controls = [c for c in cases if c.set == "control" and c.checks and c.id != case.id]
        self.lookalikes = [c for c in cases if c.set == "lookalike" and c.of == case.id and c.checks]
        sessions_of = {s.project.program.model: s for s in sessions}
        self.screening = Screening(
            sessions_of, case, self.parts, self.controls, f"cause {self.key}{self._anew()}", self.left, self.proof
        )
        self.state = State(asked.suspects, factors.left_out, session.options.alpha)
        self.unsound: tuple[str, ...] = ()
        self.finished, self.why = True, "the question was decided"
        self.allowed = 0  # calls that the inquiry into the parts might ask for when it began, the very first time
        self.circumstance = False
        self.grouped: dict[str, Opposed] = {}  # kinds of parts that were held against none of them, by id
        self.alike: dict[str, Opposed] = {}  # cases that are like it and were held against it, by id

    def _anew(self) -> str:
        """What begins a series of its own where all is to start from zero."""
        if not self.session.fresh:
            return ""
        before = self.session.store.decisions(rule=CAUSE, case_id=self.case.id)
        return f" after {len(before)}"

    def _are_factors(self, factors: Factors) -> None:
        """Raises: UsageError for a hunch that names no factor of this request."""
        for name in self.asked.suspects:
            if name.partition(".")[0] in ("serving", "check"):  # these are looked at anyway
                continue
            if any(suspected(f, (name,)) for f in factors.all):
                continue
            left = dict(factors.left_out)
            if name in left:
                raise UsageError(f"--suspect {name}: it cannot be looked at: {left[name]}", slug="no-factor")
            ids = list(dict.fromkeys(f.id for f in factors.all))
            hint = nearest(name, ids) or f"; there are {', '.join(ids)}"
            raise UsageError(f"--suspect {name}: the request has no such part{hint}", slug="no-factor")

    @property
    def opposed(self) -> int:
        """Runs in pairs so far: of many parts of one kind, and of look-alikes."""
        return 2 * sum(len(one.pairs) for one in (*self.grouped.values(), *self.alike.values()))

    def left(self) -> int:
        """Calls that it may still make."""
        return self.session.left - self.asked.leave

    def rng(self, name: str) -> np.random.Generator:
        """Its own for each question, whatever was asked before: the same command finds the same calls again."""
        return np.random.default_rng(int(hashlib.blake2b(f"{self.key} {name}".encode(), digest_size=8).hexdigest(), 16))

    def inquiry(
        self,
        name: str,
        factors: Sequence[Factor],
        share: float,
        *,
        budget: int | None = None,
        most: int | None = None,
        prior: Sequence[float] | None = None,
        pins: set[int] | None = None,
        controls: bool = False,
    ) -> Inquiry:
        """budget: of a smaller inquiry beside the first; most: calls of the first one, stored ones included."""
        session = self.session
        left = max(0, self.left() if most is None else most)
        target = session.project.program.target
        return Inquiry(
            len(factors),
            alpha=share * session.options.alpha,
            rng=self.rng(name),
            budget=left if budget is None else min(budget, left),
            width=max(2, min(8, session.options.concurrency or session.model.concurrency)),
            prior=prior,
            load_bearing=pins,
            controls=controls,
            mappable=[k for k, f in enumerate(factors) if f.shared],
            tolerable=None if budget is not None else TOLERABLE if target is None else max(TOLERABLE, 1 - target),
            base=self.state.base if budget is None else self.state.base[-BRIEF:],
        )

    async def smaller(self, name: str, factors: tuple[Factor, ...], share: float, budget: int) -> Found | None:
        """A smaller inquiry beside the first; None where no call is left for it."""
        if len(factors) == 0 or self.left() < 2 or self.session.stopped:
            return None
        inner = self.screening_of(name, factors)
        found = await inner.run(self.inquiry(name, factors, share, budget=budget), bland=False)
        self.state.base += inner.as_reported
        self.finished = self.finished and inner.finished
        return found

    def screening_of(self, name: str, factors: tuple[Factor, ...]) -> Screening:
        """Where the calls of a smaller question go."""
        screening = self.screening
        series = f"{screening.series} {name}"
        return Screening(screening.sessions, self.case, factors, (), series, self.left, self.proof, seqs=screening.seqs)

    def opposing(self, factor: Factor, name: str, share: float) -> Opposed:
        """The case as reported and otherwise, no pair of them run yet."""
        return Opposed(self.screening_of(name, (factor,)), share, self.left)

    async def held_against(
        self, opposed: Opposed, most: int | None, gives_up: Sequence[tuple[int, float]] = ()
    ) -> Found | None:
        """Go on with these pairs until the case is shown to fail less often otherwise; None: it is not."""
        paired = await opposed.go_on(most, gives_up)
        self.state.base += paired.reported
        self.finished = self.finished and not paired.broken_off
        # So much is no verdict, and too much to speak of chance.
        self.state.unlooked |= paired.broken_off or (bool(gives_up) and paired.open)
        return paired.found

    def said(self, case: Case) -> str:
        program = self.session.project.program
        if program.raw is not None or program.is_product:
            return " ".join(str(value) for value in case.input.values())
        return fill(program.user, case.input)

    def differing(self, other: Case) -> str:
        return differing(self.said(self.case), self.said(other))

    def keep(self, section: CauseSection, broken: str) -> None:
        """The decision with what it rests on, so that it can be replayed, and found again by a later report."""
        why = broken or self.why
        names, seqs, series = self.state.doubt.names, self.screening.seqs, self.series
        remember_cause(self.session, self.case, section, names, seqs, why, self.key, series, self.allowed or None)

    def allow(self) -> int:
        """Calls that the inquiry into the parts may ask for, stored ones included. `allowed` is the same, or what it
        was when a cause was found here before: with that it finds the same calls again, and makes none."""
        left, before = max(0, self.left()), allowed_before(self.session, self.case, self.key, self.series)
        self.allowed = left if before is None else before
        return max(left, self.allowed)

    @property
    def series(self) -> str:
        """What tells this search from others for the same case: begun anew, or with other suspicions."""
        return f"{self.screening.series} {self.proof}".rstrip()

    @property
    def proof(self) -> str:
        """What was suspected beforehand. Runs that were seen when it was are no proof of it."""
        return " ".join(sorted(self.asked.suspects))

    def caveats(self, section: CauseSection) -> list[str]:
        """What a reader must know besides."""
        asked, how = "which part carries it", "from zero or with other suspicions"
        said = list(asked_before(self.session, CAUSE, self.case.id, self.series, section.alpha, asked, how))
        stage = self.state.named
        if stage is not None and stage.note:
            said.append(f"the words were {stage.note}, which asks for something else; another wording may differ")
        if not self.controls and section.verdict != "checker":
            said.append("without control cases nothing says which parts must stay for the request to work at all")
        if self.unsound:
            said.append(f"control cases that do not work as they are were left out: {', '.join(self.unsound)}")
        if not self.state.doubt.labels and section.rate.failures:
            said.append("no person has looked at the failing answers; --person CMD, or labels.jsonl, lets one")
        if self.screening.worse_way is not None:
            what = "bland text in place of parts" if self.screening.worse_way else "taking parts out"
            said.append(f"{what} makes the request fail by itself, so it was not used further")
        return said


def suspected(factor: Factor, names: Sequence[str]) -> bool:
    return any(factor.id == name or factor.id.startswith(f"{name}.") for name in names)
