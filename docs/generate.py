"""The parts of docs/commands.md and docs/levers.md that the code writes, and docs/schemas of what `--json` prints.

    python docs/generate.py             say what is out of date; exit code 1 if anything is
    python docs/generate.py --write     bring it up to date
    python docs/generate.py --examples  run the examples of docs/commands.md and print them, to be pasted and trimmed

`tests/test_docs.py` holds that nothing is out of date.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import typing
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from cyclopts import App, Argument
from pydantic import TypeAdapter

from reroll.answer import Answer, CauseSection, Certified, CertifySection, Comparison, Cost, LuckSection, Reading
from reroll.arguments import Common, Pictures, Spending
from reroll.audited import Audited
from reroll.cli import app
from reroll.explain import Explained
from reroll.ideas import Board
from reroll.intake.recording import Recording
from reroll.ledger import Ledger
from reroll.lever_kinds import KINDS, Setting
from reroll.looking import Listed, Whole
from reroll.probing import Probed
from reroll.scored import Card, Tried
from reroll.settings import SETTINGS

HERE = Path(__file__).parent
COMMANDS = HERE / "commands.md"
LEVERS = HERE / "levers.md"
KINDS_BLOCK = re.compile(r"<!-- kinds: (?P<group>[a-z]+) -->\n.*?<!-- /kinds -->", re.S)
BLOCK = re.compile(r"<!-- (?P<name>help: [a-z-]+|settings) -->\n(?P<text>.*?)<!-- /(?:help|settings) -->", re.S)
EXAMPLES = """\
reroll demo
reroll init meetings
reroll investigate 'I tried "Lunch with Ana next Friday at noon" and it booked the wrong day.'
reroll rerun half-seven
reroll certify next-friday --target 0.99
reroll certify --about suite --target 0.9
reroll compare 'system.note=Next Friday means the Friday of next week, not of this week.' --case next-friday
reroll futures next-friday
reroll phrase next-friday --tokens awkward
reroll cause half-seven
reroll samples next-friday --limit 1
reroll show SAMPLE
reroll export next-friday --out next-friday.jsonl
reroll import next-friday.jsonl --check 'contains: "2026-11-27"' --into answers
reroll doctor bundled
"""
SHARED = {"common": Common, "spending": Spending, "pictures": Pictures}
JSON = dict[str, Any]


# -- help --------------------------------------------------------------------------------------------------------------


def commands() -> list[str]:
    """The commands in the order of the source."""
    return [name for name in app if not name.startswith("-")]


def option_rows(command: App) -> Iterator[tuple[str, str, str]]:
    """For every option: the name of its field or argument, how it is written, what it means."""
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


def table(rows: list[tuple[str, str, str]]) -> str:
    lines = [f"| `{form}` | {about} |" for _, form, about in rows]
    return "\n".join(["| | |", "|---|---|", *lines])


def help_of(name: str) -> str:
    """What `reroll NAME --help` says, without the options that many commands share."""
    command = app[name]
    rows = list(option_rows(command))
    words = [usage(a) for a in command.assemble_argument_collection() if a.names[0][:1] not in "-*"]
    sentence = (command.help or "").split("\n\n")[0]
    takes = [which for which, kind in SHARED.items() if {f.name for f in fields(kind)} <= {row[0] for row in rows}]
    links = {
        "common": "[options of every command](#options-of-every-command)",
        "spending": "[options of commands that make calls](#options-of-commands-that-make-calls)",
        "pictures": "[options of commands that print a page](#options-of-commands-that-print-a-page)",
    }
    shared = {f.name for which in takes for f in fields(SHARED[which])}
    own = [row for row in rows if row[0] not in shared]
    for argument in command.assemble_argument_collection():
        if argument.required and argument.names[0].startswith("--"):  # it cannot be left out
            words.append(f"{argument.names[0]} {metavar(argument.hint)}")
    parts = [f"`reroll {' '.join([name, *words])} [OPTIONS]`: {' '.join(sentence.split())}"]
    if own:
        parts.append(table(own))
    if takes:
        *first, last = (f"the {links[which]}" for which in takes)
        parts.append(f"Also {' and '.join([', '.join(first), last] if first else [last])}.")
    return "\n\n".join(parts) + "\n"


def help_blocks() -> dict[str, str]:
    found = {f"help: {name}": help_of(name) for name in commands()}
    every = {row[0]: row for row in option_rows(app["investigate"])}
    for which, kind in SHARED.items():
        found[f"help: {which}"] = table([every[f.name] for f in fields(kind)]) + "\n"
    return found


def settings_table() -> str:
    lines = ["| variable | unit | default | meaning |", "|---|---|---|---|"]
    for one in SETTINGS.values():
        default = "–" if one.default is None else one.default if isinstance(one.default, str) else f"{one.default:g}"
        lines.append(f"| `{one.env}` | {one.unit} | {default} | {one.about} |")
    return "\n".join(lines) + "\n"


def blocks() -> dict[str, str]:
    """Every generated block of commands.md by its name."""
    return {**help_blocks(), "settings": settings_table()}


def renewed(page: str) -> str:
    """The page with its generated blocks as the code would write them now. Raises: KeyError for an unknown block."""
    texts = blocks()

    def one(match: re.Match[str]) -> str:
        name = match["name"]
        return f"<!-- {name} -->\n{texts[name]}<!-- /{name.partition(':')[0]} -->"

    return BLOCK.sub(one, page)


def kinds_table(group: str) -> str:
    """The kinds of one group: what each does, to what, with which settings (needed ones in bold)."""
    lines = ["| kind | what it does | target | settings |", "|---|---|---|---|"]
    for name, kind in KINDS.items():
        if kind.group == group:
            said = [setting_words(key, setting) for key, setting in kind.settings.items()]
            if kind.either:
                said.append(f"at least one of {', '.join(kind.either)}" + (", no more" if kind.exactly_one else ""))
            settings = "; ".join(said).replace("|", "\\|") or "–"
            lines.append(f"| `{name}` | {kind.words} | {f'`{kind.target}`' if kind.target else '–'} | {settings} |")
    return "\n".join(lines) + "\n"


def setting_words(key: str, setting: Setting) -> str:
    words = ", ".join(f"`{word}`" for word in setting.form.split("|")) if "|" in setting.form else ""
    name = f"**`{key}`**" if setting.required else f"`{key}`"
    return f"{name}: {setting.help}{f' ({words})' if words else ''}"


def renewed_levers(page: str) -> str:
    """The catalogue with its tables as the code would write them now."""

    def one(match: re.Match[str]) -> str:
        return f"<!-- kinds: {match['group']} -->\n{kinds_table(match['group'])}<!-- /kinds -->"

    return KINDS_BLOCK.sub(one, page)


# -- schemas -----------------------------------------------------------------------------------------------------------


def schemas() -> dict[str, JSON]:
    """A JSON Schema for what each command prints with --json, by the name of its file."""
    text, texts = {"type": "string"}, {"type": "array", "items": {"type": "string"}}
    thing = {"type": "object"}
    around = {
        "case": thing,
        "program": thing,
        "model": text,
        "alpha_total": {"type": "number"},
        "cost": TypeAdapter(Cost),
        "caveats": texts,
        "stopped": text,
        "finished": {"type": "boolean"},
        "reading": {"anyOf": [plain(TypeAdapter(Reading)), {"type": "null"}]},
    }
    alone = {name: what for name, what in around.items() if name != "reading"}
    listed = plain(TypeAdapter(list[Listed]))
    definitions = listed.pop("$defs", {})
    probed = plain(TypeAdapter(Probed))
    facts = ("reroll", "python", "system", "aiohttp", "numpy", "pydantic", "SQLAlchemy", "xllamacpp")
    return {
        "answer": named("answer", answered()),
        "luck": named("luck", with_more(plain(TypeAdapter(LuckSection)), around)),
        "certify": named("certify", certified(around)),
        "association": named("association", associated()),
        "cause": named("cause", with_more(plain(TypeAdapter(CauseSection)), alone | {"case": text})),
        "explain": named("explain", plain(TypeAdapter(Explained))),
        "compare": named("compare", plain(TypeAdapter(Comparison))),
        "check": named("check", checked()),
        "ideas": named("ideas", plain(TypeAdapter(Board))),
        "ledger": named("ledger", plain(TypeAdapter(Ledger))),
        "audit": named("audit", with_more(plain(TypeAdapter(Audited)), {"text": text})),
        "neighbours": named("neighbours", neighbourhood()),
        "try": named("try", with_more(plain(TypeAdapter(Tried)), {"verdict": text, "text": text})),
        "samples": named("samples", with_more({"$defs": definitions}, {"samples": listed})),
        "sample": named("sample", plain(TypeAdapter(Whole))),
        "export": named("export", with_more({}, {"file": text, "samples": {"type": "integer"}})),
        "import": named("import", plain(TypeAdapter(Recording))),
        "apply": named("apply", applied()),
        "init": named("init", with_more({}, {"project": text, "files": texts})),
        "doctor": named(
            "doctor",
            with_more(
                {"$defs": probed["$defs"]},
                {**dict.fromkeys(("model", "identity", *facts), text), **probed["properties"]},
            ),
        ),
    }


def applied() -> JSON:
    """What `apply` prints: the fixes, the program's ids before and after, what differs; the cases that it was accepted
    for, and which of them were added to cases.yaml."""
    text = {"type": "string"}
    names = {"type": "array", "items": text}
    things = {"type": "array", "items": {"type": "object"}}
    return with_more(
        {},
        {
            "file": text,
            "written": {"type": "boolean"},
            "fixes": things,
            "before": text,
            "after": text,
            "diff": text,
            "tests": names,
            "added": names,
        },
    )


def answered() -> JSON:
    """An answer with the scorecards of fixes, which its own type does not name."""
    whole = plain(TypeAdapter(Answer))
    cards = plain(TypeAdapter(tuple[Card, ...]))
    whole["$defs"] |= cards.pop("$defs")
    whole["properties"]["fixes"] = {"anyOf": [cards, {"$ref": "#/$defs/NotExamined"}]}
    return whole


def certified(around: JSON) -> JSON:
    """One case has `case`; several cases or checks have `cases` and `checks` instead."""
    whole, several = with_more(plain(TypeAdapter(CertifySection)), around), plain(TypeAdapter(Certified))
    extra = {name: several["properties"][name] for name in ("cases", "checks", "outcomes")}
    whole["properties"] |= extra
    whole["$defs"] = {**several["$defs"], **whole.get("$defs", {})}
    whole["required"] = [name for name in whole["required"] if name not in ("case", "reading")]
    return whole


def checked() -> JSON:
    """What `check` prints: estimates with what they are about."""
    from reroll.evidence import Est
    from reroll.labelling import CaseMeasured

    cases = plain(TypeAdapter(list[CaseMeasured]))
    est = plain(TypeAdapter(Est))
    number = {"type": "integer"}
    agreement = {**est, "properties": {**est["properties"], "beyond_chance": est}, "required": [*est["required"]]}
    rate = {**est, "properties": {**est["properties"], "alpha": {"type": "number"}, "method": {"type": "string"}}}
    return with_more(
        {"$defs": cases.pop("$defs", {})},
        {
            "name": {"type": ["string", "null"]},
            **dict.fromkeys(("sensitivity", "specificity", "flag_rate", "flag_right", "pass_wrong"), est),
            "self_agreement": agreement,
            "labels": number,
            "unsure": number,
            "rate": rate,
            "labels_to_halve": {"type": ["integer", "null"]},
            "cases": cases,
            "caveats": {"type": "array", "items": {"type": "string"}},
        },
    )


def neighbourhood() -> JSON:
    """What `neighbours` prints: each candidate as the case that it is, with what its runs said."""
    from reroll.project import schemas as of_files
    from reroll.reworded import Dropped

    cases = of_files()["cases"]
    text, whole, truth = ({"type": name} for name in ("string", "integer", "boolean"))
    tried = with_more(
        {},
        {
            "case": {"$ref": "#/$defs/Case"},
            **dict.fromkeys(("kind", "changed", "why"), text),
            **dict.fromkeys(("runs", "passes", "failures"), whole),
        },
    )
    dropped = plain(TypeAdapter(list[Dropped]))
    near = with_more({}, {"id": text, "alike": {"type": "number"}})
    return with_more(
        {"$defs": {**cases["$defs"], **dropped.pop("$defs", {})}},
        {
            "case": text,
            "program": {"type": "object"},
            "model": text,
            **{name: {"type": "array", "items": tried} for name in ("kept", "aside", "open")},
            "near": {"type": "array", "items": near},
            **dict.fromkeys(("runs_each", "written"), whole),
            "dropped": dropped,
            "file": {"type": ["string", "null"]},
            "dry_run": truth,
            "cost": TypeAdapter(Cost),
            "caveats": {"type": "array", "items": text},
            "finished": truth,
            "stopped": text,
            "text": text,
        },
    )


def associated() -> JSON:
    """What `forks` prints where it can only say which words go with failure."""
    from reroll.associated import AssociationPrice
    from reroll.association import WordTest
    from reroll.evidence import Est

    est = plain(TypeAdapter(Est))
    text, number, whole, truth = ({"type": name} for name in ("string", "number", "integer", "boolean"))
    texts, maybe = {"type": "array", "items": text}, {"type": ["integer", "null"]}
    word = {
        **dict.fromkeys(("first", "last"), whole),
        "text": text,
        "shown": truth,
        "p_value": number,
        **dict.fromkeys(("success_with", "success_without", "difference", "lost"), est),
    }
    piece = with_more({}, {"text": text, "shown": truth})
    return with_more(
        {},
        {
            "verdict": plain(TypeAdapter(WordTest))["properties"]["verdict"],
            "tier": {"enum": ["A", "B", "C", "D"]},
            "why": text,
            "unit": {"enum": ["token", "word"]},
            "p_value": {"type": ["number", "null"]},
            **dict.fromkeys(("alpha", "least"), number),
            "success": est,
            "words": {"type": "array", "items": with_more({}, word)},
            **dict.fromkeys(("untested", "samples", "invalid", "stored", "drawn"), whole),
            **dict.fromkeys(("more_samples", "next_look"), maybe),
            "completion": {"type": "array", "items": piece},
            **dict.fromkeys(("sample", "case", "model", "text", "stopped"), text),
            "program": {"type": "object"},
            "price": plain(TypeAdapter(AssociationPrice)),
            "cost": plain(TypeAdapter(Cost)),
            "caveats": texts,
            "finished": truth,
        },
    )


def plain(adapter: TypeAdapter[Any]) -> JSON:
    """The schema of a value as it is printed: every key is there."""
    schema = adapter.json_schema(mode="serialization")
    for part in (schema, *schema.get("$defs", {}).values()):
        if "properties" in part:
            part["required"] = list(part["properties"])
            part.pop("description", None)
            for one in part["properties"].values():
                one.pop("default", None)
                one.pop("title", None)
        part.pop("title", None)
    return schema


def with_more(schema: JSON, properties: JSON) -> JSON:
    """The schema of an object with further keys, all of them required."""
    whole: JSON = {"type": "object", **schema, "properties": dict(schema.get("properties", {}))}
    for name, part in properties.items():
        whole["properties"][name] = plain(part) if isinstance(part, TypeAdapter) else part
    return {**whole, "required": list(whole["properties"])}


def named(name: str, schema: JSON) -> JSON:
    """The schema with its `schema` key first, and what it is the schema of."""
    properties = {"schema": {"const": f"reroll.{name}/1"}, **schema["properties"]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"reroll.{name}/1",
        **schema,
        "properties": properties,
        "required": ["schema", *schema.get("required", schema["properties"])],
    }


# -- examples ----------------------------------------------------------------------------------------------------------


def print_examples() -> None:
    """Run the examples one after the other in a new folder and print what they print."""
    sample = "none"
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for line in EXAMPLES.splitlines():
            words = [sample if word == "SAMPLE" else word for word in shlex.split(line)[1:]]
            run = subprocess.run(
                [sys.executable, "-m", "reroll.cli", *words],
                cwd=place,
                env={**os.environ, "COLUMNS": "88", "NO_COLOR": "1"},
                stdout=subprocess.PIPE,
                text=True,
                check=False,
            )
            print(f"$ {line.replace('SAMPLE', sample)}\n{run.stdout}exit code {run.returncode}\n", flush=True)
            place = place / "meetings" if words[0] == "init" else place
            sample = next(iter(re.findall(r"s_\w{12}", run.stdout)), sample)


# -- files -------------------------------------------------------------------------------------------------------------


def files() -> dict[Path, str]:
    """Every file that is written or holds something written by the code, as it should be now."""
    found = {HERE / "schemas" / f"{name}.json": json.dumps(s, indent=2) + "\n" for name, s in schemas().items()}
    levers = renewed_levers(LEVERS.read_text(encoding="utf-8"))
    return {COMMANDS: renewed(COMMANDS.read_text(encoding="utf-8")), LEVERS: levers, **found}


def stale() -> list[Path]:
    return [p for p, text in files().items() if not p.exists() or p.read_text(encoding="utf-8") != text]


def main() -> int:
    if "--examples" in sys.argv[1:]:
        print_examples()
        return 0
    old = stale()
    if "--write" not in sys.argv[1:]:
        for path in old:
            print(f"{path} is out of date; run python docs/generate.py --write", file=sys.stderr)
        return bool(old)
    for path, text in files().items():
        if path in old:
            path.write_text(text, encoding="utf-8", newline="\n")
            print(path)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
