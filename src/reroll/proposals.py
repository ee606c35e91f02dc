"""What a model is asked when it is to propose changes, and what a reply may be: known kinds, real parts, no copies."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from reroll.case import Case, surroundings_of
from reroll.check import judge_sample
from reroll.copying import copies, literals_of
from reroll.errors import UsageError
from reroll.fix import Fix
from reroll.lever_kinds import KINDS
from reroll.levers import fitting
from reroll.match import NotJSON, excerpt, parse, show
from reroll.program import Program, canonical
from reroll.sample import Sample
from reroll.suggestion import Suggestion, named

__all__ = [
    "NEVER",
    "Unusable",
    "asks_for_changes",
    "asks_for_idea",
    "catalogue",
    "complaints",
    "read_changes",
    "withheld",
]

JSON = Any
# A reply must not decide where requests are sent, nor name code; and what is hard-coded needs no model to think of it.
NEVER = ("model.pin", "serving.pin", "patch.python")
MOST_SHOWN = 4000  # characters of a part, an answer or a request
EXPECTED = re.compile(r", expected .*$", re.S)
FENCED = re.compile(r"^```\w*\n(?P<inner>.*)\n```$", re.S)

TASK = """\
A program sends requests to a language model. One of its requests fails too often. Propose {n} changes to the program, \
each of which may make it fail less often, for this request and for every request that is hard in the same way.

The parts of the program:
{parts}

The request:
{request}

One failing answer:
{answer}

What was found wrong with it: {said}

The kinds of change:
{kinds}

Rules: a change is general. It never quotes the request, and never names its right answer. Each change is of another \
kind, or of another part. Say nothing that the parts do not allow to know.

Reply with one JSON object and nothing else:
{{"changes": [{{"kind": KIND, "target": PART, "text": WORDS, "why": ONE SENTENCE}}]}}
Leave out `target` and `text` where the kind has none; its other settings are further keys."""

IDEA = """\
A program sends requests to a language model. Somebody had an idea for changing it. Write the idea as one change of \
the program, as they mean it, and nothing more.

The idea:
{idea}

The parts of the program:
{parts}

The kinds of change:
{kinds}

Reply with one JSON object and nothing else:
{{"changes": [{{"kind": KIND, "target": PART, "text": WORDS, "why": ONE SENTENCE}}]}}
Leave out `target` and `text` where the kind has none; its other settings are further keys."""


@dataclass(frozen=True, slots=True)
class Unusable:
    """Something that was proposed, as far as it can be quoted, and why it is not taken."""

    said: str
    why: str


def catalogue(program: Program, *, patches: bool = False) -> tuple[str, ...]:
    """The kinds of change that a model may propose for a program of this form; with those that hard-code something only
    where `patches`."""
    return tuple(
        name
        for name, kind in KINDS.items()
        if name not in NEVER
        and (patches or kind.group != "patch")
        and (program.raw is None or kind.stored)
        and (not program.is_product or kind.product)
    )


def asks_for_changes(program: Program, case: Case, failing: Sample, said: Sequence[str], n: int) -> str:
    """The task in words. It has the request and a failing answer, not the right one."""
    return TASK.format(
        n=n,
        parts=_parts(program),
        request=_cut("\n".join(v if isinstance(v, str) else canonical(v) for v in case.input.values())),
        answer=_cut(failing.completion.text if failing.completion else str(failing.error)),
        said=_cut("; ".join(said)) or "nothing more is known",
        kinds=_kinds(catalogue(program)),
    )


def asks_for_idea(program: Program, idea: str) -> str:
    """The same for an idea in somebody's words; it may be any change, also a hard-coded one."""
    return IDEA.format(idea=_cut(idea), parts=_parts(program), kinds=_kinds(catalogue(program, patches=True)))


def complaints(program: Program, case: Case, failing: Sample) -> tuple[str, ...]:
    """What the case's checks say of a failing answer, without the answer that they expect."""
    around = surroundings_of(case, program)
    answer = failing.completion.text if failing.completion else ""
    found = []
    for name, check in zip(case.check_names(), case.checks, strict=True):
        outcome = judge_sample(check, failing, around, name=name)
        if outcome.outcome == "fail":
            found.append(f"{name}: {withheld(EXPECTED.sub('', outcome.reason), case, answer)}")
        elif check.kind in ("python", "judge"):
            found.append(f"{name}: not looked at here")
    return tuple(found)


def withheld(text: str, case: Case, known: str = "") -> str:
    """The text with every value of the case's input and right answer left out, but for those that `known` has.

    >>> case = Case(id="c", input={"request": "Lunch"}, expected={"date": "2026-11-27"})
    >>> withheld("date is 2026-11-20, not 2026-11-27", case, "2026-11-20")
    'date is 2026-11-20, not …'
    """
    for literal in sorted(literals_of(case), key=len, reverse=True):
        if literal.casefold() not in known.casefold():
            text = re.sub(re.escape(literal), "…", text, flags=re.I)
    return text


def read_changes(
    reply: str,
    program: Program,
    case: Case | None,
    author: str,
    taken: Collection[str] = (),
    *,
    patches: bool = False,
) -> tuple[list[Suggestion], list[Unusable]]:
    """The usable changes of a reply, each once, and what was wrong with the rest; never raises for what it says.

    Args:    case: whose words must not be copied; None: copying is allowed; taken: ids of fixes there are already.
    """
    fenced = FENCED.match(reply.strip())
    try:
        value = parse(fenced["inner"] if fenced else reply)
    except NotJSON as error:
        return [], [Unusable(excerpt(reply, 80), str(error))]
    changes = value.get("changes") if isinstance(value, dict) else None
    if not isinstance(changes, list) or set(value) != {"changes"}:
        return [], [Unusable(show(value, 80), "is no object with `changes`, a list, and nothing else")]
    usable: list[Suggestion] = []
    dropped: list[Unusable] = []
    ids = set(taken)
    for one in changes:
        found = _read(one, program, case, author, patches)
        if isinstance(found, str):
            dropped.append(Unusable(show(one, 80), found))
        elif found.fix.id in ids:
            dropped.append(Unusable(show(one, 80), "is the same as another change"))
        else:
            ids.add(found.fix.id)
            usable.append(found)
    return usable, dropped


def _read(one: JSON, program: Program, case: Case | None, author: str, patches: bool) -> Suggestion | str:
    """The change, or why it cannot be used."""
    if not isinstance(one, Mapping) or not isinstance(one.get("kind"), str):
        return "is no object with a `kind`"
    kind, why = one["kind"], one.get("why", "")
    if kind in KINDS and kind not in catalogue(program, patches=patches):
        return f"`{kind}` is not for a model to propose here"
    if not isinstance(why, str):
        return "`why` is no text"
    # `null` stands for a key that the kind does not have, unless that is what is set.
    rest = {k: v for k, v in one.items() if k not in ("why", "fix", "author") and (v is not None or k == "value")}
    name = one["fix"] if isinstance(one.get("fix"), str) else f"{kind} {one.get('target') or ''}"
    try:
        fix = Fix.model_validate({"fix": named(name), "author": author, **rest})
        fitting(fix, program)
    except ValidationError as error:
        return str(error.errors()[0]["msg"])
    except UsageError as error:
        return str(error)
    known = "\n".join(part.text for part in program.parts()) + canonical(program.response or {})
    if case is not None and (pieces := copies(fix, case, known)):
        return f"copies the case: {', '.join(excerpt(piece) for piece in pieces)}"
    because = " ".join(why.split()) or "the model gives no reason"
    return Suggestion(fix, because)


def _parts(program: Program) -> str:
    fields = {
        f"response.{name}.description": "(nothing is said of it)"
        for name, schema in (program.response or {}).get("properties", {}).items()
        if isinstance(schema, Mapping) and not schema.get("description")
    }
    lines = [f"- {part.id}: {_cut(part.text)}" for part in program.parts() if part.kind != "model"]
    lines += [f"- {id}: {text}" for id, text in fields.items()]
    if program.raw is not None:
        lines.append(f"- the request as it is stored: {_cut(program.raw)}")
    return "\n".join(lines) or "- (none: it gets the inputs as they are)"


def _kinds(names: Sequence[str]) -> str:
    lines = []
    for name in names:
        kind = KINDS[name]
        settings = [
            f"{key}{'' if setting.required else ' (may be left out)'}: {setting.help}"
            for key, setting in kind.settings.items()
        ]
        target = f"; target {kind.target}" if kind.target else "; no target"
        lines.append(f"- {name}: {kind.words}{target}{''.join(f'; {one}' for one in settings)}")
    return "\n".join(lines)


def _cut(text: str) -> str:
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"
