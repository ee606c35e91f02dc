"""Figures as SVG made from values: the same picture on a page, in a file and in a message, with its table beside it."""

from reroll.render.figures.bars import TokenBar, histogram, token_bars, two_distributions
from reroll.render.figures.curves import retries, stream, success_curve
from reroll.render.figures.figure import Figure
from reroll.render.figures.intervals import IntervalRow, RuleLine, dumbbells, intervals
from reroll.render.figures.runs import evidence_walk, outcome_strip
from reroll.render.figures.trees import TreeNode, fork_tree

__all__ = [
    "Figure",
    "IntervalRow",
    "RuleLine",
    "TokenBar",
    "TreeNode",
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
