"""The reference rate of a project: given, or drawn from its control cases, only as many as the answer needs."""

from __future__ import annotations

from collections.abc import Sequence

from reroll.answer import OutcomeWord, ProgressEvent, Reference
from reroll.balance import TIGHT, controls_wanted, reference_limit
from reroll.case import Case
from reroll.evidence import Evidence, interval_of
from reroll.runner import draw_more
from reroll.runs import Runs
from reroll.session import Session, judged, slots, too_dear

__all__ = ["MOST_CONTROLS", "Controls"]

# As many as one limit of a few per cent needs; more would be spent on the reference than on the case.
MOST_CONTROLS = 100
USELESS = 1 / 3  # controls shown to fail more often than this are no ordinary requests


class Controls:
    """The control cases of one command. They are drawn in whole rounds, a run each, and looked at
    only between rounds: inside a round the easy cases first would fool the limit (Ville's bound
    holds at round ends by the inequality of means). Stored rounds of the program are reused.
    """

    def __init__(self, session: Session, case: Case) -> None:
        program = session.project.program
        self.session = session
        self.given = program.reference_rate
        # A stored request is the same whatever the case: its controls would be the case itself.
        wanted = self.given is None and program.raw is None
        own = slots(session, case).request_id
        controls = [c for c in session.project.cases if c.set == "control" and c.checks] if wanted else []
        self.cases = [c for c in controls if slots(session, c, control=True).request_id != own]
        for control in self.cases:
            session.store.put_case(control)
        self.places = [slots(session, control, control=True) for control in self.cases]
        self.have: list[Runs] = [judged(session, at) for at in self.places]
        self.most = min(MOST_CONTROLS, int(session.options.budget * session.options.control_share))
        self.closed = not self.cases
        session.spent.reused += self.rounds * len(self.cases)

    @property
    def pending(self) -> bool:
        """Whether a reference is still to come: the case is looked at first."""
        least = len(self.cases) * self.session.per_call
        return not (self.closed or self.rounds) and least <= min(self.most, self.session.left)

    @property
    def rounds(self) -> int:
        """Complete rounds so far."""
        return min((len(runs) for runs in self.have), default=0)

    @property
    def seen(self) -> Evidence:
        return sum((Evidence.of(runs.words()[: self.rounds]) for runs in self.have), Evidence())

    def reference(self) -> Reference:
        """The failure rate that a case is held against, as far as it is known by now."""
        if self.given is not None:
            return Reference(self.given, "given")
        if not self.cases:
            return Reference(None, "none")
        seen, alpha = self.seen, self.session.options.alpha
        if not seen.n:
            return Reference(None, "controls", thorough=False)
        limit = reference_limit(seen, alpha)
        thorough = limit is not None and (limit <= TIGHT or seen.n > MOST_CONTROLS - len(self.cases))
        return Reference(limit, "controls", seen.failures, seen.n, alpha, seen.invalid, thorough)

    async def draw_for(self, outcomes: Sequence[OutcomeWord], target: float | None) -> None:
        """Draw as many control runs as the case with these outcomes calls for; often none."""
        session = self.session
        while not (self.closed or session.stopped or too_dear(session)):
            seen, alpha = self.seen, session.options.alpha
            if interval_of(seen, alpha)[0] > USELESS:
                return
            calls = controls_wanted(outcomes, seen, self.most, target, alpha)
            width = 2 * (session.options.concurrency or session.model.concurrency)
            rounds = min(-(-min(calls, width) // len(self.cases)), (self.most - seen.n) // len(self.cases))
            if session.per_call > 1:  # whole calls, as many as fit
                most = (self.most - seen.n) // len(self.cases) // session.per_call * session.per_call
                rounds = min(-(-rounds // session.per_call) * session.per_call, most)
            if rounds <= 0 or session.left < rounds * len(self.cases) or session.spent.out_of_time():
                return
            await draw_more(session, self.places, rounds)
            self.have = [judged(session, at, runs) for at, runs in zip(self.places, self.have, strict=True)]
            self.closed = session.exhausted is not None  # a recording has no more rows; the case itself may have
            session.exhausted = None
            self._tell()

    def _tell(self) -> None:
        seen, session = self.seen, self.session
        low, high = interval_of(seen, session.options.alpha)
        session.notify(
            ProgressEvent(
                phase="controls",
                case_id=f"{len(self.cases)} control cases",
                calls=seen.n,
                budget=self.most,
                failures=seen.failures,
                invalid=seen.invalid,
                estimate=seen.estimate,
                low=low,
                high=high,
                question="how often do ordinary requests fail?",
                usd=session.spent.usd,
                seconds=session.spent.seconds,
            )
        )
