"""The circumstances that a case can be run under, each with the place of its draws; those left out with the reason."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace

from reroll.audit import Claim, Drawn, Source, by_turns, claims, flips_of
from reroll.case import Case
from reroll.circumstances import NO_SUCH, at_zero, begun_anew, seeded, with_body
from reroll.errors import RerollError, UsageError
from reroll.looking import said_by
from reroll.models.http_wire import HttpModel
from reroll.models.model import Model
from reroll.models.registry import open_model
from reroll.models.stepped import around
from reroll.program import Request, canonical, content_id, same_kind
from reroll.runs import Judged, Runs
from reroll.sample import Sample
from reroll.session import Session, Slots, judged, one_a_call, slots
from reroll.settings import setting
from reroll.variant import with_part

__all__ = ["ARMS", "BURST", "FIRST", "OTHERS", "WARM", "Arm", "Arms", "Asked", "arms_of", "begun_at", "refresh"]

ARMS = "PJZCLSRV"
BURST = 16
FIRST = 8  # runs of each arm before anything is looked at
FEW = 6  # of one seed: one that differs says it all
BURSTS = 3  # moments
WARM = 2  # throw-away calls
SEED = 20_231
OTHERS = "others"  # what each of several replicas is held against: all other servers by turns, the one as reported too


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked: which arms, by their letters; how many calls at once in a burst (None: as many as suit the
    model, 16 at most); and the seed of the order (None: another one each time)."""

    arms: str = ARMS
    burst: int | None = None
    seed: int | None = None


@dataclass(slots=True)
class Arm:
    """One circumstance. `against`: the arm that it differs from in that one thing, or `OTHERS`; None: held against
    nothing.

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
    begun_with: int = 0  # runs that were stored before
    silent: list[list[str]] = field(default_factory=list)  # the reported model's last calls in a row that brought none
    got_through: bool = False  # whether any call of the reported model brought a completion
    stopped: str = ""
    finished: bool = True

    @property
    def drawn(self) -> dict[str, Drawn]:
        return {id: arm.drawn for id, arm in self.arms.items()}

    def held_against(self, arm: Arm) -> list[Arm]:
        """What this arm is held against: one arm, none, or all other servers, as far as they answer.

        Where calls go to all servers by turns, what is as reported is half of each, and would hide half of how they
        differ.
        """
        if arm.against != OTHERS:
            return [self.arms[arm.against]] if arm.against else []
        servers = [one for one in self.arms.values() if one.letter in "PR" and not one.why_not]
        return [one for one in servers if one is not arm]

    def claims(self) -> tuple[Claim, ...]:
        """What differs, as far as the runs show by now.

        Calls of one burst share their moment, so that one bad minute of the server would look like load: nothing is
        said of load before there were bursts at `BURSTS` moments.
        """
        drawn, compared = self.drawn, []
        for arm in self.arms.values():  # the number shares alpha, and no outcome decides it
            if arm.against and arm.source:
                against = f"against {arm.id}"
                drawn[against] = by_turns([drawn[other.id] for other in self.held_against(arm)])
                compared.append((arm.id, against, arm.source))
        found = [
            replace(claim, against=str(self.arms[claim.arm].against))
            for claim in claims(drawn, compared, self.session.options.alpha)
        ]
        return tuple(replace(c, verdict="undecided") if c.arm == "L" and not self.bursts_enough else c for c in found)

    @property
    def bursts_enough(self) -> bool:
        """Whether there were bursts at as many moments as it takes to speak of load."""
        return len(self.arms["L"]) >= BURSTS * self.burst

    def flips(self) -> tuple[int, float]:
        """Of how many outputs the check said both, and the variance inside one output."""
        return flips_of(list(self.judgings.values()))

    @property
    def room(self) -> int:
        """The calls that the budget leaves, as if those that were stored before had been made now."""
        return max(0, self.session.left - self.begun_with)

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
        refresh(found, arm)
    found.begun_with = sum(len(arm) for arm in found.arms.values())
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
    replicas = [one for one in found.arms.values() if one.letter == "R"]
    for one in replicas if len(replicas) > 1 else ():
        one.against = OTHERS


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
            changed = with_part(
                program, part, same_kind(program, value) if part == "model" and isinstance(value, str) else value
            )
            made = changed.render(case.input, case.history)
            if made.id("") == request.id("") and changed.model == program.model:
                continue  # it is what the program says anyway
            other = {"project": replace(session.project, program=changed), "yardstick": session.judging}
            session.store.put_program(changed)
            if part != "model":
                _add(found, arm, "V", f"with {arm}, one call at a time", session, made, "P", "parameter", **other)
                continue
            if made.raw is not None and "model" in made.body:
                made = with_body(made, {**made.body, "model": changed.model.partition(":")[2]})
            model = _open(changed.model, changed.base_url, session)
        except RerollError as error:
            found.left_out[arm] = str(error)
            continue
        words = f"model {changed.model}, one call at a time"
        await _reachable(found, arm, words, model, made, "model", opened, **other)


def _open(ref: str, base_url: str | None, session: Session) -> Model:
    folder = session.project.path
    return open_model(ref, base_url=base_url, project=folder, timeout=setting("timeout"), tries=setting("tries"))


async def _reachable(
    found: Arms,
    arm: str,
    words: str,
    model: Model,
    request: Request | None,
    source: Source,
    opened: AsyncExitStack,
    **changes: object,
) -> None:
    opened.push_async_callback(model.close)
    try:
        model = around(model, found.session.project.program, found.session.checker)
        await model.check()
    except RerollError as error:
        found.left_out[arm] = str(error)
        return
    _add(
        found,
        arm,
        arm[0] if source == "replica" else "V",
        words,
        found.session,
        request,
        "P",
        source,
        model=model,
        **changes,
    )


# ---------------------------------------------------------------- where draws go


def begun_at(found: Arms, arm: Arm, k: int) -> Slots:
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


def refresh(found: Arms, arm: Arm, *, anew: bool = False) -> None:
    """Read what is stored by now; `anew`: whole, since an outage may have taken back what was read before."""
    if arm.id == "C" and not arm.places and _salt(found):
        for k in range(10_000):
            at = begun_at(found, arm, k)
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
