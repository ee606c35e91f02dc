"""What a recording shows: failure rates per case, averaged over cases, with what may bias them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reroll.check import Check, overall
from reroll.checking import Checker
from reroll.evidence import Est, Evidence
from reroll.intake.importing import Imported, ImportedSample, import_file
from reroll.program import Program, Request
from reroll.store import Store
from reroll.store_rows import NewSample
from reroll.suite import pass_hat_k, suite_estimate

__all__ = ["Arm", "Intake", "LeftOut", "Recording", "arm_of", "look_at", "store_all"]

MOST_K = 8


@dataclass(frozen=True, slots=True)
class Arm:
    """One variant and model of a recording. Rates are failure rates.

    mean:       over cases, each weighing the same; its interval is for new cases.
    first_runs: over the first `complete` runs that every case has: unbiased even where later runs
                were made or left out depending on the answers.
    pooled:     over all rows; weighs a case by how often it was run.
    pass_hat:   the chance that all of k tries pass (pass^k), for k = 1, 2, ... up to `complete`.
    """

    variant: str
    model: str | None
    cases: int
    samples: int
    invalid: int
    fewest_runs: int
    most_runs: int
    mean: Est
    complete: int
    first_runs: float | None
    pooled: float | None
    pooling_biased: bool
    pass_hat: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Records that were not taken for one reason; `places` are where the first of them stand."""

    why: str
    count: int
    places: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Intake:
    """What was taken in of recorded traffic.

    formats:   calls taken, by format.
    fidelity:  calls by how exactly their request is known: exact, partly, messages.
    guessed:   sentences on what is not known or was made up, with how many calls each is about.
    made:      cases that are new; matched: calls whose case the project has.
    unanswered: requests that came without an answer: cases without a sample.
    marked:    calls that came with a score, label or thumb, by its name.
    evaluated: evaluations of traced calls that the store did not have, whether or not their calls are there; awaiting:
               those in the store whose call is not.
    """

    formats: Mapping[str, int]
    fidelity: Mapping[str, int]
    guessed: Mapping[str, int]
    left_out: tuple[LeftOut, ...]
    made: int
    matched: int
    unanswered: int
    marked: Mapping[str, int]
    project: str | None = None
    evaluated: int = 0
    awaiting: int = 0


@dataclass(frozen=True, slots=True)
class Recording:
    """A file of recorded completions, judged."""

    file: str
    cases: int
    samples: int
    checks: tuple[str, ...]
    arms: tuple[Arm, ...]
    caveats: tuple[str, ...]
    stored: int = 0
    intake: Intake | None = None


def look_at(
    path: Path, checks: tuple[Check, ...] | None, alpha: float, keep: Callable[[ImportedSample], None] | None = None
) -> tuple[Imported, Recording]:
    """Every row judged, per case, variant and model. Raises: FileError, UsageError."""
    runs: dict[tuple[str, str | None], dict[str, list[tuple[int, str]]]] = {}
    bare = Program(program="recorded", model=f"recorded:{path}")
    with Checker(path.parent) as checker:

        def judge(row: ImportedSample) -> None:
            word = overall(checker.judge(row.case, bare, row.sample)).outcome if row.case.checks else "invalid"
            arm = runs.setdefault((row.variant, row.model), {})
            arm.setdefault(row.case.id, []).append((row.run, word))
            if keep is not None:
                keep(row)

        found = import_file(path, checks=checks, keep=judge)
    arms = tuple(
        arm_of(variant, model, [[w for _, w in sorted(r, key=lambda run: run[0])] for r in cases.values()], alpha)
        for (variant, model), cases in runs.items()
    )
    names = tuple(dict.fromkeys(name for case in found.cases for name in case.check_names()))
    caveats = [*found.caveats]
    if any(arm.pooling_biased for arm in arms):
        caveats.append(
            "Cases were not all run equally often, so pooling the rows would be biased if the answers decided how "
            "often: the rate given is the mean over cases, beside it the rate over the runs that every case has."
        )
    if not names:
        caveats.append("No check says what a right answer is; give one, such as --check 'equals: \"{expected}\"'.")
    return found, Recording(str(path), len(found.cases), found.samples, names, arms, tuple(caveats))


def arm_of(variant: str, model: str | None, ordered: Sequence[Sequence[str]], alpha: float) -> Arm:
    """What the outcomes of one variant and model show: by case, in the order of the runs."""
    seen = [Evidence.of(words) for words in ordered]
    suite = suite_estimate(seen, alpha)
    complete = min(len(words) for words in ordered)
    first = suite_estimate([Evidence.of(words[:complete]) for words in ordered], alpha)
    counts = [(Evidence.of(words[:complete]).passes, complete) for words in ordered]
    return Arm(
        variant=variant,
        model=model,
        cases=len(ordered),
        samples=sum(e.n for e in seen),
        invalid=sum(e.invalid for e in seen),
        fewest_runs=complete,
        most_runs=max(len(words) for words in ordered),
        mean=suite.mean,
        complete=complete,
        first_runs=first.mean.value,
        pooled=suite.pooled,
        pooling_biased=suite.runs_differ,
        pass_hat=tuple(pass_hat_k(counts, k) for k in range(1, min(complete, MOST_K) + 1)),
    )


def store_all(store: Store, path: Path, rows: Sequence[ImportedSample]) -> int:
    """Put the rows into the store as imported samples, never counted as fresh runs. Returns how many are new.

    The file's content is part of their identity: the same file again adds nothing, a changed one
    of the same name is another recording.
    """
    recording = f"recorded:{path.name}@{_hash(path)}"
    made: dict[str, str] = {}
    new = []
    requests = {}
    for case in {row.case.id: row.case for row in rows}.values():
        store.put_case(case)
    for row in rows:
        program = Program(program=f"{path.name}#{row.variant}", model=recording, params=dict(row.params))
        if program.id not in made:
            made[program.id] = store.put_program(program)
        request = Request(program.model, None, {"messages": [dict(m) for m in row.messages], **row.params})
        identity = f"{recording}#{row.variant}#{row.model}#{row.case.id}"
        request_id = request.id(identity)
        requests[request_id] = (request_id, request, identity)
        new.append(
            NewSample(row.sample, request_id, "imported", row.index, program.id, row.case.id, row.variant, "imported")
        )
    store.put_requests(list(requests.values()))
    return sum(is_new for _, is_new in store.put_samples(new))


def _hash(path: Path) -> str:
    """The start of the SHA-256 of the file that a recording's name, FILE or FILE#key=value, is about."""
    with Path(str(path).partition("#")[0]).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]
