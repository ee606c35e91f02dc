"""An answer in sentences that a colleague understands who knows nothing of LLMs; none is stronger than its verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from reroll.answer import (
    CauseSection,
    CertifySection,
    DudSection,
    LuckSection,
    NotExamined,
    Pair,
    Rate,
    Reading,
    Reference,
    VariantRate,
)
from reroll.conclude import bounds
from reroll.numbers import counts, in_ten, interval_words, percent
from reroll.verdict import not_worse_rate

__all__ = [
    "allowing",
    "between_points",
    "brief",
    "certify_sentence",
    "compare_reply",
    "dud_sentence",
    "error_sentence",
    "gain_words",
    "headline",
    "headline_alpha",
    "invalid_sentence",
    "luck_sentence",
    "mostly_fail",
    "pair_bounds",
    "pair_sentences",
    "points",
    "rate_sentence",
    "reading_sentence",
    "reply",
    "retry_sentence",
]

MOST_SENTENCES = 6
ENOUGH_FOR_A_PROPORTION = 8  # judged runs; with fewer, "7 times in 10" would sound more certain than it is
TOO_WIDE = 0.85
USUAL_ALPHA = 0.05
WORTH_SAYING = 0.5  # to rule out a worsening by more than this tells nobody anything
BRIEF = 30  # characters of a variant's name in a sentence
PLACES = ("model=", "base_url=")  # parts whose values differ at the end


def reply(
    luck: LuckSection | NotExamined,
    certify: CertifySection | NotExamined,
    *,
    fresh: bool = True,
    reading: Reading | None = None,
    dud: DudSection | NotExamined | None = None,
    cause: CauseSection | NotExamined | None = None,
    helps: str = "",
    compared: bool = True,
) -> str:
    """What one would paste on Slack: at most six sentences, each backed by a number of the answer.

    `fresh` is False where every run was made by an earlier command; `reading`: how the rate was read, if it was;
    `dud`: where one failing run went wrong, `cause`: why it fails, if that was looked into; `helps`: what came of fixes
    that were tried, in a sentence; `compared` is False where nobody asked whether it is worse than usual.
    """
    sentences: list[str] = []
    again = ""
    if isinstance(luck, LuckSection):
        low, high = bounds(luck, certify)
        again = retry_sentence(luck, low, high)
        usual = luck_sentence(luck) if compared or luck.verdict != "undecided" else ""
        sentences = [rate_sentence(luck.rate, low, high, fresh=fresh), reading_sentence(reading), usual]
        sentences += [again, invalid_sentence(luck.rate)]
    if isinstance(certify, CertifySection):
        sentences.append(certify_sentence(certify))
    if isinstance(cause, CauseSection):
        sentences.append(cause.brief)
    where = dud_sentence(dud)
    sentences += [helps, where]
    if isinstance(luck, LuckSection) and luck.rate.failures and not isinstance(cause, CauseSection):
        sentences.append("Why it fails has not been looked into yet.")
    said = [s for s in sentences if s]
    # What a second try is worth can be worked out from the rest; where one answer went wrong is a detail.
    for least in (again, where if helps else ""):
        if len(said) > MOST_SENTENCES and least in said:
            said.remove(least)
    return " ".join(said[:MOST_SENTENCES])


def reading_sentence(reading: Reading | None) -> str:
    """That the rate was read and not counted, on which condition, and what runs would have taken; empty if it was not.

    >>> reading_sentence(Reading(12, 150, 60, 335))[:75]
    "That is read from the model's own probabilities in 12 calls, if the server "
    """
    if reading is None:
        return ""
    return (
        f"That is read from the model's own probabilities in {counts('call', reading.calls)}, if the server samples "
        f"from the probabilities that it lists ({counts('run', reading.checked)} agree with them); by runs alone "
        f"{'more than the budget allows' if reading.runs_instead is None else f'about {reading.runs_instead:,}'} would "
        "have been needed."
    )


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
        worked = "and it worked" if rate.n == 1 else "and it worked every time"
        if rate.invalid:
            worked = f"and all {judged} answers that could be judged were right"
        return f"{ran}, {worked}; {truth}."
    if rate.failures == judged:
        each = "" if rate.n == 1 else " every time"
        return f"{ran}, and it failed{each}{' that could be judged' if rate.invalid else ''}; {truth}."
    often = f", {in_ten(rate.estimate)}" if judged >= ENOUGH_FOR_A_PROPORTION else ""
    return f"{ran} and it failed {counts('time', rate.failures)}{often}; {truth}."


def allowing(alpha: float) -> str:
    """The chance of error that was asked for, with a blank before it; empty where it is the usual one.

    >>> allowing(0.05), allowing(0.3)
    ('', ' (allowing a chance of 30 % to be wrong)')
    """
    return "" if abs(alpha - USUAL_ALPHA) <= 1e-12 else f" (allowing a chance of {percent(alpha)} to be wrong)"


def luck_sentence(luck: LuckSection) -> str:
    """Bad luck or worse than usual, as far as shown; says what is missing when it is not."""
    if luck.verdict == "worse_than_reference":
        return f"{_usual(luck)}, so this was not just one unlucky try{allowing(luck.alpha)}."
    if luck.verdict == "bad_luck":
        bound = percent(not_worse_rate(luck.reference_rate or 0.0), "up")
        fits = f"what you saw fits plain bad luck{allowing(luck.alpha)}"
        return f"{_usual(luck)}, and this one less than {bound}, so {fits}."
    if luck.verdict == "not_reproduced":
        return f"I could not reproduce the failure{allowing(luck.alpha)}."
    if luck.reference.source == "controls" and luck.verdict == "undecided":
        return _unsettled(luck)
    if luck.reference_rate is None and luck.rate.failures:
        return (
            "Whether that is more than usual I cannot say, because this project names no ordinary requests "
            "(control cases) to compare with."
        )
    return _more_runs(luck)


def mostly_fail(controls: Reference) -> bool:
    """Whether control cases fail so often that nothing can be compared with them."""
    return controls.failures > (controls.n - controls.invalid) / 5


def _unsettled(luck: LuckSection) -> str:
    """Why control cases did not settle it: not run, too few, failing themselves, or just more runs needed."""
    controls = luck.reference
    judged = controls.n - controls.invalid
    if not judged:
        return (
            "Whether that is more than usual I cannot say: no ordinary request (control case) has been run and judged."
        )
    failed = f"{counts('failure', controls.failures)} in {counts('run', judged)}"
    if luck.reference_rate is None and mostly_fail(controls):
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
    if certify.verdict != "undecided":
        target += allowing(certify.alpha)
    if certify.verdict == "met":
        return f"For this request you may say {target}."
    if certify.verdict == "not_met":
        return f"For this request you may not say {target}: it is shown to fail more often than that allows."
    today = f"; today no more than {percent(certify.claim_today, 'down')} may be claimed" if certify.claim_today else ""
    more = f", and about {counts('more run', certify.calls_needed)} would decide it" if certify.calls_needed else ""
    return f"Whether it is {target} is still open{today}{more}."


def dud_sentence(dud: DudSection | NotExamined | None) -> str:
    """Where one failing run went wrong, no stronger than its verdict; empty where that is not shown."""
    if not isinstance(dud, DudSection):
        return ""
    if dud.verdict == "doomed":
        return f"Such an answer is lost before its first {dud.unit}, so the prompt or the model is to blame, not luck."
    if dud.verdict == "slide":
        return f"A failing answer loses its chances little by little, at no single {dud.unit}."
    rates = [est.value for est in (dud.success_before, dud.success_after) if est is not None and est.value is not None]
    if dud.verdict == "unsure" or len(rates) < 2:
        return ""
    before, after = map(percent, rates)
    return (
        f"One failing answer went wrong at “{dud.token}” ({dud.unit} {dud.position}): before it such an answer works "
        f"out in about {before} of runs, after it in about {after}."
    )


def headline_alpha(luck: LuckSection | NotExamined, certify: CertifySection | NotExamined) -> float:
    """The chance that a headline is wrong, at most: that of luck rests on the limit of the usual rate, too."""
    of_luck = luck.alpha + luck.reference.alpha if isinstance(luck, LuckSection) else 0.0
    return max(of_luck, certify.alpha if isinstance(certify, CertifySection) else 0.0)


def error_sentence(alpha: float, total: float, rests: str = "") -> str:
    """How likely a headline is wrong, and how likely anything that is said beside it.

    rests: what that supposes, as the end of the sentence.

    >>> error_sentence(0.05, 0.32)
    'A headline is wrong with a chance of at most 5 %; that anything here is, ranges too, of at most 32 %.'
    """
    one, every = percent(min(1.0, alpha), "up"), percent(min(1.0, total), "up")
    first = f"A headline is wrong with a chance of at most {one}"
    return f"{first}; that anything here is, ranges too, of at most {every}{rests}."


def invalid_sentence(rate: Rate) -> str:
    """What became of runs that nobody could judge: they stay in the count, bounded both ways."""
    if not rate.invalid or rate.estimate is None:
        return ""
    gave = f"{counts('run', rate.invalid)} gave nothing to judge (a time-out or the like)"
    return f"{gave} and {'is' if rate.invalid == 1 else 'are'} counted as both right and wrong."


def compare_reply(
    names: Sequence[str],
    variants: Sequence[VariantRate],
    pairs: Sequence[Pair],
    best: str | None,
    alike: Sequence[str],
    margin: float | None,
    about: Literal["suite", "population"],
    cases: int,
) -> str:
    """What one would paste on Slack about a comparison; no sentence stronger than its verdict."""
    rates = {v.id: v.rate for v in variants}
    same = "the same request" if cases == 1 else f"the same {counts('request', cases)}"
    where = f"On {same}" if about == "suite" else f"On {counts('new request', cases)}, the same for each"
    tried = [f"{brief(name)} {_fared(rates[name])}" for name in names]
    sentences = [f"{where}: {', '.join(tried[:-1])} and {tried[-1]}."]
    if len(pairs) == 1:
        return " ".join([*sentences, *pair_sentences(pairs[0])])
    if best and alike:
        others = ", ".join(map(brief, alike))
        within = points(margin, signed=False)
        sentences.append(f"None is better than {brief(best)} by {within} or more; it could not be told from {others}.")
    else:
        known = f"The one that fails least often is {brief(best)}."
        sentences.append(known if best else "Which of them is best is not known yet.")
    groups = {
        f"Shown to be better than {brief(names[0])}": [p.b for p in pairs if p.verdict == "better"],
        f"Shown to be worse than {brief(names[0])}": [p.b for p in pairs if p.verdict == "worse"],
        "Shown not to be the best": [v.id for v in variants if v.dropped_after is not None and not best],
    }
    sentences += [f"{words}: {', '.join(map(brief, ids))}." for words, ids in groups.items() if ids]
    return " ".join(sentences[:MOST_SENTENCES])


def _fared(rate: Rate) -> str:
    """How a variant did, so that no reader takes an answer that never came for a success."""
    failed = f"failed {counts('time', rate.failures)} in {rate.n - rate.invalid:,}"
    if not rate.invalid:
        return failed
    if rate.n == rate.invalid:
        return f"gave nothing that could be judged in {counts('run', rate.n)}" if rate.n else "was not run"
    return f"{failed} ({rate.invalid:,} more could not be judged)"


def brief(name: str | None) -> str:
    """A variant's name, as much of it as fits into a sentence: of words the beginning, of a place the end.

    >>> brief("params.temperature=0"), brief("system.note=Next Friday means the Friday of next week.")
    ('params.temperature=0', 'system.note=Next Friday means…')
    >>> brief("model=recorded:/home/ana/runs/maths.jsonl#variant=be-brief"), brief("/home/ana/products/meetings/strict")
    ('model=…#variant=be-brief', '…/ana/products/meetings/strict')
    """
    text = " ".join((name or "").split())
    if len(text) <= BRIEF:
        return text
    part, _, place = text.partition("=") if text.startswith(PLACES) else ("", "", text)
    if not part and ("/" not in text or " " in text or "=" in text):
        return text[: BRIEF - 1].rstrip() + "…"
    head = f"{part}=…" if part else "…"
    end = place[-(BRIEF - len(head)) :]
    whole = [at for at in (end.rfind("#"), end.find("/")) if at >= 0]  # better a whole name than the end of one
    return head + end[whole[0] if whole else 0 :]


def pair_bounds(pair: Pair) -> tuple[float, float]:
    """All that is shown about the difference, the verdict included; both hold at once, their chances of error added."""
    low = -1.0 if pair.difference.low is None else pair.difference.low
    high = 1.0 if pair.difference.high is None else pair.difference.high
    margin = pair.margin or 1.0
    if pair.verdict == "better":
        return min(low, 0.0), min(high, 0.0)
    if pair.verdict == "worse":
        return max(low, 0.0), max(high, 0.0)
    return (max(low, -margin), min(high, margin)) if pair.verdict == "no_different" else (low, high)


def pair_sentences(pair: Pair) -> list[str]:
    """Verdict on B against A, by how much, and what this run could not have missed."""
    a, b = brief(pair.a), brief(pair.b)
    low, high = pair_bounds(pair)
    if pair.verdict in ("better", "worse"):
        word, most = ("less", -low) if pair.verdict == "better" else ("more", high)
        least = -high if pair.verdict == "better" else low
        up_to = f"by up to {points(most, signed=False, toward='up')}"
        by = (
            f"by {points(least, signed=False, toward='down')} to {points(most, signed=False, toward='up')}"
            if least > 0
            else up_to
        )
        return [f"So {b} fails {word} often than {a}, {by}{allowing(pair.alpha)}."]
    if pair.verdict == "no_different":
        within = points(pair.margin, signed=False)
        said = [f"So the two are no different, to within {within}{allowing(pair.alpha)}."]
    elif pair.contradicted:
        said = ["Earlier and later pairs contradict one another, as if something had changed; nothing holds for all."]
    elif pair.harmless:
        said = [f"So {b} is not worse by {points(pair.margin, signed=False)} or more; whether it is better is open."]
    else:
        unit = "more pair of runs" if pair.unit == "pair" else "more case"
        more = f"; about {_plural(unit, pair.pairs_needed)} would tell" if pair.pairs_needed else ""
        said = [
            f"That is too little to say which is better: the true difference lies {between_points(low, high)}{more}."
        ]
    if pair.smallest_drop is not None and pair.smallest_drop < WORTH_SAYING and not pair.contradicted:
        drop = points(pair.smallest_drop, signed=False, toward="up")
        said.append(f"That {b} fails {drop} more often than {a}, or worse, is ruled out.")
    return said


def _plural(thing: str, n: int) -> str:
    return f"{n:,} {thing}" if n == 1 else f"{n:,} {thing.replace('pair', 'pairs').replace('case', 'cases')}"


def points(
    difference: float | None, *, signed: bool = True, toward: Literal["nearest", "up", "down"] = "nearest"
) -> str:
    """A difference of two rates in percentage points, as one says it.

    >>> points(-0.123), points(0.04), points(0.0312, signed=False, toward="up")
    ('−12 points', '+4 points', '3.2 points')
    """
    if difference is None:
        return "an unknown number of points"
    size = percent(min(1.0, abs(difference)), toward).removesuffix(" %")
    sign = ("−" if difference < 0 else "+") if signed and difference else ""
    return f"{sign}{size} point{'' if size == '1' else 's'}"


def gain_words(value: float, low: float | None, high: float | None, of: str) -> str:
    """How many of the failures a fix takes away, and between which shares the truth lies; below nothing is none.

    >>> gain_words(0.38, 0.12, 0.953, "of the failures")
    'takes away 38 % of the failures (12–95.3 %)'
    >>> gain_words(0.38, -0.2, 0.9, "of the failures"), gain_words(-0.3, -2, 0.32, "of the failures")
    ('takes away 38 % of the failures (at most 90 %)', 'takes away none of the failures (at most 32 %)')
    """
    least, most = max(0.0, low or 0.0), min(1.0, max(0.0, 1.0 if high is None else high))
    share = percent(min(1.0, value)) if value > 0 else "none"
    between = interval_words(least, most) if least > 0 else f"at most {percent(most, 'up')}" if most > 0 else ""
    return f"takes away {share} {of}{f' ({between})' if between else ''}"


def between_points(low: float, high: float) -> str:
    """Two ends of a difference in percentage points, rounded outward.

    >>> between_points(-0.531, 0.024), between_points(-0.131, -0.049)
    ('between −54 and +2.4 points', 'between −14 and −4.9 points')
    """

    def end(value: float, toward: Literal["up", "down"]) -> str:
        sign = "−" if value < 0 else "+" if value > 0 else ""
        return sign + percent(abs(value), toward).removesuffix(" %")

    return f"between {end(low, 'up' if low < 0 else 'down')} and {end(high, 'down' if high < 0 else 'up')} points"


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
