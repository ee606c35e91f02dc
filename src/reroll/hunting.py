"""The steps of an inquiry into a cause, in their order: the check first, then the parts, then the request's words."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

from reroll.arms import WARM, Arms, arms_of
from reroll.arms import Asked as AskedArms
from reroll.audit import Claim, leans
from reroll.auditing import run_arms
from reroll.cause import CheckDoubt, never_asked
from reroll.caused import Stage, served, verdict_of
from reroll.doubting import doubt_about
from reroll.errors import ModelError, NotCompleted
from reroll.factor import Factor, Level
from reroll.factors import inside
from reroll.hunt import Hunt, suspected
from reroll.inquiry import Found, Inquiry
from reroll.models.local import LocalModel
from reroll.models.model import bare
from reroll.opposing import (
    GIVES_UP,
    GOES_ON,
    GROUP_EARLY,
    GROUP_LAST,
    GROUP_LEANS,
    GROUP_MOST,
    LIKELY,
    OPEN,
    Opposed,
    group_first,
    leaning_groups,
)
from reroll.remembering import known_map, remember_map, remembered
from reroll.runner import crashing_check, draw_at, draw_more
from reroll.runs import Runs
from reroll.session import judged, slots

__all__ = ["hunt_down"]

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
MORE_SERVED = 60  # and so many more at a time, while one of them leans much
LEAST_SERVED = 30  # calls without which the circumstances are not looked at
PLACES = {"C": "cold_cache", "L": "load", "R": "replica"}
ALIKE = 130  # calls that holding the case against one look-alike may take
LOOKALIKES = 2
MOST_BASE = 400  # earlier runs that are looked at


async def hunt_down(hunt: Hunt) -> None:
    """Go until the cause is shown, or nothing is left to ask; what was found is in the hunt. Raises: NotCompleted."""
    session, case, state = hunt.session, hunt.case, hunt.state
    session.store.put_program(session.project.program)
    session.store.put_case(case)
    await _first_runs(hunt)
    if state.doubt.by is not None:
        hunt.why = "the check itself is at fault"
        return
    state.known = remembered(session, case, hunt.parts, state.doubt.names)
    named = bool(session.project.program.replicas)  # whoever lists replicas has a reason to
    hunt.circumstance |= named or any(name.startswith("serving") for name in hunt.asked.suspects)
    if hunt.circumstance and await _served(hunt):
        return
    await _reach_models(hunt)
    await _sound_controls(hunt)
    main, inquiry = await _screen_parts(hunt)
    if main.verdict == "systematic":
        await _narrow(hunt)
    if hunt.state.named is not None:
        return
    if main.verdict != "not_reproduced" and await _look_alikes(hunt):
        return
    if not hunt.circumstance and await _served(hunt):
        return
    if main.verdict != "not_reproduced":
        await _own_phrases(hunt, main)
    if verdict_of(state) == "undecided" and not state.every:
        await _groups_again(hunt, inquiry)


async def _first_runs(hunt: Hunt) -> None:
    """Runs as reported, those of earlier commands included, and what they say of the check."""
    session, case, state = hunt.session, hunt.case, hunt.state
    at = slots(session, case)
    runs = session.runs(case)
    session.spent.reused += len(runs) if hunt.asked.alone else 0
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
        hunt.circumstance = crowded - alone_failed >= CROWD or crowded + alone_failed == 0 or cold
    state.doubt = _doubt(hunt, runs)
    # A check that changed its mind about few failing runs: more of them say whether it does so about most.
    while state.doubt.takes_turns and len(runs) < MOST_FIRST and session.left > 0 and not session.stopped:
        before = len(runs)
        await draw_more(session, [at], min(FIRST // 2, session.left))
        runs = session.runs(case)
        if len(runs) == before:
            break
        state.doubt = _doubt(hunt, runs)
    checks = dict(zip(case.check_names(), case.checks, strict=True))
    request = session.project.program.render(case.input, case.history)
    state.unasked = never_asked(request, [checks[name] for name in state.doubt.names])


def _doubt(hunt: Hunt, runs: Runs) -> CheckDoubt:
    """What the failing ones among the newest runs say of the check; those runs are what the inquiry begins with."""
    newest = runs[max(0, len(runs) - MOST_BASE) :]
    hunt.state.base = [run.outcome.outcome for run in newest]
    hunt.screening.seqs.update(run.stored.seq for run in newest)
    return doubt_about(hunt.session, hunt.case, newest, ask=hunt.asked.alone)


async def _reach_models(hunt: Hunt) -> None:
    """Leave out the other models where one of them cannot be asked: that says nothing of this one."""
    for model, session in hunt.screening.sessions.items():
        if session is hunt.session or hunt.left() < 1:
            continue
        at = slots(session, hunt.case, series=f"{hunt.key} reach")
        if len(judged(session, at)):
            continue
        try:
            await draw_at(session, [(at, 1)])
        except (ModelError, NotCompleted) as error:
            hunt.parts = tuple(f for f in hunt.parts if f.id != "model")
            hunt.screening.factors = hunt.parts
            hunt.state.left_out += (("model", f"{model} cannot be asked: {error}"),)
            return


async def _sound_controls(hunt: Hunt) -> None:
    """Leave out control cases that do not work as reported: they could not tell which parts must stay."""
    session, sound = hunt.session, []
    chosen = hunt.controls[:CONTROLS]
    at = [slots(session, case, control=True) for case in chosen]
    lacking = [(place, 1) for place in at if not len(judged(session, place))]
    if lacking and hunt.left() > len(lacking) and not session.stopped:
        await draw_at(session, lacking)
    for case, place in zip(chosen, at, strict=True):
        words = judged(session, place).words()
        if len(words) and 2 * sum(word == "pass" for word in words) > len(words):
            sound.append(case)
    hunt.unsound = tuple(case.id for case in chosen if case not in sound)
    hunt.controls = hunt.screening.controls = sound


async def _screen_parts(hunt: Hunt) -> tuple[Found, Inquiry]:
    """The inquiry into all parts, and what it found; begun anew where one way of neutral makes it fail by itself."""
    screening, state = hunt.screening, hunt.state

    most, paid = hunt.allow(), hunt.session.spent.samples
    before, bland = 0, None

    def budget() -> int:
        # Until it makes a call that is not stored it has what it had when it found a cause, and finds that again.
        return (most if hunt.session.spent.samples > paid else hunt.allowed) - before - hunt.opposed

    def something_else() -> bool:
        inquiry.budget = max(inquiry.budget, budget())
        return bool(_first(hunt, inquiry, before))

    async def screen() -> Found:
        found = await screening.run(inquiry, bland=bland, until=something_else)
        state.base += screening.as_reported
        screening.as_reported = []
        return found

    inquiry = _parts_inquiry(hunt, budget())
    state.spent["parts"] = PARTS
    found = await screen()
    while screening.finished and not inquiry.done and not hunt.session.stopped:
        opposed = hunt.opposed
        if bland is None and screening.worse_way is not None:
            bland, before = not screening.worse_way, inquiry.asked
            inquiry = _parts_inquiry(hunt, budget())
            state.spent["parts again"] = PARTS
        elif (ask_first := _first(hunt, inquiry, before)) and await ask_first():
            break
        inquiry.cede(hunt.opposed - opposed)
        found = await screen()
    if found.verdict in ("undecided", "nothing") and state.named is None and screening.finished:
        await _groups(hunt, inquiry, GROUP_LEANS)
    state.stages.insert(0, Stage(hunt.parts, found))
    hunt.why, hunt.finished = hunt.why if state.named else found.why, screening.finished
    if inquiry.mapped is not None:
        remember_map(hunt.session, hunt.parts, inquiry.mapped, hunt.key)
    return found, inquiry


def _first(hunt: Hunt, inquiry: Inquiry, before: int) -> Callable[[], Awaitable[bool]] | None:
    """What comes before the screen goes on, where no few parts look likely: look-alikes, once no more calls are left
    than they may take, or many parts of one kind that lean much. before: calls of an inquiry that was begun anew."""
    if inquiry.trying or inquiry.likeliest >= LIKELY:
        return None
    # By what the screen asked, not by what was paid: the same command again finds the same calls.
    kept = min(ALIKE, hunt.allowed // 2)
    if hunt.lookalikes and not hunt.alike and before + inquiry.asked + hunt.opposed >= hunt.allowed - kept:
        return lambda: _look_alikes(hunt)
    if not hunt.grouped and group_first(hunt.parts, inquiry):
        return lambda: _groups(hunt, inquiry, GROUP_EARLY)
    return None


def _parts_inquiry(hunt: Hunt, most: int) -> Inquiry:
    prior = [_suspicion(f, hunt.asked.suspects) for f in hunt.parts]
    for known in hunt.state.known:
        for k in known.factors:
            prior[k] = REMEMBERED
    known_pins = known_map(hunt.session, hunt.parts, hunt.key)
    controls = bool(hunt.controls)
    return hunt.inquiry("parts", hunt.parts, PARTS, most=most, prior=prior, pins=known_pins, controls=controls)


async def _narrow(hunt: Hunt) -> None:
    """The words inside each part that was named, where it has several, as far as the budget goes."""
    stage = hunt.state.named
    assert stage is not None
    if stage.found.logic == "or":  # the one would go on failing while the other is looked into
        return
    program, case = hunt.session.project.program, hunt.case
    for k, _ in stage.found.factors[:2]:
        factor = stage.factors[k]
        if not factor.members and len(factor.words.split()) <= SHORT:  # it is quoted whole
            continue
        parts = inside(program, case.input, case.history, factor)
        found = await hunt.smaller(f"words {k}", parts, INSIDE, WORDS) if len(parts) > 1 else None
        hunt.state.spent[f"words {k}"] = INSIDE
        if found is not None and found.verdict == "systematic" and factor.members and len(stage.found.factors) == 1:
            hunt.state.stages.append(Stage(parts, found))
        elif found is not None and found.verdict == "systematic":
            hunt.state.words[factor.id] = " … ".join(parts[i].words for i in sorted(i for i, _ in found.factors))


async def _served(hunt: Hunt) -> bool:
    """Whether it is how the case is served that carries the failure: the load, a cold cache, a replica."""
    session, state = hunt.session, hunt.state
    if hunt.left() < LEAST_SERVED or session.stopped:
        state.unlooked = True
        return False
    program = session.project.program
    burst = min(session.model.concurrency, BURST) if isinstance(bare(session.model), LocalModel) else BURST
    most = min(hunt.left(), SERVED + EACH * len(program.replicas))
    options = replace(
        session.options,
        alpha=SERVING * session.options.alpha,
        budget=session.spent.samples + most,
        concurrency=max(burst, session.options.concurrency or 1),
    )
    async with AsyncExitStack() as opened:
        arms = await arms_of(session.like(options=options), hunt.case, AskedArms("PCLR", burst), opened)
        _as_before(hunt, arms, most)
        await run_arms(arms, hunt.rng("served"))
        claims = arms.claims()
        while calls := _more_served(hunt, arms, claims):
            before = session.spent.samples
            _may_spend(arms, calls)
            await run_arms(arms, hunt.rng(f"served {before}"))
            claims = arms.claims()
            if session.spent.samples == before:
                break
        shown = _faults(claims)
    state.spent["serving"] = SERVING
    state.left_out += tuple((f"serving.{PLACES[id]}", why) for id, why in arms.left_out.items() if id in PLACES)
    hunt.screening.seqs.update(one.stored.seq for arm in arms.arms.values() for one in arm.samples())
    if shown:
        # Where one server is bad the others look good beside it: the bad one is what carries the failure.
        worst = max(shown, key=lambda claim: (claim.verdict == "worse", abs(claim.difference.value or 0.0)))
        state.serving = (served(worst, arms.arms[worst.arm].words),)
        hunt.why = "fresh runs under changed circumstances show where it fails"
    else:
        hunt.finished = hunt.finished and arms.finished
        state.unlooked |= not arms.finished or session.stopped
        # What looks like a difference, and is not shown, stays open.
        state.open += tuple(served(c, "").id for c in claims if _looks_open(c))
        state.unlooked |= any(len(arm) < FIRST for arm in arms.arms.values() if arm.letter == "R")
    return bool(shown)


def _to_blame(claims: Sequence[Claim]) -> list[Claim]:
    """Those that may carry failures: that it works better in a crowd, or cold, does not."""
    return [claim for claim in claims if (claim.difference.value or 0.0) > 0 or claim.source == "replica"]


def _faults(claims: Sequence[Claim]) -> list[Claim]:
    """Circumstances that were shown to carry failures."""
    return [claim for claim in _to_blame(claims) if claim.shown]


def _more_served(hunt: Hunt, arms: Arms, claims: Sequence[Claim]) -> int:
    """Calls that go on into the circumstances: some of those left, where none is shown and one leans too much to speak
    of chance."""
    if not arms.finished or hunt.session.stopped or hunt.left() < LEAST_SERVED or _faults(claims):
        return 0
    return min(hunt.left(), MORE_SERVED) if any(leans(claim) >= OPEN for claim in _to_blame(claims)) else 0


def _may_spend(arms: Arms, calls: int) -> None:
    """Let the circumstances have so many calls from now on."""
    budget = arms.session.spent.samples + calls
    arms.session = arms.session.like(options=replace(arms.session.options, budget=budget))


def _as_before(hunt: Hunt, arms: Arms, most: int) -> None:
    """Let what earlier commands drew here count, so that the same command again ends where it ended: there fewer
    calls were left than a burst takes."""
    if not arms.begun_with:
        return
    left = most - arms.begun_with - WARM
    _may_spend(arms, left if left >= arms.burst else 0)
    arms.begun_with = 0


async def _look_alikes(hunt: Hunt) -> bool:
    """Whether words of the case carry the failure: a request that the project calls like it, and says it otherwise,
    fails less often by its own checks. The one with the fewest other words comes first, and the first that is shown
    is enough."""
    for other in sorted(hunt.lookalikes, key=lambda other: len(hunt.differing(other)))[:LOOKALIKES]:
        words = _in_order(hunt.differing(other), hunt.said(hunt.case))
        factor = Factor("user.1", "user", words, ("lookalike", other.id), (Level("value", other.id),), shared=False)
        opposed = hunt.alike.setdefault(other.id, hunt.opposing(factor, f"like {other.id}", OWN / (LOOKALIKES + 1)))
        if opposed.hopeless:
            continue
        found = await hunt.held_against(opposed, ALIKE)
        if opposed.pairs:
            hunt.state.spent["own"] = OWN
        if found is not None:
            hunt.state.words["user.1"] = words
            hunt.state.stages.append(Stage((factor,), found, f"held against the case `{other.id}`"))
            hunt.why = "fresh pairs of runs show which words carry it"
            return True
    return False


async def _groups(hunt: Hunt, inquiry: Inquiry, least: float) -> bool:
    """Whether many parts of one kind carry it together, of which no few were found to: pairs of runs, as reported
    and without all of them."""
    for group in leaning_groups(hunt.parts, inquiry, least, len(TOGETHER)):
        if group.id in hunt.grouped or len(hunt.grouped) == len(TOGETHER):
            continue
        opposed = hunt.grouped[group.id] = hunt.opposing(group, f"all {group.id}", TOGETHER[len(hunt.grouped)])
        if await _together(hunt, opposed, GROUP_MOST, GIVES_UP):
            return True
        if hunt.session.stopped:
            break
    return False


async def _groups_again(hunt: Hunt, inquiry: Inquiry) -> None:
    """Go on with the pairs that were given up while few parts might yet carry it, what leaned most first: nothing else
    is asked with the calls that are left."""
    for opposed in sorted(hunt.grouped.values(), key=lambda opposed: -opposed.lean):
        if hunt.session.stopped or await _together(hunt, opposed, None, GOES_ON):
            return
    await _groups(hunt, inquiry, GROUP_LAST)


async def _together(hunt: Hunt, opposed: Opposed, most: int | None, gives_up: Sequence[tuple[int, float]]) -> bool:
    """Whether pairs of runs show that these parts carry it together. most: calls (None: all that are left)."""
    group = tuple(opposed.screening.factors)
    found = await hunt.held_against(opposed, most, gives_up)
    if opposed.pairs:
        hunt.state.spent[f"together {group[0].id}"] = opposed.share
    if found is not None:
        hunt.state.stages.append(Stage(group, found))
        hunt.why = "fresh pairs of runs, as reported and without it, show what carries it"
    return found is not None


async def _own_phrases(hunt: Hunt, main: Found) -> None:
    """The phrases of a short request whose sentences must stay: where one could be missed, so could its phrases."""
    clear = {hunt.parts[k].place for k in main.cleared}
    phrases = tuple(f for f in hunt.phrases if f.place not in clear)
    if phrases:
        found = await hunt.smaller("phrases", phrases, OWN / (LOOKALIKES + 1), WORDS)
        hunt.state.unlooked |= found is None
        if found is not None:
            hunt.state.spent["own"] = OWN
            hunt.state.stages.append(Stage(phrases, found))


def _looks_open(claim: Claim) -> bool:
    """Whether a circumstance seems to add failures, by more than a few pairs that differ by chance."""
    more = claim.difference.value or 0.0
    return claim.differing >= DIFFERING and (more >= LOOKS_LIKE or (more > 0 and leans(claim) >= OPEN))


def _suspicion(factor: Factor, names: Sequence[str]) -> float:
    """How much likelier than usual a factor is before anything is known."""
    likely = suspected(factor, names) or factor.place[0] == "wording"  # hedging is a usual cause
    return SUSPECTED if likely else 1.0


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
