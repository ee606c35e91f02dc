"""Ideas from anyone: words become a fix, their author confirms that it is what was meant, and it is tried blind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from reroll.errors import UsageError
from reroll.fix import Fix
from reroll.ledger import Entry, helped
from reroll.levers import apply, diff
from reroll.program import Program, content_id

__all__ = [
    "Board",
    "Idea",
    "IdeaFile",
    "Pinned",
    "Thanks",
    "author_of",
    "blind_name",
    "blinded",
    "board_of",
    "fix_to_try",
    "number_of",
    "same_person",
    "state_of",
    "unblinded",
]

State = Literal["words", "unconfirmed", "ready", "tried"]


class Idea(BaseModel):
    """One idea as a line of `ideas.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    idea: str = Field(min_length=1, description="The idea in its author's words.")
    by: str = Field(min_length=1, description="Who had it.")
    case: str = Field(min_length=1, description="The case that it is for.")
    fix: str | None = Field(None, description="The fix that says the same, by its name; null: nobody wrote one yet.")
    confirmed: StrictBool = Field(False, description="Whether the author says that the fix is what was meant.")


class IdeaFile(BaseModel):
    """The file `ideas.yaml`: a list under the key `ideas`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    ideas: tuple[Idea, ...] = Field((), description="In the order in which they came.")


@dataclass(frozen=True, slots=True)
class Pinned:
    """An idea with where it stands. number: from 1, as commands name it; diff: what its fix changes, to be read by its
    author; verdict: of its newest trial."""

    number: int
    idea: str
    by: str
    case: str
    fix: str | None
    confirmed: bool
    state: State
    diff: str
    verdict: str | None


@dataclass(frozen=True, slots=True)
class Thanks:
    """What one person brought: ideas, how many were tried, and the fixes of theirs that were accepted."""

    by: str
    ideas: int
    tried: int
    helped: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Board:
    """All ideas, or those of one case; what was tried for it and what came of that, whoever proposed it."""

    case: str | None
    ideas: tuple[Pinned, ...]
    tried: tuple[Entry, ...]
    thanks: tuple[Thanks, ...]


def blind_name(idea: Idea) -> str:
    """What an idea is called until its verdict: nothing in it says whose it is, or what it changes.

    >>> blind_name(Idea(idea="Say the week.", by="lena", case="c")).startswith("idea-")
    True
    """
    return f"idea-{content_id('i1', [idea.idea, idea.by, idea.case])[3:9]}"


def author_of(idea: Idea) -> str:
    """Whom to thank, once the verdict is there."""
    return idea.by


def blinded(fix: Fix, idea: Idea) -> Fix:
    """The same change without the name and the author that it has in its file; its id stays."""
    return fix.model_copy(update={"fix": blind_name(idea), "author": ""})


def same_person(one: str, other: str) -> bool:
    """Whether two names are one person's, as people type them.

    >>> same_person(" Lena ", "lena"), same_person("lena", "ana")
    (True, False)
    """
    return " ".join(one.split()).casefold() == " ".join(other.split()).casefold()


def number_of(word: str, ideas: Sequence[Idea]) -> int:
    """The place in the list, from 1, of an idea named `idea:3`, or `3`.

    Raises: UsageError where there is no such idea.
    """
    digits = word.removeprefix("idea:")
    number = int(digits) if digits.isdecimal() else 0
    if not 1 <= number <= len(ideas):
        known = "there is one, idea:1" if len(ideas) == 1 else f"they go from idea:1 to idea:{len(ideas)}"
        there = known if ideas else "there is none; `reroll ideas add` adds one"
        raise UsageError(f"no idea `{word}`: {there}", slug="no-idea")
    return number


def fix_to_try(word: str, ideas: Sequence[Idea], fixes: Sequence[Fix]) -> tuple[Idea, Fix]:
    """The idea of this name, and its fix as it is tried: blind.

    Raises: UsageError where there is no such idea, nobody wrote it as a fix, or its author did not confirm that.
    """
    number = number_of(word, ideas)
    idea = ideas[number - 1]
    fix = next((one for one in fixes if one.fix == idea.fix), None)
    if fix is None:
        raise UsageError(
            f"idea {number} is words so far; write it as a fix with `reroll ideas write {number}`", slug="idea"
        )
    if not idea.confirmed:
        raise UsageError(
            f"idea {number} is not confirmed: {idea.by} has to say that the fix `{fix.fix}` is what was meant, with "
            f"`reroll ideas confirm {number}`",
            slug="idea",
        )
    return idea, blinded(fix, idea)


def unblinded(entries: Sequence[Entry], ideas: Sequence[Idea], fixes: Sequence[Fix]) -> tuple[Entry, ...]:
    """The entries of a ledger, those of an idea that has its verdict under its fix's own name and with its author."""
    names = {fix.fix: fix.id for fix in fixes}
    whose = {names[idea.fix]: idea for idea in ideas if idea.fix in names}
    return tuple(
        replace(entry, fix=str(idea.fix), author=author_of(idea))
        if (idea := whose.get(entry.id)) and _decided(entry)
        else entry
        for entry in entries
    )


def state_of(idea: Idea, entry: Entry | None) -> State:
    """Where an idea stands; `entry`: its fix in the ledger. A trial without a verdict gives nothing away."""
    if idea.fix is None:
        return "words"
    if _decided(entry):
        return "tried"
    return "ready" if idea.confirmed else "unconfirmed"


def _decided(entry: Entry | None) -> bool:
    return entry is not None and entry.verdict in ("accept", "reject")


def board_of(
    ideas: Sequence[Idea], fixes: Sequence[Fix], entries: Sequence[Entry], program: Program, case: str | None = None
) -> Board:
    """The list of a case, or of all."""
    by_name, by_id = {fix.fix: fix for fix in fixes}, {entry.id: entry for entry in entries}
    pinned: list[Pinned] = []
    thanks: dict[str, list[Any]] = {}
    mine: dict[str, str] = {}  # by a fix's id, whose idea it was
    for number, idea in enumerate(ideas, 1):
        fix = by_name.get(idea.fix or "")
        entry = by_id.get(fix.id) if fix is not None else None
        if case is not None and idea.case != case:
            continue
        verdict = entry.verdict if entry is not None and _decided(entry) else None
        pinned.append(
            Pinned(
                number, idea.idea, idea.by, idea.case, idea.fix, idea.confirmed, state_of(idea, entry),
                _diff(fix, program), verdict,
            )
        )  # fmt: skip
        told = thanks.setdefault(next((by for by in thanks if same_person(by, idea.by)), idea.by), [0, 0, []])
        told[0] += 1
        told[1] += verdict is not None
        if entry is not None:
            mine[entry.id] = idea.by
            told[2] += [entry.fix] if verdict == "accept" else []
    cases = dict.fromkeys([case] if case is not None else [e.case for e in entries if e.case] + [i.case for i in ideas])
    tried = [entry for name in cases if name is not None for entry in helped(entries, name)]
    for entry in tried:
        by = mine.get(entry.id) or entry.author
        if by and entry.id not in mine:
            told = thanks.setdefault(next((one for one in thanks if same_person(one, by)), by), [0, 0, []])
            told[1] += 1
            told[2] += [entry.fix] if entry.verdict == "accept" else []
    found = [Thanks(by, n, tries, tuple(names)) for by, (n, tries, names) in thanks.items()]
    found.sort(key=lambda one: (-len(one.helped), -one.tried, -one.ideas))
    return Board(case, tuple(pinned), tuple(tried), tuple(found))


def _diff(fix: Fix | None, program: Program) -> str:
    """What the fix changes; why it cannot be applied where it cannot; empty where there is none."""
    if fix is None:
        return ""
    try:
        return diff(program, apply(fix, program)) or "(the program has this already)"
    except UsageError as error:
        return str(error)
