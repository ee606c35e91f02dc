"""What failing and passing answers suggest, whatever the cause: how the failing field, check and ending are met."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from reroll.check import Check, judge_sample
from reroll.describing import FORMS, form_of, narrowed
from reroll.evidence import Est, Evidence, interval_of
from reroll.match import excerpt
from reroll.numbers import percent
from reroll.program import canonical
from reroll.retry import deliver_range
from reroll.sample import Completion, Sample
from reroll.suggest_cause import Ranked, say
from reroll.suggestion import CUT, Material, Other, Suggestion, make, text_of_sample, wrong_fields

__all__ = ["from_answers", "runs_in_production"]

MOSTLY = 0.5  # of the failing answers
CLOSED = 0.8  # of the failing answers that a check must catch, so that trying again is the first thing to do
TRIES, VOTES = 2, 3
SELDOM = 0.3  # below this failure rate other draws are likely to be right
SHOWN = 3  # other cases of a kind
CATCHES = 0.1  # of the failing answers: a check that sees fewer is no reason to ask again
LONGER, LONGEST = 4, 4096  # times as many tokens, and at most so many
COOL = 0.3
RULES = ("python", "judge")  # whatever they look at, they were written once for many inputs
WORD = re.compile(r"[^\W\d_]{4,}")
SHAPES = {"json", "object", "format", "fields", "keys", "schema", "field", "answer"}


def from_answers(material: Material) -> Iterator[Ranked]:
    """Changes that answers suggest, each with how directly: 79 at most, or more for what nothing else explains."""
    yield from _longer(material)
    yield from _shape(material)
    yield from _types(material)
    yield from _descriptions(material)
    yield from _reason(material)
    yield from _examples(material)
    yield from _verify(material)
    yield from _clauses(material)
    yield from _decoding(material)


def _chance(material: Material) -> bool:
    """Whether it was shown that no part carries the failure, so that only sampling is left."""
    return material.cause is not None and material.cause.verdict == "bad_luck"


# ---------------------------------------------------------------- the form of the answer


def _longer(material: Material) -> Iterator[Ranked]:
    ends = [sample.completion.finish_reason for sample in material.failing if sample.completion is not None]
    cut = sum(end in CUT for end in ends)
    name = next((n for n in ("max_completion_tokens", "max_tokens") if n in material.program.sampling), None)
    if name is None or not ends or cut < MOSTLY * len(ends):
        return
    value = material.program.sampling[name]
    if isinstance(value, int) and value < LONGEST:
        why = f"{cut} of {len(ends)} failing answers were cut off by {name}, so they may be longer"
        yield 98, make("longer answers", "params.set", f"params.{name}", why, value=min(LONGEST, value * LONGER))


def _shape(material: Material) -> Iterator[Ranked]:
    if material.unreadable < MOSTLY:
        return
    share = percent(material.unreadable)
    if material.program.structured == "describe":
        why = f"{share} of the failing answers do not have the form that is described, so the server holds them to it"
        yield 88, make("enforce form", "response.on", "response", why, structured="both")
    elif material.program.structured == "enforce":
        why = f"{share} of the failing answers do not have the form asked for, so the model also reads what it is"
        yield 78, make("describe form", "response.on", "response", why, structured="both")


def _types(material: Material) -> Iterator[Ranked]:
    for field in material.pinned:
        if field not in material.fields:
            continue
        right, wrong = material.values(material.passing, field), material.values(material.failing, field)
        elsewhere = [value for other in material.others for value in material.values(other.passing, field)]
        if found := narrowed(material.fields[field], right, wrong, elsewhere):
            kind, settings = found
            why = f"every right answer has a `{field}` that fits this, and most failing ones do not"
            yield 77, make(f"narrow {field}", kind, f"response.{field}.type", why, **settings)


def _descriptions(material: Material) -> Iterator[Ranked]:
    for k, field in enumerate(material.pinned):
        schema = material.fields.get(field)
        text = say(material, field) if schema is not None else None
        if schema is None or text is None:
            continue
        about = str(schema.get("description") or "")
        if not about:
            # Where wrong values are written as right ones are, a description of how they are written says little.
            form = form_of(material.values(material.passing, field))
            wrong = material.values(material.failing, field)
            known = form is not None and sum(map(form.fits, wrong)) >= MOSTLY * len(wrong)
            why = f"failing answers get `{field}` wrong, and nothing says what belongs there"
            yield (
                (64 if known else 74) - k,
                make(f"describe {field}", "field.describe", f"response.{field}.description", why, text=text),
            )
        elif text not in about:
            why = f"failing answers get `{field}` wrong, and what is said of it leaves out how right answers have it"
            longer = f"{about.rstrip(' .')}. {text}"
            target = f"response.{field}.description"
            yield 56 - k, make(f"describe {field} further", "field.describe", target, why, text=longer)


def _reason(material: Material) -> Iterator[Ranked]:
    if not material.fields or any(field.lower().startswith("reason") for field in material.fields):
        return
    what = f"`{material.pinned[0]}`" if material.pinned else "the answer"
    about = f"One short sentence: what in the request decides {what.strip('`')}, and how." if material.pinned else ""
    text = about or "One short sentence: what the request asks for."
    why = f"{what} has to be worked out, and an answer that begins with its reason has room for that"
    yield 68, make("reason first", "reason.first", "response", why, name="reason", text=text)


# ---------------------------------------------------------------- examples


def _examples(material: Material) -> Iterator[Ranked]:
    """Right answers of other cases, never one of this case: it would teach its answer.

    Neighbours first, those that fail most before the others: what is easy does not show what is hard. Of cases that are
    no neighbours those that get the same field wrong now and then.
    """
    near = [other for other in material.others if other.case.of == material.case.id and other.case.set == "neighbour"]
    near.sort(key=lambda other: -len(other.failing) / max(1, len(other.failing) + len(other.passing)))
    far = [other for other in material.others if other not in near and other.case.id != material.case.id]
    alike = [other for other in far if set(material.pinned) & set(wrong_fields(material, other))]
    shape = material.unreadable >= MOSTLY  # any right answer shows what a readable one looks like
    easy = [other for other in far if other not in alike][: 2 if shape else 1]
    for group, rank, what in (
        (near, 73.0, "a case like it"),
        (alike, 53.0, "another case that gets the same wrong now and then"),
        (easy, 66.0 if shape else 30.0, "another case"),
    ):
        for k, other in enumerate(group[:SHOWN]):  # some may turn out to say what only the case says
            for one in _shown(material, other, what, contrast=other not in easy):
                yield rank - k, one
                rank -= 0.5


def _shown(material: Material, other: Other, what: str, contrast: bool) -> Iterator[Suggestion]:
    """A right answer of another case beside a wrong one, and alone."""
    asked, right = material.asked(other), _commonest(other.passing)
    if asked is None or right is None or asked in {example.user for example in material.program.examples}:
        return
    wrong = _commonest(other.failing)
    if contrast and wrong is not None and wrong != right:
        target = f"system.{_free('contrast', list(material.program.clauses()))}"
        yield make(
            f"contrast {other.case.id}", "contrast.add", target,
            f"{what} ({other.case.id}) fails, too, and a right answer beside a wrong one shows the difference",
            user=asked, right=right, wrong=wrong, reason=_difference(material, right, wrong),
        )  # fmt: skip
    name = _free("example", [example.name for example in material.program.examples])
    why = f"a right answer to {what} ({other.case.id}) shows what is wanted"
    yield make(f"example {other.case.id}", "example.add", f"examples.{name}", why, user=asked, assistant=right)


def _difference(material: Material, right: str, wrong: str) -> str:
    """Why the one is right, as far as fields tell."""
    differing = [
        field
        for field in material.fields
        if material.values([_said(right)], field) != material.values([_said(wrong)], field)
    ]
    if differing:
        return f"Only the first has what the request asks for as {' and '.join(differing)}."
    return "Only the first is what was asked for."


def _said(text: str) -> Sample:
    return Sample(completion=Completion(text))


def _commonest(samples: Sequence[Sample]) -> str | None:
    texts = Counter(text for text in map(text_of_sample, samples) if text is not None)
    return texts.most_common(1)[0][0] if texts else None


def _free(name: str, taken: Sequence[str]) -> str:
    return next(one for one in (name, *(f"{name}-{k}" for k in range(2, len(taken) + 3))) if one not in taken)


# ---------------------------------------------------------------- trying again


def runs_in_production(check: Check, material: Material) -> bool:
    """Whether a check can be asked of an answer to any request: it names no right answer of this one.

    A shape can; code and a judge can where the case gives them no right answer; others only where every other case has
    the very same check.
    """
    if check.kind == "schema":
        return True
    if check.kind in ("person", "reward"):
        return False
    if check.kind in RULES:
        told = material.case.expected is not None or "expected" in material.case.input
        return not told and "expected" not in check.names_used()
    others = [other.case for other in material.others]
    return len(others) >= 2 and all(check.id in {one.id for one in case.checks} for case in others)


def _verify(material: Material) -> Iterator[Ranked]:
    checks = [check for check in material.case.checks if runs_in_production(check, material)]
    if not any(check.kind == "schema" for check in checks) and material.around.response is not None:
        checks.append(Check.of("schema", True))
    catching = [check for check in checks if _caught(check, material) >= CATCHES or _named_failing(check, material)]
    if not catching:
        return
    predicted = _after_tries(material, catching)
    caught = max((_caught(check, material) for check in catching), default=0.0)
    forms = [{kind: value for kind, value in check.form().items() if kind != "name"} for check in catching]
    words = ", ".join(check.name or check.kind for check in catching)
    share = f"{percent(caught)} of the failing answers" if caught else "failing answers"
    why = f"the check ({words}) needs no right answer and sees {share}, so such an answer can be asked for again"
    rank = (79 if caught >= CLOSED else 58) + (20 if _chance(material) else 0)
    yield rank, make("verify", "sample.verify", None, why, predicted, checks=forms, times=TRIES)


def _named_failing(check: Check, material: Material) -> bool:
    return check.kind in RULES and check in material.checks and bool(material.failing_checks)


def _flags(check: Check, samples: Sequence[Sample], material: Material) -> list[bool]:
    """Of each judged sample, whether this check finds it wrong; nothing of checks that run elsewhere."""
    if any(one.kind in (*RULES, "person") for one in check.walk()):
        return []
    said = [judge_sample(check, sample, material.around).outcome for sample in samples]
    return [word == "fail" for word in said if word != "invalid"]


def _caught(check: Check, material: Material) -> float:
    flags = _flags(check, material.failing, material)
    return sum(flags) / len(flags) if flags else 0.0


def _after_tries(material: Material, checks: Sequence[Check]) -> Est | None:
    """How much less often a bad answer is delivered, or none at all, computed from what the checks see."""
    bad = [_flags(check, material.failing, material) for check in checks]
    good = [_flags(check, material.passing, material) for check in checks]
    if not all(bad) or not all(good):
        return None
    flagged = [any(one) for one in zip(*bad, strict=True)]
    alarms = [any(one) for one in zip(*good, strict=True)]
    runs = material.evidence
    found = deliver_range(
        runs,
        Evidence(len(flagged) - sum(flagged), len(flagged)),
        Evidence(sum(alarms), len(alarms)),
        TRIES,
    )
    before, bad_after, refused = runs.estimate, found.bad.value, found.refused.value
    if before is None or bad_after is None or refused is None:
        return None
    most = (found.bad.high or 0.0) + (found.refused.high or 0.0)
    least = (found.bad.low or 0.0) + (found.refused.low or 0.0)
    low, high = interval_of(runs)
    return Est(before - bad_after - refused, max(-1.0, low - most), min(1.0, high - least), runs.n)


# ---------------------------------------------------------------- what is said already


def _clauses(material: Material) -> Iterator[Ranked]:
    """The instruction that the failing checks are about, said again, or with emphasis."""
    clauses = material.program.clauses()
    blamed = {one.id for one in material.cause.factors} if material.cause else set()
    about = {name: _relation(material, text) for name, text in clauses.items() if f"system.{name}" not in blamed}
    name = max(about, key=lambda one: about[one], default=None)
    if name is None or not about[name]:
        return
    said = excerpt(clauses[name], 60)
    why = f"the instruction {said} is about what failing answers get wrong, and is said once"
    yield 52, make(f"repeat {name}", "clause.repeat", f"system.{name}", f"{why}; twice is harder to overlook", times=2)
    yield 50, make(
        f"emphasise {name}", "clause.emphasise", f"system.{name}",
        f"the instruction {said} is about what failing answers get wrong, and nothing marks it", how="important",
    )  # fmt: skip


def _relation(material: Material, clause: str) -> int:
    """How much an instruction has to do with what fails: words that it shares with it, and the form of its values."""
    names = [check.name or "" for check in material.checks[:1]]  # the one that fails most
    abouts = [str(material.fields.get(field, {}).get("description") or "") for field in material.pinned]
    words = {word.lower() for text in (*names, *material.pinned, *abouts) for word in _split(text)}
    found = 2 * len(words & {word.lower() for word in WORD.findall(clause)})
    if material.unreadable >= MOSTLY or any(check.kind == "schema" for check in material.checks[:1]):
        found += len(SHAPES & {word.lower() for word in WORD.findall(clause)})
    for field in material.pinned:
        values = material.values(material.passing, field)
        pieces = [piece.strip(".,;()") for piece in clause.split()]
        if any(form.fits(piece) for form in FORMS[:3] for piece in pieces if values and form.fits(values[0])):
            found += 3
    return found


def _split(name: str) -> list[str]:
    return WORD.findall(re.sub(r"([a-z])([A-Z])", r"\1 \2", name).replace("_", " ").replace("-", " "))


# ---------------------------------------------------------------- how it is drawn


def _decoding(material: Material) -> Iterator[Ranked]:
    runs = material.evidence
    low, high = interval_of(runs) if runs.n else (0.0, 1.0)
    if not material.failing or runs.estimate is None or high >= 0.5:
        return
    more = 26 if _chance(material) else 14 if high < SELDOM else 0
    share = percent(runs.estimate)
    temperature = material.program.sampling.get("temperature", 1)
    if isinstance(temperature, int | float) and temperature > COOL and not material.program.is_product:
        why = (
            f"only {share} of the answers fail, so the likeliest one is right here; but an input whose likeliest "
            "answer is wrong then fails every time"
        )
        yield 44 + more, make("cooler", "params.set", "params.temperature", why, value=COOL)
    field = next(iter(material.pinned), None)
    if _most_agree(material, field):
        after = [rate - _majority(rate) for rate in (low, runs.estimate, high)]
        predicted = Est(after[1], min(0.0, *after), max(after), runs.n)
        why = f"only {share} of the answers fail, so what two of three say is right more often; it takes three calls"
        by = None if field is None else f"/{field.replace('~', '~0').replace('/', '~1')}"
        settings = {} if by is None else {"by": by}
        yield 40 + more, make("vote", "sample.vote", None, why, predicted, n=VOTES, **settings)


def _majority(rate: float) -> float:
    """How often two of three fail alike, if all wrong answers agree.

    >>> round(_majority(0.1), 3)
    0.028
    """
    return 3 * rate**2 - 2 * rate**3


def _most_agree(material: Material, field: str | None) -> bool:
    """Whether right answers say one thing, more often than any wrong thing is said."""

    def said(samples: Sequence[Sample]) -> Counter[str]:
        if field is not None:
            return Counter(canonical(value) for value in material.values(samples, field))
        return Counter(text for text in map(text_of_sample, samples) if text is not None)

    right, wrong = said(material.passing), said(material.failing)
    if not right:
        return False
    (_, most), *_ = right.most_common(1)
    return most >= 0.8 * right.total() and most > max(wrong.values(), default=0)
