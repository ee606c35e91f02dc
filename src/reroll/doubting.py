"""Whether the check is at fault: failing answers judged again, and at most eight of them shown to a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from reroll.case import Case
from reroll.cause import MOST_LABELS, CheckDoubt, enough_labels
from reroll.check import overall
from reroll.labelling import ask_about, people_say
from reroll.project import read_labels
from reroll.runs import Judged
from reroll.session import Session

__all__ = ["MOST_ANEW", "doubt_about", "failing_checks"]

AGAIN = 5  # times that each failing answer is judged anew
MOST_ANEW = AGAIN * MOST_LABELS  # judgings of one inquiry
FILE = "labels.jsonl"


def doubt_about(session: Session, case: Case, runs: Sequence[Judged], *, ask: bool = True) -> CheckDoubt:
    """What judging again and people's labels say of the failing ones among these runs.

    Labels that are there already count; more are asked for, of whoever answers for the person, until enough are there,
    and each is kept in the project's labels file as it is given. An answer that came several times is shown once.
    `ask` False: nobody is asked.

    Raises: UsageError, FileError: a labels file that contradicts itself, a person's command that breaks.
    """
    failing = [run for run in runs if run.outcome.outcome == "fail" and run.stored.sample.completion is not None]
    judged = _judged_again(session, case, failing)
    labels, right = _labelled(session, case, failing, _asker(session, case) if ask else None)
    return CheckDoubt(*judged, labels, right, failing_checks(case, failing))


def failing_checks(case: Case, failing: Sequence[Judged]) -> tuple[str, ...]:
    """The names of the checks that fail them, the most frequent first; all of the case's where it has one."""
    counted: Counter[str] = Counter()
    for run in failing:
        counted.update(name for name, one in zip(case.check_names(), run.each, strict=True) if one.outcome == "fail")
    return tuple(name for name, _ in counted.most_common())


def _judged_again(session: Session, case: Case, failing: Sequence[Judged]) -> tuple[int, int, int, int]:
    """How often failing answers were judged again, how often they passed then; of how many runs, and how many of those
    passed more often than not. Of checks that are code or ask a model: others say the same of the same text, and a
    person is not asked twice."""
    kinds = {inner.kind for check in case.checks for inner in check.walk()}
    if not kinds & {"python", "judge"} or "person" in kinds:
        return 0, 0, 0, 0
    checker, times = session.checker, range(1, AGAIN + 1)
    judges = [checker.judging(case, session.judging, again=k) for k in times]
    looked_at = [run.stored.sample for run in failing[:MOST_LABELS]]
    checker.ahead(case, session.judging, looked_at, times)
    passed = [sum(overall(judge(sample)).outcome == "pass" for judge in judges) for sample in looked_at]
    return AGAIN * len(passed), sum(passed), len(passed), sum(2 * times > AGAIN for times in passed)


def _labelled(
    session: Session, case: Case, failing: Sequence[Judged], ask: Callable[[Judged], str] | None
) -> tuple[int, int]:
    """Failing answers that a person could tell, and how many of them are right."""
    path = session.project.path / FILE
    said = people_say(path, read_labels(path), session.store) if path.exists() else {}
    alike: dict[str, list[Judged]] = {}
    for run in failing:
        completion = run.stored.sample.completion
        text = completion.text + repr(completion.tool_calls) if completion else ""
        alike.setdefault(text, []).append(run)
    words: list[str] = []

    def take(word: str, runs: Sequence[Judged]) -> None:
        """The same text is the same answer, however often it came."""
        words.extend([word] * min(len(runs), MOST_LABELS - len(words)))

    fresh = []
    for runs in alike.values():
        known = [said[run.stored.id] for run in runs if run.stored.id in said]
        if known:
            take(known[0], runs)
        else:
            fresh.append(runs)
    for runs in fresh if ask is not None else ():
        sure = [word for word in words if word != "unsure"]
        if enough_labels(len(sure), sure.count("pass")) or len(words) >= MOST_LABELS:
            break
        assert ask is not None
        take(ask(runs[0]), runs)
    sure = [word for word in words if word != "unsure"]
    return len(sure), sure.count("pass")


def _asker(session: Session, case: Case) -> Callable[[Judged], str] | None:
    """What asks a person about one run and keeps the label; None where nobody is there."""
    person = session.checker.person
    if person is None or case.asks_a_person:
        return None  # their word is the check itself
    path = session.project.path / FILE
    return lambda run: ask_about(case, session.judging, run.stored, person, path)
