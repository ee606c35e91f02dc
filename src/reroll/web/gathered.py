"""All that is known of one case, from the findings about it: the answer, and what was looked at since."""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

from reroll.answer import Answer, CauseSection, CertifySection, Cost, DudSection, LuckSection, NotExamined
from reroll.case import Case
from reroll.conclude import agreeing, bounds, on_more_runs
from reroll.store import Store
from reroll.store_rows_web import Finding
from reroll.web.plainly import fixes_sentence
from reroll.words import rate_sentence, reply

__all__ = ["Gathered", "answer_of", "cause_of", "changed_since", "earlier_cause", "gathered", "newest", "standing"]

ANSWERS = ("investigate", "rerun", "certify")
BESIDE = ("cause", "forks", "try", "surprise", "futures", "phrase", "audit", "neighbours")
SPENT = tuple(one.name for one in fields(Cost) if one.name != "reused")  # what adds up over answers
MOST = 200  # findings of one case that are read for a page
MOST_KEPT = 500  # answers that are kept in memory
MOST_READ = 400  # answers that the home page looks into
_ANSWER = TypeAdapter(Answer)
_kept: OrderedDict[str, Answer | None] = OrderedDict()
_reading = threading.Lock()
_CAUSE, _DUD = TypeAdapter(CauseSection), TypeAdapter(DudSection)


@dataclass(frozen=True, slots=True)
class Gathered:
    """answer: the one with the most runs, with what others examined in place of what it left out; None: no run yet.

    found: the newest finding of each other command about the case, with its JSON.
    again: the newest time that somebody ran it again after that answer, with what came.
    fixes_us: when the answer was made whose fixes are in `answer`; fresh: whether the one that stands made runs itself.
    """

    finding: Finding | None
    answer: Answer | None
    found: Mapping[str, tuple[Finding, dict[str, Any]]]
    again: tuple[Finding, Answer] | None = None
    fixes_us: int = 0
    fresh: bool = True

    @property
    def luck(self) -> LuckSection | None:
        return self.answer.luck if self.answer and isinstance(self.answer.luck, LuckSection) else None

    @property
    def certify(self) -> CertifySection | None:
        return self.answer.certify if self.answer and isinstance(self.answer.certify, CertifySection) else None

    @property
    def cause(self) -> CauseSection | None:
        return self.answer.cause if self.answer and isinstance(self.answer.cause, CauseSection) else None

    @property
    def dud(self) -> DudSection | None:
        return self.answer.dud if self.answer and isinstance(self.answer.dud, DudSection) else None

    @property
    def cards(self) -> list[dict[str, Any]]:
        """The scorecards of the newest trial, of its own or within the answer; the best first."""
        if self.tried is not None:
            best = self.tried.get("best")
            return sorted(self.tried["fixes"], key=lambda card: card["fix"] != best)
        return self._fixes

    @property
    def tried(self) -> dict[str, Any] | None:
        """The newest trial, if it is newer than the fixes of the answer or that tried nothing."""
        tried = self.found.get("try")
        return tried[1] if tried is not None and (tried[0].made_us > self.fixes_us or not self._fixes) else None

    @property
    def _fixes(self) -> list[dict[str, Any]]:
        fixes = self.answer.fixes if self.answer else ()
        return [dict(card) for card in fixes] if isinstance(fixes, tuple | list) else []


def answer_of(body: Mapping[str, Any]) -> Answer | None:
    """The answer that a finding's JSON holds; None where it holds something else."""
    try:
        return _ANSWER.validate_python(dict(body)) if body.get("schema") == "reroll.answer/1" else None
    except ValidationError:  # written by another version
        return None


def cause_of(body: Mapping[str, Any]) -> CauseSection | None:
    """The cause that a finding's JSON holds; None where another version wrote it."""
    try:
        return _CAUSE.validate_python(dict(body))
    except ValidationError:
        return None


def gathered(store: Store, case_id: str, report_id: str | None = None) -> Gathered:
    """What is known of a case; with a report, its own answers before those of the case alone.

    Of the answers to the program as it was run last, the one with the most runs stands on the page: looking at ten
    runs more takes nothing back, and an answer without a run takes the place of none. What it did not examine is
    taken from the others; what was found with another program stands beside nothing.
    """
    every = _answers(store, case_id)
    own = [f for f in every if report_id is not None and f.report_id == report_id]
    answers = _read_together(store, every, own)
    best = _standing(answers, own)
    if best is None:
        last = next(iter(own or every), None)
        return Gathered(last, None, _beside(store, case_id, None if last is None else last.program_id))
    finding, answer = best
    found = _beside(store, case_id, finding.program_id)
    again = next((one for one in answers if one[0].command == "rerun" and one[0].made_us > finding.made_us), None)
    whole, made = _filled(finding, answer, [one for one in answers if one[0].program_id == finding.program_id])
    known = Gathered(finding, _completed(whole, made, found), found, again, made["fixes"], bool(answer.cost.calls))
    known = replace(known, answer=_added_up(known))
    return replace(known, answer=_retold(known, answer))


def standing(store: Store) -> dict[str, tuple[Finding, Answer | None]]:
    """By case the answer that its page shows, whichever of its findings that is; without a run there is none.

    Of very many findings only the newest are looked into; of a case that has none of these, it is the newest, unread.
    """
    every = [one for one in store.findings(command=ANSWERS) if one.case_id is not None]
    found: dict[str, tuple[Finding, Answer | None]] = {}
    of: dict[str, list[Finding]] = {}
    for one in every[:MOST_READ]:
        of.setdefault(str(one.case_id), []).append(one)
    for case, looked_into in of.items():
        answers = _read_together(store, looked_into, ())
        best = _standing(answers, ())
        if best is not None and _runs(best[1]):
            found[case] = _told(*best, answers)
    for one in every[MOST_READ:]:
        if one.case_id not in of:
            found.setdefault(str(one.case_id), (one, None))
    return found


def _told(finding: Finding, answer: Answer, answers: Sequence[tuple[Finding, Answer]]) -> tuple[Finding, Answer | None]:
    """The finding with the line that the page says, and its answer: others of the program may have told more of it."""
    whole, _ = _filled(finding, answer, [one for one in answers if one[0].program_id == finding.program_id])
    if whole.luck is answer.luck or not isinstance(whole.luck, LuckSection):
        return finding, answer
    line = rate_sentence(whole.luck.rate, *bounds(whole.luck, whole.certify), fresh=bool(answer.cost.calls))
    return replace(finding, line=line), answer


def changed_since(case: Case, program_id: str | None, finding: Finding, answer: Answer | None) -> str:
    """What is no longer as it was when this was found: `the program`, `the request`, `its checks`; empty: nothing."""
    was = {} if answer is None else answer.case
    if was.get("input", case.input) != case.input:
        return "the request"
    if program_id is not None and finding.program_id not in (None, program_id):
        return "the program"
    return "its checks" if list(was.get("checks", case.check_names())) != list(case.check_names()) else ""


def _read_together(store: Store, every: Sequence[Finding], own: Sequence[Finding]) -> list[tuple[Finding, Answer]]:
    """The answers of the program that was run last, and those of the report itself."""
    program = next((f.program_id for f in every if (a := _read(store, f.id)) is not None and _runs(a)), None)
    program = program or (every[0].program_id if every else None)
    read = [(f, _read(store, f.id)) for f in every if f.program_id == program or f in own]
    return [(f, answer) for f, answer in read if answer is not None]


def _standing(answers: Sequence[tuple[Finding, Answer]], own: Sequence[Finding]) -> tuple[Finding, Answer] | None:
    """The one with the most runs; a report's own before others, where it has a run of that program."""
    program = next((f.program_id for f, answer in answers if _runs(answer)), None)
    of_program = [one for one in answers if one[0].program_id == program] or answers
    mine = [one for one in of_program if one[0] in own and _runs(one[1])]
    return max(mine or of_program, key=lambda one: (_runs(one[1]), one[0].made_us), default=None)


def newest(store: Store, command: str, case_id: str) -> tuple[Finding, dict[str, Any]] | None:
    """The newest finding of one of the other commands about the case, whatever the program was then; with its JSON."""
    found = next(iter(store.findings(command=(command,), case_id=case_id, limit=1)), None)
    return None if found is None else (found, store.finding_body(found.id))


def earlier_cause(store: Store, case_id: str) -> tuple[Finding, CauseSection] | None:
    """The newest cause that was looked for, by its own command or within an answer, whatever the program was then."""
    found: list[tuple[Finding, CauseSection]] = []
    own = newest(store, "cause", case_id)
    if own is not None and (section := cause_of(own[1])) is not None:
        found.append((own[0], section))
    within = ((f, a.cause) for f in _answers(store, case_id) if (a := _read(store, f.id)) is not None)
    found += itertools.islice(((f, cause) for f, cause in within if isinstance(cause, CauseSection)), 1)
    return max(found, key=lambda one: one[0].made_us, default=None)


def _answers(store: Store, case_id: str) -> list[Finding]:
    """The findings that an answer may be taken from, the newest first; of very many short ones only the newest."""
    found = store.findings(command=ANSWERS, case_id=case_id, limit=MOST)
    if len(found) == MOST:
        found += store.findings(command=[name for name in ANSWERS if name != "rerun"], case_id=case_id, limit=MOST)
    return list({one.id: one for one in found}.values())


def _read(store: Store, id: str) -> Answer | None:
    """The answer of a finding. What was found does not change, so it is read once."""
    with _reading:
        if id in _kept:
            _kept.move_to_end(id)
            return _kept[id]
    answer = answer_of(store.finding_body(id))
    with _reading:
        _kept[id] = answer
        while len(_kept) > MOST_KEPT:
            _kept.popitem(last=False)
    return answer


def _added_up(known: Gathered) -> Answer | None:
    """The answer with the chance that any claim of the whole page is wrong: also of what stands beside it there."""
    if known.answer is None:
        return None
    more = known.again[1].alpha_total if known.again is not None else 0.0
    for command, (_, body) in known.found.items():
        if command == "try" and known.tried:
            more += float(body.get("alpha") or 0.0) * sum(card["verdict"] != "undecided" for card in body["fixes"])
        elif command in ("phrase", "audit", "surprise"):
            more += float(body.get("alpha_total") or body.get("alpha") or 0.0)
    return replace(known.answer, alpha_total=min(1.0, known.answer.alpha_total + more))


def _runs(answer: Answer) -> int:
    return answer.luck.rate.n if isinstance(answer.luck, LuckSection) else 0


def _beside(store: Store, case_id: str, program: str | None) -> dict[str, tuple[Finding, dict[str, Any]]]:
    """The newest finding of each other command about the case, with this program where one is known."""
    found: dict[str, tuple[Finding, dict[str, Any]]] = {}
    for other in store.findings(command=BESIDE, case_id=case_id):
        if other.command not in found and (program is None or other.program_id in (program, None)):
            found[other.command] = (other, store.finding_body(other.id))
    return found


def _filled(
    finding: Finding, answer: Answer, others: Sequence[tuple[Finding, Answer]]
) -> tuple[Answer, dict[str, int]]:
    """The answer with the cause, the token and the fixes of the newest other answer that looked for them, and when
    each was found; and with what was found of luck, where it did not ask. Its cost is that of all that it is from."""
    made = dict.fromkeys(("cause", "dud", "fixes"), finding.made_us)
    costs = {finding.id: answer.cost}
    for name in made:
        if isinstance(getattr(answer, name), NotExamined):
            held = next((one for one in others if not isinstance(getattr(one[1], name), NotExamined)), None)
            if held is not None:
                made[name] = held[0].made_us
                costs[held[0].id] = held[1].cost
                answer = _with(answer, name, getattr(held[1], name))
    answer = replace(answer, cost=_together(list(costs.values())))
    return (_compared(answer, others) if finding.command == "certify" else answer), made


def _together(costs: Sequence[Cost]) -> Cost:
    """What several answers took; unknown where it is not known of one of them."""
    first, *others = costs
    for one in others:
        added = {name: _sum(getattr(first, name), getattr(one, name)) for name in SPENT}
        first = replace(first, **added)
    return first


def _sum(a: Any, b: Any) -> Any:
    return None if a is None or b is None else a + b


def _compared(answer: Answer, others: Sequence[tuple[Finding, Answer]]) -> Answer:
    """The answer, which asked for a target alone, with what the newest other one says of luck."""
    own = answer.luck
    lucks = (one.luck for _, one in others if isinstance(one.luck, LuckSection))
    held = next((luck for luck in lucks if luck.reference_rate is not None), None)
    if not isinstance(own, LuckSection) or own.reference_rate is not None or held is None:
        return answer
    luck, certify = agreeing(on_more_runs(held, own.rate, own.second_try_works), answer.certify)
    alpha = min(1.0, answer.alpha_total - own.alpha + held.alpha + held.reference.alpha)
    return replace(answer, luck=luck, certify=certify, alpha_total=alpha)


def _retold(known: Gathered, stood: Answer) -> Answer | None:
    """The answer with a reply that says what the page shows, where it shows more than the answer that stands."""
    answer, told = known.answer, ("luck", "cause", "dud", "fixes")
    if answer is None or (known.tried is None and all(getattr(answer, n) is getattr(stood, n) for n in told)):
        return answer
    text = reply(
        answer.luck,
        answer.certify,
        fresh=known.fresh,
        reading=answer.reading,
        dud=answer.dud,
        cause=answer.cause,
        helps=fixes_sentence(known.cards) if known.cards else "",
        compared=known.luck is not None and known.luck.reference.source != "none",
    )
    return replace(answer, text=text)


def _with(answer: Answer, name: str, section: Any) -> Answer:
    """The answer with this section; the chance that any claim on the page is wrong grows by the section's own."""
    more = getattr(section, "alpha", 0.0)
    changed: dict[str, Any] = {name: section, "alpha_total": min(1.0, answer.alpha_total + more)}
    return replace(answer, **changed)


def _completed(answer: Answer, made: Mapping[str, int], found: Mapping[str, tuple[Finding, dict[str, Any]]]) -> Answer:
    """The answer with the cause and the token as they were found since, or where it had not looked."""
    for command, name, adapter in (("cause", "cause", _CAUSE), ("forks", "dud", _DUD)):
        if command not in found:
            continue
        other, body = found[command]
        examined = not isinstance(getattr(answer, name), NotExamined)
        if examined and other.made_us < made[name]:
            continue
        if command == "forks":
            cost = body.get("cost") or {}
            body = {
                **body,
                "calls": cost.get("calls", 0),
                "tokens": body.get("tokens_spent", 0),
                "alpha": body.get("alpha_spent", 0.0),
            }
        try:
            answer = _with(answer, name, adapter.validate_python(body))
        except ValidationError:
            continue
    return answer
