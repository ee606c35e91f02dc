"""The cause of one case's failures, in the order of work: the check first, then the parts, then the request's words."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

import numpy as np

from reroll.answer import CauseSection, NotExamined, Price
from reroll.arms import WARM, Arms, arms_of
from reroll.arms import Asked as AskedArms
from reroll.audit import Claim
from reroll.auditing import run_arms
from reroll.case import Case
from reroll.cause import CheckDoubt, never_asked
from reroll.caused import Caused, Stage, State, section_of, served
from reroll.doubting import doubt_about
from reroll.errors import ModelError, NotCompleted, UsageError
from reroll.factors import Factor, Factors, Level, factors_of, inside
from reroll.fillers import differing
from reroll.inquiry import Found, Inquiry
from reroll.match import nearest
from reroll.models.local import LocalModel
from reroll.models.model import bare
from reroll.numbers import counts
from reroll.opposing import GIVES_UP, GROUP_EARLY, GROUP_LEANS, GROUP_MOST, group_first, in_pairs, leaning_groups
from reroll.program import Program, content_id, fill, same_kind
from reroll.remembering import CAUSE, known_map, remember_cause, remember_map, remembered
from reroll.runner import crashing_check, draw_at, draw_more
from reroll.runs import Runs
from reroll.screening import Screening
from reroll.session import Session, judged, one_a_call, slots, too_dear

__all__ = ["AskedCause", "find_cause", "other_models", "why_it_fails"]

FIRST = 16  # runs as reported, before anything is asked about the check
MOST_FIRST = 48  # and with those that are made to find out whether it takes turns
# It is first looked at how it is served where so many more fail of the half that was drawn at once, where only some of
# that half fail or the very first run, and where none fails at all: runs here may not meet what fails elsewhere.
CROWD, FEW = 4, 2
BURST = 16  # calls at the same time, that a server is asked
REMEMBERED = 1000.0  # times the usual suspicion: what was the cause before is tried at once
SUSPECTED = 10.0  # and what a person names
# Times alpha: for the parts, for the request's own words, for the words inside each of two parts, for many parts of one
# kind together, and for where it is served. An answer prints the sum over those that were looked into.
PARTS, OWN, INSIDE, TOGETHER, SERVING = 1.0, 0.3, 0.1, (0.3, 0.1), 1.0
CONTROLS = 8  # control cases that are looked at, at most
SHORT = 14  # words of a part that is not looked into further
WORDS = 90  # calls that finding the words inside a part may take
LOOKS_LIKE, DIFFERING = 0.2, 4  # a circumstance that seems to add so much to the failure rate, in so many pairs
SERVED, EACH = 120, 25  # calls that looking at the circumstances may take, and more for each replica
LEAST_SERVED = 30  # calls without which the circumstances are not looked at
PLACES = {"C": "cold_cache", "L": "load", "R": "replica"}
ALIKE = 130  # calls that holding the case against one look-alike may take
LOOKALIKES = 2
TOLERABLE = 0.05
MOST_BASE = 400  # earlier runs that are looked at
TYPICAL = 200  # calls until a cause is shown, or that there is none
LEAST = 60  # calls without which it is not begun beside other questions
BRIEF = 60  # the newest of them, for a smaller question


@dataclass(frozen=True, slots=True)
class AskedCause:
    """suspects: ids that somebody suspects; alone: a command of its own, which may ask a person about failing answers;
    leave: calls of the budget that other questions need."""

    suspects: tuple[str, ...] = ()
    alone: bool = True
    leave: int = 0


def other_models(program: Program) -> list[Program]:
    """The program with each other model that it names, so that a factor `model` has somewhere to go."""
    named = [same_kind(program, v) for v in program.alternatives.get("model", ()) if isinstance(v, str)]
    if own := program.neutral.get("model"):
        named = [same_kind(program, own)]
    named = [name for name in named if name != program.model]
    return [program.model_copy(update={"model": name}) for name in dict.fromkeys(named)]


async def find_cause(sessions: Sequence[Session], case: Case, asked: AskedCause) -> Caused:
    """Which part of the request carries the failure, or that nothing does; every draw and the decision are stored.

    Args:    sessions: the program's own, then one for each other model that it names.
    Raises:  UsageError, ModelError: one sentence each.
    """
    hunt = _Hunt(sessions, case, asked)
    broken = ""
    try:
        await hunt.go()
    except NotCompleted as error:
        broken = str(error)
    session, section = sessions[0], section_of(hunt.state)
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
        alpha_total=min(1.0, section.alpha),
    )


async def why_it_fails(
    sessions: Sequence[Session],
    case: Case,
    runs: Runs,
    wanted: bool | None,
    told: Callable[[str], None],
    leave: int = 0,
) -> CauseSection | NotExamined:
    """The cause as a section of an answer, or why nobody looked, and what it would take.

    Args:   wanted: None: where calls cost nothing, since the model runs here; told: is given the price beforehand;
            leave: calls of the budget that are not touched.
    """
    session = sessions[0]
    if not any(word == "fail" for word in runs.words()):
        return NotExamined("no run failed", Price(None, None))
    own = session.project.has(case.id)
    # A request that was only handed over is found again by that alone.
    command = f"`reroll cause {case.id}`" if own else "`reroll investigate` of the same request, with --cause,"
    offer = NotExamined(f"{command} finds which part of the request carries it", session.spent.price(TYPICAL))
    if wanted is None:
        wanted = isinstance(bare(session.model), LocalModel)
    if not wanted or session.stopped or too_dear(session) or session.spent.out_of_time():
        return offer
    if session.left - leave < LEAST:
        left = counts("call", max(0, session.left))
        return NotExamined(f"{offer.not_examined}; {left} were left of the budget", offer.price)
    most = counts("call", session.left - leave)
    about = f"about {counts('call', TYPICAL)}, " if session.left - leave > TYPICAL else ""
    told(f"looking for the cause takes {about}at most {most}")
    try:
        return (await find_cause(sessions, case, AskedCause(alone=False, leave=leave))).section
    except (ModelError, NotCompleted, UsageError) as problem:
        return NotExamined(str(problem), Price(None, None))


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
        self.screening = Screening(sessions_of, case, self.parts, self.controls, f"cause {self.key}{self._anew()}")
        self.state = State(asked.suspects, factors.left_out, session.options.alpha)
        self.unsound: tuple[str, ...] = ()
        self.finished, self.why = True, "the question was decided"
        self.circumstance = False
        self.grouped: list[str] = []  # kinds of parts that were held against none of them

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
            if any(_suspected(f, (name,)) for f in factors.all):
                continue
            left = dict(factors.left_out)
            if name in left:
                raise UsageError(f"--suspect {name}: it cannot be looked at: {left[name]}", slug="no-factor")
            ids = list(dict.fromkeys(f.id for f in factors.all))
            hint = nearest(name, ids) or f"; there are {', '.join(ids)}"
            raise UsageError(f"--suspect {name}: the request has no such part{hint}", slug="no-factor")

    # ---------------------------------------------------------------- the order of work

    async def go(self) -> None:
        session, case, state = self.session, self.case, self.state
        session.store.put_program(session.project.program)
        session.store.put_case(case)
        await self._first_runs()
        if state.doubt.by is not None:
            self.why = "the check itself is at fault"
            return
        state.known = remembered(session, case, self.parts, state.doubt.names)
        named = bool(session.project.program.replicas)  # whoever lists replicas has a reason to
        self.circumstance |= named or any(name.startswith("serving") for name in self.asked.suspects)
        if self.circumstance and await self._served():
            return
        await self._reach_models()
        await self._sound_controls()
        main = await self._screen_parts()
        if main.verdict == "systematic":
            await self._narrow()
        if self.state.named is not None:
            return
        if main.verdict != "not_reproduced" and await self._look_alikes():
            return
        if not self.circumstance and await self._served():
            return
        if main.verdict != "not_reproduced":
            await self._own_phrases(main)

    async def _first_runs(self) -> None:
        """Runs as reported, those of earlier commands included, and what they say of the check."""
        session, case, state = self.session, self.case, self.state
        at = slots(session, case)
        runs = session.runs(case)
        session.spent.reused += len(runs) if self.asked.alone else 0
        # Half of them at once and half one at a time: where only a crowd fails, that shows at no cost.
        alone = session.like(options=replace(session.options, concurrency=1))
        for which, until in ((session, FIRST // 2), (alone, FIRST)):
            before = len(runs)
            if before < until and session.left > 0 and not session.stopped:
                await draw_more(which, [at], min(until - before, session.left))
                runs = session.runs(case)
        crashing_check(case, runs)
        if len(runs) == FIRST:
            words = [str(run.outcome.outcome) for run in runs]
            half = FIRST // 2
            crowded, alone_failed = words[:half].count("fail"), words[half:].count("fail")
            cold = not alone_failed and (crowded >= FEW or words[0] == "fail")  # only what came first
            self.circumstance = crowded - alone_failed >= CROWD or crowded + alone_failed == 0 or cold
        state.doubt = self._doubt(runs)
        # A check that changed its mind about few failing runs: more of them say whether it does so about most.
        while state.doubt.takes_turns and len(runs) < MOST_FIRST and session.left > 0 and not session.stopped:
            before = len(runs)
            await draw_more(session, [at], min(FIRST // 2, session.left))
            runs = session.runs(case)
            if len(runs) == before:
                break
            state.doubt = self._doubt(runs)
        checks = dict(zip(case.check_names(), case.checks, strict=True))
        request = session.project.program.render(case.input, case.history)
        state.unasked = never_asked(request, [checks[name] for name in state.doubt.names])

    def _doubt(self, runs: Runs) -> CheckDoubt:
        """What the failing ones among the newest runs say of the check; those runs are what the inquiry begins with."""
        newest = runs[max(0, len(runs) - MOST_BASE) :]
        self.state.base = [run.outcome.outcome for run in newest]
        self.screening.seqs.update(run.stored.seq for run in newest)
        return doubt_about(self.session, self.case, newest, ask=self.asked.alone)

    async def _reach_models(self) -> None:
        """Leave out the other models where one of them cannot be asked: that says nothing of this one."""
        for model, session in self.screening.sessions.items():
            if session is self.session or self.session.left - self.asked.leave < 1:
                continue
            at = slots(session, self.case, series=f"{self.key} reach")
            if len(judged(session, at)):
                continue
            try:
                await draw_at(session, [(at, 1)])
            except (ModelError, NotCompleted) as error:
                self.parts = tuple(f for f in self.parts if f.id != "model")
                self.screening.factors = self.parts
                self.state.left_out += (("model", f"{model} cannot be asked: {error}"),)
                return

    async def _sound_controls(self) -> None:
        """Leave out control cases that do not work as reported: they could not tell which parts must stay."""
        session, sound = self.session, []
        chosen = self.controls[:CONTROLS]
        at = [slots(session, case, control=True) for case in chosen]
        lacking = [(place, 1) for place in at if not len(judged(session, place))]
        if lacking and session.left - self.asked.leave > len(lacking) and not session.stopped:
            await draw_at(session, lacking)
        for case, place in zip(chosen, at, strict=True):
            words = judged(session, place).words()
            if len(words) and 2 * sum(word == "pass" for word in words) > len(words):
                sound.append(case)
        self.unsound = tuple(case.id for case in chosen if case not in sound)
        self.controls = self.screening.controls = sound

    async def _screen_parts(self) -> Found:
        """The inquiry into all parts; begun anew where one way of making them neutral makes it fail by itself."""
        screening, state = self.screening, self.state
        inquiry = self._parts_inquiry()
        found = await screening.run(inquiry, until=lambda: group_first(self.parts, inquiry))
        worse = screening.worse_way
        state.base += screening.as_reported
        state.spent["parts"] = PARTS
        if worse is not None and not inquiry.done and not self.session.stopped:
            screening.as_reported = []
            inquiry = self._parts_inquiry()
            found = await screening.run(
                inquiry, bland=not worse, until=lambda: not self.grouped and group_first(self.parts, inquiry)
            )
            state.base += screening.as_reported
            state.spent["parts again"] = PARTS
        bland = None if worse is None else not worse
        goes_on = screening.finished and not inquiry.done and not self.session.stopped
        if goes_on and not await self._groups(inquiry, GROUP_EARLY):
            found = await screening.run(inquiry, bland=bland)
        if found.verdict in ("undecided", "nothing") and state.named is None and screening.finished:
            await self._groups(inquiry, GROUP_LEANS)
        state.stages.insert(0, Stage(self.parts, found))
        self.why, self.finished = self.why if state.named else found.why, screening.finished
        if inquiry.mapped is not None:
            remember_map(self.session, self.parts, inquiry.mapped, self.key)
        return found

    def _parts_inquiry(self) -> Inquiry:
        prior = [_suspicion(f, self.asked.suspects) for f in self.parts]
        for known in self.state.known:
            for k in known.factors:
                prior[k] = REMEMBERED
        known_pins = known_map(self.session, self.parts, self.key)
        controls = bool(self.controls)
        return self._inquiry("parts", self.parts, PARTS, prior=prior, pins=known_pins, controls=controls)

    def _rng(self, name: str) -> np.random.Generator:
        """Its own for each question, whatever was asked before: the same command finds the same calls again."""
        return np.random.default_rng(int(hashlib.blake2b(f"{self.key} {name}".encode(), digest_size=8).hexdigest(), 16))

    def _inquiry(
        self,
        name: str,
        factors: Sequence[Factor],
        share: float,
        *,
        budget: int | None = None,
        prior: Sequence[float] | None = None,
        pins: set[int] | None = None,
        controls: bool = False,
    ) -> Inquiry:
        session = self.session
        left = max(0, session.left - self.asked.leave)
        target = session.project.program.target
        return Inquiry(
            len(factors),
            alpha=share * session.options.alpha,
            rng=self._rng(name),
            budget=left if budget is None else min(budget, left),
            width=max(2, min(8, session.options.concurrency or session.model.concurrency)),
            prior=prior,
            load_bearing=pins,
            controls=controls,
            mappable=[k for k, f in enumerate(factors) if f.shared],
            tolerable=None if budget is not None else TOLERABLE if target is None else max(TOLERABLE, 1 - target),
            base=self.state.base if budget is None else self.state.base[-BRIEF:],
        )

    async def _smaller(self, name: str, factors: tuple[Factor, ...], share: float, budget: int) -> Found | None:
        """A smaller inquiry beside the first; None where no call is left for it."""
        if len(factors) == 0 or self.session.left - self.asked.leave < 2 or self.session.stopped:
            return None
        inner = self._screening_of(name, factors)
        found = await inner.run(self._inquiry(name, factors, share, budget=budget), bland=False)
        self.state.base += inner.as_reported
        self.finished = self.finished and inner.finished
        return found

    def _screening_of(self, name: str, factors: tuple[Factor, ...]) -> Screening:
        """Where the calls of a smaller question go."""
        screening = self.screening
        return Screening(screening.sessions, self.case, factors, (), f"{screening.series} {name}", seqs=screening.seqs)

    async def _narrow(self) -> None:
        """The words inside each part that was named, where it has several, as far as the budget goes."""
        stage = self.state.named
        assert stage is not None
        if stage.found.logic == "or":  # the one would go on failing while the other is looked into
            return
        program, case = self.session.project.program, self.case
        for k, _ in stage.found.factors[:2]:
            factor = stage.factors[k]
            if not factor.members and len(factor.words.split()) <= SHORT:  # it is quoted whole
                continue
            parts = inside(program, case.input, case.history, factor)
            found = await self._smaller(f"words {k}", parts, INSIDE, WORDS) if len(parts) > 1 else None
            self.state.spent[f"words {k}"] = INSIDE
            if found is not None and found.verdict == "systematic" and factor.members and len(stage.found.factors) == 1:
                self.state.stages.append(Stage(parts, found))
            elif found is not None and found.verdict == "systematic":
                self.state.words[factor.id] = " … ".join(parts[i].words for i in sorted(i for i, _ in found.factors))

    async def _served(self) -> bool:
        """Whether it is how the case is served that carries the failure: the load, a cold cache, a replica."""
        session, state = self.session, self.state
        if session.left - self.asked.leave < LEAST_SERVED or session.stopped:
            state.unlooked = True
            return False
        program = session.project.program
        burst = min(session.model.concurrency, BURST) if isinstance(bare(session.model), LocalModel) else BURST
        most = min(session.left - self.asked.leave, SERVED + EACH * len(program.replicas))
        options = replace(
            session.options,
            alpha=SERVING * session.options.alpha,
            budget=session.spent.samples + most,
            concurrency=max(burst, session.options.concurrency or 1),
        )
        async with AsyncExitStack() as opened:
            arms = await arms_of(session.like(options=options), self.case, AskedArms("PCLR", burst), opened)
            self._as_before(arms, most)
            await run_arms(arms, self._rng("served"))
            claims = arms.claims()
            # That it works better in a crowd, or cold, is no cause of failures.
            shown = [c for c in claims if c.shown and (c.verdict == "worse" or c.source == "replica")]
        state.spent["serving"] = SERVING
        state.left_out += tuple((f"serving.{PLACES[id]}", why) for id, why in arms.left_out.items() if id in PLACES)
        self.screening.seqs.update(one.stored.seq for arm in arms.arms.values() for one in arm.samples())
        if shown:
            worst = max(shown, key=lambda claim: abs(claim.difference.value or 0.0))
            state.serving = (served(worst, arms.arms[worst.arm].words),)
            self.why = "fresh runs under changed circumstances show where it fails"
        else:
            self.finished = self.finished and arms.finished
            state.unlooked |= not arms.finished or session.stopped
            # What looks like a difference, and is not shown, stays open.
            state.open += tuple(served(c, "").id for c in claims if _leans(c))
        return bool(shown)

    def _as_before(self, arms: Arms, most: int) -> None:
        """Let what earlier commands drew here count, so that the same command again ends where it ended: there fewer
        calls were left than a burst takes."""
        if not arms.begun_with:
            return
        left = most - arms.begun_with - WARM
        budget = arms.session.spent.samples + (left if left >= arms.burst else 0)
        arms.session = arms.session.like(options=replace(arms.session.options, budget=budget))
        arms.begun_with = 0

    async def _look_alikes(self) -> bool:
        """Whether words of the case carry the failure: requests that the project calls like it, and say it otherwise,
        fail less often by their own checks."""
        shown: list[tuple[Factor, Found]] = []
        for other in sorted(self.lookalikes, key=lambda other: len(self._differing(other)))[:LOOKALIKES]:
            self.state.spent["own"] = OWN
            words = self._differing(other)
            factor = Factor("user.1", "user", words, ("lookalike", other.id), (Level("value", other.id),), shared=False)
            share = OWN / (LOOKALIKES + 1)
            found = await self._held_against(factor, f"like {other.id}", share, ALIKE)
            if found is not None:
                shown.append((factor, found))
        if shown:
            factor, found = shown[0]
            words = " ".join(dict.fromkeys(" ".join(f.words for f, _ in shown).split()))
            self.state.words["user.1"] = _in_order(words, self._said(self.case))
            self.state.stages.append(Stage((factor,), found, f"held against the case `{factor.place[1]}`"))
            self.why = "fresh pairs of runs show which words carry it"
        return bool(shown)

    async def _groups(self, inquiry: Inquiry, least: float) -> bool:
        """Whether many parts of one kind carry it together, of which no few were found to: pairs of runs, as reported
        and without all of them."""
        for group in leaning_groups(self.parts, inquiry, least, len(TOGETHER)):
            if group.id in self.grouped:
                continue
            share = TOGETHER[len(self.grouped)]
            self.grouped.append(group.id)
            self.state.spent[f"together {group.id}"] = share
            found = await self._held_against(group, f"all {group.id}", share, GROUP_MOST, GIVES_UP)
            if found is not None:
                self.state.stages.append(Stage((group,), found))
                self.why = "fresh pairs of runs, as reported and without it, show what carries it"
                return True
            if self.session.stopped:
                break
        return False

    async def _own_phrases(self, main: Found) -> None:
        """The phrases of a short request whose sentences must stay: where one could be missed, so could its phrases."""
        clear = {self.parts[k].place for k in main.cleared}
        phrases = tuple(f for f in self.phrases if f.place not in clear)
        if phrases:
            found = await self._smaller("phrases", phrases, OWN / (LOOKALIKES + 1), WORDS)
            self.state.unlooked |= found is None
            if found is not None:
                self.state.spent["own"] = OWN
                self.state.stages.append(Stage(phrases, found))

    async def _held_against(
        self, factor: Factor, name: str, share: float, most: int, gives_up: Sequence[tuple[int, float]] = ()
    ) -> Found | None:
        """The case as reported and otherwise, run in pairs until it is shown to fail less often so; None: it is not."""
        inner = self._screening_of(name, (factor,))
        paired = await in_pairs(inner, share, most, gives_up, lambda: self.session.left - self.asked.leave)
        self.state.base += paired.reported
        self.finished = self.finished and not paired.broken_off
        # So much is no verdict, and too much to speak of chance.
        self.state.unlooked |= paired.broken_off or (bool(gives_up) and paired.open)
        return paired.found

    def _said(self, case: Case) -> str:
        program = self.session.project.program
        if program.raw is not None or program.is_product:
            return " ".join(str(value) for value in case.input.values())
        return fill(program.user, case.input)

    def _differing(self, other: Case) -> str:
        return differing(self._said(self.case), self._said(other))

    # ---------------------------------------------------------------- what is kept and said

    def keep(self, section: CauseSection, broken: str) -> None:
        """The decision with what it rests on, so that it can be replayed, and found again by a later report."""
        why = broken or self.why
        remember_cause(self.session, self.case, section, self.state.doubt.names, self.screening.seqs, why, self.key)

    def caveats(self, section: CauseSection) -> list[str]:
        """What a reader must know besides."""
        said = []
        stage = self.state.named
        if stage is not None and stage.note:
            said.append(f"the words were {stage.note}, which asks for something else; another wording may differ")
        if section.left_out and section.verdict in ("bad_luck", "undecided"):
            said.append("not looked at: " + "; ".join(f"{one.id} ({one.why})" for one in section.left_out))
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


def _leans(claim: Claim) -> bool:
    """Whether a circumstance seems to add failures, by more than a few pairs that differ by chance."""
    return claim.differing >= DIFFERING and (claim.difference.value or 0.0) >= LOOKS_LIKE


def _suspicion(factor: Factor, names: Sequence[str]) -> float:
    """How much likelier than usual a factor is before anything is known."""
    likely = _suspected(factor, names) or factor.place[0] == "wording"  # hedging is a usual cause
    return SUSPECTED if likely else 1.0


def _suspected(factor: Factor, names: Sequence[str]) -> bool:
    return any(factor.id == name or factor.id.startswith(f"{name}.") for name in names)


def _in_order(words: str, text: str) -> str:
    """Those of the words in the order of the text, neighbours together.

    >>> _in_order("Friday next", "Lunch next Friday at noon")
    'next Friday'
    """
    wanted = set(words.replace("…", " ").split())
    out: list[str] = []
    last = -2
    for k, word in enumerate(text.split()):
        if word in wanted:
            out += [word] if k == last + 1 or not out else ["…", word]
            last = k
    return " ".join(out)
