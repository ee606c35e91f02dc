"""Wordings of a program's parts that GEPA evolves: it proposes, and every call is ours and stored.

Needs the extra `reroll[gepa]` (MIT, no dependency of its own).  GEPA gets the texts of clauses and of fields' and
tools' descriptions, and always a set to choose on that is not the one it reflects on.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reroll.case import Case
from reroll.copying import copies
from reroll.errors import UsageError
from reroll.fix import Fix
from reroll.levers import apply, fitting
from reroll.match import excerpt
from reroll.numbers import percent
from reroll.program import Program, canonical
from reroll.proposals import Unusable, complaints
from reroll.runner import draw_at
from reroll.runs import Judged
from reroll.session import Session, judged, slots, too_dear
from reroll.suggestion import Suggestion, named

__all__ = ["Evolved", "can_evolve", "components", "evolve", "reflecting_with"]

JSON = Any
REFLECT_ON = 3  # cases at a time
MUTE = 3  # prompts in a row without an answer: then no more runs are spent
SERIES = "gepa"
# Part of this form: the kind of fix that gives it another text.
KIND_OF = {"system": "clause.edit", "response": "field.describe", "tools": "tool.describe"}
TEMPLATE = """\
One part of a program that sends requests to a language model says:
```
<curr_param>
```

Requests that were sent with it, what came back, and what was found wrong:
```
<side_info>
```

Write this part anew, so that such requests fail less often. Say what holds for all requests of this kind; quote none \
of these requests and no answer to them. Give the new text between ``` and ```, and nothing else."""


@dataclass(frozen=True, slots=True)
class Evolved:
    """What came of it: fixes by how many of the choosing cases their candidate got right, the best first.

    dropped: wordings that cannot be used, and why; candidates: how many GEPA kept; calls: runs that it asked for,
    those that were stored already among them; silent: why the model that writes brought nothing, the last time that it
    did not.
    """

    suggestions: tuple[Suggestion, ...]
    dropped: tuple[Unusable, ...]
    candidates: int
    calls: int
    silent: str = ""


def components(program: Program) -> dict[str, str]:
    """The texts that are evolved, by part; a field that nothing is said of counts as an empty one.

    >>> components(Program(program="p", system={"role": "Be kind."}, response={"properties": {"to": {}}}))
    {'system.role': 'Be kind.', 'response.to.description': ''}
    """
    found = {f"system.{name}": text for name, text in program.clauses().items()}
    fields = (program.response or {}).get("properties", {})
    if program.structured != "off":
        for name, schema in fields.items():
            if isinstance(schema, Mapping):
                found[f"response.{name}.description"] = str(schema.get("description") or "")
    for tool in program.tools:
        function = tool.get("function", tool)
        found[f"tools.{function.get('name')}.description"] = str(function.get("description") or "")
    return {} if program.raw is not None or program.is_product else found


async def evolve(
    session: Session,
    train: Sequence[Case],
    val: Sequence[Case],
    reflect: Callable[[str], Coroutine[Any, Any, str]],
    calls: int = 200,
    seed: int = 0,
) -> Evolved:
    """What GEPA proposes for a program within so many runs of it.

    Args:    train: cases that it reflects on; val: those that candidates are chosen on, the choosing half of
             neighbours, say, and none of the sealed half; reflect: asks a model that can write.
    Raises:  UsageError where GEPA is not installed, a set is missing or shared, or the calls are too few.
    """
    gepa = _gepa()
    parts = components(session.project.program)
    _fits(parts, train, val, calls)
    adapter = _Adapter(session, asyncio.get_running_loop(), gepa, parts, len(val))

    def asked(prompt: JSON) -> str:
        try:
            text = asyncio.run_coroutine_threadsafe(reflect(str(prompt)), adapter.loop).result()
        except SilentError as why:
            adapter.silent.append(str(why))
            return ""
        adapter.silent.clear()
        return text

    def optimise() -> JSON:
        return gepa.optimize(
            seed_candidate=parts,
            trainset=list(train),
            valset=list(val),
            adapter=adapter,
            reflection_lm=asked,
            reflection_minibatch_size=min(REFLECT_ON, len(train)),
            reflection_prompt_template=TEMPLATE,
            # It looks between two rounds, and a round takes this much at most.
            max_metric_calls=calls - len(val) - 2 * REFLECT_ON,
            stop_callbacks=adapter.over,
            logger=_Silent(),
            raise_on_exception=False,
            seed=seed,
        )

    try:
        result = await asyncio.to_thread(optimise)
    except _OverError:
        return Evolved((), (), 0, adapter.calls, adapter.why_silent)
    if adapter.failed is not None:
        raise adapter.failed
    found = _evolved(result, session.project.program, parts, (*train, *val), adapter.calls)
    return replace(found, silent=adapter.why_silent)


def reflecting_with(writer: Session) -> Callable[[str], Coroutine[Any, Any, str]]:
    """Asks the model of this session (see proposing.writing), a stored and paid draw for each prompt."""

    async def reflect(prompt: str) -> str:
        case = Case(id="gepa (reflection)", input={"task": prompt})
        at = slots(writer, case, series=SERIES)
        writer.store.put_program(writer.project.program)
        writer.store.put_case(case)
        runs = judged(writer, at)
        if not runs:
            await draw_at(writer, [(at, 1)])
            runs = judged(writer, at)
        sample = runs[0].stored.sample if runs else None
        if sample is None or sample.completion is None:
            raise SilentError("it was stopped" if sample is None else f"{sample.error}")
        if not sample.completion.text.strip():
            raise SilentError("its answer was empty")
        return sample.completion.text

    return reflect


class SilentError(Exception):
    """The model that writes brought no text; why."""


def can_evolve() -> None:
    """Raises: UsageError where GEPA is not installed."""
    _gepa()


def _gepa() -> Any:
    try:
        import gepa
    except ImportError:
        raise UsageError(
            "GEPA is not installed; `pip install 'reroll[gepa]'` brings it, or take what reroll suggests by itself",
            slug="no-gepa",
        ) from None
    return gepa


def _fits(parts: Mapping[str, str], train: Sequence[Case], val: Sequence[Case], calls: int) -> None:
    if not parts:
        raise UsageError("the program has no text of its own that could be evolved", slug="gepa")
    if not train or not val or {case.id for case in train} & {case.id for case in val}:
        raise UsageError(
            "GEPA needs cases to reflect on, and others to choose on, or it learns the former by heart; write "
            "neighbours of the case first",
            slug="gepa",
        )
    least = 2 * (len(val) + 2 * REFLECT_ON)
    if calls < least:
        raise UsageError(f"{calls} calls are too few for one round of GEPA; {least} allow it", slug="budget")


class _OverError(Exception):
    """The budget, the time or a person ended it."""


class _Silent:
    """GEPA tells its log nothing that an answer does not."""

    def log(self, message: str) -> None:
        """Nothing."""


class _Adapter:
    """What GEPA asks of a system: runs of a candidate with their scores, and what to reflect on."""

    propose_new_texts = None

    def __init__(
        self, session: Session, loop: asyncio.AbstractEventLoop, gepa: Any, seed: Mapping[str, str], val: int
    ) -> None:
        self.session, self.loop, self.gepa, self.seed, self.val = session, loop, gepa, dict(seed), val
        self.asked: Counter[tuple[str, str]] = Counter()  # runs so far, by program and case
        self.sessions: dict[str, Session] = {}
        self.calls = 0
        self.failed: Exception | None = None
        self.silent: list[str] = []  # why the writing model brought nothing, since it last did

    def over(self, state: JSON) -> bool:
        """Whether no further round may begin: one takes this many calls at most, and one to write."""
        mute = len(self.silent) >= MUTE
        return mute or self.failed is not None or self._ended(self.val + 2 * REFLECT_ON + 1)

    @property
    def why_silent(self) -> str:
        return self.silent[-1] if self.silent else ""

    def _ended(self, calls: int) -> bool:
        one = self.session
        return one.stopped or one.left < calls or too_dear(one) or one.spent.out_of_time()

    def evaluate(self, batch: list[Case], candidate: dict[str, str], capture_traces: bool = False) -> JSON:
        """Each case run once with these texts; 1 where all checks passed, else 0."""
        try:
            runs = asyncio.run_coroutine_threadsafe(self._run(batch, candidate), self.loop).result()
        except _OverError:
            raise
        except Exception as error:
            self.failed = error
            raise
        return self.gepa.EvaluationBatch(
            outputs=[one.stored.sample.completion.text if one.stored.sample.completion else "" for one in runs],
            scores=[float(one.outcome.outcome == "pass") for one in runs],
            trajectories=list(zip(batch, runs, strict=True)) if capture_traces else None,
        )

    async def _run(self, batch: Sequence[Case], candidate: Mapping[str, str]) -> list[Judged]:
        program = _with_texts(self.session.project.program, self.seed, candidate)
        if program.id not in self.sessions:
            project = replace(self.session.project, program=program)
            judging = self.session.judging
            self.sessions[program.id] = self.session.like(project=project, variant="gepa", yardstick=judging)
        session = self.sessions[program.id]
        session.store.put_program(program)
        places, numbers = [], []
        for case in batch:
            session.store.put_case(case)
            places.append(slots(session, case, series=SERIES))
            numbers.append(self.asked[program.id, case.id])
            self.asked[program.id, case.id] += 1
        have = [judged(session, at) for at in places]
        lacking = [(at, 1) for at, runs, n in zip(places, have, numbers, strict=True) if len(runs) <= n]
        if lacking:
            if self._ended(len(lacking)):
                raise _OverError
            await draw_at(session, lacking)
            have = [judged(session, at, runs) for at, runs in zip(places, have, strict=True)]
        if any(len(runs) <= n for runs, n in zip(have, numbers, strict=True)):
            raise _OverError  # stopped in the middle
        self.calls += len(batch)
        return [runs[n] for runs, n in zip(have, numbers, strict=True)]

    def make_reflective_dataset(
        self, candidate: dict[str, str], eval_batch: JSON, components_to_update: list[str]
    ) -> dict[str, list[dict[str, str]]]:
        """What was asked, answered and found wrong, without the answer that was expected."""
        rows = []
        for case, one in eval_batch.trajectories:
            sample = one.stored.sample
            said = sample.completion.text if sample.completion else f"(nothing came back: {sample.error})"
            passed = one.outcome.outcome == "pass"
            wrong = "; ".join(complaints(self.session.judging, case, sample)) or one.outcome.outcome
            asked = "\n".join(v if isinstance(v, str) else canonical(v) for v in case.input.values())
            rows.append({"Inputs": asked, "Generated Outputs": said, "Feedback": "right" if passed else wrong})
        return dict.fromkeys(components_to_update, rows)


def _fix(part: str, text: str) -> Fix:
    kind = KIND_OF[part.partition(".")[0]]
    return Fix(fix=named(f"gepa {part.removesuffix('.description')}"), kind=kind, target=part, text=text, author="gepa")


def _with_texts(program: Program, seed: Mapping[str, str], candidate: Mapping[str, str]) -> Program:
    for part, text in candidate.items():
        if text.strip() and text != seed.get(part):
            program = apply(_fix(part, text.strip()), program)
    return program


def _evolved(result: JSON, program: Program, seed: Mapping[str, str], cases: Sequence[Case], calls: int) -> Evolved:
    """Each part that a kept candidate says otherwise, as a fix of its own; of one text the best candidate's."""
    known = "\n".join(part.text for part in program.parts()) + canonical(program.response or {})
    scores = list(result.val_aggregate_scores)
    before = scores[0] if scores else 0.0
    found: dict[str, Suggestion] = {}
    dropped: list[Unusable] = []
    names: Counter[str] = Counter()
    for k in sorted(range(1, len(result.candidates)), key=lambda k: -scores[k]):
        for part, text in result.candidates[k].items():
            if not text.strip() or text == seed.get(part):
                continue
            fix = _fix(part, text.strip())
            if fix.id in found:
                continue
            pieces = list(dict.fromkeys(piece for case in cases for piece in copies(fix, case, known)))
            if pieces:
                dropped.append(Unusable(excerpt(text, 80), f"copies a case: {', '.join(map(excerpt, pieces[:3]))}"))
                continue
            try:
                fitting(fix, program)
            except UsageError as error:
                dropped.append(Unusable(excerpt(text, 80), str(error)))
                continue
            names[fix.fix] += 1
            name = fix.fix if names[fix.fix] == 1 else f"{fix.fix}-{names[fix.fix]}"
            because = (
                f"GEPA wrote it; with its candidate {percent(scores[k])} of the choosing cases came out right, with "
                f"the program as it is {percent(before)}, once each"
            )
            found[fix.id] = Suggestion(fix.model_copy(update={"fix": name}), because)
    return Evolved(tuple(found.values()), tuple(dropped), len(result.candidates), calls)
