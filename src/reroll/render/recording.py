"""A judged recording as a table in the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from reroll.intake.recording import Arm, Recording
from reroll.numbers import counts, interval_words, percent

__all__ = ["show_recording"]


def show_recording(recording: Recording, console: Console) -> None:
    """Print rates per variant and model: the mean over cases first, and why not the pooled rate."""
    console.print(
        Text(f"{counts('recorded sample', recording.samples)} of {counts('case', recording.cases)}", style="bold")
    )
    if recording.checks:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for name in ("variant", "model", "cases", "runs each", "fails (mean over cases)", "in runs all have", "pooled"):
            table.add_column(name, justify="left" if name in ("variant", "model") else "right")
        for arm in recording.arms:
            table.add_row(*_row(arm))
        console.print(table)
        for arm in recording.arms:
            if len(arm.pass_hat) > 1:
                series = ", ".join(f"{p:.3f}" for p in arm.pass_hat)
                label = f"{arm.variant}, {arm.model or 'model not named'}"
                console.print(Text(f"all of k tries pass (pass^1 … pass^{len(arm.pass_hat)}), {label}: {series}"))
    for caveat in recording.caveats:
        console.print(Text(f"• {caveat}"))
    if recording.stored:
        console.print(Text(f"Stored {counts('sample', recording.stored)}; `reroll samples` lists them.", style="dim"))


def _row(arm: Arm) -> list[Text]:
    runs = f"{arm.fewest_runs}" if arm.fewest_runs == arm.most_runs else f"{arm.fewest_runs}–{arm.most_runs}"
    mean = "?" if arm.mean.value is None else percent(arm.mean.value)
    if arm.mean.low is not None and arm.mean.high is not None:
        mean += f" ({interval_words(arm.mean.low, arm.mean.high)})"
    first = "?" if arm.first_runs is None else f"{percent(arm.first_runs)} ({arm.complete})"
    pooled = "?" if arm.pooled is None else percent(arm.pooled) + (" biased" if arm.pooling_biased else "")
    cells = (
        arm.variant,
        arm.model or "?",
        str(arm.cases),
        runs,
        mean,
        first,
        pooled,
    )
    return [Text(cell) for cell in cells]
