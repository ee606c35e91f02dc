"""Runs of one case under changed circumstances, interleaved in a random order: what differs, judged arm by arm."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace

import numpy as np

from reroll.audit import Claim, Drawn, Source, chance_alike, claims, flips_of
from reroll.case import Case
from reroll.check import overall
from reroll.circumstances import NO_SUCH, at_zero, begun_anew, seeded, with_body
from reroll.errors import ModelError, NotCompleted, RerollError, UsageError
from reroll.looking import said_by
from reroll.models.http_wire import HttpModel
from reroll.models.model import Model
from reroll.models.registry import open_model
from reroll.program import Program, Request, canonical, content_id
from reroll.runner import crashing_check, draw_at, tell
from reroll.runs import Judged, Runs
from reroll.sample import Sample
from reroll.session import Session, Slots, judged, one_a_call, slots, too_dear
from reroll.settings import setting
from reroll.variant import with_part

__all__ = ["ARMS", "Arm", "Arms", "Asked", "arms_of", "run_arms", "serving_arms"]

ARMS = "PJZCLSRV"
BURST = 16
FIRST = 8  # runs of each arm before anything is looked at
FEW = 6  # of one seed: one that differs says it all
STEP = 4  # pairs between two looks
PRODUCTION = 20  # runs as reported, whatever the other arms say: what varies in one of seven shows itself
AT_ZERO = 14  # where it varies as reported: what varies in one of five shows itself
FAR = 48  # pairs: a comparison that would take more is left open
AGAIN = 3  # more judgings of each output
BURSTS = 3
WARM = 2  # throw-away calls
SEED = 20_231


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked: which arms, by their letters; how many calls at once in a burst (None: as many as suit the
    model, 16 at most); and the seed of the order (None: another one each time)."""

    arms: str = ARMS
    burst: int | None = None
    seed: int | None = None


@dataclass(slots=True)
class Arm:
    """One circumstance. `against`: the arm that it differs from in that one thing; None: held against nothing.

    `why_not`: why it was left out, or ended early; then it says nothing beyond its runs.
    """

    id: str
    letter: str
    words: str
    session: Session
    series: str
    request: Request | None = None
    against: str | None = None
    source: Source | None = None
    want: int = FIRST
    why_not: str = ""
    places: list[Slots] = field(default_factory=list)
    runs: list[Runs] = field(default_factory=list)

    def samples(self) -> list[Judged]:
        """In the order drawn."""
        return [one for runs in self.runs for one in runs]

    @property
    def drawn(self) -> Drawn:
        found = self.samples()
        return Drawn(tuple(j.outcome.outcome for j in found), tuple(_said(j.stored.sample) for j in found))

    def __len__(self) -> int:
        return sum(len(runs) for runs in self.runs)


def _said(sample: Sample) -> str | None:
    """What it answered, calls of tools included; None where nothing came back."""
    if sample.completion is None:
        return None
    tools = sample.completion.tool_calls
    return said_by(sample) + (canonical([dict(call) for call in tools]) if tools else "")


@dataclass(slots=True)
class Arms:
    """All arms of an audit, with those left out and why, and what re-judging said of the outputs as reported."""

    case: Case
    session: Session
    arms: dict[str, Arm]
    left_out: dict[str, str]
    burst: int
    key: str
    warm_up: Slots
    judgings: dict[int, list[str]] = field(default_factory=dict)  # by `seq`: the first outcome and those after it
    rejudges: bool = False
    stopped: str = ""
    finished: bool = True

    @property
    def drawn(self) -> dict[str, Drawn]:
        return {id: arm.drawn for id, arm in self.arms.items()}

    @property
    def compared(self) -> list[tuple[str, str, Source]]:
        """Which arms are held against which; the number shares alpha, and no outcome decides it."""
        return [(a.id, a.against, a.source) for a in self.arms.values() if a.against and a.source]

    def claims(self) -> tuple[Claim, ...]:
        """What differs, as far as the runs show by now.

        Calls of one burst share their moment, so that one bad minute of the server would look like load: nothing is
        said of load before there were bursts at `BURSTS` moments.
        """
        found = claims(self.drawn, self.compared, self.session.options.alpha)
        return tuple(replace(c, verdict="undecided") if c.arm == "L" and not self.bursts_enough else c for c in found)

    @property
    def bursts_enough(self) -> bool:
        """Whether there were bursts at as many moments as it takes to speak of load."""
        return len(self.arms["L"]) >= BURSTS * self.burst

    def flips(self) -> tuple[int, float]:
        """Of how many outputs the check said both, and the variance inside one output."""
        return flips_of(list(self.judgings.values()))

    @property
    def calls_at_least(self) -> int:
        """The calls until the first look."""
        return WARM + sum(max(0, arm.want - len(arm)) for arm in self.arms.values())


# ---------------------------------------------------------------- which arms there are


async def arms_of(session: Session, case: Case, asked: Asked, opened: AsyncExitStack) -> Arms:
    """The arms that apply to this case, nothing drawn yet; models of replicas and alternatives are opened, and closed
    by `opened`. An arm that cannot be is left out and said so.

    Raises: UsageError: several completions a call, no checks, a replica that is more than an address and headers.
    """
    one_a_call(session, "an audit holds single runs against each other")
    if not case.checks:
        raise UsageError(f"case `{case.id}` has no checks, so nothing says what a right answer is", slug="no-check")
    program = session.project.program
    ids = session.checker.ids(case, session.judging)
    key = content_id("audit", [program.id, session.model.identity, case.content_id, sorted(ids)])
    width = session.options.concurrency or session.model.concurrency
    burst = min(asked.burst or min(BURST, width), session.options.budget or 1)
    found = Arms(case, session, {}, {}, burst, key, slots(session, case, series=f"{key} warm-up"))
    kind = program.model.partition(":")[0]
    request = program.render(case.input, case.history)
    _add(found, "P", "P", "as reported, one call at a time", session)
    _judging_again(found, asked)
    made = (
        ("Z", at_zero(request), "temperature 0, one call at a time", None, None),
        (
            "C",
            begun_anew(request, "0"),
            "a prompt whose beginning was never seen before (cold cache)",
            "W",
            "cold_cache",
        ),
        ("L", request if kind != "recorded" else NO_SUCH["recorded"], _burst_words(found.burst), "P", "load"),
        ("S", seeded(request, SEED), "one fixed seed, again and again", None, None),
    )
    for id, changed, words, against, source in made:
        if id not in asked.arms:
            continue
        if isinstance(changed, str):
            found.left_out[id] = changed
        elif id == "L" and found.burst < 2:
            found.left_out[id] = "one call at a time is all that may be in flight here"
        else:
            _add(found, id, id, words, session, changed if id in "ZS" else None, against, source)  # type: ignore[arg-type]
        if id == "C" and id in found.arms:
            _add(found, "W", "C", "the very same prompts a second time (warm cache)", session)
    if "L" in found.arms:
        found.arms["L"].want = found.burst * -(-FIRST // found.burst)
    if "S" in found.arms:
        found.arms["S"].want = FEW
    if "R" in asked.arms:
        await _replicas(found, opened)
    if "V" in asked.arms:
        await _alternatives(found, request, opened)
    for arm in found.arms.values():
        _refresh(found, arm)
    return found


def _burst_words(burst: int) -> str:
    return f"as reported, {burst} calls at the same time"


def _add(
    found: Arms,
    id: str,
    letter: str,
    words: str,
    session: Session,
    request: Request | None = None,
    against: str | None = None,
    source: Source | None = None,
    **changes: object,
) -> None:
    """One more arm. Its draws are no runs of the case as reported: they have a series and a variant of their own."""
    width = found.burst if id == "L" else 1
    options = replace(session.options, seed=None, horizon=None, concurrency=width)
    own = found.session.like(options=options, variant=f"audit {id}", since=0, **changes)
    found.arms[id] = Arm(id, letter, words, own, f"{found.key} {id}", request, against, source)


def _judging_again(found: Arms, asked: Asked) -> None:
    kinds = {inner.kind for check in found.case.checks for inner in check.walk()}
    if "J" not in asked.arms:
        return
    if "person" in kinds:
        found.left_out["J"] = "a person judges this case, and is not asked the same again"
    elif not kinds & {"python", "judge"}:
        found.left_out["J"] = "its checks are fixed rules, which always say the same of the same answer"
    else:
        found.rejudges = True


async def _replicas(found: Arms, opened: AsyncExitStack) -> None:
    program = found.session.project.program
    if not program.replicas:
        found.left_out["R"] = "the program lists no `replicas`"
        return
    for name, said in program.replicas.items():
        headers, base_url = said.get("headers", {}), said.get("base_url", program.base_url)
        strange = set(said) - {"base_url", "headers"}
        plain = isinstance(headers, Mapping) and all(isinstance(v, str) for v in headers.values())
        if strange or not said or not plain or not isinstance(base_url, str | None):
            raise UsageError(
                f"replica `{name}` has {', '.join(sorted(strange or said)) or 'nothing'}; it can be a `base_url`, and "
                "`headers` that are texts",
                slug="replicas",
            )
        arm = f"R:{name}"
        try:
            model = _open(program.model, base_url, found.session)
        except RerollError as error:
            found.left_out[arm] = str(error)
            continue
        if headers:
            if not isinstance(model, HttpModel):
                await model.close()
                found.left_out[arm] = "headers can only be sent to a model at an address"
                continue
            model.more_headers = {str(k): v for k, v in headers.items()}
            model.identity += f"#{name}"
        await _reachable(found, arm, f"replica {name}, one call at a time", model, None, "replica", opened)


async def _alternatives(found: Arms, request: Request, opened: AsyncExitStack) -> None:
    session, case = found.session, found.case
    program = session.project.program
    listed = [(part, value) for part, values in program.alternatives.items() for value in values]
    listed = [(part, value) for part, value in listed if part == "model" or part.startswith("params.")]
    if not listed:
        found.left_out["V"] = "the program lists no `alternatives` for the model or its parameters"
    for part, value in listed:
        arm = f"{part}={value}"
        try:
            changed = with_part(program, part, _same_kind(program, value) if part == "model" else value)
            made = changed.render(case.input, case.history)
            if made.id("") == request.id("") and changed.model == program.model:
                continue  # it is what the program says anyway
            if part != "model":
                _add(found, arm, "V", f"with {arm}, one call at a time", session, made, "P", "parameter")
                continue
            if made.raw is not None and "model" in made.body:
                made = with_body(made, {**made.body, "model": changed.model.partition(":")[2]})
            model = _open(changed.model, changed.base_url, session)
        except RerollError as error:
            found.left_out[arm] = str(error)
            continue
        await _reachable(found, arm, f"model {changed.model}, one call at a time", model, made, "model", opened)


def _same_kind(program: Program, value: object) -> object:
    """A bare name is another model of the same kind."""
    kind, colon, _ = program.model.partition(":")
    return f"{kind}:{value}" if isinstance(value, str) and colon and ":" not in value and value != "bundled" else value


def _open(ref: str, base_url: str | None, session: Session) -> Model:
    folder = session.project.path
    return open_model(ref, base_url=base_url, project=folder, timeout=setting("timeout"), tries=setting("tries"))


async def _reachable(
    found: Arms, arm: str, words: str, model: Model, request: Request | None, source: Source, opened: AsyncExitStack
) -> None:
    opened.push_async_callback(model.close)
    try:
        await model.check()
    except RerollError as error:
        found.left_out[arm] = str(error)
        return
    _add(found, arm, arm[0] if source == "replica" else "V", words, found.session, request, "P", source, model=model)


# ---------------------------------------------------------------- drawing


async def run_arms(found: Arms, rng: np.random.Generator, enough: Callable[[Arms], bool] = lambda arms: False) -> None:
    """Draw until every comparison is shown or not worth more, `enough` says so, or the budget, the time or a person
    ends it; what is stored goes on counting.

    All arms take turns in blocks of a few runs, in a random order inside each, so that what drifts meets all alike;
    only a burst has calls in flight together.

    Raises: ModelError where the model as reported never answers.
    """
    try:
        if await _warmed_up(found):
            while todo := _block(found, rng):
                for id in todo:
                    if not await _one(found, id, rng):
                        return
                _judge_again(found)
                if not _lacking(found):
                    if enough(found):
                        found.stopped = "the check alone explains most of it"
                        return
                    _go_on(found)
    except NotCompleted as error:
        found.stopped, found.finished = str(error), False
    finally:
        for arm in found.arms.values():
            _refresh(found, arm, anew=True)
        _judge_again(found)


async def serving_arms(
    session: Session, case: Case, asked: Asked, opened: AsyncExitStack, rng: np.random.Generator
) -> Arms:
    """Only the circumstances of serving: as reported, cold, in a burst, at each replica and with each other model."""
    found = await arms_of(session, case, replace(asked, arms="PCLRV"), opened)
    await run_arms(found, rng)
    return found


def _lacking(found: Arms) -> dict[str, int]:
    return {a.id: a.want - len(a) for a in found.arms.values() if not a.why_not and len(a) < a.want}


def _block(found: Arms, rng: np.random.Generator) -> list[str]:
    """The next few draws of every arm that lacks some, by id, in a random order; a burst is one of them."""
    todo = []
    for id, lacks in _lacking(found).items():
        todo += [id] * (1 if id == "L" else min(STEP, lacks))
    return [todo[i] for i in rng.permutation(len(todo))]


async def _warmed_up(found: Arms) -> bool:
    """Whether a few calls that count for nothing went through, or none are needed any more."""
    if not _lacking(found):
        _judge_again(found)
        _go_on(found)
    if not _lacking(found):
        return False
    first = found.arms["P"]
    if found.session.project.program.model.startswith("recorded:"):
        return True
    if not _allowed(found, WARM + 1):
        return False
    await draw_at(found.session.like(options=first.session.options, variant="audit warm-up"), [(found.warm_up, WARM)])
    return not found.session.stopped or _allowed(found, 0)


def _allowed(found: Arms, calls: int) -> bool:
    """Whether so many more calls may be made; if not, why is written down."""
    session = found.session
    if session.stopped:
        found.stopped, found.finished = "stopped; the same command goes on from here", False
    elif session.left < calls:
        found.stopped = f"the budget of {session.options.budget:,} calls is used"
    elif too_dear(session):
        found.stopped = "the limit on money is reached"
    elif session.spent.out_of_time():
        found.stopped, found.finished = "the time is up; the same command goes on from here", False
    else:
        return True
    return False


async def _one(found: Arms, id: str, rng: np.random.Generator) -> bool:
    """One draw of this arm, or one burst; False: nothing more may be drawn."""
    arm = found.arms[id]
    if arm.why_not:
        return True
    if id in "CW":
        cold, warm = found.arms["C"], found.arms["W"]
        waiting = len(cold) > len(warm)
        may_begin = len(cold) < cold.want
        arm = warm if waiting and (not may_begin or rng.random() < 0.5) else cold
    each = found.burst if arm.id == "L" else 1
    if not _allowed(found, each):
        return False
    try:
        await draw_at(arm.session, [(_place(found, arm), each)])
    except ModelError as error:  # NotCompleted is none: it ends the audit where what is reported went away
        if arm.id == "P":
            raise
        _leave(found, arm, str(error))
    except NotCompleted as error:
        if arm.letter not in "RV":
            raise
        _leave(found, arm, str(error))
    _refresh(found, arm)
    if arm.id == "P":
        crashing_check(found.case, arm.runs[0])
    if found.session.stopped:
        return _allowed(found, 0)
    if arm.id == "P":  # whose rate the live line shows
        _tell(found)
    if arm.id == "P" and arm.session.exhausted:
        found.stopped = "the recording is at its end"
        return False
    return True


def _leave(found: Arms, arm: Arm, why: str) -> None:
    for one in (found.arms["C"], found.arms["W"]) if arm.id in "CW" else (arm,):
        one.why_not = found.left_out[one.id] = why


def _place(found: Arms, arm: Arm) -> Slots:
    """Where the next draw of this arm goes: for a cold prompt a new one, for a warm one the oldest not repeated yet."""
    if arm.id == "C":
        arm.places.append(_begun(found, arm, len(arm.places)))
        return arm.places[-1]
    if arm.id == "W":
        cold = found.arms["C"]
        done = len(arm.places)
        settled = [at for at, runs in zip(cold.places, cold.runs, strict=True) if len(runs)]
        at = settled[done]
        arm.places.append(slots(arm.session, found.case, series=arm.series, request=at.request))
        judged(arm.session, arm.places[-1])
        return arm.places[-1]
    return arm.places[0]


def _begun(found: Arms, arm: Arm, k: int) -> Slots:
    """The place of the k-th prompt that begins anew. Its number is of this very audit: another one begins cold too."""
    program = found.session.project.program
    nonce = hashlib.blake2b(f"{_salt(found)} {k}".encode(), digest_size=8).hexdigest()
    request = begun_anew(program.render(found.case.input, found.case.history), nonce)
    assert isinstance(request, Request)
    at = slots(arm.session, found.case, series=arm.series, request=request)
    judged(arm.session, at)  # the checks are known before the first draw
    return at


def _salt(found: Arms) -> str:
    """What no other audit has: when its warm-up was first answered. Empty before that."""
    at, store = found.warm_up, found.session.store
    times = [one.settled for one in store.samples(request_id=at.request_id, series=at.series)]
    return f"{at.series} {min(times)!r}" if times else ""


def _refresh(found: Arms, arm: Arm, *, anew: bool = False) -> None:
    """Read what is stored by now; `anew`: whole, since an outage may have taken back what was read before."""
    if arm.id == "C" and not arm.places and _salt(found):
        for k in range(10_000):
            at = _begun(found, arm, k)
            if not arm.session.store.reserved(at.request_id, at.series):
                break
            arm.places.append(at)
    if arm.id == "W" and not arm.places:
        for at in found.arms["C"].places:
            warm = slots(arm.session, found.case, series=arm.series, request=at.request)
            if arm.session.store.reserved(warm.request_id, warm.series):
                arm.places.append(warm)
    if arm.id not in "CW" and not arm.places:
        arm.places = [slots(arm.session, found.case, series=arm.series, request=arm.request)]
    known = [] if anew else arm.runs
    arm.runs = [judged(arm.session, at, known[i] if i < len(known) else None) for i, at in enumerate(arm.places)]


def _judge_again(found: Arms) -> None:
    """Judge each stored output as reported a few more times by the same check."""
    if not found.rejudges:
        return
    judge = found.session.checker.judging(found.case, found.session.judging)
    for one in found.arms["P"].samples():
        if one.stored.seq not in found.judgings and one.stored.sample.completion is not None:
            again = [overall(judge(one.stored.sample)).outcome for _ in range(AGAIN)]
            found.judgings[one.stored.seq] = [one.outcome.outcome, *again]


# ---------------------------------------------------------------- when to go on


def _go_on(found: Arms) -> None:
    """Want more of arms whose comparison is open and near enough, and of the runs as reported, to see small rates."""
    drawn = found.drawn
    production = drawn["P"]
    most = 0
    for claim in found.claims():
        arm = found.arms[claim.arm]
        far = not _worth_more(claim)
        if arm.why_not or claim.shown or (far and not (claim.arm == "L" and _early(found, claim))):
            continue
        step = found.burst if claim.arm == "L" else STEP
        arm.want = len(arm) + step
        if claim.against == "P":
            most = max(most, arm.want)
        else:
            found.arms[claim.against].want = arm.want
    zero = found.arms.get("Z")
    if zero and production.varies and not drawn["Z"].varies and chance_alike(production, drawn["Z"]) > 0.001:
        zero.want = max(zero.want, min(AT_ZERO, len(zero) + STEP))
    found.arms["P"].want = max(most, min(PRODUCTION, len(found.arms["P"]) + STEP), len(found.arms["P"]))


def _early(found: Arms, claim: Claim) -> bool:
    """Whether load already looks as if it mattered, and only too few bursts stand behind it."""
    return not found.bursts_enough and claim.pairs_needed == 0


def _worth_more(claim: Claim) -> bool:
    """Whether the forecast ends in sight; the first few pairs that differ get the benefit of the doubt."""
    if claim.pairs >= FAR or not claim.differing:
        return False
    near = claim.pairs_needed is not None and claim.pairs + claim.pairs_needed <= FAR + FIRST
    return near or (claim.pairs < FIRST + STEP and claim.verdict == "undecided")


def _tell(found: Arms) -> None:
    session, seen = found.session, found.arms["P"].drawn.evidence
    open_now = sum(1 for arm in found.arms.values() if len(arm) < arm.want and not arm.why_not)
    tell(session, found.case.id, seen, f"where does it vary? {open_now} open", session.options.budget)
