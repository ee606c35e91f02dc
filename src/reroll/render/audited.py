"""An audit as a page: the verdict, its sentences, every circumstance as a rate on one axis, and the shares."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from reroll.arms import OTHERS
from reroll.audited import ArmShown, Audited
from reroll.numbers import counts, interval_words, percent
from reroll.render.bars import Row, axis, bar
from reroll.render.ink import COLOURS, Pen
from reroll.render.pieces import Lines, badge, caveat_lines, cost_lines, legend, rate_row, titled
from reroll.words import between_points, points

__all__ = ["show_audited"]

BAR = 20  # cells of a bar that stands for all of the variation
HEAD = {
    "checker": ("fail", "The check itself varies"),
    "load": ("fail", "It depends on how many calls come at the same time"),
    "cold_cache": ("fail", "It depends on whether the prompt's beginning was seen before"),
    "replica": ("fail", "It depends on which server answers"),
    "model": ("fail", "It depends on which model answers"),
    "parameter": ("fail", "It depends on a parameter"),
    "nondeterminism": ("fail", "The server varies even at temperature 0"),
    "sampling": ("pass", "Chance: the model draws its answers"),
    "steady": ("pass", "Nothing varies"),
    "undecided": ("undecided", "Not shown where it varies"),
}
NAMES = {
    "sampling": "chance (sampling)",
    "checker": "the check itself",
    "nondeterminism": "left at temperature 0",
    "load": "calls at the same time",
    "cold_cache": "cold prefix cache",
    "replica": "which replica",
    "model": "which model",
    "parameter": "a parameter",
}
ROWS = {
    "P": "as reported",
    "Z": "temperature 0",
    "C": "new beginning",
    "W": "  the same again",
    "S": "one fixed seed",
}
LEFT = {"J": "judged again", "C": "new beginning", "L": "in a burst", "R": "replicas", "V": "other models"}


def show_audited(found: Audited, console: Console) -> None:
    """Print the verdict, what was run and how often it failed, about what share each source has, and what is unseen."""
    pen = Pen(console)
    lines = badge(*HEAD[found.verdict], pen)
    lines += pen.wrap(pen.text(f"{found.case} on {found.model}", "dim"), 3, 3)
    colour = COLOURS[HEAD[found.verdict][0]]
    side = Text.assemble("   ", (pen.glyph("heavy"), colour), "  ")
    lines += [Text(), *pen.wrap(pen.text(found.text), side)]
    rows = [_row(arm, found) for arm in found.arms if arm.n and arm.id != "S"]  # one draw repeated is no rate
    if rows:
        lines += titled("How often it fails, by circumstance", [*axis(rows, pen), *legend(pen)], pen)
    lines += titled("Held against each other", [line for arm in found.arms for line in _claim(arm, found, pen)], pen)
    lines += titled("Where the variation comes from, about", _shares(found, pen), pen)
    lines += titled("The check and the seed", _others(found, pen), pen)
    lines += titled("Left out", [line for left in found.left_out for line in _left(left.id, left.why, pen)], pen)
    if found.stopped:
        lines += pen.wrap(pen.text(f"Stopped: {found.stopped}.", "dim"), 3, 3)
    lines += caveat_lines(found.caveats, pen) + cost_lines(found.cost, pen)
    words = (
        f"That anything above is said to differ and does not has a chance of at most {percent(found.alpha, 'up')}, all "
        "comparisons together, however often one looks; each range on the axis is wrong with as much by itself."
    )
    pen.put([*lines, *pen.wrap(pen.text(words, "dim"))])


def _name(arm_id: str, found: Audited) -> str:
    if arm_id == OTHERS:
        return "the other servers"
    if arm_id == "L":
        return f"{found.burst} at once"
    if arm_id.startswith("R:"):
        return f"replica {arm_id[2:]}"
    return ROWS.get(arm_id, arm_id.removeprefix("params."))


def _row(arm: ArmShown, found: Audited) -> Row:
    row = rate_row(_name(arm.id, found), arm.rate)
    note = f"{row.note}, {counts('answer', arm.distinct)}" if arm.distinct != arm.n else row.note
    return Row(row.label, row.number, note, row.kind, row.low, row.point, row.high)


def _claim(arm: ArmShown, found: Audited, pen: Pen) -> Lines:
    if arm.difference is None or arm.against is None:
        return []
    kind = {"worse": "fail", "better": "pass"}.get(arm.verdict or "", "undecided")
    word = {"worse": "fails more often", "better": "fails less often"}.get(arm.verdict or "", "no difference shown")
    low, high = arm.difference.low or 0.0, arm.difference.high or 0.0
    what = f"  {_name(arm.id, found)} against {_name(arm.against, found).strip()}: {points(arm.difference.value)}"
    badge_of = (f"{pen.glyph(kind)} {word}", f"bold {COLOURS[kind]}")
    lines = pen.wrap(pen.join(badge_of, what, (f" ({between_points(low, high)})", "dim")), 3, 5)
    if kind == "undecided" and arm.ruled_out is not None and arm.ruled_out < 1:
        unseen = points(arm.ruled_out, signed=False, toward="up")
        lines += pen.wrap(pen.text(f"a worsening by less than {unseen} could have stayed unseen", "dim"), 5)
    return lines


def _shares(found: Audited, pen: Pen) -> Lines:
    lines: Lines = []
    for share in found.shares:
        value = min(1.0, share.value)
        filled = f"{bar(value, BAR, pen):<{BAR}}"
        number = percent(value)
        if len(found.shares) > 1:
            number += f" ({interval_words(max(0.0, share.low), min(1.0, share.high))})"
        lines += pen.wrap(pen.join(f"{NAMES[share.source]:<24}", (f"{filled} ", "bold"), number), 3, 5)
    return lines


def _others(found: Audited, pen: Pen) -> Lines:
    lines: Lines = []
    if (again := found.checker) is not None:
        words = (
            f"{counts('answer', again.outputs)} judged {again.judgings} times each by the same check: "
            f"{again.flips or 'none'} of them judged both ways"
        )
        lines += pen.wrap(pen.text(words), 3, 5)
    if (seeded := found.arm("S")) is not None and seeded.n:
        words = {
            "honoured": "the same seed brought the same answer each time: the seed is honoured",
            "ignored": f"the same seed brought {counts('different answer', seeded.distinct)}: the seed is not honoured",
            "not_known": "whether the seed is honoured cannot be told: the answers are alike without one too",
        }[found.seed]
        lines += pen.wrap(pen.text(words), 3, 5)
    return lines


def _left(id: str, why: str, pen: Pen) -> Lines:
    name = LEFT.get(id) or ROWS.get(id, "").strip() or id.removeprefix("params.")
    return pen.wrap(pen.join((f"{name}: ", "bold"), why), 3, 5)
