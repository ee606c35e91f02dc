"""The command that measures a check itself: labels asked for or read, joined with stored runs, shown."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from reroll.answer import to_json
from reroll.arguments import Common, Spending
from reroll.asking import person_of
from reroll.checking import Checker, no_judge, not_asked
from reroll.errors import UsageError
from reroll.labelling import (
    CheckMeasured,
    Seen,
    ask_for_labels,
    checked_cases,
    drawn_for,
    judge_again,
    judged_samples,
    measure_check,
    people_say,
    written_after,
)
from reroll.numbers import counts
from reroll.opening import checker_of, judges_of, project_of, store_of
from reroll.options import options_of
from reroll.output import console, print_json
from reroll.project import Project, read_labels
from reroll.settings import setting
from reroll.store import Store

__all__ = ["check"]

AGAIN = 20  # runs that are judged again where nobody says how many


def check(
    name: str | None,
    labels: Path | None,
    label: int,
    again: int | None,
    by: str | None,
    person: str | None,
    alpha: float | None,
    common: Common,
) -> int:
    for option, value in (("--label", label), ("--again", again or 0)):
        if value < 0:
            raise UsageError(f"{option} is a number of runs, 0 or more, got {value}")
    spending = Spending(person=person, alpha=alpha)
    level = options_of(spending).alpha
    project = project_of(common)
    cases = checked_cases(project, name)
    path = labels or project.path / "labels.jsonl"
    if labels is not None and not labels.exists() and not label:
        raise UsageError(
            f"there is no file {labels}; name one with labels, or ask for some with --label 20", slug="no-labels"
        )
    with (
        store_of(common, project, create=False) as store,
        Checker(project.path, seconds=setting("check_timeout"), person=not_asked, judges=no_judge) as checker,
    ):
        seen = judged_samples(checker, project, store, cases)
        if not seen:
            raise UsageError(
                f"no run of {', '.join(case.id for case in cases[:8])} is stored; "
                f"make some with `reroll rerun {cases[0].id}`",
                slug="no-samples",
            )
        said, others = _said(path, name, store)
        if label:
            somebody = person_of(spending)
            if somebody is None:
                raise UsageError(
                    "nobody is there to ask for labels; run it in a terminal, or pass --person CMD", slug="no-person"
                )
            given = ask_for_labels(project, seen, said, label, somebody, path, by, name)
            print(f"{counts('label', given)} added to {path}", file=sys.stderr)
            said, others = _said(path, name, store)
        old = written_after(checker, project, store, seen)
        twice = _again(project, store, seen, again, spending)
        found = measure_check(name, seen, said, twice, level, others, old)
    if not found.labels:
        raise _no_labels(path, others)
    if common.json:
        print_json(as_json(found))
    else:
        from reroll.render.checker import show_check

        show_check(found, console())
    return 0


def _again(
    project: Project, store: Store, seen: Sequence[Seen], most: int | None, spending: Spending
) -> tuple[list[str], list[str]]:
    """What the checks say of up to `most` runs, and what they say when asked again; None: the usual number, and no
    judge is asked, since nobody agreed to pay for that."""
    if most is None:
        seen, most = [one for one in seen if not one.case.asks_a_model], AGAIN
    # A second word on what a judge has not judged yet would be paid for and compared with nothing.
    seen = [one for one in seen if not (one.case.asks_a_model and one.outcome.broken)]
    with (
        judges_of(store, project, options_of(spending)) as judges,
        checker_of(project, judges, not_asked) as checker,
    ):
        said = judge_again(checker, project, seen, most)
        if judges.calls:
            print(f"The judge was asked {counts('time', judges.calls)} again.", file=sys.stderr)
        return said


def _no_labels(path: Path, others: int) -> UsageError:
    """Why nothing can be said of the check; `others`: labels that there are and that may not be used for it."""
    if others:
        return UsageError(
            f"the {counts('label', others)} of {path} were chosen by what another check flags, and say nothing certain "
            "of this one; ask for some with --label 20",
            slug="no-labels",
        )
    return UsageError(
        f"no run of these cases has a label, so nothing can be said of the check; ask for some with --label 20, "
        f"or write them into {path}",
        slug="no-labels",
    )


def _said(path: Path, name: str | None, store: Store) -> tuple[dict[str, str], int]:
    """What people say of samples by labels that may be used for this check, and how many labels may not."""
    if not path.exists():
        return {}, 0
    labels = read_labels(path)
    people_say(path, labels, store)  # every line is held to be right, used or not
    mine = drawn_for(name, labels)
    return people_say(path, mine, store), len(labels) - len(mine)


def as_json(found: CheckMeasured) -> dict[str, object]:
    """The shape `reroll.check/1`."""
    measured = found.measured
    return {
        "schema": "reroll.check/1",
        "name": found.name,
        "sensitivity": to_json(measured.sensitivity),
        "specificity": to_json(measured.specificity),
        "self_agreement": {**to_json(found.agreement.same), "beyond_chance": to_json(found.agreement.beyond_chance)},
        "labels": found.labels,
        "unsure": found.unsure,
        "rate": {**to_json(measured.rate), "alpha": found.alpha, "method": "double sampling"},
        "flag_rate": to_json(measured.flag_rate),
        "flag_right": to_json(measured.flag_right),
        "pass_wrong": to_json(measured.pass_wrong),
        "labels_to_halve": found.labels_to_halve,
        "cases": to_json(found.cases),
        "caveats": list(found.caveats),
    }
