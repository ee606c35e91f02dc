"""The summary that a CI job shows: Markdown in which nothing that a test or a model wrote is read as Markdown."""

from __future__ import annotations

import contextlib
import os
import re

from reroll.answer import Comparison
from reroll.numbers import percent
from reroll.words import between_points, pair_bounds, points

__all__ = ["comparison_table", "escaped", "into_summary", "one_line"]

SIGNS = {"better": "🟢 better", "no_different": "🟢 no different", "worse": "🔴 worse", "undecided": "🟡 undecided"}


def into_summary(markdown: str) -> None:
    """Appends it to the job's summary, where GitHub runs this; one that cannot be written is no failure."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if path:
        with contextlib.suppress(OSError), open(path, "a", encoding="utf-8") as file:
            file.write(markdown)


def comparison_table(found: Comparison) -> str:
    """A row for each variant that was held against the first."""
    rates = {variant.id: variant.rate for variant in found.variants}
    lines = [
        "### reroll compare",
        "",
        "| | variant | failed | against | failed | difference | smallest worsening that is ruled out |",
        "|---|---|---|---|---|---|---|",
    ]
    for pair in found.pairs:
        drop = pair.smallest_drop
        cells = (
            "🟢 not worse" if pair.verdict == "undecided" and pair.harmless else SIGNS[pair.verdict],
            escaped(pair.b),
            f"{rates[pair.b].failures} of {rates[pair.b].n}",
            escaped(pair.a),
            f"{rates[pair.a].failures} of {rates[pair.a].n}",
            f"{points(pair.difference.value)} ({between_points(*pair_bounds(pair))})",
            "–" if drop is None or drop >= 1 else points(drop, signed=False, toward="up"),
        )
        lines.append(f"| {' | '.join(cells)} |")
    alpha = sum(pair.alpha for pair in found.pairs)
    lines += ["", f"A verdict is wrong with a chance of at most {percent(alpha, 'up')}.", ""]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """The text as Markdown shows it unchanged, on one line.

    >>> escaped("a|b <img>")
    'a&#124;b &#60;img&#62;'
    """
    return re.sub(r"[^\w ./-]|_", lambda found: f"&#{ord(found[0])};", one_line(text))


def one_line(text: str) -> str:
    """On one line and without anything that a terminal would obey."""
    return "".join(c if c.isprintable() else "�" for c in " ".join(text.split()))
