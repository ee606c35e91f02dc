"""The blocks of docs/commands/*.md, docs/options.md, docs/settings.md and docs/json.md that the code writes."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import cache
from typing import Any

from cyclopts import App, Argument

from reroll import commands as asked
from reroll import commands_audit, commands_cause, commands_compare, commands_phrase, commands_try
from reroll.arguments import Common, Pictures, Spending
from reroll.cli import app
from reroll.settings import SETTINGS

__all__ = ["FORMS", "blocks", "commands"]

SHARED = {"common": Common, "spending": Spending, "pictures": Pictures}
SECTIONS = {
    "common": ("options of every command", "options-of-every-command"),
    "spending": ("options of commands that make calls", "options-of-commands-that-make-calls"),
    "pictures": ("options of commands that print a page", "options-of-commands-that-print-a-page"),
}
# What `--json` prints: how the command is called, and the name of the form, which has a file in docs/schemas.
FORMS = {
    "demo": {"": "answer"},
    "investigate": {"": "answer"},
    "rerun": {"": "luck"},
    "certify": {"": "certify", "--explain": "explain"},
    "compare": {"": "compare"},
    "check": {"": "check"},
    "futures": {"": "futures"},
    "surprise": {"": "surprise"},
    "forks": {"": "dud", "--by words": "association"},
    "cause": {"": "cause"},
    "audit": {"": "audit"},
    "phrase": {"": "phrase", "--tokens": "phrase"},
    "neighbours": {"": "neighbours"},
    "try": {"": "try"},
    "apply": {"": "apply"},
    "ideas": {"": "ideas"},
    "ledger": {"": "ledger"},
    "samples": {"": "samples", "--tree": "tree", "--group": "groups"},
    "show": {"": "sample"},
    "replay": {"": "sample"},
    "export": {"--out": "export"},
    "import": {"": "import"},
    "init": {"": "init"},
    "doctor": {"": "doctor"},
    "watch": {"": "watch"},
    "token": {"": "tokens", "NAME": "token"},
}
LUCK = {"bad_luck": 0, "not_reproduced": 0, **{k: v for k, v in asked.GATES.items() if k not in ("met", "not_met")}}
TARGET = {word: asked.GATES[word] for word in ("met", "not_met", "undecided")}
AUDIT = {**commands_audit.GATES, "any other verdict": 1}
WORDS = ("a screen", "any other verdict")  # what is no verdict's own name
# The exit code of each verdict, from the tables that the commands use themselves.
GATES: dict[str, Mapping[Any, int]] = {
    "certify": TARGET,
    "try": commands_try.GATES,
    "demo": LUCK,
    "investigate": LUCK,
    "rerun": LUCK,
    "compare": commands_compare.GATES,
    "cause": commands_cause.GATES,
    "audit": AUDIT,
    "phrase": {**commands_phrase.WORDING_GATES, **{w or "a screen": c for w, c in commands_phrase.GATES.items()}},
}
ALWAYS = ("certify", "try")
LASTING = ("fake-server", "record", "serve", "slack", "watch")  # they go on until somebody ends them
NO_JSON = {
    True: "It answers with no form of its own: `--json` changes nothing here.\n",
    False: "It takes no `--json`.\n",
}
# Where 4 means more than a run that broke off.
BROKEN = {
    "export": "the collector of `--to` refused some of the events",
    "neighbours": "the budget ended before each candidate was told",
    "replay": "no answer came",
}


def commands() -> list[str]:
    """The commands in the order of the source."""
    return [name for name in app if not name.startswith("-")]


# -- help --------------------------------------------------------------------------------------------------------------


@cache
def option_rows(command: str) -> tuple[tuple[str, str, str], ...]:
    """For every option: the name of its field or argument, how it is written, what it means."""
    return tuple(read_options(app[command]))


def read_options(command: App) -> Iterator[tuple[str, str, str]]:
    for argument in command.assemble_argument_collection(parse_docstring=True):
        name = argument.names[0]
        if name == "*":
            continue
        kinds = (argument.hint, *typing.get_args(argument.hint))
        flag = bool in kinds
        form = name if flag or not name.startswith("-") else f"{name} {metavar(argument.hint)}"
        form = f"{name} [INT]" if flag and int in kinds else form.replace("|", "\\|")
        field = argument.keys[0] if argument.keys else ""
        yield field, form, " ".join((argument.parameter.help or "").split()).replace("|", "\\|")


def metavar(hint: Any) -> str:
    """What stands behind an option: PATH, INT, FLOAT, TEXT, or the words to choose from."""
    kinds = [kind for kind in typing.get_args(hint) or (hint,) if kind not in (type(None), ...)]
    if typing.get_origin(kinds[0]) is typing.Literal:
        kinds = list(typing.get_args(kinds[0]))
    if isinstance(kinds[0], str):
        return "|".join(kinds)
    return {"str": "TEXT"}.get(kinds[0].__name__, kinds[0].__name__.upper())


def usage(argument: Argument) -> str:
    """How a word is written in the usage line: CASE, [CASE] where it may be left out, WORDS... where many fit."""
    many = "..." if typing.get_origin(argument.hint) is tuple else ""
    name = f"{argument.names[0]}{many}"
    return name if argument.required else f"[{name}]"


def table(rows: list[tuple[str, str, str]], of: str = "option") -> str:
    lines = [f"| `{form}` | {about} |" for _, form, about in rows]
    return "\n".join([f"| {of} | what it does |", "|---|---|", *lines])


def taken(command: str) -> list[str]:
    """Which of the shared options it takes."""
    has = {row[0] for row in option_rows(command)}
    return [which for which, kind in SHARED.items() if {f.name for f in fields(kind)} <= has]


def help_of(name: str) -> str:
    """What `reroll NAME --help` says, without the options that many commands share."""
    command = app[name]
    words = [usage(a) for a in command.assemble_argument_collection() if a.names[0][:1] not in "-*"]
    sentence = (command.help or "").split("\n\n")[0]
    shared = {f.name for which in taken(name) for f in fields(SHARED[which])}
    own = [row for row in option_rows(name) if row[0] not in shared]
    for argument in command.assemble_argument_collection():
        if argument.required and argument.names[0].startswith("--"):  # it cannot be left out
            words.append(f"{argument.names[0]} {metavar(argument.hint)}")
    parts = [f"`reroll {' '.join([name, *words])} [OPTIONS]`: {' '.join(sentence.split())}"]
    if own:
        parts.append(table(own))
    if links := [f"the [{words}](../options.md#{anchor})" for words, anchor in map(SECTIONS.get, taken(name))]:
        parts.append(f"Also {' and '.join([', '.join(links[:-1]), links[-1]] if links[1:] else links)}.")
    return "\n\n".join(parts) + "\n"


def shared_options(which: str) -> str:
    every = {row[0]: row for row in option_rows("investigate")}
    return table([every[f.name] for f in fields(SHARED[which])]) + "\n"


def takers(which: str) -> str:
    """The commands that take these options, in one sentence."""
    *first, last = [f"[`{name}`](commands/{name}.md)" for name in commands() if which in taken(name)]
    return f"{', '.join(first)} and {last} take these.\n"


# -- exit codes --------------------------------------------------------------------------------------------------------


def exits_of(name: str) -> str:
    """Which code means what, from the command's own table of verdicts."""
    calls = "spending" in taken(name)
    gate = GATES.get(name)
    rows: dict[int, list[str]] = {code: [] for code in range(5)}
    if gate is None or name not in ALWAYS:
        done = "you ended it, or it was done" if name in LASTING else "done"
        rows[0].append("it answered, whatever the answer" if calls else done)
    for word, code in (gate or {}).items():
        rows[code].append(word if word in WORDS else f"`{word}`")
    rows[2] = ["nothing was measured" if calls else "nothing was done", "the [message](../messages.md) says why"]
    broke = "an error that nobody foresaw" if name in LASTING else "you stopped it, or an error that nobody foresaw"
    broke = "the run broke off; what was drawn is stored" if calls else broke
    rows[4] = [*([BROKEN[name]] if name in BROKEN else []), broke]
    lines = ["| code | when |", "|---|---|"]
    for code, when in rows.items():
        if code in (0, 1, 3) and gate and name not in ALWAYS:  # what is said without --gate comes first
            usual, gated = when[: code == 0], when[code == 0 :]
            when = [*usual, *([f"with `--gate`: {', '.join(gated)}"] if gated else [])]
        if when:
            lines.append(f"| {code} | {(', ' if name in ALWAYS and code < 2 else '; ').join(when)} |")
    if calls and gate is None:
        lines += ["", "It gives no verdict that a gate could read: `--gate` changes nothing here."]
    elif name in ALWAYS:
        lines += ["", "It is always a gate, also without `--gate`."]
    return "\n".join(lines) + "\n"


# -- forms of JSON -----------------------------------------------------------------------------------------------------


def json_of(name: str) -> str:
    """What `--json` prints, by the way the command is called."""
    if name not in FORMS:
        return NO_JSON["common" in taken(name)]
    forms = [(f"{how} --json".strip() if how else "--json", one) for how, one in FORMS[name].items()]
    link = "- `{}` prints `reroll.{one}/1`, [its JSON Schema](../schemas/{one}.json).\n"
    return "".join(link.format(how, one=one) for how, one in forms)


def forms_table() -> str:
    lines = ["| command | `schema` | form |", "|---|---|---|"]
    for name, forms in FORMS.items():
        for how, one in forms.items():
            called = f"[`{f'{name} {how}'.strip()}`](commands/{name}.md)"
            lines.append(f"| {called} | `reroll.{one}/1` | [{one}.json](schemas/{one}.json) |")
    return "\n".join(lines) + "\n"


# -- settings ----------------------------------------------------------------------------------------------------------


def settings_table() -> str:
    lines = ["| variable | unit | default | meaning |", "|---|---|---|---|"]
    for one in SETTINGS.values():
        default = "–" if one.default is None else one.default if isinstance(one.default, str) else f"{one.default:g}"
        lines.append(f"| `{one.env}` | {one.unit} | {default} | {one.about} |")
    return "\n".join(lines) + "\n"


def blocks() -> dict[str, str]:
    """Every block by its name."""
    found = {f"shared: {which}": shared_options(which) for which in SHARED}
    found |= {f"takers: {which}": takers(which) for which in ("spending", "pictures")}
    for name in commands():
        found[f"help: {name}"] = help_of(name)
        found[f"exits: {name}"] = exits_of(name)
        found[f"json: {name}"] = json_of(name)
    return {**found, "settings": settings_table(), "forms": forms_table()}
