"""A project folder made of recorded traffic: the program that most calls share, and their inputs as cases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from reroll.case import Case
from reroll.errors import UsageError
from reroll.init import write_new
from reroll.intake.addressing import UNKNOWN_MODEL, model_ref
from reroll.intake.bodies import tools_of
from reroll.intake.casing import params_of
from reroll.intake.taken import FIDELITY_WORDS
from reroll.intake.traffic import Call
from reroll.keys import is_loopback, is_vendors
from reroll.match import clean
from reroll.numbers import counts
from reroll.params import bad_param
from reroll.program import canonical
from reroll.strict_yaml import write_yaml

__all__ = ["Founding"]

JSON = Any
MOST_CASES = 1000  # a file of cases that a person can still look through
MOST_GROUPS = 200


@dataclass(slots=True)
class _Group:
    """Calls that share everything but what was asked."""

    first: Call
    cases: dict[str, Case] = field(default_factory=dict)
    calls: int = 0
    fidelity: Counter[str] = field(default_factory=Counter)
    guessed: dict[str, None] = field(default_factory=dict)


class Founding:
    """Looks at every call that is taken, and then writes a project of those that most of them are like."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.groups: dict[str, _Group] = {}
        self.beyond = 0

    def look(self, call: Call) -> None:
        taken = call.placed.taken
        shared = [model_ref(taken), call.placed.system, tools_of(taken.body), params_of(taken)]
        key = canonical(shared)
        if key not in self.groups:
            if len(self.groups) >= MOST_GROUPS:
                self.beyond += 1
                return
            self.groups[key] = _Group(call)
        group = self.groups[key]
        group.calls += 1
        group.fidelity[taken.fidelity] += 1
        if len(group.guessed) < MOST_CASES:
            group.guessed.update(dict.fromkeys(taken.guessed))
        if call.case.id in group.cases or len(group.cases) < MOST_CASES:
            group.cases.setdefault(call.case.id, call.case)

    def may_write(self, folder: Path) -> None:
        """Raises: UsageError where a project is there already, before anything is read."""
        for name in ("program.yaml", "cases.yaml"):
            if (folder / name).exists():
                raise UsageError(
                    f"{folder / name} exists already and was left as it is, nothing was written; choose another folder",
                    slug="init-exists",
                )

    def write(self, folder: Path) -> tuple[str, ...]:
        """Writes program.yaml and cases.yaml; sentences on what was left out of them.

        Raises: UsageError, with nothing written, where nothing was taken or a file is there already.
        """
        if not self.groups:
            raise UsageError("no call could be taken from these files, so there is nothing to make a project of")
        group = max(self.groups.values(), key=lambda g: g.calls)
        program, notes = _program(self.name, group)
        head = "# Made by `reroll import` from recorded traffic.\n"
        head += "".join(f"# {_printable(note)}\n" for note in notes)
        cases = [case.model_dump(exclude_defaults=True, mode="json") for case in group.cases.values()]
        write_new(folder, {"program.yaml": head + write_yaml(program), "cases.yaml": write_yaml({"cases": cases})})
        return tuple(self._left(group))

    def _left(self, group: _Group) -> list[str]:
        others = sum(g.calls for g in self.groups.values()) - group.calls + self.beyond
        said = []
        if others:
            said.append(
                f"{counts('call', others)} of another feature (another system prompt, model, tool or parameter) "
                "are stored and are no cases of this project."
            )
        if len(group.cases) >= MOST_CASES:
            said.append(f"The project has the first {MOST_CASES} cases; the others are stored without one.")
        return said


def _program(name: str, group: _Group) -> tuple[dict[str, JSON], list[str]]:
    """The program of a group, and notes on what was guessed."""
    taken, system = group.first.placed.taken, group.first.placed.system
    model, base_url = model_ref(taken)
    notes = [f"{FIDELITY_WORDS[g]}: {counts('call', n)}." for g, n in group.fidelity.items()]
    notes += list(group.guessed)
    if model == UNKNOWN_MODEL:
        model = "bundled"
        notes.append("The model is not known: the bundled one stands here; write the one that was called.")
    if taken.api == "chat" and base_url and taken.fidelity != "exact":
        notes.append(f"Where the model is served was put together from the trace: {base_url}.")
    elif base_url and not is_loopback(urlsplit(base_url).hostname or "") and not is_vendors(base_url):
        notes.append(f"Calls go to {base_url}, and a key if one is set, since the file says so: is that right?")
    params = {}
    for key, value in params_of(taken).items():
        if problem := bad_param(model, key, value):
            notes.append(f"The parameter `{key}` was left out: it {problem}.")
        else:
            params[key] = value
    program: dict[str, JSON] = {
        "program": name,
        "model": model,
        **({"base_url": base_url} if base_url else {}),
        **({"params": params} if params else {}),
        "effects": "none",
        **({"system": _system(system)} if system else {}),
        **({"tools": tools_of(taken.body)} if tools_of(taken.body) else {}),
    }
    return _cleaned(program), notes


def _printable(note: str) -> str:
    """The note on one line: what a trace says may hold anything, and a comment in YAML may not."""
    return "".join(c if c.isprintable() else "?" for c in note)


def _system(text: str) -> str | Mapping[str, str]:
    """The system prompt as it is: what begins or ends with white space would lose it if it were split at sentences."""
    return text if text == text.strip() else {"prompt": text}


def _cleaned(value: JSON) -> JSON:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {clean(str(k)): _cleaned(v) for k, v in value.items()}
    return [_cleaned(v) for v in value] if isinstance(value, list | tuple) else value
