"""The map of the house: docs/map.md, its picture, and the file tree of CONTRIBUTING, from the code as it is.

The order comes from the two lists of tests/test_house.py, which hold it; the groups are those of CAPTIONS.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path

import reroll

__all__ = ["blocks", "picture"]

ROOT = Path(__file__).parent.parent.parent
HOUSE = Path(reroll.__file__).parent
# Where a group begins in the lists of tests/test_house.py, and what it is.
CAPTIONS = {
    "errors": "What things are",
    "lever_settings": "Fixes, as changes of a program",
    "outcomes": "Evidence",
    "verdict": "Verdicts, and watching for drift",
    "population": "Variation, wordings, neighbours, judges",
    "adjudicate": "Retries, suites, what to draw next",
    "sampler": "A distribution that is read",
    "answer": "Answers, and their words",
    "forking": "Forks and the dud token",
    "rate_sums": "Causes",
    "describing": "Suggestions and scorecards",
    "settings": "Files, settings, checks that run code",
    "store_schema": "The store",
    "appending": "Intake, models, engines",
    "looking": "Watching production",
    "training_export": "Exports",
    "grouped": "Runs, sessions, branches",
    "runner": "The loop, and what goes round it",
    "arguments": "Commands",
    "lesson_reading": "Pages",
    "recorder": "The recorder and Slack",
    "fake_faults": "The fake server",
    "pytest_settings": "The pytest plugin",
    "exits": "The command line",
}
FIRST_EDGE = "settings"
# What a newcomer sees first; a package of reroll says it itself.
TREE = {
    "src/reroll/": "the package: flat, the core first ([the map](docs/map.md))",
    "src/reroll/bundled/": "the small model that comes along, its card, the example project `meetings`",
    "tests/": "one `test_<module>.py` a module; what stands between them is shared",
    "tests/docs_examples/": "files that the documentation takes for granted; its tests copy them",
    "benchmarks/": "every number that the docs claim, rerunnable: `make bench`",
    "docs/": "the pages, plain Markdown; `make docs` builds them",
    "docs/commands/": "one page a command",
    "docs/generating/": "what of the docs the code writes: help, exit codes, schemas, this tree",
    "docs/schemas/": "JSON Schemas of files and of what `--json` prints, written from the code",
    "training/": "makes the bundled model: corpus, tokenizer, network, export",
    ".ci/": "what CI runs: the same commands as anybody",
}


@dataclass(frozen=True, slots=True)
class Module:
    """One file or package of reroll. job: its first sentence; imports: what it imports of the house, in order."""

    name: str
    job: str
    imports: tuple[str, ...]
    lines: int
    package: bool


@dataclass(frozen=True, slots=True)
class Group:
    caption: str
    modules: tuple[Module, ...]
    core: bool


@cache
def order() -> tuple[str, ...]:
    """The modules from top to bottom, as tests/test_house.py holds them."""
    tree = ast.parse((ROOT / "tests" / "test_house.py").read_text(encoding="utf-8"))
    lists = {
        node.targets[0].id: node.value.func.value.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Attribute)
        and isinstance(node.value.func.value, ast.Constant)
    }
    return (*lists["CORE"].split(), *lists["EDGES"].split())


def sources(name: str) -> list[Path]:
    package = HOUSE / name
    return sorted(package.rglob("*.py")) if package.is_dir() else [HOUSE / f"{name}.py"]


def module(name: str) -> Module:
    texts = [path.read_text(encoding="utf-8") for path in sources(name)]
    trees = [ast.parse(text) for text in texts]
    first = next(doc for tree in trees if (doc := ast.get_docstring(tree)))
    found = {part for tree in trees for part in imported(tree)} - {name}
    job = re.split(r"(?<=[.?]) ", " ".join(first.partition("\n\n")[0].split()))[0].rstrip(".:")
    lines = sum(text.count("\n") for text in texts)
    return Module(name, job, tuple(one for one in order() if one in found), lines, (HOUSE / name).is_dir())


def imported(tree: ast.Module) -> set[str]:
    """The modules of the house that a file imports, in functions too."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "reroll":
            parts = node.module.split(".")
            found |= {parts[1]} if parts[1:] else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("reroll.")}
    return found


@cache
def groups() -> tuple[Group, ...]:
    """The modules in order, cut where a caption begins. Raises: KeyError where CAPTIONS names no module."""
    if unknown := set(CAPTIONS) - set(order()):
        raise KeyError(f"CAPTIONS of docs/generating/house.py name what is no module: {unknown}")
    starts = [at for at, name in enumerate(order()) if name in CAPTIONS]
    edge = order().index(FIRST_EDGE)
    return tuple(
        Group(CAPTIONS[order()[start]], tuple(module(name) for name in order()[start:end]), start < edge)
        for start, end in zip(starts, [*starts[1:], len(order())], strict=True)
    )


def blocks() -> dict[str, str]:
    return {"map": tables(), "tree": tree()}


def tables() -> str:
    """A heading and a table for each group: every module, its job, what it imports."""
    parts = []
    for number, group in enumerate(groups(), 1):
        lines = [f"### {number}. {group.caption}", "", "| module | what it does | it imports |", "|---|---|---|"]
        for one in group.modules:
            name = f"{one.name}/" if one.package else f"{one.name}.py"
            job = one.job.replace("|", "\\|").replace("<", "&lt;")
            imports = ", ".join(f"`{other}`" for other in one.imports) or "–"
            lines.append(f"| [`{name}`](../src/reroll/{name.rstrip('/')}) | {job} | {imports} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def tree() -> str:
    """The folders with a caption each."""
    found = dict(TREE)
    for package in sorted(p.parent for p in HOUSE.glob("*/__init__.py")):
        doc = ast.get_docstring(ast.parse((package / "__init__.py").read_text(encoding="utf-8"))) or ""
        found[f"src/reroll/{package.name}/"] = re.split(r"(?<=[.?]) |\n", doc)[0].rstrip(".")
    rows = sorted(found.items(), key=lambda row: (not row[0].startswith("src"), list(TREE).index(root_of(row[0]))))
    return (
        "\n".join(["| folder | what is in it |", "|---|---|", *(f"| `{name}` | {about} |" for name, about in rows)])
        + "\n"
    )


def root_of(folder: str) -> str:
    return folder if folder in TREE else "src/reroll/"


# -- the picture -------------------------------------------------------------------------------------------------------

CELL, LEFT, TOP = 30, 330, 64


def picture() -> str:
    """An SVG: a row a group, and in each column how many imports it has of that group. Nothing lies to the right of the
    diagonal, since imports go up the list only."""
    drawn = groups()
    place = {one.name: at for at, group in enumerate(drawn) for one in group.modules}
    counts = [[0] * len(drawn) for _ in drawn]
    for at, group in enumerate(drawn):
        for one in group.modules:
            for other in one.imports:
                counts[at][place[other]] += 1
    width, height = LEFT + CELL * len(drawn) + 16, TOP + CELL * len(drawn) + 16
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        'font-size="13" role="img" aria-label="How often each group of modules imports from each other group">',
        f'<rect width="{width}" height="{height}" rx="8" fill="#fff"/>',
        '<text x="16" y="26" fill="#444">each row: how many imports this group has of the group of the column</text>',
    ]
    for at, group in enumerate(drawn):
        y, x = TOP + CELL * at, LEFT + CELL * at
        fill = "#1d4f91" if group.core else "#7a3b00"
        words = f"{at + 1}. {group.caption} ({len(group.modules)})"
        out.append(f'<text x="{LEFT - 10}" y="{y + 20}" text-anchor="end" fill="{fill}">{escape(words)}</text>')
        out.append(f'<text x="{x + CELL / 2}" y="{TOP - 8}" text-anchor="middle" fill="{fill}">{at + 1}</text>')
        for to in range(len(drawn)):
            cell = f'x="{LEFT + CELL * to}" y="{y}" width="{CELL - 2}" height="{CELL - 2}" rx="3"'
            count = counts[at][to]
            strength = min(0.9, 0.12 + count / 90)
            shade = f'fill="{fill}" fill-opacity="{strength:.2f}"' if count else 'fill="#f3f3f3"'
            out.append(f"<rect {cell} {shade}/>")
            if count:
                ink = "#fff" if strength > 0.5 else "#222"
                out.append(
                    f'<text x="{LEFT + CELL * to + CELL / 2 - 1}" y="{y + 19}" text-anchor="middle" font-size="11" '
                    f'fill="{ink}">{count}</text>'
                )
    return "\n".join([*out, "</svg>"]) + "\n"
