"""How good a check is, as a page: the corrected failure rate first, then the check's own errors, then what to do."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from reroll.evidence import Est
from reroll.labelling import CaseMeasured, CheckMeasured
from reroll.numbers import counts, interval_words, percent
from reroll.render.bars import Row, axis
from reroll.render.ink import Pen
from reroll.render.pieces import Lines, caveat_lines, titled

__all__ = ["show_check"]

MOST_CASES = 12  # rows on the page; the JSON has all


def show_check(found: CheckMeasured, console: Console) -> None:
    """Print what the labels show: how often answers really fail, and how often the check errs."""
    pen = Pen(console)
    measured, rate = found.measured, found.measured.rate
    what = "All checks of each case" if found.name is None else f"Check `{found.name}`"
    about = f"{counts('run', rate.n)} of {counts('case', len(found.cases))}, {counts('label', found.labels)}"
    about += f", {found.unsure} unsure" if found.unsure else ""
    lines = pen.wrap(pen.join((what, "bold"), (f"  {about}", "dim")), 1, 3)
    rows = [
        _row("Corrected by labels", rate, ""),
        _row("The check flags", measured.flag_rate, "not a failure rate", "undecided"),
    ]
    lines += titled("How often it fails", [*axis(rows, pen), *_legend(found.alpha, pen)], pen)
    rows = [
        _row("Bad ones it flags", measured.sensitivity, _of(measured.sensitivity, "bad"), "pass"),
        _row("Good ones it passes", measured.specificity, _of(measured.specificity, "good"), "pass"),
        _row("Flags that are right", measured.flag_right, _of(measured.flag_right, "flagged"), "pass"),
        _row("Passes that are wrong", measured.pass_wrong, _of(measured.pass_wrong, "passed")),
    ]
    if found.agreement.same.n:
        same = found.agreement.same
        rows.append(_row("Says the same again", same, f"{counts('run', same.n)} judged again", "pass"))
    lines += titled("How good the check is", axis(rows, pen), pen)
    if len(found.cases) > 1:
        lines += titled("Case by case, each by its own labels", _cases(found.cases, pen), pen)
    lines += titled("More labels", pen.wrap(pen.text(_more(found))), pen)
    pen.put([*lines, *caveat_lines(found.caveats, pen)])


def _row(label: str, est: Est, note: str, kind: str = "fail") -> Row:
    assert est.low is not None
    assert est.high is not None
    value = "not known" if est.value is None else percent(est.value)
    return Row(label, f"{value} ({interval_words(est.low, est.high)})", note, kind, est.low, est.value, est.high)


def _of(est: Est, which: str) -> str:
    return f"by {counts(f'{which} run', est.n)} with a label" if est.n else f"no {which} run has a label"


def _legend(alpha: float, pen: Pen) -> Lines:
    ends = f"{pen.glyph('left')}{pen.glyph('line')}{pen.glyph('right')}"
    words = f"where the true value lies, {percent(1 - alpha)} sure at one planned look"
    return pen.wrap(pen.text(f"{ends} {words}", "dim"), 3, 7)


def _cases(cases: Sequence[CaseMeasured], pen: Pen) -> Lines:
    shown = sorted(cases, key=lambda c: -c.labels)[:MOST_CASES]
    rows = [_row(c.id, c.rate, f"{counts('label', c.labels)}, flags {_share(c.flag_rate)}") for c in shown]
    lines = axis(rows, pen)
    if len(cases) > len(shown):
        lines += pen.wrap(pen.text(f"and {counts('case', len(cases) - len(shown))} more (--json has all)", "dim"))
    return lines


def _share(est: Est) -> str:
    return "nothing yet" if est.value is None else percent(est.value)


def _more(found: CheckMeasured) -> str:
    n = found.labels_to_halve
    if n is None and found.measured.rate.value is None:
        return "Labels are needed on flagged and on passed runs; `--label 20` asks for both."
    if n is None:
        return "Labelling every run would not halve the range of the corrected rate: more runs are needed first."
    return (
        f"About {counts('more label', n)}, half of them on flagged runs, would halve the range of the corrected rate."
    )
