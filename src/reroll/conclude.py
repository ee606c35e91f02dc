"""What outcomes let us say: each section of an answer from ordered outcomes. Pure; no screen, no store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from reroll.answer import CertifySection, LuckSection, NotExamined, OutcomeWord, Price, Rate, Reference, ShownSample
from reroll.evidence import Evidence, interval_of
from reroll.verdict import certify_path, luck_path, second_try

__all__ = ["NOT_BUILT", "Seen", "certify_section", "luck_section", "rate_of", "sum_of_alphas", "three_samples"]

MOST_SHOWN = 3
NOT_BUILT = NotExamined("this version of reroll cannot look into that yet", Price(None, None))
"""A section that this version cannot fill yet, said openly."""


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
    said_not_worse = found.verdict in ("bad_luck", "not_reproduced")
    log_e = found.log_e_not_worse if said_not_worse else found.log_e_worse
    return LuckSection(
        verdict=found.verdict,
        rate=rate_of(outcomes, alpha),
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
    found = certify_path(outcomes, target, alpha, horizon)
    return CertifySection(
        verdict=found.verdict,
        target=target,
        about="case",
        rate=rate_of(outcomes, alpha),
        claim_today=found.claim_today,
        calls_needed=found.calls_needed,
        horizon=horizon,
        alpha=alpha,
    )


def sum_of_alphas(luck: LuckSection | NotExamined, certify: CertifySection | NotExamined) -> float:
    """The chance that anything claimed is ever wrong: verdicts, the shown interval, the reference's limit."""
    total = 0.0
    if isinstance(luck, LuckSection):
        total += luck.alpha + luck.rate.alpha + luck.reference.alpha
    if isinstance(certify, CertifySection):
        total += certify.alpha + (0.0 if isinstance(luck, LuckSection) else certify.rate.alpha)
    return round(min(1.0, total), 12)


def three_samples(seen: Sequence[Seen]) -> tuple[ShownSample, ...]:
    """At most three different samples: the commonest failures first, then the commonest pass.

    Equal texts are shown once with their number, so that a glance covers as many runs as it can.
    """
    groups = Counter((s.outcome, s.text, s.reason) for s in seen)
    first: dict[tuple[str, str, str], Seen] = {}
    for s in seen:
        first.setdefault((s.outcome, s.text, s.reason), s)

    def commonest(word: OutcomeWord) -> list[Seen]:
        keys = [k for k, _ in groups.most_common() if k[0] == word]
        return [first[k] for k in keys]

    passes, fails, invalids = commonest("pass"), commonest("fail"), commonest("invalid")
    chosen = fails[: MOST_SHOWN - bool(passes)]
    chosen += passes[: MOST_SHOWN - len(chosen)]
    chosen += invalids[: MOST_SHOWN - len(chosen)]
    return tuple(
        ShownSample(s.id, s.outcome, s.reason, s.text, s.marks, groups[s.outcome, s.text, s.reason]) for s in chosen
    )
