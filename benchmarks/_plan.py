"""Which benchmarks there are, with which arguments, in full and in small, and what each of them needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["COUNTS", "PLAN", "WAITS", "Job", "jobs", "scripts"]

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Job:
    """How one script is run. `seconds`: CPU seconds of the full and of the small run, as expected.

    `quick` is None where there is no smaller run that says anything; `needs` says what must be there besides.
    `parts`: the full run cut into runs of their own, with these arguments besides; their rows together are all rows.
    """

    seconds: tuple[int, int]
    full: tuple[str, ...] = ()
    quick: tuple[str, ...] | None = field(default=())
    needs: str = ""
    parts: tuple[tuple[str, ...], ...] = ((),)

    def runs(self, *, quick: bool) -> list[tuple[str, ...]]:
        """The arguments of each of its runs."""
        if quick and self.quick is not None:
            return [self.quick]
        return [(*self.full, *part) for part in self.parts]


def _(text: str) -> tuple[str, ...]:
    return tuple(text.split())


PLAN: dict[str, Job] = {
    "audit": Job((490, 6), _("--audits 40 --seed 61130"), _("--audits 1 --seed 61130 --last 1")),
    "best": Job((60, 22), (), _("--runs 40")),
    "cause": Job(
        (1900, 40),
        _("--worlds 20 --first 500 --budget 450"),
        _("--worlds 1 --kinds temperature,expectation --budget 200"),
    ),
    "certify": Job((27, 27)),
    "cluster": Job((320, 17), (), _("--calls 200 --latency 100")),
    "compare": Job((25, 8), (), _("--runs 80")),
    "drift": Job((35, 27), (), _("--runs 500")),
    "faults": Job((110, 25), (), _("--every 40")),
    "fixes": Job((285, 5), _("--runs 40"), _("--runs 1 --border 4 --budget 1500")),
    "fixes_product": Job((75, 2), _("--seeds 2 --worlds 100"), _("--seeds 0 --worlds 4")),
    "futures": Job((285, 9), (), _("--worlds 8 --runs 4 --cases 1")),
    "fuzz": Job((1500, 20), (), _("--examples 300")),
    "gate": Job((15, 8), (), _("--calls 400")),
    "importing": Job((135, 3), _("--records 1000000"), _("--records 20000")),
    "inquiry": Job((210, 10), (), _("--runs 1 --peers 2")),
    "interval": Job((120, 20), (), _("--runs 10")),
    "judge": Job((60, 8), (), _("--runs 100")),
    "judging": Job((12, 4), (), _("--calls 200")),
    "kills": Job((420, 12), (), _("--kills 3")),
    "levers": Job((110, 0), (), None),
    "luck": Job((65, 8), (), _("--runs 20")),
    "meetings": Job((470, 14), _("--runs 12 --seed 51"), _("--runs 1 --last 1")),
    "million": Job((10, 2), (), _("--rows 100000")),
    "nothing_wrong": Job(
        (10_000, 30),
        (),
        _("--worlds 20"),
        parts=(_("--last 35"), _("--first 36 --last 39"), _("--first 40")),
    ),
    "pages": Job((30, 23), (), _("--samples 2000"), "Chromium"),
    "peers": Job((165, 0), (), None, "the peers: `python benchmarks/peers.py --install`"),
    "phrase": Job((65, 7), (), _("--runs 20")),
    "receiver": Job((20, 7), (), _("--spans 10000")),
    "recorded": Job((65, 65), (), (), "the recorded completions, in $REROLL_DATA"),
    "release": Job((70, 0), (), None, "a package index, and every Python that is to be tried"),
    "retry": Job((35, 5), (), _("--runs 40 --requests 50000")),
    "runner": Job((320, 10), _("--memory 1000000"), _("--calls 500")),
    "scale": Job((60, 1), (), _("--samples 20000")),
    "soak": Job((380, 0), (), None),
    "startup": Job((60, 22), (), _("--no-install --rounds 3"), "a package index"),
    "store": Job((80, 8), (), _("--rows 300")),
    "suite_gate": Job((40, 13), (), _("--suites 50 --rounds 1")),
    "surprise": Job((12, 2), (), _("--worlds 20 --cases 2")),
    "throughput": Job((35, 6), (), _("--seconds 5 --calls 300 --rounds 1")),
    "tokens": Job((125, 12), (), _("--cases 4")),
    "variation": Job((50, 11), (), _("--runs 8")),
    "waiting": Job((50, 9), _("--runs 9"), _("--runs 1")),
    "watch": Job((75, 25), (), _("--runs 200 --calls 2000 --samples 3000")),
}

# These count calls, worlds and verdicts, and find the same whatever runs beside them. The others measure time.
COUNTS = frozenset(
    _(
        "audit best cause certify compare fixes fixes_product futures fuzz inquiry interval judge kills levers luck "
        "meetings nothing_wrong phrase recorded retry scale surprise tokens variation"
    )
)

# These wait most of the time and do not measure it: they run beside those that count, and take nobody's place.
WAITS = frozenset({"soak"})


def scripts() -> list[str]:
    """The names of the benchmarks, from their files."""
    return sorted(p.stem for p in HERE.glob("*.py") if not p.name.startswith("_"))


def jobs() -> dict[str, Job]:
    """Every script with how it is run; one that nobody has planned is run as it is, and not in small."""
    return {name: PLAN.get(name, Job((0, 0), (), None)) for name in scripts()}
