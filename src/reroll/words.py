"""An answer in sentences that a colleague understands who knows nothing of LLMs; none is stronger than its verdict."""

from __future__ import annotations

from reroll.answer import CertifySection, LuckSection, NotExamined, Rate
from reroll.numbers import counts, in_ten, interval_words, percent
from reroll.verdict import not_worse_rate

__all__ = ["bounds", "certify_sentence", "headline", "invalid_sentence", "luck_sentence", "rate_sentence", "reply"]

MOST_SENTENCES = 6
ENOUGH_FOR_A_PROPORTION = 8  # judged runs; with fewer, "7 times in 10" would sound more certain than it is
TOO_WIDE = 0.85
USUAL_ALPHA = 0.05


def reply(luck: LuckSection | NotExamined, certify: CertifySection | NotExamined, *, fresh: bool = True) -> str:
    """What one would paste on Slack: at most six sentences, each backed by a number of the answer.

    `fresh` is False where every run was made by an earlier command.
    """
    sentences: list[str] = []
    if isinstance(luck, LuckSection):
        low, high = bounds(luck, certify)
        sentences = [
            rate_sentence(luck.rate, low, high, fresh=fresh),
            luck_sentence(luck),
            retry_sentence(luck, low, high),
        ]
        sentences.append(invalid_sentence(luck.rate))
    if isinstance(certify, CertifySection):
        sentences.append(certify_sentence(certify))
    if isinstance(luck, LuckSection) and luck.rate.failures:
        sentences.append("Why it fails has not been looked into yet.")
    return " ".join([s for s in sentences if s][:MOST_SENTENCES])


def bounds(luck: LuckSection, certify: CertifySection | NotExamined) -> tuple[float, float]:
    """All that the answer shows about the failure rate, its verdicts included.

    The interval alone may be wider than a verdict next to it; both hold at once with the chances
    of error added, and `alpha_total` adds them.
    """
    low, high = luck.rate.low, luck.rate.high
    if luck.reference_rate is not None and luck.verdict == "worse_than_reference":
        low = max(low, luck.reference_rate)
    if luck.reference_rate is not None and luck.verdict == "bad_luck":
        high = min(high, not_worse_rate(luck.reference_rate))
    if luck.verdict == "not_reproduced":
        high = min(high, _ruled_out(luck))
    if isinstance(certify, CertifySection) and certify.verdict == "not_met":
        low = max(low, 1 - certify.target)
    if isinstance(certify, CertifySection) and certify.verdict == "met":
        high = min(high, 1 - certify.target)
    # Where a verdict fell first and later runs say otherwise, only the interval speaks.
    return (low, high) if low < high else (luck.rate.low, luck.rate.high)


def _ruled_out(luck: LuckSection) -> float:
    """The rate that a not_reproduced verdict has ruled out."""
    return luck.tolerable if luck.reference_rate is None else not_worse_rate(luck.reference_rate)


def _range(low: float, high: float) -> str:
    """An interval as one says it: `at most 4 %`, `at least 12 %`, `19–69 %`, `anything` where nothing is known.

    >>> _range(0, 0.04), _range(0.12, 1), _range(0.19, 0.69)
    ('at most 4 %', 'at least 12 %', '19–69 %')
    """
    if low < 0.001 and high > 0.95:
        return "anything"
    if low < 0.001:
        return f"at most {percent(high, 'up')}"
    if high > 0.95:
        return f"at least {percent(low, 'down')}"
    return interval_words(low, high)


def rate_sentence(rate: Rate, low: float | None = None, high: float | None = None, *, fresh: bool = True) -> str:
    """How often it failed in fresh runs, and between which rates the truth lies."""
    low, high = rate.low if low is None else low, rate.high if high is None else high
    judged = rate.n - rate.invalid
    if rate.n == 0:
        return "No fresh run has been made, so nothing is known yet."
    ran = (
        f"I ran this request {counts('more time', rate.n)}"
        if fresh
        else f"Earlier I ran this request {counts('time', rate.n)}"
    )
    if rate.estimate is None:
        return f"{ran}, and no run gave an answer that could be judged."
    truth = f"the true failure rate is {_range(low, high)}"
    if truth.endswith("anything"):
        truth = "that alone says next to nothing about the true rate"
    if rate.failures == 0:
        worked = (
            f"and all {judged} answers that could be judged were right" if rate.invalid else "and it worked every time"
        )
        return f"{ran}, {worked}; {truth}."
    if rate.failures == judged:
        return f"{ran}, and it failed every time{' that could be judged' if rate.invalid else ''}; {truth}."
    often = f", {in_ten(rate.estimate)}" if judged >= ENOUGH_FOR_A_PROPORTION else ""
    return f"{ran} and it failed {counts('time', rate.failures)}{often}; {truth}."


def luck_sentence(luck: LuckSection) -> str:
    """Bad luck or worse than usual, as far as shown; says what is missing when it is not."""
    if luck.verdict == "worse_than_reference":
        return f"{_usual(luck)}, so this was not just one unlucky try."
    if luck.verdict == "bad_luck":
        bound = percent(not_worse_rate(luck.reference_rate or 0.0), "up")
        return f"{_usual(luck)}, and this one less than {bound}, so what you saw fits plain bad luck."
    if luck.verdict == "not_reproduced":
        return "I could not reproduce the failure."
    if luck.reference.source == "controls" and luck.verdict == "undecided":
        return _unsettled(luck)
    if luck.reference_rate is None and luck.rate.failures:
        return (
            "Whether that is more than usual I cannot say, because this project names no ordinary requests "
            "(control cases) to compare with."
        )
    return _more_runs(luck)


def _unsettled(luck: LuckSection) -> str:
    """Why control cases did not settle it: not run, too few, failing themselves, or just more runs needed."""
    controls = luck.reference
    judged = controls.n - controls.invalid
    if not judged:
        return (
            "Whether that is more than usual I cannot say: no ordinary request (control case) has been run and judged."
        )
    failed = f"{counts('failure', controls.failures)} in {counts('run', judged)}"
    if luck.reference_rate is None and controls.failures > judged / 5:
        return f"Ordinary requests (control cases) fail as well, {failed}, so they are nothing to compare with."
    if luck.reference_rate is None or not controls.thorough:
        return (
            f"Too few ordinary requests (control cases) were run to compare with ({failed}); a higher budget runs more."
        )
    return _more_runs(luck)


def _more_runs(luck: LuckSection) -> str:
    if luck.contradicted:
        return (
            "Earlier and later runs contradict one another, as if something had changed; nothing holds for all of them."
        )
    if luck.calls_needed:
        more = counts("more run", luck.calls_needed)
        return f"That is too little to tell bad luck from a cause; about {more} would tell."
    return "That is too little to tell bad luck from a cause."


def _usual(luck: LuckSection) -> str:
    rate = percent(luck.reference_rate or 0.0, "up")
    if luck.reference.source == "controls":
        return f"Ordinary requests fail at most {rate} of the time"
    return f"The project gives {rate} as its usual failure rate"


def retry_sentence(luck: LuckSection, low: float, high: float) -> str:
    """What a second try is worth; nothing to say where nothing failed."""
    est = luck.second_try_works
    if not luck.rate.failures or est.value is None:
        return ""
    if high - low > TOO_WIDE:
        return "What a second try is worth takes more runs to say."
    if est.value == 0:
        return f"Trying again has not helped once; it works in at most {percent(1 - low, 'up')} of tries."
    return f"Trying a second time works {in_ten(est.value)} ({interval_words(1 - high, 1 - low)})."


def certify_sentence(certify: CertifySection) -> str:
    """Whether the target may be claimed for this request, and what may be claimed today."""
    target = f"“{percent(certify.target)} reliable”"
    if abs(certify.alpha - USUAL_ALPHA) > 1e-12 and certify.verdict != "undecided":
        target += f" (allowing a chance of {percent(certify.alpha)} to be wrong)"
    if certify.verdict == "met":
        return f"For this request you may say {target}."
    if certify.verdict == "not_met":
        return f"For this request you may not say {target}: it is shown to fail more often than that allows."
    today = f"; today no more than {percent(certify.claim_today, 'down')} may be claimed" if certify.claim_today else ""
    more = f", and about {counts('more run', certify.calls_needed)} would decide it" if certify.calls_needed else ""
    return f"Whether it is {target} is still open{today}{more}."


def invalid_sentence(rate: Rate) -> str:
    """What became of runs that nobody could judge: they stay in the count, bounded both ways."""
    if not rate.invalid or rate.estimate is None:
        return ""
    gave = f"{counts('run', rate.invalid)} gave nothing to judge (a time-out or the like)"
    return f"{gave} and {'is' if rate.invalid == 1 else 'are'} counted as both right and wrong."


def headline(luck: LuckSection | NotExamined) -> str:
    """The verdict in at most six words."""
    if isinstance(luck, NotExamined):
        return "Not examined"
    if luck.verdict == "undecided" and luck.reference_rate is None and luck.rate.failures:
        return "Nothing to compare it with"
    return {
        "worse_than_reference": "Not just bad luck",
        "bad_luck": "Fits plain bad luck",
        "not_reproduced": "Could not be reproduced",
        "undecided": "Not enough runs to tell",
    }[luck.verdict]
