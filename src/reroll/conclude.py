"""What outcomes let us say: each section of an answer from ordered outcomes. Pure; no screen, no store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from reroll.answer import (
    CauseSection,
    CertifySection,
    DudSection,
    LuckSection,
    NotExamined,
    OutcomeWord,
    Price,
    Rate,
    Reference,
    ShownSample,
)
from reroll.evidence import Est, Evidence, interval, interval_of
from reroll.outcomes import FAIL, INVALID, PASS, Codes, codes_of
from reroll.race import side_shown
from reroll.verdict import (
    certify_path,
    certify_race,
    luck_path,
    luck_race,
    luck_word,
    not_worse_rate,
    rounded_claim,
    second_try,
)

__all__ = [
    "Seen",
    "agreeing",
    "agreeing_claim",
    "bounds",
    "certify_read",
    "certify_section",
    "changed",
    "claim_section",
    "commonest_failure",
    "luck_read",
    "luck_section",
    "on_more_runs",
    "rate_of",
    "rate_read",
    "sum_of_alphas",
    "three_samples",
]

MOST_SHOWN = 3
NARROW = 0.25  # of its upper end
PARTS, BLOCK = 16, 1 << 16
LuckWord = Literal["worse_than_reference", "bad_luck", "not_reproduced", "undecided"]
BELOW = ("met", "bad_luck", "not_reproduced")
ABOVE = ("not_met", "worse_than_reference")


@dataclass(frozen=True, slots=True)
class Seen:
    """One judged sample as screens need it."""

    id: str
    outcome: OutcomeWord
    reason: str
    text: str
    marks: tuple[tuple[int, int], ...] = ()


def rate_of(outcomes: Sequence[OutcomeWord], alpha: float) -> Rate:
    """The failure rate with its interval, valid at every look; invalid ones bound it both ways.

    >>> rate_of(["fail", "pass", "invalid", "pass"], 0.05).n
    4
    """
    seen = Evidence.of(outcomes)
    low, high = interval_of(seen, alpha)
    return Rate(seen.failures, seen.n, seen.invalid, seen.estimate, low, high, alpha)


def luck_section(
    outcomes: Sequence[OutcomeWord],
    reference: Reference,
    target: float | None,
    alpha: float,
    horizon: int | None = None,
) -> LuckSection:
    """Bad luck or worse than the reference, at the first crossing over outcomes in the order drawn."""
    found = luck_path(outcomes, reference.rate, target, alpha, horizon)
    rate = rate_of(outcomes, alpha)
    verdict = _standing_luck(found.verdict, rate, reference, found.tolerable)
    said_not_worse = found.verdict in ("bad_luck", "not_reproduced")
    log_e = found.log_e_not_worse if said_not_worse else found.log_e_worse
    return LuckSection(
        verdict=verdict,
        rate=rate,
        reference_rate=reference.rate,
        log_e=log_e if log_e is not None else 0.0,
        second_try_works=second_try(Evidence.of(outcomes), alpha),
        reference=reference,
        tolerable=found.tolerable,
        calls_needed=found.calls_needed,
        alpha=alpha,
    )


def certify_section(
    outcomes: Sequence[OutcomeWord], target: float | None, alpha: float, horizon: int | None = None
) -> CertifySection | NotExamined:
    """Whether the target may be claimed for this case; not examined where nobody named a target."""
    if target is None:
        return NotExamined("no target is set; put `target: 0.99` into program.yaml or pass --target", Price(None, None))
    return claim_section("case", outcomes, target, alpha, horizon)


def claim_section(
    about: Literal["case", "suite", "population"],
    outcomes: Sequence[OutcomeWord],
    target: float,
    alpha: float,
    horizon: int | None = None,
    round_size: int = 1,
) -> CertifySection:
    """Whether the target may be claimed for what these outcomes are about.

    Of a suite's rounds (`round_size` cases each) only complete ones count, in the rate as well.
    """
    found = certify_path(outcomes, target, alpha, horizon, round_size)
    rate = rate_of(outcomes[: len(outcomes) - len(outcomes) % round_size], alpha)
    contradicted = changed(found.verdict, rate, 1 - target)
    return CertifySection(
        verdict="undecided" if contradicted else found.verdict,
        target=target,
        about=about,
        rate=rate,
        claim_today=None if contradicted else found.claim_today,
        calls_needed=0 if contradicted else found.calls_needed,
        horizon=horizon,
        alpha=alpha,
    )


def changed(verdict: str, rate: Rate, bound: float) -> bool:
    """Whether all runs together contradict a verdict that fell earlier: then they do not have one rate.

    A first crossing stands against later runs of the same rate, by what alpha means. An interval
    that holds at any time and lies beyond the bound says that the rate was not the same throughout. As for the
    verdict, what nobody could judge counts against it.
    """
    low, high = rate.low, rate.high
    if rate.method == "sampling":
        low, _ = interval(rate.failures + rate.invalid, rate.n, rate.alpha)
        _, high = interval(rate.failures, rate.n, rate.alpha)
    return (verdict in BELOW and low >= bound) or (verdict in ABOVE and high <= bound)


def bounds(luck: LuckSection, certify: CertifySection | NotExamined) -> tuple[float, float]:
    """All that the answer shows about the failure rate, its verdicts included.

    The interval alone may be wider than a verdict next to it; both hold at once with the chances
    of error added, and `alpha_total` adds them.
    """
    return _within(luck.rate, luck, certify)


def agreeing(
    luck: LuckSection, certify: CertifySection | NotExamined
) -> tuple[LuckSection, CertifySection | NotExamined]:
    """The two with the one interval that both verdicts and the runs leave, so that every screen and file says the same.

    The interval's alpha grows by that of each verdict that narrowed it. To be called once the answer's alphas are added
    up; what agrees already stays as it is.
    """
    rate = _narrowed(luck.rate, luck, certify)
    works = luck.second_try_works
    if works.value is not None:
        works = replace(works, low=1 - rate.high, high=1 - rate.low)
    certify = certify if isinstance(certify, NotExamined) else replace(certify, rate=rate)
    return replace(luck, rate=rate, second_try_works=works), certify


def agreeing_claim(certify: CertifySection) -> CertifySection:
    """The same of a claim that stands alone."""
    return replace(certify, rate=_narrowed(certify.rate, certify))


def on_more_runs(luck: LuckSection, rate: Rate, works: Est) -> LuckSection:
    """What was said of luck, beside the rate that other runs show; undecided where these contradict it."""
    verdict = _standing_luck(luck.verdict, rate, luck.reference, luck.tolerable)
    needed = luck.calls_needed if verdict == luck.verdict else 0
    return replace(luck, verdict=verdict, rate=rate, second_try_works=works, calls_needed=needed)


def _claimed(section: LuckSection | CertifySection | NotExamined) -> tuple[float, float]:
    """Between which failure rates a verdict alone says that the truth lies."""
    low, high = 0.0, 1.0
    if isinstance(section, LuckSection):
        reference = section.reference_rate
        if reference is not None and section.verdict == "worse_than_reference":
            low = reference
        if reference is not None and section.verdict == "bad_luck":
            high = not_worse_rate(reference)
        if section.verdict == "not_reproduced":
            high = section.tolerable if reference is None else not_worse_rate(reference)
    elif isinstance(section, CertifySection):
        low = 1 - section.target if section.verdict == "not_met" else low
        high = 1 - section.target if section.verdict == "met" else high
    return low, high


def _within(rate: Rate, *sections: LuckSection | CertifySection | NotExamined) -> tuple[float, float]:
    claimed = [_claimed(section) for section in sections]
    low, high = max(rate.low, *(one for one, _ in claimed)), min(rate.high, *(one for _, one in claimed))
    # Where a verdict fell first and later runs say otherwise, only the interval speaks.
    return (low, high) if low < high else (rate.low, rate.high)


def _narrowed(rate: Rate, *sections: LuckSection | CertifySection | NotExamined) -> Rate:
    low, high = _within(rate, *sections)
    if (low, high) == (rate.low, rate.high):
        return rate
    alpha = rate.alpha
    for section in sections:
        least, most = _claimed(section)
        if not isinstance(section, NotExamined) and (least > rate.low or most < rate.high):
            alpha += section.alpha
    return replace(rate, low=low, high=high, alpha=round(min(1.0, alpha), 12))


def _standing_luck(verdict: LuckWord, rate: Rate, reference: Reference, tolerable: float) -> LuckWord:
    """The first crossing's verdict, unless what is known now forbids to say it."""
    if verdict == "not_reproduced" and rate.failures:
        verdict = "bad_luck" if reference.rate is not None else "undecided"
    if verdict in BELOW:
        bound = tolerable if reference.rate is None else not_worse_rate(reference.rate)
        if changed(verdict, rate, bound) or not reference.thorough:
            return "undecided"
    if verdict in ABOVE and reference.rate is not None and changed(verdict, rate, reference.rate):
        return "undecided"
    return verdict


def rate_read(outcomes: Sequence[OutcomeWord], known: Est, alpha: float) -> Rate:
    """A failure rate that was read from the model's probabilities, beside the counts of the runs that agree.

    What was followed first is what mostly works, so only where little is left open is the share of it the estimate;
    else that of the runs, as far as it lies in the range.
    """
    seen = Evidence.of(outcomes)
    low, high = known.low or 0.0, 1.0 if known.high is None else known.high
    value = known.value if high - low <= NARROW * high else seen.estimate
    value = None if value is None else min(max(value, low), high)
    return Rate(seen.failures, seen.n, seen.invalid, value, low, high, alpha, "enumeration")


def luck_read(
    outcomes: Sequence[OutcomeWord], rate: Rate, reference: Reference, target: float | None, alpha: float
) -> LuckSection:
    """Bad luck or worse than the reference by a rate that is known for sure, as `luck_section` says it of runs."""
    found = luck_section(outcomes, reference, target, alpha)
    race = luck_race(reference.rate, target, alpha)
    side = side_shown(race, rate.low, rate.high)
    word = luck_word(race, reference.rate, found.tolerable, rate.failures, side)
    verdict = _standing_luck(word, rate, reference, found.tolerable)
    works = None if rate.estimate is None else 1 - rate.estimate
    return replace(
        found,
        verdict=verdict,
        rate=rate,
        second_try_works=Est(works, 1 - rate.high, 1 - rate.low, rate.n),
        calls_needed=found.calls_needed if verdict == "undecided" else 0,
    )


def certify_read(
    outcomes: Sequence[OutcomeWord], rate: Rate, target: float | None, alpha: float
) -> CertifySection | NotExamined:
    """Whether the target may be claimed by a rate that is known for sure, as `certify_section` says it of runs.

    No more than the target is claimed, however little is left open: the few runs that agree with what was read would
    not show a rare departure from it.
    """
    found = certify_section(outcomes, target, alpha)
    if target is None or isinstance(found, NotExamined):
        return found
    side = side_shown(certify_race(target, alpha), rate.low, rate.high)
    claim = min(target, rounded_claim(rate.high))
    return replace(
        found,
        verdict=side or "undecided",
        rate=rate,
        claim_today=claim if claim > 0 else None,
        calls_needed=0 if side else found.calls_needed,
    )


def sum_of_alphas(
    luck: LuckSection | NotExamined,
    certify: CertifySection | NotExamined,
    dud: DudSection | NotExamined | None = None,
    cause: CauseSection | NotExamined | None = None,
    fixes: float = 0.0,
) -> float:
    """The chance that anything claimed is ever wrong: verdicts, the shown interval, the reference's limit.

    `fixes`: that of the verdicts about fixes.
    """
    total = fixes
    total += dud.alpha if isinstance(dud, DudSection) and dud.verdict in ("dud", "doomed") else 0.0
    total += cause.alpha if isinstance(cause, CauseSection) and cause.verdict != "undecided" else 0.0
    if isinstance(luck, LuckSection):
        total += luck.alpha + luck.rate.alpha + luck.reference.alpha
    if isinstance(certify, CertifySection):
        total += certify.alpha + (0.0 if isinstance(luck, LuckSection) else certify.rate.alpha)
    return round(min(1.0, total), 12)


def three_samples(
    said: Sequence[int] | memoryview[int], outcomes: Sequence[OutcomeWord], seen: Callable[[int], Seen]
) -> tuple[ShownSample, ...]:
    """At most three different samples: the commonest failures first, then the commonest pass.

    Equal texts are shown once with their number, so that a glance covers as many runs as it can.

    Args:  said: 64-bit integers, one for each run, equal for those that say the same, with the same outcome;
           seen: the k-th run as screens need it, asked for the chosen ones alone.
    """
    commonest = _commonest(np.asarray(said), codes_of(outcomes))
    fails, passes, invalids = commonest[FAIL], commonest[PASS], commonest[INVALID]
    chosen = fails[: MOST_SHOWN - bool(passes)]
    chosen += passes[: MOST_SHOWN - len(chosen)]
    chosen += invalids[: MOST_SHOWN - len(chosen)]
    shown = ((seen(first), count) for count, first in chosen)
    return tuple(ShownSample(s.id, s.outcome, s.reason, s.text, s.marks, count) for s, count in shown)


def commonest_failure(said: Sequence[int] | memoryview[int], outcomes: Sequence[OutcomeWord]) -> int | None:
    """Which run is the first of those that failed as most did, which `three_samples` shows first; None: none failed."""
    failures = _commonest(np.asarray(said), codes_of(outcomes))[FAIL]
    return failures[0][1] if failures else None


def _commonest(keys: npt.NDArray[np.int64], codes: Codes) -> dict[int, list[tuple[int, int]]]:
    """By outcome the commonest keys, as (count, where first), the earlier first where equally common.

    One part of all keys after the other, and that block by block, so that it takes little memory whether most are
    alike or all differ.
    """
    best: dict[int, list[tuple[int, int]]] = {code: [] for code in (PASS, FAIL, INVALID)}
    for part in range(PARTS if len(keys) > BLOCK else 1):
        found = []
        for start in range(0, len(keys), BLOCK):
            block = keys[start : start + BLOCK]
            where = np.flatnonzero(block % PARTS == part) if len(keys) > BLOCK else np.arange(len(block))
            key, at, count = np.unique(block[where], return_index=True, return_counts=True)
            found.append((key, where[at] + start, count))
        if not found:
            break
        key, first, count = (np.concatenate(column) for column in zip(*found, strict=True))
        _, at, same = np.unique(key, return_index=True, return_inverse=True)
        first, count = first[at], np.bincount(same, weights=count).astype(np.int64)
        for code, chosen in best.items():
            mine = np.flatnonzero(codes[first] == code)
            top = mine[np.lexsort((first[mine], -count[mine]))[:MOST_SHOWN]]
            chosen += zip(count[top].tolist(), first[top].tolist(), strict=True)
    return {code: sorted(chosen, key=lambda one: (-one[0], one[1]))[:MOST_SHOWN] for code, chosen in best.items()}
