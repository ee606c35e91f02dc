"""What a pytest run says at its end: a line for each test that was run again and again, and a table for GitHub."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pytest

from reroll.job_summary import escaped, one_line
from reroll.numbers import counts, percent
from reroll.pytest_results import Result, words

__all__ = ["github_table", "status", "summarize"]

COLOURS = {"green": "green", "red": "red", "yellow": "yellow", "invalid": "purple"}
ORDER = ("green", "yellow", "invalid", "red")  # what matters most stands last, next to pytest's own last line


def status(result: Result, passed: bool) -> tuple[str, str, tuple[str, Mapping[str, bool]]] | None:
    """How a report that is neither passed nor failed in pytest's words is counted and shown."""
    if result["shade"] == "yellow" and passed:
        return "undecided", "y", ("UNDECIDED", {"yellow": True})
    return None


def summarize(reporter: pytest.TerminalReporter, results: Sequence[Result], problem: str = "") -> None:
    """Prints a line for each test, a green one only where it was not asked to be quiet, and one for all of them."""
    reporter.section("reroll")
    writer = reporter.config.get_terminal_writer()
    width = max(len(one_line(result["test"])) for result in results)
    for result in sorted(results, key=lambda r: ORDER.index(r["shade"])):
        shade = result["shade"]
        if shade == "green" and reporter.verbosity < 0 and not result["note"]:
            continue
        marked = writer.markup(f"{shade:<8}", **{COLOURS[shade]: True})
        writer.line(f"{marked}{one_line(result['test']):<{min(width, 60)}}  {one_line(words(result))}")
        if result["note"]:
            writer.line(f"        {one_line(result['note'])}", yellow=True)
    for line in _together(results):
        writer.line(line)
    if problem:
        writer.line(one_line(problem), red=True)


def _together(results: Sequence[Result]) -> Iterator[str]:
    shades = [result["shade"] for result in results]
    found = ", ".join(f"{shades.count(shade)} {shade}" for shade in reversed(ORDER) if shade in shades)
    trials = sum(result["trials"] for result in results)
    yield f"{counts('test', len(results))}: {found}; {counts('trial', trials)}"
    tests, share = max(result["tests"] for result in results), percent(_alpha(results), "up")
    if tests == 1:
        yield f"A test that is as good as its target goes red in at most {share} of runs."
    else:
        yield f"Where all {tests:,} tests are as good as their targets, any goes red in at most {share} of runs."


def _alpha(results: Sequence[Result]) -> float:
    return float(min(1.0, max(result["share"] * result["tests"] for result in results)))


# -- GitHub


def github_table(results: Sequence[Result]) -> str:
    """Markdown with a row for each test, the worst first; nothing that a test or model wrote is read as Markdown."""
    lines = [
        "### reroll",
        "",
        "| | test | passed | success rate | smallest drop that would have shown |",
        "|---|---|---|---|---|",
    ]
    signs = {"green": "🟢 green", "red": "🔴 red", "yellow": "🟡 undecided", "invalid": "⚪ invalid"}
    for result in sorted(results, key=lambda r: -ORDER.index(r["shade"])):
        drop = result["smallest_drop"]
        cells = (
            signs[result["shade"]],
            escaped(result["test"]),
            f"{result['passed']} of {result['trials']}"
            + (f", {result['invalid']} invalid" if result["invalid"] else ""),
            _range(result),
            "–" if drop is None else f"{100 * drop:.3g} points below {percent(result['target'])}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", *_together(results), ""]
    for result in results:
        if result["shade"] == "invalid" or result["note"]:
            lines.append(f"* {escaped(result['test'])}: {escaped(result['note'] or result['reason'])}")
    return "\n".join(lines) + "\n"


def _range(result: Result) -> str:
    least, most = result["at_least"], result["at_most"]
    if least is None and most is None:
        return "–"
    if most is None:
        return f"at least {percent(least, 'down')}"
    return f"at most {percent(most, 'up')}" if least is None else f"{percent(least, 'down')} to {percent(most, 'up')}"
