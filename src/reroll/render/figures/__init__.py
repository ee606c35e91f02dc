"""Figures: values in, one picture out, the same for a page, a file and a chat."""

from reroll.render.figures.curves import retries, success_curve
from reroll.render.figures.figure import Figure
from reroll.render.figures.forks import fork_tree
from reroll.render.figures.intervals import IntervalRow, dumbbells, intervals
from reroll.render.figures.looks import PAGE_CSS
from reroll.render.figures.streams import histogram, stream
from reroll.render.figures.strip import outcome_strip
from reroll.render.figures.tokens import token_bars, two_distributions
from reroll.render.figures.walk import evidence_walk

__all__ = [
    "PAGE_CSS",
    "Figure",
    "IntervalRow",
    "dumbbells",
    "evidence_walk",
    "fork_tree",
    "histogram",
    "intervals",
    "outcome_strip",
    "retries",
    "stream",
    "success_curve",
    "token_bars",
    "two_distributions",
]
