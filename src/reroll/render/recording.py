"""A judged recording in the terminal: a line of rates per variant and model, then what may bias them."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from reroll.intake.recording import Arm, Intake, Recording
from reroll.intake.taken import FIDELITY_WORDS
from reroll.numbers import counts, interval_words, percent
from reroll.render.ink import Pen

__all__ = ["show_recording"]


def show_recording(recording: Recording, console: Console) -> None:
    """Print rates per variant and model: the mean over cases first, and why not the pooled rate."""
    pen = Pen(console)
    title = f"{counts('recorded sample', recording.samples)} of {counts('case', recording.cases)}"
    lines = pen.wrap(pen.text(title, "bold"), 1)
    if recording.intake is not None:
        lines += _intake_lines(recording.intake, pen)
    if recording.checks:
        for arm in recording.arms:
            lines += [Text(), *_arm_lines(arm, pen)]
    lines.append(Text())
    for caveat in recording.caveats:
        lines += pen.wrap(pen.text(caveat), pen.text(f" {pen.glyph('bullet')} "), 3)
    if recording.stored:
        stored = f"Stored {counts('sample', recording.stored)}; `reroll samples` lists them."
        lines += pen.wrap(pen.text(stored, "dim"), 1)
    pen.put(lines)


def _intake_lines(intake: Intake, pen: Pen) -> list[Text]:
    """What was read by format, how exactly the requests are known, and what was left out, by reason."""
    said = [f"{counts('call', n)} from {name}" for name, n in intake.formats.items()]
    said += [f"{counts('call', n)}: {FIDELITY_WORDS[grade]}" for grade, n in intake.fidelity.items()]
    made = f"{counts('case', intake.made)} new" if intake.made else ""
    matched = f"{counts('call', intake.matched)} of cases that the project has" if intake.matched else ""
    said += [", ".join(part for part in (made, matched) if part)]
    if intake.unanswered:
        said.append(f"{counts('request', intake.unanswered)} without an answer: a case, and no sample")
    said += [f"{counts('call', n)} with a score named {name}" for name, n in intake.marked.items()]
    if intake.evaluated:
        said.append(f"{counts('evaluation', intake.evaluated)} of calls, kept with them")
    if intake.awaiting:
        wait = "waits" if intake.awaiting == 1 else "wait"
        said.append(f"{counts('evaluation', intake.awaiting)} in the store {wait} for their call, which is not here")
    lines = [line for text in said if text for line in pen.wrap(pen.text(text), 3, 5)]
    if intake.guessed:
        lines += [Text(), *pen.wrap(pen.text("Not known or made up by what wrote the file", "bold"), 1)]
        for sentence, n in intake.guessed.items():
            lines += pen.wrap(pen.text(f"{sentence} ({counts('call', n)})"), pen.text(f" {pen.glyph('bullet')} "), 3)
    if intake.left_out:
        lines += [Text(), *pen.wrap(pen.text("Left out", "bold"), 1)]
        for left in intake.left_out:
            where = ", ".join(left.places) + (", ..." if left.count > len(left.places) else "")
            text = f"{counts('record', left.count)}: {left.why} ({where})"
            lines += pen.wrap(pen.text(text), pen.text(f" {pen.glyph('bullet')} "), 3)
    return lines


def _arm_lines(arm: Arm, pen: Pen) -> list[Text]:
    name = ", ".join(part for part in (arm.variant if arm.variant != "baseline" else "", arm.model or "") if part)
    runs = f"{arm.fewest_runs}" if arm.fewest_runs == arm.most_runs else f"{arm.fewest_runs} to {arm.most_runs}"
    lines = pen.wrap(pen.join((name or "all", "bold"), (f"  {counts('case', arm.cases)}, {runs} runs each", "dim")), 1)
    mean = "unknown" if arm.mean.value is None else percent(arm.mean.value)
    where = ""
    if arm.mean.low is not None and arm.mean.high is not None:
        where = f" (over new cases of this kind {interval_words(arm.mean.low, arm.mean.high)})"
    lines += pen.wrap(pen.join("fails ", (mean, "bold"), f" of the time, the mean over cases{where}"), 3, 5)
    if arm.pooling_biased and arm.first_runs is not None and arm.pooled is not None:
        text = (
            f"{percent(arm.first_runs)} in the {counts('run', arm.complete)} that every case has; "
            f"all rows pooled would say {percent(arm.pooled)}, which is biased"
        )
        lines += pen.wrap(pen.text(text, "dim"), 3, 5)
    if len(arm.pass_hat) > 1:
        series = ", ".join(f"{p:.3f}" for p in arm.pass_hat)
        lines += pen.wrap(pen.text(f"all of k tries pass (pass^k), k = 1 to {len(arm.pass_hat)}: {series}"), 3, 5)
    return lines
