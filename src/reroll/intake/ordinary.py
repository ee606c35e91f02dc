"""Recorded traffic as a project's control cases: ordinary requests, of which a fix must break none."""

from __future__ import annotations

import hashlib
import heapq
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reroll.appending import append_cases, can_take_more
from reroll.case import Case
from reroll.check import Check
from reroll.errors import RerollError, UsageError
from reroll.intake.bodies import as_mapping, messages_of
from reroll.intake.casing import SYSTEM, key_of
from reroll.intake.traffic import Call
from reroll.numbers import counts
from reroll.program import PLACEHOLDER
from reroll.project import Project

__all__ = ["Ordinary", "inputs_of"]

JSON = Any
WHOLE = "of whole conversations, of which no turn was chosen (--turn)"
OTHER = "of another feature: what the program would send is not what was sent"
MOST_REPEATED = 200  # characters of a text in which an input is looked for twice: its time grows with a power of them
MOST_NAMES = 3  # inputs of such a template: they are the power
KNOWN = "of cases that the project has already"


def inputs_of(template: str, text: str) -> dict[str, str] | None:
    """The inputs that make the template say this text; None where none do.

    >>> inputs_of("Book: {request}", "Book: lunch, {soon}"), inputs_of("Book: {request}", "Cancel it")
    ({'request': 'lunch, {soon}'}, None)
    >>> inputs_of("{{{a}}} {a}", "{x} x")
    {'a': 'x'}
    """
    names, between = list[str](), [""]
    at = 0
    for mark in PLACEHOLDER.finditer(template):
        between[-1] += template[at : mark.start()]
        name, at = mark[1], mark.end()
        if name is None:
            between[-1] += mark[0][0]
        else:
            names.append(name)
            between.append("")
    between[-1] += template[at:]
    said = _between(between, text)
    if said is None:
        return None
    inputs = dict(zip(names, said, strict=True))
    if all(inputs[name] == value for name, value in zip(names, said, strict=True)):
        return inputs
    few = len(text) <= MOST_REPEATED and len(set(names)) <= MOST_NAMES
    return _repeated(names, between, text) if few else None


def _between(fixed: list[str], text: str) -> list[str] | None:
    """What stands between these, in their order, with the first as long as can be, then the second, ...; None: not so.

    As `re` would find it with `(.*)` between them, but in a time that grows with the text and not with a power of it:
    from the end, each where it stands last.
    """
    first, last = fixed[0], fixed[-1]
    if len(fixed) == 1:
        return [] if text == first else None
    end = len(text) - len(last)
    if end < len(first) or not text.startswith(first) or not text.endswith(last):
        return None
    found: list[str] = []
    for part in reversed(fixed[1:-1]):
        at = text.rfind(part, len(first), end)
        if at < 0:
            return None
        found.append(text[at + len(part) : end])
        end = at
    return [text[len(first) : end], *reversed(found)]


def _repeated(names: list[str], fixed: list[str], text: str) -> dict[str, str] | None:
    """The same where some name comes twice, and the longest first values differ: every other way is tried."""
    pattern, known = re.escape(fixed[0]), set[str]()
    for name, part in zip(names, fixed[1:], strict=True):
        pattern += (f"(?P={name})" if name in known else f"(?P<{name}>.*)") + re.escape(part)
        known.add(name)
    found = re.fullmatch(pattern, text, re.S)
    return None if found is None else found.groupdict()


class Ordinary:
    """Looks at every call that is taken, and keeps `most` of those that the project's program would send.

    Which ones is chance, the same in every run: those whose digests are the smallest.
    """

    def __init__(self, project: Project, checks: tuple[Check, ...], most: int) -> None:
        self.project, self.checks, self.most = project, checks, most
        self.path = project.path / "cases.yaml"
        self.fitting = 0
        self.left: Counter[str] = Counter()
        self.reworded = 0
        self._best: list[tuple[int, str, Case, bool]] = []  # a heap whose first is the largest digest
        self._seen: set[str] = set()
        self._ids = {case.id for case in (*project.cases, *project.reported)}

    def may_write(self) -> None:
        """Raises: UsageError, FileError where these could not become cases of the project, before anything is read."""
        program = self.project.program
        if program.is_product or program.raw is not None or program.model.startswith("recorded:"):
            raise UsageError(
                "the program sends no messages made of a case's input, so no recorded call can be told to be one of "
                "its; write control cases by hand (`set: control`)",
                slug="import-controls",
            )
        can_take_more(self.path)

    def look(self, call: Call) -> None:
        if call.own is not None or call.placed.key in self._seen:
            if call.own is not None:
                self.left[KNOWN] += 1
            return
        self._seen.add(call.placed.key)
        found = self._case(call)
        if isinstance(found, str):
            self.left[found] += 1
            return
        case, same_system = found
        self.fitting += 1
        digest = -int.from_bytes(hashlib.blake2b(call.placed.key.encode(), digest_size=8).digest())
        row = (digest, case.id, case, same_system)
        if len(self._best) < self.most:
            heapq.heappush(self._best, row)
        else:
            heapq.heappushpop(self._best, row)

    def _case(self, call: Call) -> tuple[Case, bool] | str:
        """The control case that renders to what was asked, and whether its system message is the recorded one."""
        program, placed = self.project.program, call.placed
        if placed.whole:
            return WHOLE
        inputs = inputs_of(program.user, placed.request)
        if inputs is None:
            return OTHER
        try:
            case = Case(id=call.id, set="control", input=inputs, checks=self.checks)
            before, said = _turns(messages_of(as_mapping(program.render(case.input).body), "chat"))
        except (RerollError, ValueError):
            return OTHER
        turns = len(said) - 1
        recorded = [*placed.history, {"role": "user", "content": placed.request}]
        if key_of([*recorded[:turns], recorded[-1]]) != key_of(said):
            return OTHER  # its examples, or its words around the input, are others
        case = case.model_copy(update={"history": tuple(dict(m) for m in placed.history[turns:])})
        return case, "\n".join(before) == (placed.system or "")

    def write(self, source: str) -> tuple[str, ...]:
        """Adds the kept ones to cases.yaml, and says in sentences what was added and what was not.

        Raises: UsageError where no call fits; FileError where the file is no longer what it was.
        """
        if not self._best:
            why = "; ".join(f"{counts('call', n)} {reason}" for reason, n in self.left.most_common())
            raise UsageError(
                f"none of these calls can be a control case of this project{f': {why}' if why else ''}; the calls "
                "themselves are stored",
                slug="import-controls",
            )
        kept = sorted(self._best, key=lambda row: row[1])
        cases = [self._named(case) for _, _, case, _ in kept]
        notes = [
            f"Recorded traffic ({Path(source).name}), taken as ordinary requests." if not i else ""
            for i in range(len(cases))
        ]
        append_cases(self.path, cases, notes)
        return tuple(self._said(len(cases), sum(not same for *_, same in kept)))

    def _named(self, case: Case) -> Case:
        id, n = case.id, 2
        while id in self._ids:
            id, n = f"{case.id}-{n}", n + 1
        self._ids.add(id)
        return case if id == case.id else case.model_copy(update={"id": id})

    def _said(self, added: int, reworded: int) -> list[str]:
        chosen = "" if added == self.fitting else f", drawn at random from {self.fitting:,} that fit"
        said = [f"{counts('control case', added)} added to {self.path}{chosen}. They hold what your users wrote."]
        if reworded:
            said.append(
                f"{counts('control case', reworded)} {'was' if reworded == 1 else 'were'} recorded with another system "
                "message than the program's; only what was asked is taken."
            )
        said += [f"No control case was made of {counts('call', n)} {why}." for why, n in self.left.most_common()]
        return said


def _turns(messages: list[dict[str, JSON]]) -> tuple[list[str], list[Mapping[str, JSON]]]:
    """The system messages in front, as texts, and what is said after them."""
    first = next((i for i, m in enumerate(messages) if m["role"] not in SYSTEM), len(messages))
    return [str(m.get("content") or "") for m in messages[:first]], list(messages[first:])
