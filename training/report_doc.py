"""Fills the tables of docs/bundled-model.md from report.json and examples.json, so that no number is copied by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
DOC = HERE.parent / "docs" / "bundled-model.md"
EDIT_COLUMNS = ("constructed", "model", "error", "sd_per_prompt", "worst_prompt")
REST_COLUMNS = ("constructed_without_names", "model_without_names")
SHOWN_FIXES = (  # the columns of the example table: the requests that the example project is about
    "next-friday",
    "next-thursday-coffee",
    "this-friday",
    "half-seven",
    "clear-thursday",
)


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def pair(due: float, model: float) -> str:
    return f"{due:.3f} → {model:.3f}"


def levers(report: dict[str, Any], names_aside: bool = False) -> str:
    """Programs down, kinds of request across."""
    cells: dict[str, dict[str, str]] = {}
    for row in report["levers"]["rows"]:
        lever, request = row["name"].split(" / ")
        rest = pair(row["constructed_without_names"], row["model_without_names"])
        cells.setdefault(lever, {})[request] = rest if names_aside else pair(row["constructed"], row["model"])
    requests = list(next(iter(cells.values())))
    return table(["program", *requests], [[lever, *found.values()] for lever, found in cells.items()])


def edits(report: dict[str, Any]) -> str:
    parts = []
    for request, rows in report["edits"].items():
        if request == "summary":
            continue
        body = [
            [r["name"], *(f"{r[k]:{'+' if k == 'error' else ''}.3f}" for k in (*EDIT_COLUMNS, *REST_COLUMNS))]
            for r in rows
        ]
        head = ["edit", "constructed", "model", "error", "sd per prompt", "worst prompt"]
        head += ["names aside: constructed", "model"]
        parts.append(f"**{request}**\n\n{table(head, body)}")
    return "\n\n".join(parts)


def example_fixes(found: dict[str, Any]) -> str:
    cases = [case for case in found["cases"] if case["id"] in SHOWN_FIXES]
    rows = []
    for fix in found["fixes"]:
        cells = [case["failure"][fix["id"]] for case in cases]
        rows.append([fix["id"], fix["what"], *(pair(x["constructed"], x["model"]) for x in cells)])
    return table(["id", "change", *(f"*{case['request']}*" for case in cases)], rows)


def example_cases(found: dict[str, Any]) -> str:
    rows = []
    for case in found["cases"]:
        rate = case["failure"]["baseline"]
        answer = json.dumps(case["expected"], separators=(",", ":"))
        rows.append([case["set"], case["request"], f"`{answer}`", pair(rate["constructed"], rate["model"])])
    return table(["set", "request", "right answer", "failure at baseline"], rows)


def facts(report: dict[str, Any]) -> str:
    m = report["model"]
    lever, edit = report["levers"]["summary"], report["edits"]["summary"]
    rows = [
        ["parameters", f"{m['parameters']:,}"],
        ["file", f"{m['bytes']:,} bytes, q8_0, sha256 `{m['sha256']}`"],
        ["training", f"{m['steps']:,} steps, {m['answers_seen']:,} answers, seed {m['seed']}, {m['date']}"],
        ["time", f"{m['training_cpu_minutes']} CPU minutes (one thread), {m['training_wall_minutes']} on the clock"],
        ["levers", summary(lever)],
        ["edits that keep the meaning", summary(edit)],
    ]
    if "server" in report:
        rows.append(["through a llama.cpp server", server(report["server"])])
    return table(["", ""], rows)


def summary(s: dict[str, Any]) -> str:
    return (
        f"{s['groups']} groups of prompts: mean absolute error {s['mean_abs_error']:.3f}, "
        f"largest {s['max_abs_error']:.3f}, "
        f"{s['over_0.10']} above 0.10; names aside: mean {s['mean_abs_error_without_names']:.3f}, "
        f"largest {s['max_abs_error_without_names']:.3f}, {s['over_0.10_without_names']} above 0.10"
    )


def server(s: dict[str, Any]) -> str:
    rows = s["sampled"]
    shape = s["with_json_schema"]
    return (
        f"{len(rows)} prompts, {rows[0]['runs']} runs each: {s['outside_95_percent']} outside the 95 % band around "
        f"the exact rate; {s['token_mismatches_in_200_prompts']} of 200 prompts cut into other tokens; "
        f"with a JSON schema {shape['compact']} of {shape['runs']} answers were compact JSON"
    )


def filled(doc: str, name: str, text: str) -> str:
    """`doc` with the part between <!-- name --> and <!-- /name --> replaced."""
    return re.sub(
        rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", lambda m: f"{m[1]}\n{text}\n\n{m[2]}", doc, flags=re.DOTALL
    )


def main() -> None:
    report = json.loads((HERE / "report.json").read_text())
    found = json.loads((HERE / "examples.json").read_text())
    doc = DOC.read_text()
    for name, text in (
        ("facts", facts(report)),
        ("cases", example_cases(found)),
        ("fixes", example_fixes(found)),
        ("levers", levers(report)),
        ("levers-rest", levers(report, names_aside=True)),
        ("edits", edits(report)),
    ):
        doc = filled(doc, name, text)
    DOC.write_text(doc)


if __name__ == "__main__":
    main()
