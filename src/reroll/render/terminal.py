"""The answer as a page in the terminal: the verdict, the reply, the evidence, what it took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from reroll.answer import (
    Answer,
    CauseSection,
    CertifySection,
    Cost,
    DudSection,
    LuckSection,
    NotExamined,
    Price,
    ShownSample,
)
from reroll.conclude import bounds
from reroll.models.model import Capabilities
from reroll.numbers import counts, interval_words, money, percent
from reroll.probing import Change
from reroll.render import said
from reroll.render.bars import Row, axis
from reroll.render.caused import cause_lines
from reroll.render.helped import helped_lines
from reroll.render.ink import COLOURS, Pen
from reroll.render.pieces import (
    FAILS,
    Lines,
    badge,
    caveat_lines,
    certify_lines,
    certify_row,
    certify_words,
    cost_lines,
    legend,
    rate_row,
    runs_lines,
    target_row,
    titled,
    usage_pieces,
)
from reroll.sample import Token, Usage
from reroll.words import error_sentence, headline, headline_alpha, mostly_fail

__all__ = [
    "answer_lines",
    "show_answer",
    "show_capabilities",
    "show_certify",
    "show_luck",
    "show_question",
    "show_sample",
    "show_samples",
]

# What each verdict word looks like: the symbol and colour of the outcome that it speaks of.
LUCK_KIND = {"worse_than_reference": "fail", "bad_luck": "pass", "not_reproduced": "pass", "undecided": "undecided"}
SECTIONS = (
    ("luck", "How often it fails"),
    ("certify", "Whether a target is met"),
    ("cause", "Why it fails"),
    ("dud", "Where a bad answer goes wrong"),
    ("fixes", "What helps"),
    ("surprise", "How unlikely what you saw was"),
)
MOST_SAMPLES = 3
MOST_OTHERS = 3  # tokens that could have stood where one went wrong

_NO_TARGET = NotExamined("no target was named", Price(None, None))


def show_answer(answer: Answer, console: Console) -> None:
    """Print the whole answer as a page, at most 100 columns wide."""
    pen = Pen(console)
    pen.put(answer_lines(answer, pen))


def show_luck(
    luck: LuckSection | NotExamined,
    console: Console,
    *,
    case_id: str = "",
    outcomes: Sequence[str] = (),
    cost: Cost | None = None,
    stopped: str = "",
    caveats: Sequence[str] = (),
) -> None:
    """Print what re-running showed: verdict, rates, the runs in order."""
    pen = Pen(console)
    lines = [*_headline(luck, pen), *_subject(case_id, luck, pen)]
    if isinstance(luck, NotExamined):
        lines += pen.wrap(pen.text(luck.not_examined))
    else:
        lines += titled("How often it fails", [*axis(_luck_rows(luck, _NO_TARGET), pen), *legend(pen, luck.rate)], pen)
        worse = luck.verdict == "worse_than_reference"
        lines += _next_lines([f"`reroll cause {case_id}` finds out why it fails"] if worse and case_id else [], pen)
    lines += runs_lines(outcomes, stopped, pen) + caveat_lines(caveats, pen) + cost_lines(cost, pen)
    pen.put(lines)


def _next_lines(steps: Sequence[str], pen: Pen) -> Lines:
    bullet = Text(f"   {pen.glyph('bullet')} ")
    return titled("What now", [line for step in steps for line in pen.wrap(pen.text(step), bullet, 5)], pen)


def show_certify(
    certify: CertifySection | NotExamined,
    console: Console,
    *,
    case_id: str = "",
    outcomes: Sequence[str] = (),
    cost: Cost | None = None,
    stopped: str = "",
    caveats: Sequence[str] = (),
) -> None:
    """Print whether the target is met, what may be claimed today, and what a decision takes."""
    pen = Pen(console)
    if isinstance(certify, NotExamined):
        lines = pen.wrap(pen.join(("Not examined: ", "bold"), certify.not_examined), 1)
    else:
        lines = [*badge(*certify_words(certify), pen), *_subject(case_id, certify, pen)]
        rows = [certify_row(certify), target_row(certify)]
        lines += titled("How often it fails", [*axis(rows, pen), *legend(pen, certify.rate)], pen)
        lines += certify_lines(certify, pen)
        steps = [f"`reroll cause {case_id}` finds out why it fails"]
        steps += [f"`reroll try --case {case_id} --suggest` tries what would help"]
        lines += _next_lines(steps if certify.verdict == "not_met" and case_id else [], pen)
    lines += runs_lines(outcomes, stopped, pen) + caveat_lines(caveats, pen) + cost_lines(cost, pen)
    pen.put(lines)


def show_samples(samples: Sequence[ShownSample], console: Console) -> None:
    """Print samples one below the other, what failed marked."""
    pen = Pen(console)
    lines: Lines = []
    for sample in samples:
        lines += [*said.sample_lines(sample, pen), Text()]
    pen.put(lines[:-1] or [pen.text("No samples.", "dim")])


def show_sample(
    sample: ShownSample,
    console: Console,
    *,
    messages: Sequence[Mapping[str, Any]] = (),
    tokens: Sequence[Token] = (),
    usage: Usage | None = None,
    choice: int = 0,
) -> None:
    """Print one sample in full: what was sent, what came back, what it took, and its tokens where they are told."""
    pen = Pen(console)
    lines: Lines = []
    if messages:
        lines += [*titled("What was sent", said.message_lines(messages, pen), pen)[1:], Text()]
    lines += said.sample_lines(sample, pen, characters=20_000, rows=400)
    if choice:
        lines += [
            Text(),
            *pen.wrap(pen.text(f"Completion {choice + 1} of its call: what it took is with the first"), 3),
        ]
    elif usage is not None and usage != Usage():
        lines += titled("What it took", pen.flow(usage_pieces(usage)), pen)
    if tokens:
        lines += titled("Where it could have gone another way", said.token_lines(tokens, pen), pen)
    pen.put(lines)


def show_question(question: str, text: str, inputs: Mapping[str, Any], console: Console, why: str = "") -> None:
    """Print what a person is asked about one completion: why, the question, the request, what came back."""
    pen = Pen(console)
    lines = [Text(), *(pen.wrap(pen.text(why), 1) if why else ()), *pen.wrap(pen.text(question, "bold"), 1)]
    for name, value in inputs.items():
        lines += pen.wrap(pen.join((f"{name}: ", "dim"), str(value)), 3, 5)
    bar = pen.text("   | ", "dim")
    for line in (text or "(nothing)").splitlines()[:60]:
        lines += pen.wrap(pen.text(line), bar, bar)
    pen.put(lines)


def show_capabilities(
    name: str,
    capabilities: Capabilities,
    console: Console,
    probed: float | None = None,
    changes: Sequence[Change] = (),
) -> None:
    """Print what a model can do, when that was asked (Unix time; None: now, and not stored), and what has changed."""
    pen = Pen(console)
    lines = [*pen.wrap(pen.text(name, "bold"), 1), *said.capability_lines(capabilities, pen)]
    when = f"Probed {day(probed, minutes=True)}" if probed is not None else "Probed now, and not stored"
    by = f"; {', '.join(capabilities.versions)} answered" if capabilities.versions else ""
    lines += [Text(), *pen.wrap(pen.text(f"{when}{by}.", "dim"), 3, 5)]
    for change in changes:
        words = f"{change.name}: {value_words(change.before)} → {value_words(change.after)} since {day(change.since)}"
        lines += pen.wrap(pen.text(words, "bold"), 3, 5)
    pen.put(lines)


def day(when: float, minutes: bool = False) -> str:
    """A Unix time as a date, in UTC."""
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%d %H:%M UTC" if minutes else "%Y-%m-%d")


def value_words(value: Any) -> str:
    """An ability as a person says it."""
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def answer_lines(answer: Answer, pen: Pen) -> Lines:
    """The page as lines, none wider than the pen's page: what the terminal prints and the SVG draws."""
    luck, certify = answer.luck, answer.certify
    lines = _headline(luck, pen)
    if isinstance(certify, CertifySection):
        lines += badge(*certify_words(certify), pen)
    lines += _subject(
        str(answer.case.get("id", "")), luck, pen, said.short(f"{_program(answer)} on {answer.model}", 120)
    )
    lines += _report(answer, pen)
    lines += _reply(answer, pen)
    rows = _luck_rows(luck, certify) if isinstance(luck, LuckSection) else []
    if isinstance(certify, CertifySection):
        if certify.about != "case" or not rows:
            rows.append(certify_row(certify))
        rows.append(target_row(certify))
    if rows:
        asked = luck if isinstance(luck, LuckSection) else certify
        rate = None if isinstance(asked, NotExamined) else asked.rate
        lines += titled("How often it fails", [*axis(rows, pen), *legend(pen, rate)], pen)
    lines += runs_lines(answer.outcomes, answer.stopped, pen)
    if isinstance(certify, CertifySection):
        lines += certify_lines(certify, pen)
    shown = [line for s in answer.samples[:MOST_SAMPLES] for line in (Text(), *said.sample_lines(s, pen))]
    if shown:
        lines += titled("What it said", shown[1:], pen)
    lines += _cause(answer, pen) + _helped(answer, pen) + _dud(answer, pen)
    lines += _not_examined(answer, pen) + caveat_lines(answer.caveats, pen) + cost_lines(answer.cost, pen)
    rests = ", if the server samples from the probabilities that it lists" if answer.reading else ""
    total = error_sentence(headline_alpha(luck, certify), answer.alpha_total, rests)
    return lines + pen.wrap(pen.text(total, "dim"))


def _headline(luck: LuckSection | NotExamined, pen: Pen) -> Lines:
    kind = "undecided" if isinstance(luck, NotExamined) else LUCK_KIND[luck.verdict]
    return badge(kind, headline(luck), pen)


def _subject(case_id: str, section: LuckSection | CertifySection | NotExamined, pen: Pen, where: str = "") -> Lines:
    """What the verdict is about, in a line: the case, how often it fails, which program and model."""
    pieces: list[str | tuple[str, str]] = [(said.short(case_id, 80), "bold")] if case_id else []
    if not isinstance(section, NotExamined) and section.rate.estimate is not None:
        rate = section.rate
        often = f"failed {rate.failures:,} of {counts('run', rate.n - rate.invalid)}"
        pieces.append(f"{' ' if case_id else ''}{often}")
    if where:
        pieces.append((f"{' ' if pieces else ''}({where})", "dim"))
    return pen.wrap(pen.join(*pieces), 3) if pieces else []


def _program(answer: Answer) -> str:
    return str(answer.program.get("program") or answer.program.get("name") or "program")


def _report(answer: Answer, pen: Pen) -> Lines:
    """The person's words, the request they sent, and what they saw, each in its own line."""
    report, inputs = answer.report, answer.case.get("input") or {}
    who = said.short(", ".join(str(v) for v in (report.get("by"), report.get("at")) if v), 60)
    rows: list[tuple[str, Text]] = []
    if report.get("words"):
        words = said.clipped(str(report["words"]).strip(), pen, 600, 8)
        rows.append(("Reported", pen.join("“", words, "”", (f"  {who}" if who else "", "dim"))))
    for name, value in inputs.items():
        label = "Request" if len(inputs) == 1 else name
        rows.append((label, said.clipped(value if isinstance(value, str) else said.json_text(value), pen, 300, 4)))
    if report.get("saw"):
        rows.append(("Saw", said.clipped(str(report["saw"]), pen, 300, 4)))
    if not rows:
        return []
    room = min(14, max(len(label) for label, _ in rows)) + 2
    out = [Text()]
    for label, text in rows:
        out += pen.wrap(text, pen.join("   ", (f"{said.short(label, room - 2):<{room}}", "dim")), 3 + room)
    return out


def _reply(answer: Answer, pen: Pen) -> Lines:
    """The sentences that one would paste on Slack, with a bar in the verdict's colour."""
    kind = LUCK_KIND[answer.luck.verdict] if isinstance(answer.luck, LuckSection) else "undecided"
    bar = Text.assemble("   ", (pen.glyph("heavy"), COLOURS[kind]), "  ")
    if not answer.text.strip():
        return []
    return [Text(), *pen.wrap(pen.text(answer.text.strip()), bar)]


def _luck_rows(luck: LuckSection, certify: CertifySection | NotExamined) -> list[Row]:
    """The case, what it is held against, and a second try, on one axis."""
    low, high = bounds(luck, certify)
    rows = [rate_row(FAILS["case"], luck.rate, low, high)]
    reference, limit = luck.reference, luck.reference_rate
    if reference.source == "controls" and reference.n:
        share = reference.failures / reference.n
        number = f"at most {percent(1.0 if limit is None else limit, 'up')}"
        if limit is None and not mostly_fail(reference):
            number = "not known yet"
        note = f"{reference.failures:,} of {counts('control', reference.n)}"
        rows.append(Row("Usual failure rate", number, note, "fail", share, share, limit, limit))
    elif limit is not None:
        rows.append(Row("Usual failure rate", percent(limit), "given", mark=limit))
    else:
        rows.append(Row("Usual failure rate", "not known", "no controls"))
    if (works := luck.second_try_works.value) is not None and luck.rate.failures:
        number = f"{percent(works)} ({interval_words(1 - high, 1 - low)})"
        rows.append(Row("A second try works", number, "", "pass", 1 - high, works, 1 - low))
    return rows


def price_words(price: Price) -> str:
    """What examining would take.

    >>> price_words(Price(400, 0)), price_words(Price(None, None))
    ('about 400 calls, $0.00', '')
    """
    if price.calls is None:
        return "" if price.usd is None else money(price.usd)
    return f"about {counts('call', price.calls)}, {money(price.usd)}"


def _cause(answer: Answer, pen: Pen) -> Lines:
    """Why it fails: the sentences, the words that carry it, and what was looked at."""
    if not isinstance(answer.cause, CauseSection):
        return []
    own = answer.report.get("fidelity") == "rebuilt"  # else only the request itself finds it again
    goes_on = f"`reroll cause {answer.case.get('id')}` goes on from here." if own else ""
    more = pen.wrap(pen.text(goes_on, "dim"), 3) if own else []
    return titled("Why it fails", [*cause_lines(answer.cause, pen)[1:], *more], pen)


def _helped(answer: Answer, pen: Pen) -> Lines:
    """What helps: the best of the changes that were tried."""
    if isinstance(answer.fixes, NotExamined) or not answer.fixes:
        return []
    return titled("What helps", helped_lines(answer.fixes, str(answer.case.get("id")), pen), pen)


def _dud(answer: Answer, pen: Pen) -> Lines:
    """Where one failing run went wrong: in words, and what else could have stood there."""
    dud = answer.dud
    if not isinstance(dud, DudSection):
        return []
    body = pen.wrap(pen.text(dud.text), 3)
    choices = [] if dud.token is None else [(f"“{said.short(dud.token, 12)}”", dud.success_after, "fail")]
    choices += [(f"“{said.short(o.token, 12)}” instead", o.success, "pass") for o in dud.alternatives[:MOST_OTHERS]]
    rows = [
        Row(label, percent(est.value), "", kind, est.low, est.value, est.high)
        for label, est, kind in choices
        if est is not None and est.value is not None
    ]
    if rows:
        body += [Text(), *axis(rows, pen), *pen.wrap(pen.text("how often an answer works out with it", "dim"), 3)]
    body += pen.wrap(pen.text(f"`reroll forks {dud.sample}` shows the whole search.", "dim"), 3)
    return titled("Where a bad answer went wrong", body, pen)


def _not_examined(answer: Answer, pen: Pen) -> Lines:
    names: dict[str, list[str]] = {}  # sections with the same reason share a line
    for field, name in SECTIONS:
        section = getattr(answer, field)
        if isinstance(section, NotExamined):
            price = price_words(section.price)
            names.setdefault(f"{section.not_examined}{f' ({price})' if price else ''}", []).append(name)
    body: Lines = []
    for why, same in names.items():
        listed = ", ".join([same[0], *(n[0].lower() + n[1:] for n in same[1:])])
        body += pen.wrap(pen.join(listed, (f": {why}", "dim")), pen.text(f"   {pen.glyph('bullet')} "), 5)
    return titled("Not examined", body, pen)
