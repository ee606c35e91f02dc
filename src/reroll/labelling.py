"""People's labels on stored samples: read, asked for, never lost, and held against what a check says."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from reroll.case import Case, Label, surroundings_of
from reroll.check import UNSURE, Check, Outcome, overall
from reroll.checking import Checker
from reroll.errors import FileError, UsageError
from reroll.evidence import Est, Evidence
from reroll.judge import Agreement, Labelled, Measured, agreement, labels_needed, measure, which_to_label
from reroll.match import listed, nearest
from reroll.numbers import counts
from reroll.person import LABEL, Person
from reroll.program import Program
from reroll.project import Project
from reroll.store import Store, StoredSample
from reroll.store_rows import Source

__all__ = [
    "CaseMeasured",
    "CheckMeasured",
    "Seen",
    "append_label",
    "ask_about",
    "ask_for_labels",
    "checked_cases",
    "drawn_for",
    "judge_again",
    "judged_samples",
    "measure_check",
    "people_say",
    "user_name",
    "written_after",
]

COUNTED: tuple[Source, ...] = ("draw", "imported")  # a reported run was picked because it failed
QUESTION = "Is this answer right, all in all?"
ALL_CHECKS = "*"  # in a label: chosen by what all checks of a case say together


@dataclass(frozen=True, slots=True)
class Seen:
    """A stored sample of a case with the check, and what the check says of it."""

    case: Case
    stored: StoredSample
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class CaseMeasured:
    """One case: its corrected failure rate, how often the check flags it (not a failure rate), its labels."""

    id: str
    rate: Est
    flag_rate: Est
    labels: int


@dataclass(frozen=True, slots=True)
class CheckMeasured:
    """How far a check can be believed, and the failure rate that follows. `name` None: all checks of each case.

    labels:         labelled samples that count; `unsure` of them nobody could tell, or people differ.
    labels_to_halve: about how many more labels halve the range of the rate; None: no number does.
    """

    name: str | None
    measured: Measured
    agreement: Agreement
    labels: int
    unsure: int
    labels_to_halve: int | None
    cases: tuple[CaseMeasured, ...]
    alpha: float
    caveats: tuple[str, ...]


# -- what the check says -----------------------------------------------------------------------------------------------


def checked_cases(project: Project, name: str | None) -> list[Case]:
    """The cases that have this check, each with it alone; with None all cases that have checks, as they are.

    Raises: UsageError naming the nearest check.
    """
    if name is None:
        cases = [case for case in project.cases if case.checks]
        if not cases:
            raise UsageError(
                f"no case of {project.path / 'cases.yaml'} has a check; add `checks:` to one", slug="no-check"
            )
        return cases
    found = []
    for case in project.cases:
        for own, check in zip(case.check_names(), case.checks, strict=True):
            if own == name:
                found.append(case.model_copy(update={"checks": (check.model_copy(update={"name": name}),)}))
    if not found:
        names = sorted({own for case in project.cases for own in case.check_names()})
        hint = nearest(name, names) or f"; the checks are {listed(names)}"
        raise UsageError(f"no check `{name}` in {project.path / 'cases.yaml'}{hint}", slug="no-check")
    return found


def judged_samples(checker: Checker, project: Project, store: Store, cases: Sequence[Case]) -> list[Seen]:
    """Every run of these cases as the check judges it now: as stored, else judged on the spot (and not stored)."""
    seen = []
    for case in cases:
        ids = checker.ids(case, project.program)
        runs = store.samples(case_id=case.id, source=COUNTED, variant="baseline")
        have = store.outcomes([run.id for run in runs], ids)
        for run in runs:
            said = have.get(run.id, {})
            each = [said[i] for i in ids] if all(i in said for i in ids) else _judge(checker, project, case, run)
            seen.append(Seen(case, run, overall(each)))
    return seen


def judge_again(checker: Checker, project: Project, seen: Sequence[Seen], most: int) -> tuple[list[str], list[str]]:
    """What the check says of up to `most` runs, chosen at random, and what it says when it is run on them again."""
    of = {one.stored.id: one for one in seen if not one.case.asks_a_person}
    chosen = which_to_label((), of, (), most, seed="again") if most and of else []
    again = []
    for case in {of[id].case.id: of[id].case for id in chosen}.values():
        checker.ahead(case, project.program, [of[id].stored.sample for id in chosen if of[id].case.id == case.id], (1,))
    for id in chosen:
        judge = checker.judging(of[id].case, project.program, again=1)
        again.append(overall(judge(of[id].stored.sample)).outcome)
    return [of[id].outcome.outcome for id in chosen], [str(word) for word in again]


def _judge(checker: Checker, project: Project, case: Case, run: StoredSample) -> list[Outcome]:
    return checker.judge(case, project.program, run.sample)


# -- what people say ---------------------------------------------------------------------------------------------------


def drawn_for(name: str | None, labels: Sequence[tuple[int, Label]]) -> list[tuple[int, Label]]:
    """The labels that were chosen by this check's flags, or by nobody's.

    Half of all labels go to flagged runs. Among the runs that another check flags these are no random
    choice: with them, its rate would come out far too high.
    """
    return [(line, label) for line, label in labels if label.check in (None, name or ALL_CHECKS)]


def people_say(path: Path, labels: Sequence[tuple[int, Label]], store: Store) -> dict[str, str]:
    """By sample id what people say of it together: pass, fail or unsure; where they differ, unsure.

    Raises: FileError for a sample that is not stored, and for a person who said two things of one sample.
    """
    said: dict[str, dict[str, tuple[str, int]]] = {}
    known: dict[str, str] = {}
    for line, label in labels:
        if label.sample not in known:
            try:
                known[label.sample] = store.sample(label.sample).id
            except UsageError as error:
                raise FileError(path, str(error), line=line, key="sample", slug="unknown-sample") from None
        of = said.setdefault(known[label.sample], {})
        before = of.get(label.by)
        if before is not None and before[0] != label.outcome:
            who = label.by or "the same unnamed person"
            raise FileError(
                path,
                f"{who} says {label.outcome} of sample {label.sample}, and {before[0]} in line {before[1]}; keep one",
                line=line,
            )
        of[label.by] = label.outcome, line
    return {id: _together([word for word, _ in of.values()]) for id, of in said.items()}


def _together(words: Sequence[str]) -> str:
    sure = {word for word in words if word != "unsure"}
    return sure.pop() if len(sure) == 1 else "unsure"


def ask_for_labels(
    project: Project,
    seen: Sequence[Seen],
    have: Collection[str],
    wanted: int,
    person: Person,
    path: Path,
    by: str | None,
    name: str | None,
) -> int:
    """Ask a person about so many more runs, half of all labels on flagged ones; each label is kept as it is given.

    Returns: how many were given: fewer where there are no more runs.
    Raises:  UsageError where the person's command breaks, or the file cannot be written.
    """
    of = {one.stored.id: one for one in seen if one.stored.sample.completion is not None}
    flagged = [id for id, one in of.items() if one.outcome.outcome == "fail"]
    passed = [id for id, one in of.items() if one.outcome.outcome == "pass"]
    chosen = which_to_label(flagged, passed, have, wanted)
    for id in chosen:
        ask_about(of[id].case, project.program, of[id].stored, person, path, by, name)
    return len(chosen)


def ask_about(
    case: Case,
    program: Program,
    run: StoredSample,
    person: Person,
    path: Path,
    by: str | None = None,
    name: str | None = None,
) -> Literal["pass", "fail", "unsure"]:
    """What a person says of one run; the label is kept before this returns. Raises: as `ask_for_labels`."""
    question = Check.of("person", f"{QUESTION} (case {case.id})", name=LABEL)
    said = person(question, run.sample, surroundings_of(case, program))
    if said.outcome == "invalid" and said.reason != UNSURE:
        raise UsageError(f"{said.reason}; the labels given before are kept in {path}", slug="no-person")
    word: Literal["pass", "fail", "unsure"] = "unsure" if said.outcome == "invalid" else said.outcome
    who = user_name() if by is None else by
    append_label(path, Label(sample=run.id, outcome=word, by=who, check=name or ALL_CHECKS))
    return word


def append_label(path: Path, label: Label) -> None:
    """Add one line to the file, whole or not at all, on the disk when this returns. Raises: UsageError."""
    line = json.dumps(label.model_dump(exclude_defaults=True), ensure_ascii=False) + "\n"
    try:
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            size = os.fstat(handle).st_size
            if size and os.pread(handle, 1, size - 1) != b"\n":
                line = f"\n{line}"  # somebody's last line has no end
            os.write(handle, line.encode())
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        problem = (error.strerror or str(error)).lower()
        raise UsageError(f"{path} cannot be written: {problem}; choose another --labels", slug="out") from None


def user_name() -> str:
    """Who sits here, as the machine calls them; empty where it does not know."""
    with contextlib.suppress(Exception):  # no user name is known in some containers
        return getpass.getuser()
    return ""


# -- both together -----------------------------------------------------------------------------------------------------


def measure_check(
    name: str | None,
    seen: Sequence[Seen],
    said: Mapping[str, str],
    again: tuple[Sequence[str], Sequence[str]],
    alpha: float,
    others: int = 0,
    old: int = 0,
) -> CheckMeasured:
    """What the labels show of the check, over all runs and case by case.

    others: labels that another check's flags chose, left out; old: runs older than the check.
    """
    whole = _labelled(seen, said)
    measured = measure(whole, alpha)
    rate = measured.rate
    assert rate.low is not None
    assert rate.high is not None
    cases = []
    for id in dict.fromkeys(one.case.id for one in seen):
        own = _labelled([one for one in seen if one.case.id == id], said)
        found = measure(own, alpha)
        cases.append(CaseMeasured(id, found.rate, found.flag_rate, own.labels))
    return CheckMeasured(
        name=name,
        measured=measured,
        agreement=agreement(*again, alpha=alpha),
        labels=whole.labels,
        unsure=whole.flagged.invalid + whole.passed.invalid,
        labels_to_halve=labels_needed(whole, (rate.high - rate.low) / 2, alpha) if rate.high > rate.low else 0,
        cases=tuple(cases),
        alpha=alpha,
        caveats=(*_about_choice(others, old), *_caveats(name, seen, said, whole)),
    )


def written_after(checker: Checker, project: Project, store: Store, seen: Sequence[Seen]) -> int:
    """How many of these runs are older than the checks that judge them, which may have been written to fit them."""
    first: dict[str, float] = {}
    for one in seen:
        if one.case.id not in first:
            first[one.case.id] = store.known_since(checker.ids(one.case, project.program))
    return sum(one.stored.settled < first[one.case.id] for one in seen)


def _about_choice(others: int, old: int) -> list[str]:
    out = []
    if others:
        out.append(
            f"{counts('label', others)} left out: chosen by what another check flags, so no random choice among what "
            "this one flags."
        )
    if old:
        out.append(
            f"Exploratory: {counts('run', old)} {'is' if old == 1 else 'are'} older than this check, which may have "
            "been written to fit them; then it is believed more than it deserves."
        )
    return out


def _labelled(seen: Sequence[Seen], said: Mapping[str, str]) -> Labelled:
    judged = Evidence.of([one.outcome.outcome for one in seen])
    sides = {"fail": Evidence(), "pass": Evidence(), "invalid": Evidence()}
    for one in seen:
        word = said.get(one.stored.id)
        if word is not None:
            sides[one.outcome.outcome] = sides[one.outcome.outcome].add("invalid" if word == "unsure" else word)
    return Labelled(judged, sides["fail"], sides["pass"])


def _caveats(name: str | None, seen: Sequence[Seen], said: Mapping[str, str], whole: Labelled) -> list[str]:
    out = []
    ids = {one.stored.id for one in seen}
    labels_outside = len(said.keys() - ids)
    unjudged = whole.judged.invalid
    for n, side in ((whole.flagged.n, "flagged"), (whole.passed.n, "passed")):
        outputs = whole.judged.failures if side == "flagged" else whole.judged.passes
        if outputs and not n:
            out.append(
                f"No label is on a {side} run, so the ranges leave everything open there; --label asks for some."
            )
    if unjudged:
        out.append(f"{counts('run', unjudged)} could not be judged; the range takes each as good and as bad.")
    on_unjudged = sum(one.outcome.outcome == "invalid" and one.stored.id in said for one in seen)
    if on_unjudged:
        out.append(f"{counts('label', on_unjudged)} left out: on runs that the check could not judge.")
    if labels_outside:
        what = f"the check `{name}`" if name else "a check"
        out.append(f"{counts('label', labels_outside)} left out: on runs of cases without {what}, or on reported runs.")
    if name is not None:
        out.append(
            f"Labels are about the whole answer: what only other checks of a case look at counts as missed by `{name}`."
        )
    if len({one.stored.program_id for one in seen}) > 1:
        out.append("The runs are of several versions of the program, taken together.")
    runs = [sum(one.case.id == id for one in seen) for id in {one.case.id for one in seen}]
    if len(set(runs)) > 1:
        out.append("Cases that ran more often weigh more in the rate over all runs.")
    out.append(
        "The ranges hold for one planned look, if the labelled runs are a random choice among flagged and among passed "
        "ones, as --label makes it, and outcomes did not decide how many runs there are."
    )
    return out
