"""docs/benchmarks.md: what results.json gives, as tables between marks and plots; the rest is written by hand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks._plan import jobs
from benchmarks._plots import Line, chart
from benchmarks._promises import PROMISES, WHY, Promise
from benchmarks._report import table
from benchmarks._results import read
from reroll.beta import clopper_pearson

__all__ = ["made", "numbers", "pages", "plots", "printed", "rows_for", "stale", "write_page"]

DOCS = Path(__file__).parent.parent / "docs"
PAGE, IMAGES = DOCS / "benchmarks.md", DOCS / "images"
BLOCK = re.compile(r"<!-- made: (?P<name>[a-z]+)(?: (?P<of>\S+))? -->\n.*?<!-- /made -->", re.S)
TITLES = {
    2: "The main job",
    3: "Right at any look",
    4: "The runner",
    5: "The distribution made visible",
    6: "The cause",
    7: "Fixes",
    8: "Pages",
    9: "Slack and traces",
    10: "pytest, CI and production",
    11: "Proof",
}
JSON = dict[str, Any]


def rows_for(promise: Promise, rows: Mapping[str, JSON]) -> list[JSON]:
    """The rows that a promise names, in their order; a name that ends with `*` stands for all that begin so.

    Raises:  KeyError: nothing has measured a row that it names.
    """
    found = []
    for name in promise.rows:
        some = [rows[i] for i in sorted(rows) if i.startswith(name[:-1])] if name.endswith("*") else [rows[name]]
        if not some:
            raise KeyError(name)
        found += some
    return found


# ---------------------------------------------------------------- words


def number(value: float | None, unit: str = "") -> str:
    if value is None:
        return "–"
    shown = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{shown} {unit}".strip()


def bound(row: JSON) -> str:
    if row["bound"] is None:
        return "–"
    return f"{'≤' if row['bound']['most'] else '≥'} {number(row['bound']['value'])}"


def distance(row: JSON) -> float:
    """How far a row is beyond its bar, as a share of it; below 0 where it is met. Bars of 0 count absolutely."""
    value, most = row["bound"]["value"], row["bound"]["most"]
    apart = (row["ours"] - value) * (1 if most else -1)
    return float(apart / abs(value)) if value else float(apart)


def by_how_much(row: JSON) -> str:
    far = distance(row)
    return f"by {100 * far:.2g} %" if row["bound"]["value"] else f"by {far:g}"


def met(rows: Iterable[JSON]) -> str:
    said = [row["met"] for row in rows if row["met"] is not None]
    return "–" if not said else "yes" if all(said) else "**no**"


def when(rows: Sequence[JSON]) -> str:
    days = sorted({row["date"][:10] for row in rows})
    return days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"


# ---------------------------------------------------------------- sections


def bars(results: JSON) -> str:
    """Every bar of every issue."""
    rows = {row["id"]: row for row in results["rows"]}
    lines = []
    for issue, title in TITLES.items():
        cells = []
        for promise in (p for p in PROMISES if p.issue == issue):
            if promise.open:
                cells.append([promise.says, "not measured: " + promise.open, "–", "–", "–"])
            elif promise.test:
                file, _, name = promise.test.partition("::")
                cells.append([promise.says, f"a test holds it: `{name}` in `{file}`", "–", "yes", "–"])
            else:
                try:
                    cells.append(_promised(promise, rows_for(promise, rows)))
                except KeyError as name:
                    cells.append([promise.says, f"**not measured yet**: `{name.args[0]}`", "–", "–", "–"])
        lines += [f"**Issue {issue}. {title}**", "", table(["bar", "measured", "bound", "met", "date"], cells), ""]
    return "\n".join(lines)


def _promised(promise: Promise, some: list[JSON]) -> list[str]:
    if len(some) <= 3:
        measured = "; ".join(number(row["ours"], row["unit"]) for row in some)
        limits = "; ".join(dict.fromkeys(bound(row) for row in some))
    else:
        held = [row for row in some if row["bound"]]
        worst = max(held, key=distance)
        measured = f"{len(some)} rows; nearest its bound or farthest beyond: {number(worst['ours'], worst['unit'])}"
        limits = bound(worst)
    return [promise.says, measured, limits, met(some), when(some)]


def missed(results: JSON) -> str:
    """What misses its bar: by how much, and why."""
    cells = [
        [f"`{row['id']}`", number(row["ours"], row["unit"]), bound(row), by_how_much(row), WHY.get(row["id"], "")]
        for row in results["rows"]
        if row["met"] is False
    ]
    return table(["row", "measured", "bar", "missed", "why"], cells) if cells else "No row misses its bar."


def beside(results: JSON) -> str:
    """Every row that has a peer."""
    cells = [
        [
            row["what"],
            number(row["ours"], row["unit"]),
            f"{row['peer']['name']}: {number(row['peer']['value'], row['unit'])}",
            number(row["ours"] / row["peer"]["value"]) if row["peer"]["value"] else "–",
            bound(row),
            row["date"][:10],
        ]
        for row in results["rows"]
        if row["peer"] is not None
    ]
    return table(["what", "ours", "best peer", "ours / peer", "bar", "date"], cells)


def every(results: JSON) -> str:
    """All rows by script, with the circumstances of each run once."""
    lines = []
    for script in dict.fromkeys(row["id"].split("/")[0] for row in results["rows"]):
        mine = [row for row in results["rows"] if row["id"].split("/")[0] == script]
        if script == "nothing_wrong":
            told = f"`python benchmarks/{script}.py`, {when(mine)}: on [a page of its own](nothing-wrong.md)."
            lines += [f"### {script}.py", "", told, ""]
            continue
        lines += [f"### {script}{'.py' if script in jobs() else ''}", ""]
        for run in dict.fromkeys((r["date"], r["command"], r["machine"], str(r["load"])) for r in mine):
            some = [r for r in mine if (r["date"], r["command"], r["machine"], str(r["load"])) == run]
            lines += [_circumstances(some[0]), ""]
            cells = [
                [
                    r["what"],
                    number(r["ours"], r["unit"]),
                    "–" if r["peer"] is None else f"{r['peer']['name']}: {number(r['peer']['value'])}",
                    bound(r),
                    number(r["ratio"]),
                    {True: "yes", False: "**no**", None: "–"}[r["met"]],
                ]
                for r in some
            ]
            lines += [table(["what", "ours", "best peer", "bar", "ours / bar", "met"], cells), ""]
    return "\n".join(lines).rstrip()


def _circumstances(row: JSON) -> str:
    load = "not noted" if row["load"] is None else row["load"]
    took = "" if row.get("seconds") is None else f", {row['seconds']:.0f} s"
    if row.get("cpu_seconds") is not None:
        took += f" ({row['cpu_seconds']:.0f} s of CPU)"
    version = f", version {row['commit']}" if row.get("commit") else ""
    day = row["date"].replace("T", " ")[:16]
    return f"`{row['command']}`, {day} UTC, {row['machine']}, load average at the start: {load}{took}{version}."


def plan(results: JSON) -> str:
    """What each benchmark takes, in full and in small."""
    last: dict[str, str] = {}
    for row in results["rows"]:
        script = row["id"].split("/")[0]
        last[script] = max(last.get(script, ""), row["date"])
    cells = [
        [
            f"`{name}`",
            f"{job.seconds[0]:,} s" if job.seconds[0] else "–",
            "–" if job.quick is None else f"{job.seconds[1]} s",
            last.get(name, "")[:10] or "never",
            job.needs or "–",
        ]
        for name, job in jobs().items()
    ]
    return table(["benchmark", "in full", "in small", "last measured", "needs"], cells)


def wrong(results: JSON) -> str:
    """What was said though it was not so, beside what is promised."""
    cells = [
        [
            row["what"].removeprefix("wrong: "),
            _share(row),
            f"{100 * row['bound']['value']:g} %",
            "–" if row["exact"] is None else f"{100 * row['exact']:.2f} %",
            f"{row['of']:,}",
            "yes" if row["met"] else "**no**",
        ]
        for row in results["rows"]
        if row["id"].startswith("nothing_wrong/wrong")
    ]
    head = ["word (where it is said): what is true", "said (95 %)", "promised", "exact, steady rate", "worlds", "kept"]
    return table(head, cells)


def power(results: JSON) -> str:
    """What was found of planted effects, and after how many calls."""
    cells = [
        [
            row["what"].removeprefix("found: "),
            _share(row),
            "–" if row["calls"] is None or row["calls"] < 2 else f"{row['calls']:,.0f}",
            f"{row['of']:,}",
        ]
        for row in results["rows"]
        if row["id"].startswith("nothing_wrong/found")
    ]
    return table(
        ["word (where it is said): what is planted", "found (95 %)", "calls, mean where found", "worlds"], cells
    )


def how(results: JSON) -> str:
    """The runs behind the two tables, by version: rows are also run one by one."""
    rows = [row for row in results["rows"] if row["id"].startswith("nothing_wrong/")]
    lines = []
    for version, machine in dict.fromkeys((row.get("commit") or "not noted", row["machine"]) for row in rows):
        mine = [row for row in rows if (row.get("commit") or "not noted", row["machine"]) == (version, machine)]
        runs = {(row["date"], row["command"]): row.get("cpu_seconds") or 0 for row in mine}
        first, last = (end(runs)[0].replace("T", " ")[:16] for end in (min, max))
        when = first if first == last else f"{first} to {last}"
        lines.append(
            f"- Rows: {len(mine)}. Begun {when} UTC, {sum(runs.values()):,.0f} s of CPU in all, {machine}, "
            f"version {version}."
        )
    return "\n".join(sorted(lines))


def _share(row: JSON) -> str:
    hits, of = round(row["ours"] * row["of"]), row["of"]
    low, high = clopper_pearson(hits, of, 0.025)
    return f"{100 * row['ours']:.2f} % ({100 * low:.2f}–{100 * high:.2f})"


ON_PAGE = {"bars": bars, "missed": missed, "beside": beside, "every": every, "plan": plan}
SECTIONS = {**ON_PAGE, "wrong": wrong, "power": power, "how": how}


def printed(results: JSON, name: str) -> str:
    """A table as its script printed it, `script/name`, with when and by which command."""
    shown = results.get("tables", {}).get(name)
    if shown is None:
        return f"**Not measured yet**: `{name}`."
    day, where = shown["date"].replace("T", " ")[:16], f"benchmarks.md#{name.split('/')[0]}py"
    return f"`{shown['command']}`, {day} UTC ([where]({where})):\n\n{table(shown['head'], shown['rows'])}"


def numbers(results: JSON, script: str) -> str:
    """The rows of a script: what was measured, its bar, and whether it is met."""
    mine = [row for row in results["rows"] if row["id"].split("/")[0] == script]
    if not mine:
        return f"**Not measured yet**: `{script}`."
    cells = [[r["what"], number(r["ours"], r["unit"]), bound(r), met([r])] for r in mine]
    return table(["what", "measured", "bar", "met"], cells)


OF_ONE = {"table": printed, "numbers": numbers}


def made(name: str, results: JSON, of: str | None = None) -> str:
    """A part of a page between its marks: a section made of all rows, or of one script or table, `of` which."""
    if of is not None:
        return f"<!-- made: {name} {of} -->\n{OF_ONE[name](results, of)}\n<!-- /made -->"
    return f"<!-- made: {name} -->\n{SECTIONS[name](results)}\n<!-- /made -->"


# ---------------------------------------------------------------- plots


def plots(results: JSON) -> dict[str, str]:
    """The pictures of the page, by file name, drawn from the rows."""
    rows: dict[str, JSON] = {row["id"]: row for row in results["rows"]}

    def lines(ids: Iterable[str], cut: str = "") -> list[Line]:
        return [
            Line(
                r["what"].removeprefix(cut),
                r["ours"],
                r["peer"]["value"] if r["peer"] else None,
                r["bound"]["value"] if r["bound"] else None,
            )
            for r in (rows[i] for i in ids)
        ]

    def begin(prefix: str) -> list[str]:
        return [i for i in sorted(rows) if i.startswith(prefix)]

    certify = sorted(begin("certify/certify-99-at-"), key=lambda i: float(i.split("-at-")[1].split("-")[0]))
    found: dict[str, str] = {}
    if certify:
        found["bench-certify.svg"] = chart(
            "Calls until 99 % is certified or refused, times the limit",
            "1 is what no rule can beat",
            lines(certify, "certify "),
            log=True,
            names=("reroll", "best other rule that is valid at every look", "bar"),
        )
    if said := begin("nothing_wrong/wrong"):
        share = [
            Line(rows[i]["what"].removeprefix("wrong: "), 100 * rows[i]["ours"], None, 100 * rows[i]["bound"]["value"])
            for i in said
        ]
        found["bench-nothing-wrong.svg"] = chart(
            "Nothing is wrong: false claims, in %", "%", share, names=("reroll", "", "promised alpha")
        )
    tokens = begin("tokens/60-tokens-share") + begin("tokens/60-tokens-false") + begin("tokens/60-tokens-hit")
    if cut := lines((i for i in tokens if rows[i]["peer"]), "60 tokens: "):
        names = ("reroll", "pivotal token search, 64 rollouts", "bar")
        found["bench-tokens.svg"] = chart("The dud token in 60: shares", "", cut, names=names)
    peers = begin("peers/cpu-ms-a-call-of-")
    if peers:
        found["bench-calls.svg"] = chart(
            "CPU of a call, ms",
            "ms",
            lines(sorted(peers, key=lambda i: rows[i]["ours"]), "CPU ms a call of "),
            log=True,
            names=("measured", "", ""),
        )
    return found


# ---------------------------------------------------------------- the file


def pages() -> list[Path]:
    """Those that have a part which is made of the results."""
    return [path for path in sorted(DOCS.glob("*.md")) if "<!-- made: " in path.read_text(encoding="utf-8")]


def stale(results: JSON | None = None) -> list[str]:
    """Which parts of the pages or which pictures are not what results.json gives."""
    results = read() if results is None else results
    off = []
    seen = set()
    for page in pages():
        for m in BLOCK.finditer(page.read_text(encoding="utf-8")):
            seen.add(m["name"])
            off += [m["of"] or m["name"]] if m[0] != made(m["name"], results, m["of"]) else []
    off += sorted(set(SECTIONS) - seen)
    for name, picture in plots(results).items():
        path = IMAGES / name
        if not path.exists() or path.read_text(encoding="utf-8") != picture:
            off.append(name)
    return off


def write_page() -> None:
    results = read()
    for page in pages():
        text = BLOCK.sub(lambda m: made(m["name"], results, m["of"]), page.read_text(encoding="utf-8"))
        page.write_text(text, encoding="utf-8")
    for name, picture in plots(results).items():
        (IMAGES / name).write_text(picture, encoding="utf-8")
