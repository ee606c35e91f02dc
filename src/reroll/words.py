"""An answer in sentences that a colleague understands who knows nothing of LLMs; none is stronger than its verdict."""

from __future__ import annotations

from reroll.answer import CertifySection, LuckSection, NotExamined, Rate
from reroll.numbers import counts, in_ten, interval_words, percent

__all__ = ["certify_sentence", "headline", "invalid_sentence", "luck_sentence", "rate_sentence", "reply", "retry_sentence"]

MOST_SENTENCES = 6


def reply(luck: LuckSection | NotExamined, certify: CertifySection | NotExamined) -> str:
    """What one would paste on Slack: at most six sentences, each backed by a number of the answer."""
    sentences: list[str] = []
    if isinstance(luck, LuckSection):
        sentences = [rate_sentence(luck.rate), luck_sentence(luck)]
        sentences += [retry_sentence(luck)]
        sentences += [invalid_sentence(luck.rate)]
    if isinstance(certify, CertifySection):
        sentences.append(certify_sentence(certify))
    if isinstance(luck, LuckSection) and luck.rate.failures:
        sentences.append("Why it fails has not been looked into yet.")
    return " ".join([s for s in sentences if s][:MOST_SENTENCES])


def rate_sentence(rate: Rate) -> str:
    """How often it failed in fresh runs, and between which rates the truth lies."""
    judged = rate.n - rate.invalid
    if rate.n == 0:
        return "No fresh run has been made, so nothing is known yet."
    if rate.estimate is None:
        return f"I ran this request {counts('more time', rate.n)}, and no run gave an answer that could be judged."
    ran = f"I ran this request {counts('more time', rate.n)}"
    between = f"the true failure rate is {interval_words(rate.low, rate.high)}"
    if rate.failures == 0:
        every = "and it worked every time" if not rate.invalid else f"and all {judged} answers that could be judged were right"
        return f"{ran}, {every}; {between}."
    if rate.failures == judged:
        return f"{ran}, and it failed every time{' that could be judged' if rate.invalid else ''}; {between}."
    return f"{ran} and it failed {counts('time', rate.failures)}: {in_ten(rate.estimate)} ({between})."


def luck_sentence(luck: LuckSection) -> str:
    """Bad luck or worse than usual, as far as shown; says what is missing when it is not."""
    usual = _usual(luck)
    if luck.verdict == "worse_than_reference":
        return f"That is more often than {usual}, so it was not just one unlucky try."
    if luck.verdict == "bad_luck":
        return f"That is at most three times {usual}, so what you saw fits plain bad luck."
    if luck.verdict == "not_reproduced":
        return f"I could not reproduce the failure, and it happens in less than {percent(_bound(luck))} of runs."
    if luck.reference.rate is None and luck.rate.failures:
        return (
            "Whether that is bad luck I cannot say, because this project names no ordinary requests "
            "(control cases) to compare with."
        )
    if luck.calls_needed:
        return f"That is too little to tell bad luck from a cause; about {counts('more run', luck.calls_needed)} would tell."
    return "That is too little to tell bad luck from a cause."


def _usual(luck: LuckSection) -> str:
    rate = percent(luck.reference.rate or 0.0)
    if luck.reference.source == "controls":
        return f"ordinary requests, which fail at most {rate} of the time"
    return f"the usual failure rate of {rate} that the project states"


def _bound(luck: LuckSection) -> float:
    """The rate that a not_reproduced verdict has ruled out: three references or the tolerable one."""
    return luck.tolerable if luck.reference.rate is None else 3 * luck.reference.rate


def retry_sentence(luck: LuckSection) -> str:
    """What a second try is worth; nothing to say where nothing failed."""
    est = luck.second_try_works
    if not luck.rate.failures or est.value is None:
        return ""
    if est.value == 0:
        return f"Trying again has not helped once; it works in at most {percent(est.high)} of tries."
    return f"Trying a second time works {in_ten(est.value)} ({interval_words(est.low, est.high)})."


def certify_sentence(certify: CertifySection) -> str:
    """Whether the target may be claimed for this request, and what may be claimed today."""
    target = f"“{percent(certify.target)} reliable”"
    if certify.verdict == "met":
        return f"For this request you may say {target}."
    if certify.verdict == "not_met":
        return f"For this request you may not say {target}: it is shown to fail more often than that allows."
    today = f"; today at most {percent(certify.claim_today)} may be claimed" if certify.claim_today else ""
    more = f", and about {counts('more run', certify.calls_needed)} would decide it" if certify.calls_needed else ""
    return f"Whether it is {target} is still open{today}{more}."


def invalid_sentence(rate: Rate) -> str:
    """What became of runs that nobody could judge: they stay in the count, bounded both ways."""
    if not rate.invalid or rate.estimate is None:
        return ""
    return f"{counts('run', rate.invalid)} gave nothing to judge (a time-out or the like) and {_are(rate.invalid)} counted as both right and wrong."


def _are(n: int) -> str:
    return "is" if n == 1 else "are"


def headline(luck: LuckSection | NotExamined) -> str:
    """The verdict in at most six words."""
    if isinstance(luck, NotExamined):
        return "Not examined"
    return {
        "worse_than_reference": "Not just bad luck",
        "bad_luck": "Fits plain bad luck",
        "not_reproduced": "Could not be reproduced",
        "undecided": "Not enough runs to tell",
    }[luck.verdict]
