"""The catalogue: every kind of fix, what it changes, which settings it takes, and what is said when they are wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from reroll.fix import Fix
from reroll.lever_settings import VALUES
from reroll.lever_steps import step_of
from reroll.match import nearest, show
from reroll.step_forms import WrongStep, read_steps

__all__ = ["KINDS", "Kind", "Setting", "kind_problem"]

Group = Literal["lever", "sampling", "patch"]


@dataclass(frozen=True, slots=True)
class Setting:
    """One key of a fix. `form` is one of lever_settings.VALUES, or `a|b|c` for one of these words."""

    form: str
    help: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """What one kind of fix does.

    words: what it does, as a clause without subject; target: the form of its target, NAME and FIELD standing for any
    name, None where it has none; either: of each group at least one is needed, and where it is `exactly one` no more;
    step: whether it appends to `steps` and changes nothing else; stored, product: whether it can be used on a stored
    request, and on a product that gets the inputs as they are.
    """

    group: Group
    words: str
    target: str | None
    settings: Mapping[str, Setting]
    either: tuple[str, ...] = ()
    exactly_one: bool = True
    step: bool = False
    stored: bool = False
    product: bool = False

    @property
    def fixed(self) -> bool:
        """Whether there is only one target, so that it need not be said."""
        return self.target is not None and "NAME" not in self.target and "FIELD" not in self.target


TEXT = Setting("text", "what it says", required=True)
AT = Setting("place", "`first`, `last` (default), `{before: NAME}` or `{after: NAME}`")
ORDER = Setting("names", "names in the order that they are to have; those not named stay where they are", required=True)
WHEN = Setting(
    "when", "where it acts: `{input: PATTERN, not_input: ..., completion: ..., checks: [...]}`, all must hold"
)
WHEN_NEEDED = Setting(WHEN.form, WHEN.help, required=True)
WHICH = Setting("when", "for which requests (default: all)")
ON = Setting("input|completion", "whether it looks at what is sent, or at what comes back", required=True)
CHECKS = Setting("checks", "checks as in cases.yaml", required=True)
N = Setting("several", "how many draws, 2 to 20", required=True)
TIMES = Setting("times", "how many further draws at most, 1 to 20 (default 1)")
REPLACE = Setting("replace", "pairs `[PATTERN, TEXT]`: each match becomes the text")


def _lever(words: str, target: str, **settings: Setting) -> Kind:
    return Kind("lever", words, target, settings)


def _step(group: Group, words: str, either: tuple[str, ...] = (), one: bool = True, **settings: Setting) -> Kind:
    return Kind(group, words, None, settings, either, one, True, True, True)


KINDS: Mapping[str, Kind] = {
    # -- the system prompt
    "clause.add": _lever("adds a clause to the system prompt", "system.NAME", text=TEXT, at=AT),
    "clause.edit": _lever("says a clause in other words", "system.NAME", text=TEXT),
    "clause.delete": _lever("takes a clause out", "system.NAME"),
    "clause.move": _lever("moves a clause", "system.NAME", at=Setting(AT.form, AT.help, required=True)),
    "clause.deconflict": _lever(
        "keeps one of several clauses that contradict each other",
        "system.NAME",
        over=Setting("names", "the clauses that are taken out", required=True),
        text=Setting("text", "what the kept clause says from now on (default: as it was)"),
    ),
    "clause.repeat": _lever(
        "says a clause again at the end of the system prompt",
        "system.NAME",
        times=Setting("several", "how often it is said in all, 2 to 20 (default 2)"),
    ),
    "clause.emphasise": _lever(
        "emphasises a clause",
        "system.NAME",
        how=Setting("caps|important|last", "in capitals, after “IMPORTANT:”, or as the last clause", required=True),
    ),
    "contrast.add": _lever(
        "shows a right and a wrong answer, with the reason",
        "system.NAME",
        right=Setting("text", "an answer as it should be", required=True),
        wrong=Setting("text", "an answer as it should not be", required=True),
        reason=Setting("text", "why the one is right and the other wrong", required=True),
        user=Setting("text", "the request that both answer"),
        at=AT,
    ),
    # -- examples
    "example.add": _lever(
        "adds an example",
        "examples.NAME",
        user=Setting("text", "the request of the example", required=True),
        assistant=Setting("text", "its answer", required=True),
        at=AT,
    ),
    "example.remove": _lever("takes an example out", "examples.NAME"),
    "example.balance": _lever(
        "keeps equally many examples of each kind of answer, in turns",
        "examples",
        by=Setting("pointer", "where in the answer the kind stands, such as /label (default: the whole answer)"),
    ),
    "example.reorder": _lever("puts examples into another order", "examples.order", order=ORDER),
    # -- structured output
    "response.on": _lever(
        "asks for an answer of this form",
        "response",
        schema=Setting("schema", "a JSON Schema (default: the program's)"),
        structured=Setting("enforce|describe|both", "by the API (default), in the system prompt, or both"),
    ),
    "response.off": _lever("tells the model no form of the answer; checks still know it", "response"),
    "response.reorder": _lever("puts the fields of the answer into another order", "response.order", order=ORDER),
    "reason.first": _lever(
        "lets the answer begin with its reason",
        "response",
        name=Setting("text", "the field's name (default: reason)"),
        text=Setting("text", "the field's description"),
    ),
    # -- documentation
    "document.add": _lever("adds a document", "documents.NAME", text=TEXT, at=AT),
    "document.trim": _lever(
        "keeps some sentences of a document",
        "documents.NAME",
        keep=Setting("keep", "numbers of sentences, counted from 1; or phrases that they contain", required=True),
    ),
    "document.reorder": _lever("puts documents into another order", "documents.order", order=ORDER),
    "document.quote": _lever(
        "says a passage of a document as a clause too",
        "documents.NAME",
        text=Setting("text", "the passage, word for word", required=True),
        name=Setting("text", "the clause's name (default: quote-NAME)"),
    ),
    # -- fields and types
    "field.describe": _lever("describes a field of the answer", "response.FIELD.description", text=TEXT),
    "field.rename": _lever(
        "shows the model another name of a field; what comes back has the old one",
        "response.FIELD.name",
        text=Setting("text", "the new name", required=True),
    ),
    "type.narrow": Kind(
        "lever",
        "narrows the type of a field",
        "response.FIELD.type",
        {
            "type": Setting("type", "a JSON type, or several"),
            "schema": Setting("schema", "a JSON Schema of the field"),
        },
        either=("type", "schema"),
    ),
    "type.enum": _lever(
        "lists the values that a field can have",
        "response.FIELD.type",
        values=Setting("values", "the values", required=True),
    ),
    "type.format": _lever(
        "names the format of a field",
        "response.FIELD.type",
        text=Setting("text", "such as date or date-time", required=True),
    ),
    "tool.describe": _lever("describes a tool", "tools.NAME.description", text=TEXT),
    # -- decoding and versions
    "params.set": Kind(
        "lever",
        "sets a parameter",
        "params.NAME",
        {"value": Setting("value", "its value; null: the server's own", required=True)},
        stored=True,
        product=True,
    ),
    "model.pin": Kind(
        "lever",
        "pins the model to a version",
        "model",
        {"text": Setting("text", "the model, such as openai:NAME", required=True)},
        stored=True,
        product=True,
    ),
    "serving.pin": Kind(
        "lever",
        "pins where the model is served",
        "base_url",
        {"text": Setting("text", "the address", required=True)},
        stored=True,
    ),
    # -- sampling strategies around the model
    "sample.best": _step(
        "sampling", "draws several times and keeps the best by checks", n=N, checks=CHECKS, when=WHICH
    ),
    "sample.vote": _step(
        "sampling",
        "draws several times and takes the answer that most give",
        n=N,
        by=Setting("pointer", "which part of the parsed answers is voted on (default: the whole)"),
        when=WHICH,
    ),
    "sample.verify": _step("sampling", "draws again where checks fail", checks=CHECKS, times=TIMES, when=WHICH),
    # -- patches
    "patch.special_case": _step(
        "patch",
        "answers certain requests by rule",
        ("text", "set"),
        when=WHEN_NEEDED,
        text=Setting("text", "the whole answer; the model is not asked"),
        set=Setting("mapping", "fields that the model's answer gets"),
    ),
    "guard.block": _step(
        "patch",
        "withholds an answer",
        on=ON,
        when=WHEN_NEEDED,
        says=Setting("text", "what is said instead", required=True),
    ),
    "guard.rewrite": _step(
        "patch",
        "rewrites what is sent or what comes back",
        ("replace", "text"),
        on=ON,
        when=WHEN,
        replace=REPLACE,
        text=Setting("text", "what is said instead, as a whole"),
    ),
    "patch.postprocess": _step(
        "patch",
        "changes the answer",
        ("replace", "set", "drop", "rename", "strip_fences"),
        False,
        when=WHEN,
        replace=REPLACE,
        set=Setting("mapping", "fields that the answer gets"),
        drop=Setting("names", "fields, or JSON pointers, that are taken out"),
        rename=Setting("rename", "`{NAME: OTHER}`: fields that are named otherwise"),
        strip_fences=Setting("true", "true: the code fence around the answer is taken off"),
    ),
    "patch.retry": _step(
        "patch",
        "draws again",
        ("when", "checks"),
        False,
        when=WHEN,
        checks=Setting(CHECKS.form, "draws again where one of these fails"),
        times=TIMES,
    ),
    "patch.python": _step(
        "patch",
        "puts what is sent or what comes back through a function of the project",
        function=Setting("function", "file:function, such as patches:tidy", required=True),
        on=ON,
        when=WHEN,
    ),
}


def kind_problem(fix: Fix) -> tuple[str | None, str] | None:
    """The key and the words of the first thing that is wrong with a fix by itself; None where nothing is.

    Whether its target exists is not asked: that depends on the program.
    """
    kind = KINDS.get(fix.kind)
    if kind is None:
        hint = nearest(fix.kind, KINDS) or f"; the kinds are {', '.join(KINDS)}"
        return "kind", f"`{fix.kind}` is no kind of fix{hint}"
    if words := _bad_target(fix, kind):
        return "target", words
    given = fix.settings | ({} if fix.text is None else {"text": fix.text})
    known = list(kind.settings)
    for key in given:
        if key not in kind.settings:
            hint = nearest(key, known) or (f"; it takes {', '.join(known)}" if known else "; it takes none")
            return key, f"`{fix.kind}` has no setting `{key}`{hint}"
    for key, setting in kind.settings.items():
        if setting.required and key not in given:
            return None, f"`{fix.kind}` needs `{key}`: {setting.help}"
        if key in given and (words := _bad_value(setting, given[key])):
            return key, words
    return _bad_choice(fix, kind, given)


def _bad_target(fix: Fix, kind: Kind) -> str:
    if kind.target is None:
        return "" if fix.target is None else f"`{fix.kind}` has no target; take it out, `when` says where it acts"
    if fix.target is None:
        return "" if kind.fixed else f"`{fix.kind}` needs a target of the form {kind.target}"
    if kind.fixed:
        return "" if fix.target == kind.target else f"the target of `{fix.kind}` is `{kind.target}`; got `{fix.target}`"
    root, _, rest = kind.target.partition(".")
    tail = rest.partition(".")[2]
    found, _, name = fix.target.partition(".")
    if tail:
        name, _, last = name.rpartition(".")
    else:
        last = ""
    if found == root and name and last == tail:
        return ""
    return f"`{fix.kind}` has targets of the form {kind.target}; got `{fix.target}`"


def _bad_value(setting: Setting, value: Any) -> str:
    if "|" in setting.form:
        words = setting.form.split("|")
        hint = nearest(value, words) if isinstance(value, str) else ""
        return "" if value in words else f"{show(value)} is none of {', '.join(words)}{hint}"
    return VALUES[setting.form](value)


def _bad_choice(fix: Fix, kind: Kind, given: Mapping[str, Any]) -> tuple[str | None, str] | None:
    """What is wrong between settings."""
    said = [key for key in kind.either if key in given]
    if kind.either and not said:
        return None, f"`{fix.kind}` needs one of {', '.join(kind.either)}"
    if kind.exactly_one and len(said) > 1:
        return said[1], f"`{said[0]}` and `{said[1]}` are two ways to say it; give one"
    return _bad_step(fix, given) if kind.step else None


def _bad_step(fix: Fix, given: Mapping[str, Any]) -> tuple[str | None, str] | None:
    """What is wrong with the step that it makes, as the program's file would be told."""
    try:
        read_steps([step_of(fix)])
    except WrongStep as wrong:
        key = str(wrong.path[0]) if wrong.path and wrong.path[0] in given else None
        return key, wrong.problem.removeprefix(f"`{key}`: ")
    return None
