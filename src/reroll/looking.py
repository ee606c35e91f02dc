"""Stored samples as people look at them: no call is made here."""

from __future__ import annotations

import platform
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

from reroll import __version__
from reroll.answer import ShownSample
from reroll.case import Case
from reroll.check import Outcome, overall
from reroll.checking import Checker, no_judge, not_asked
from reroll.errors import UsageError
from reroll.match import listed
from reroll.project import Project
from reroll.sample import Sample, Token
from reroll.store import Store, StoredSample
from reroll.store_rows import Source
from reroll.tree import Branch, Tree, path_of, steps_of

__all__ = [
    "LISTED",
    "Listed",
    "Parted",
    "Whole",
    "environment_facts",
    "judged_samples",
    "judged_texts",
    "known_case",
    "outcomes_of",
    "parted_samples",
    "said_by",
    "shown",
    "stored_samples",
    "whole_sample",
]

# What a list shows: branches, gone on with from a given beginning, are no runs of the case.
LISTED: tuple[Source, ...] = ("draw", "imported", "reported", "refused", "outage", "cut", "copy", "replay")
RUNS: tuple[Source, ...] = ("draw", "imported")
PAGE = 500  # samples that are in memory at once
REQUIRED = ("aiohttp", "numpy", "pydantic", "SQLAlchemy", "xllamacpp")


@dataclass(frozen=True, slots=True)
class Listed:
    """One stored sample in a list. `settled` is Unix time, `source` draw, imported, reported or refused."""

    case_id: str
    variant: str
    source: str
    settled: float
    shown: ShownSample


@dataclass(frozen=True, slots=True)
class Whole:
    """One stored sample with everything that is known about it; `request` is the exact body sent.

    `choice`: which of the completions of its call it is, from 0; the first has the call's attempts and usage.
    """

    case_id: str
    variant: str
    source: str
    settled: float
    shown: ShownSample
    outcomes: tuple[Outcome, ...]
    messages: tuple[dict[str, Any], ...]
    request: dict[str, Any]
    identity: str
    tokens: tuple[Token, ...]
    attempts: tuple[Any, ...]
    usage: Any
    seed: int | None
    model: str | None
    error: str | None
    choice: int


def stored_samples(project: Project, store: Store, case_id: str | None, limit: int) -> list[Listed]:
    """The newest `limit` samples of all cases or of one, oldest first, judged by the checks as they are now.

    Raises: UsageError if nothing is stored of that case.
    """
    known_case(store, case_id)
    found = store.samples(case_id=case_id, limit=limit, newest=True, source=LISTED)
    with Checker(project.path, person=not_asked, judges=no_judge) as checker:
        judged = _judged(checker, store, project, _cases(store, project), found)
    return [Listed(s.case_id, s.variant, s.source, s.settled, shown(s, outcomes)) for s, outcomes in judged]


@dataclass(frozen=True, slots=True)
class Parted:
    """The runs of one case as a tree. `by`: whether its steps are the model's tokens, or words where none are known."""

    case_id: str
    by: Literal["tokens", "words"]
    samples: int
    tree: Branch


def parted_samples(project: Project, store: Store, case_id: str, least: int = 1, most: int | None = None) -> Parted:
    """The runs of one case as it is, run together where they begin alike: where they part, and how each branch fares.

    Args: least: branches with fewer runs are left out, and counted; most: only the newest so many are looked at.
    Raises: UsageError if nothing is stored of it.
    """
    known_case(store, case_id)
    # What was drawn with its request changed, for a cause, an audit or a fix, says nothing of where this one parts.
    runs = store.samples(
        case_id=case_id, source=RUNS, variant="baseline", payload=True, limit=most, newest=most is not None
    )
    found = [s for s in runs if s.sample.completion is not None]
    said = [s.sample.completion for s in found if s.sample.completion is not None]
    by: Literal["tokens", "words"] = "tokens" if said and all(c.tokens for c in said) else "words"
    tree = Tree(case_id)
    with Checker(project.path, person=not_asked, judges=no_judge) as checker:
        judged = _judged(checker, store, project, _cases(store, project), found)
    for (_, outcomes), completion in zip(judged, said, strict=True):
        if by == "words":
            completion = replace(completion, tokens=tuple(map(Token, steps_of(replace(completion, tokens=())))))
        tokens, ended = path_of(completion)
        tree.grow(tokens, ended, outcome=overall(outcomes).outcome, drawn=True, said=completion.text)
    return Parted(case_id, by, len(found), tree.branches(least))


def judged_texts(project: Project, store: Store, request_id: str, most: int) -> list[tuple[str, bool]]:
    """What the newest runs of the very same request said, and whether it was right; those not judged are left out."""
    runs = store.samples(request_id=request_id, source=RUNS, limit=most, newest=True)
    with Checker(project.path, person=not_asked, judges=no_judge) as checker:
        judged = _judged(checker, store, project, _cases(store, project), runs)
    said = [(one, overall(outcomes).outcome) for one, outcomes in judged]
    return [
        (one.sample.completion.text, outcome == "pass")
        for one, outcome in said
        if one.sample.completion is not None and outcome != "invalid"
    ]


def known_case(store: Store, case_id: str | None) -> None:
    """Raises: UsageError if a case is named of which nothing is stored."""
    if case_id is None or store.samples(case_id=case_id, limit=1):
        return
    have = sorted(c.id for c in store.cases() if store.samples(case_id=c.id, limit=1))
    raise UsageError(f"no sample of case `{case_id}` is stored; stored are: {listed(have)}", slug="no-samples")


def whole_sample(project: Project, store: Store, sample_id: str) -> Whole:
    """One sample by its id or the beginning of it. Raises: UsageError if none or several fit."""
    stored = store.sample(sample_id)
    cases = _cases(store, project)
    request = store.get_request(stored.request_id)
    with Checker(project.path, person=not_asked, judges=no_judge) as checker:
        outcomes = outcomes_of(checker, store, project, cases.get(stored.case_id), stored)
    body = dict(request.request.body)
    return Whole(
        case_id=stored.case_id,
        variant=stored.variant,
        source=stored.source,
        settled=stored.settled,
        shown=shown(stored, outcomes),
        outcomes=tuple(outcomes),
        messages=tuple(body.get("messages", ())),
        request=body,
        identity=request.identity,
        tokens=stored.sample.completion.tokens if stored.sample.completion else (),
        attempts=stored.sample.attempts,
        usage=stored.sample.usage,
        seed=stored.sample.seed,
        model=stored.sample.model,
        error=stored.sample.error,
        choice=stored.choice,
    )


def outcomes_of(
    checker: Checker, store: Store, project: Project, case: Case | None, stored: StoredSample
) -> list[Outcome]:
    """What is stored of it under the checks as they are now, else judged on the spot (and not stored)."""
    if case is None or not case.checks:
        return []
    ids = checker.ids(case, project.program)
    return _under(checker, project, case, stored, store.outcomes([stored.id], ids).get(stored.id, {}))


def _under(
    checker: Checker, project: Project, case: Case | None, stored: StoredSample, have: Mapping[str, Outcome]
) -> list[Outcome]:
    """The outcomes under the checks as they are now: from those that are stored, by id, or judged on the spot."""
    if case is None or not case.checks:
        return []
    ids = checker.ids(case, project.program)
    if all(i in have for i in ids):
        return [have[i] for i in ids]
    return checker.judge(case, project.program, stored.sample)


def judged_samples(
    project: Project, store: Store, case_id: str | None, source: Collection[Source], *, payload: bool = False
) -> Iterator[list[tuple[StoredSample, list[Outcome]]]]:
    """Every sample of these sources with what the checks as they are now say of it, in seq order, page by page."""
    cases, after = _cases(store, project), 0
    with Checker(project.path, person=not_asked, judges=no_judge) as checker:
        while page := store.samples(case_id=case_id, source=source, limit=PAGE, after=after, payload=payload):
            after = page[-1].seq
            yield _judged(checker, store, project, cases, page)


def _cases(store: Store, project: Project) -> dict[str, Case]:
    """Every case by its id: as the project has it now, else as it was stored."""
    return {c.id: c for c in [*store.cases(), *(c for c in project.cases if c.checks)]}


def _judged(
    checker: Checker, store: Store, project: Project, cases: Mapping[str, Case], found: Sequence[StoredSample]
) -> list[tuple[StoredSample, list[Outcome]]]:
    """These samples, each with its outcomes under the checks as they are now; what is stored is asked for at once."""
    have = store.outcomes([one.id for one in found])
    return [(one, _under(checker, project, cases.get(one.case_id), one, have.get(one.id, {}))) for one in found]


def shown(stored: StoredSample, outcomes: Sequence[Outcome]) -> ShownSample:
    """A stored sample as screens show it; without checks its outcome is invalid, "no check"."""
    verdict = overall(outcomes) if outcomes else Outcome("invalid", stored.sample.error or "no check judges this case")
    return ShownSample(stored.id, verdict.outcome, verdict.reason, said_by(stored.sample), verdict.marks)


def said_by(sample: Sample) -> str:
    """What a screen shows of a sample: its text, else why it was refused, else what went wrong."""
    if sample.completion is None:
        return sample.error or ""
    return sample.completion.text or sample.completion.refusal or ""


def environment_facts() -> dict[str, str]:
    """Versions that a bug report needs."""
    facts = {"reroll": __version__, "python": platform.python_version(), "system": platform.platform()}
    for name in REQUIRED:
        try:
            facts[name] = version(name)
        except PackageNotFoundError:
            facts[name] = "not installed"
    return facts
