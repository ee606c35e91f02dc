"""All that any screen shows about a report, as one value. The sentences are made in words.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from reroll.evidence import Est
from reroll.outcomes import Outcomes

__all__ = [
    "Answer",
    "CaseRate",
    "CauseSection",
    "Certified",
    "CertifySection",
    "CheckClaim",
    "Comparison",
    "Cost",
    "DudSection",
    "Hunch",
    "LeftOut",
    "LikeReport",
    "LuckSection",
    "NamedFactor",
    "NotExamined",
    "OtherToken",
    "OutcomeWord",
    "Pair",
    "Price",
    "ProgressEvent",
    "Rate",
    "Reading",
    "Reference",
    "ShownSample",
    "VariantRate",
    "to_json",
]

OutcomeWord = Literal["pass", "fail", "invalid"]


@dataclass(frozen=True, slots=True)
class Rate:
    """A failure rate. `n` counts every settled sample, `invalid` those that nobody could judge;
    `low` takes each invalid as a pass, `high` as a failure. In an answer the interval is what runs and verdicts leave
    together; it is wrong with chance `alpha` at most, those of the verdicts that narrowed it included."""

    failures: int
    n: int
    invalid: int
    estimate: float | None
    low: float
    high: float
    alpha: float
    method: Literal["sampling", "enumeration", "hybrid"] = "sampling"


@dataclass(frozen=True, slots=True)
class Reading:
    """How a failure rate was read from the model's own probabilities, where that took fewer calls than runs.

    It holds if the server samples from the probabilities that it lists. calls, tokens: what reading took; checked:
    runs that were held against it, and agree; runs_instead: about so many would sampling have taken besides the first
    ones; None: more than the budget.
    """

    calls: int
    tokens: int
    checked: int
    runs_instead: int | None


@dataclass(frozen=True, slots=True)
class Reference:
    """The failure rate that a case is held against, and where it comes from; never guessed.

    `thorough` says whether it is known well enough to call anything bad luck: a loose upper limit
    can show that a case is worse than it, not that a case is no worse.
    """

    rate: float | None
    source: Literal["given", "controls", "none"]
    failures: int = 0
    n: int = 0
    alpha: float = 0.0
    invalid: int = 0
    thorough: bool = True


@dataclass(frozen=True, slots=True)
class LuckSection:
    verdict: Literal["worse_than_reference", "bad_luck", "not_reproduced", "undecided"]
    rate: Rate
    reference_rate: float | None
    log_e: float
    second_try_works: Est
    reference: Reference
    tolerable: float
    calls_needed: int | None
    alpha: float

    @property
    def contradicted(self) -> bool:
        """Whether a verdict fell that all runs together contradict: no number of further calls is missing."""
        return self.verdict == "undecided" and self.calls_needed == 0 and self.reference.thorough


@dataclass(frozen=True, slots=True)
class CertifySection:
    verdict: Literal["met", "not_met", "undecided"]
    target: float
    about: Literal["case", "suite", "population"]
    rate: Rate
    claim_today: float | None
    calls_needed: int | None
    horizon: int | None
    alpha: float

    @property
    def contradicted(self) -> bool:
        """As for luck."""
        return self.verdict == "undecided" and self.calls_needed == 0


@dataclass(frozen=True, slots=True)
class Price:
    """What examining something would take; None means not known."""

    calls: int | None
    usd: float | None


@dataclass(frozen=True, slots=True)
class NotExamined:
    not_examined: str
    price: Price


@dataclass(frozen=True, slots=True)
class OtherToken:
    """What else could have stood at a place: how likely it was, and how often an answer works out with it."""

    token: str
    prob: float | None
    success: Est


@dataclass(frozen=True, slots=True)
class DudSection:
    """Where one failing run went wrong, as `reroll forks` finds it. Rates are success rates.

    `token`, `position` (from 1) and all that is about them are None where no single place is to blame; `drop` holds at
    any time of looking, wrong with chance `alpha` at most; `calls` and `tokens` are what the search took.
    """

    verdict: Literal["dud", "slide", "doomed", "unsure"]
    sample: str
    tier: str
    unit: str
    token: str | None
    position: int | None
    kind: Literal["unlucky", "trap"] | None
    prob: float | None
    success_before: Est | None
    success_after: Est | None
    drop: Est | None
    share_of_failures: Est | None
    alternatives: tuple[OtherToken, ...]
    method: str
    calls: int
    tokens: int
    text: str
    caveats: tuple[str, ...]
    alpha: float


@dataclass(frozen=True, slots=True)
class NamedFactor:
    """Something that carries the failure. effect: how much less often it fails with this alone made neutral, in fresh
    runs side by side with the request as reported; `words` quotes it."""

    id: str
    kind: Annotated[str, Field(alias="class")] = field(metadata={"json": "class"})
    words: str
    effect: Est


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What could be the cause, and was not looked at."""

    id: str
    why: str


@dataclass(frozen=True, slots=True)
class Hunch:
    """What somebody suspected, and whether it is among what was named; None where nothing was decided."""

    factor: str
    held: bool | None


@dataclass(frozen=True, slots=True)
class LikeReport:
    """An earlier case whose cause this one shares: the same factor, held against this case anew."""

    case: str
    decision: str
    factors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CauseSection:
    """What carries the failure, or that nothing does. Rates are failure rates.

    together: how much less often it fails with all that is named made neutral; suspects: where nothing was decided,
    what is likeliest by now, with its probability (None: it only seems so); smallest_visible: a single part that causes
    such a drop would have been seen; cleared, load_bearing: ids; calls: by what they were for; calls_needed: about how
    many more would decide, None where that is not known or nothing is missing; brief: the first sentence of the text.
    """

    verdict: Literal["systematic", "bad_luck", "not_reproduced", "checker", "expectation", "undecided"]
    logic: Literal["one", "and", "or", "additive"] | None
    factors: tuple[NamedFactor, ...]
    cleared: tuple[str, ...]
    smallest_visible: float | None
    load_bearing: tuple[str, ...]
    together: Est | None
    suspects: tuple[tuple[str, float | None], ...]
    left_out: tuple[LeftOut, ...]
    hunch: Hunch | None
    like: LikeReport | None
    rate: Rate
    calls: dict[str, int]
    calls_needed: int | None
    text: str
    brief: str
    alpha: float


@dataclass(frozen=True, slots=True)
class Cost:
    """What this answer took. `reused` counts stored samples that cost no new call; `usd` None means unknown.

    `samples` is what the calls brought, control calls included: more than `calls` where a call brings several
    completions. `cached_tokens` are those of the prompt tokens that servers took from their cache. `judge_calls` asked
    models to judge, and are none of `calls`; tokens, money and attempts are of all calls together.
    """

    calls: int
    control_calls: int
    attempts: int
    prompt_tokens: int | None
    completion_tokens: int | None
    usd: float | None
    seconds: float
    reused: int = 0
    cached_tokens: int | None = None
    samples: int = 0
    judge_calls: int = 0


@dataclass(frozen=True, slots=True)
class ShownSample:
    """One sample for people to look at; `marks` are character spans that show what failed."""

    id: str
    outcome: OutcomeWord
    reason: str
    text: str
    marks: tuple[tuple[int, int], ...] = ()
    same: int = 1  # how many samples said exactly this


@dataclass(frozen=True, slots=True)
class Answer:
    """Everything that is known about one report. `outcomes` are the fresh runs in the order drawn.

    `stopped` says in words why no more calls were made; `text` is the reply for Slack: at most six
    sentences, each backed by a number above; `alpha_total` sums the error chances of all claims.
    `finished` is False where a person or a dead server ended the run before its question was answered.
    `reading` is there where the rate was read from the model's probabilities, not counted in runs alone.
    `fixes` are the scorecards (`scored.Card`) of what was tried, the best first.
    """

    report: dict[str, Any]
    case: dict[str, Any]
    program: dict[str, Any]
    model: str
    luck: LuckSection | NotExamined
    certify: CertifySection | NotExamined
    cause: CauseSection | NotExamined
    dud: DudSection | NotExamined
    surprise: NotExamined
    fixes: tuple[Any, ...] | NotExamined
    cost: Cost
    caveats: tuple[str, ...]
    text: str
    alpha_total: float
    outcomes: Sequence[OutcomeWord] = ()
    samples: tuple[ShownSample, ...] = ()
    stopped: str = ""
    finished: bool = True
    reading: Reading | None = None


@dataclass(frozen=True, slots=True)
class CaseRate:
    """How often one of several cases failed in the runs that count."""

    id: str
    rate: Rate


@dataclass(frozen=True, slots=True)
class CheckClaim:
    """What may be said of one check alone, at its share of alpha."""

    check: str
    certify: CertifySection


@dataclass(frozen=True, slots=True)
class Certified:
    """Whether several cases, or the population that they come from, reach a target; or each check of them.

    With `checks`, `certify.verdict` sums up theirs: met if all are, not met if one is not.
    """

    certify: CertifySection
    checks: tuple[CheckClaim, ...]
    cases: tuple[CaseRate, ...]
    program: dict[str, Any]
    model: str
    cost: Cost
    caveats: tuple[str, ...]
    alpha_total: float
    outcomes: Sequence[OutcomeWord] = ()
    stopped: str = ""
    finished: bool = True


@dataclass(frozen=True, slots=True)
class VariantRate:
    """How often one variant failed in the pairs that count; `dropped_after` so many pairs it was beaten."""

    id: str
    rate: Rate
    dropped_after: int | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """B held against A on the same cases. `difference`: failure rate of b minus a's, negative is better.

    `smallest_drop`: a true worsening of b by this much or more is excluded; None where b is worse.
    `pairs_needed` counts pairs, or cases where the case is the unit.
    """

    a: str
    b: str
    verdict: Literal["better", "worse", "no_different", "undecided"]
    difference: Est
    log_e: float
    alpha: float
    margin: float | None
    smallest_drop: float | None
    pairs_needed: int | None
    unit: Literal["pair", "case"] = "pair"

    @property
    def contradicted(self) -> bool:
        """Whether a verdict fell that all pairs together refute: no number of further pairs is missing."""
        return self.verdict == "undecided" and self.pairs_needed == 0

    @property
    def harmless(self) -> bool:
        """Whether it is shown, if nothing else is, that b is not worse by the margin or more."""
        drop, margin = self.smallest_drop, self.margin
        return not self.contradicted and drop is not None and margin is not None and drop <= margin


@dataclass(frozen=True, slots=True)
class Comparison:
    """How variants of a program compare. `best`: the one shown to fail least often; None if none was.

    `alike`: of several, those that it could not be told from, to within the margin.
    `promising`: of several, those that look better than the first; on average at most a share
    alpha of such names is wrong. For exploring: a claim that must hold is a pair's verdict.
    `outcomes`: of each pair, by variant in the order of `variants`; None where one was no longer run.
    """

    best: str | None
    about: Literal["suite", "population"]
    variants: tuple[VariantRate, ...]
    pairs: tuple[Pair, ...]
    cases: tuple[str, ...]
    models: tuple[str, ...]
    cost: Cost
    caveats: tuple[str, ...]
    text: str
    alpha_total: float
    alike: tuple[str, ...] = ()
    promising: tuple[str, ...] = ()
    outcomes: tuple[tuple[OutcomeWord | None, ...], ...] = ()
    stopped: str = ""
    finished: bool = True


@dataclass(frozen=True, slots=True)
class ProgressEvent:
    """Where a run stands, for a live line: counts so far, the interval, and what is being decided.

    `failures` is None where the calls are no runs of the case, so that nothing is counted; `doing` says what they are
    for.
    """

    phase: Literal["controls", "case"]
    case_id: str
    calls: int
    budget: int
    failures: int | None
    invalid: int
    estimate: float | None
    low: float
    high: float
    question: str
    usd: float | None
    seconds: float
    doing: str = ""


def to_json(value: Any, schema: str | None = None) -> Any:
    """A dataclass as plain JSON values; `schema` names it (`reroll.answer/1`) at the top.

    >>> to_json(Price(3, None), "reroll.price/1")
    {'schema': 'reroll.price/1', 'calls': 3, 'usd': None}
    """
    if is_dataclass(value) and not isinstance(value, type):
        plain = {f.metadata.get("json", f.name): to_json(getattr(value, f.name)) for f in fields(value)}
        return {"schema": schema, **plain} if schema else plain
    if isinstance(value, dict):
        return {k: to_json(v) for k, v in value.items()}
    if isinstance(value, Outcomes):
        return list(value)
    if isinstance(value, list | tuple):
        return [to_json(v) for v in value]
    return value
