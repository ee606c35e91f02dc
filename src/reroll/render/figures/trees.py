"""Completions that share their beginnings, as a tree: where they part, how many go each way, how these fare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from reroll.numbers import percent
from reroll.render.figures.figure import Canvas, Figure, cut

__all__ = ["TreeNode", "fork_tree"]

ROW = 34.0


@dataclass(frozen=True, slots=True)
class TreeNode:
    """A piece of text that `n` completions have in common after what came before; `failures` of these failed."""

    text: str
    n: int
    failures: int
    children: Sequence[TreeNode] = field(default=())


def fork_tree(
    name: str, title: str, root: TreeNode, *, width: int = 720, most_leaves: int = 24, least: float = 0.0
) -> Figure:
    """The tree from left to right, an edge as thick as its share of runs and split by how these fared.

    Branches below `least` of all runs, and all beyond `most_leaves`, are drawn as one line that counts them.
    """
    canvas, total = Canvas(width), max(1, root.n)
    depth = min(_depth(root), 4 if width > 500 else 3)
    step = (width - 8) / depth
    rows: list[tuple[object, ...]] = []
    leaves = _draw(canvas, root, 0, 0.0, step, depth, total, max(1, most_leaves), least, rows, "")
    told = f"{root.n:,} runs part into {len(rows)} branches; {root.failures:,} failed"
    head = ("beginning", "runs", "failed", "share that failed")
    return canvas.done(name, title, told, max(1, leaves) * ROW + 6, head, rows)


def _depth(node: TreeNode) -> int:
    return 1 + max((_depth(child) for child in node.children), default=0)


def _draw(
    canvas: Canvas,
    node: TreeNode,
    level: int,
    top: float,
    step: float,
    depth: int,
    total: int,
    room: int,
    least: float,
    rows: list[tuple[object, ...]],
    before: str,
) -> int:
    """Draw a node and what is under it; how many lines it takes."""
    x, y = level * step, top + ROW / 2
    thick = max(2.0, 20.0 * node.n / total)
    failed = node.failures / node.n if node.n else 0.0
    canvas.rect(x, y - thick / 2 + 6, step - 14, thick, "pass", 2)
    canvas.rect(x, y - thick / 2 + 6, (step - 14) * failed, thick, "fail", 2)
    canvas.text(x, y - thick / 2 + 1, cut(node.text or "(start)", int((step - 66) / 7)), size=12)
    canvas.text(x + step - 14, y - thick / 2 + 1, f"{node.n:,}", "soft", size=12, at="end")
    rows.append((before + node.text, node.n, node.failures, percent(failed)))
    if level + 1 >= depth or not node.children:
        return 1
    kept = [c for c in node.children if c.n >= least * total]
    lines = 0
    for i, child in enumerate(sorted(kept, key=lambda c: -c.n)):
        left = len(kept) - i
        if lines + 1 >= room and left > 1:
            rest = sorted(kept, key=lambda c: -c.n)[i:]
            more = TreeNode(f"{len(rest)} more", sum(c.n for c in rest), sum(c.failures for c in rest))
            lines += _edge(canvas, more, level + 1, top, lines, step, depth, total, 1, least, rows, before + node.text)
            break
        lines += _edge(
            canvas, child, level + 1, top, lines, step, depth, total, max(1, room - lines - left + 1), least, rows, before + node.text
        )
    return max(1, lines)


def _edge(
    canvas: Canvas,
    child: TreeNode,
    level: int,
    top: float,
    lines: int,
    step: float,
    depth: int,
    total: int,
    room: int,
    least: float,
    rows: list[tuple[object, ...]],
    before: str,
) -> int:
    place = top + lines * ROW
    x, y = level * step, place + ROW / 2 + 6
    canvas.line(x - 14, top + ROW / 2 + 6, x, y, "axis", 1.2)
    return _draw(canvas, child, level, place, step, depth, total, room, least, rows, before)
