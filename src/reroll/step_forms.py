"""How a step around the model is written: its kinds, what each may be given, and what is said when it is wrong.

A step is one entry of a program's `steps`: `{step: retry, checks: [{json: {...}}], times: 2}`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from reroll.check import Check
from reroll.match import nearest, show
from reroll.program import PLACEHOLDER, Program
from reroll.requirement import FUNCTION, bad_pattern

__all__ = [
    "MOST_CALLS",
    "NOT_HERE",
    "STEP_KINDS",
    "Answer",
    "Best",
    "Block",
    "Python",
    "Retry",
    "Rewrite",
    "Step",
    "Vote",
    "When",
    "WrongStep",
    "acts_before",
    "functions_of",
    "most_calls",
    "read_steps",
    "step_checks",
    "steps_of",
]

MOST_TIMES = 20
MOST_CALLS = 64  # of one draw: seeds of neighbouring draws lie so far apart, and no program may run away
MOST_STEPS = 100
NOT_HERE = ("person", "judge", "reward")  # what a product cannot ask while it answers
On = Literal["input", "completion"]
JSON = Any  # what json.loads returns


def _re2(pattern: str) -> str:
    if problem := bad_pattern(pattern):
        raise ValueError(problem)
    return pattern


def _function(name: str) -> str:
    if not FUNCTION.fullmatch(name):
        raise ValueError(f"write module:function, such as patches:mend; got {show(name)}")
    return name


def _runs_in_a_product(check: Check) -> Check:
    for inner in check.walk():
        if inner.kind in NOT_HERE:
            raise ValueError(f"a product cannot hold its answers against a `{inner.kind}` check while it runs")
        if "expected" in inner.names_used():
            raise ValueError("a product does not know what is {expected}; say what it can look at by itself")
    return check


Pattern = Annotated[str, AfterValidator(_re2)]
Pointer = Annotated[str, Field(pattern="^(/.*)?$")]
Checks = tuple[Annotated[Check, AfterValidator(_runs_in_a_product)], ...]
Times = Annotated[int, Field(ge=1, le=MOST_TIMES, strict=True)]
Several = Annotated[int, Field(ge=2, le=MOST_TIMES, strict=True)]
Replacement = tuple[Pattern, Annotated[str, Field(max_length=10_000)]]


class _Form(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class When(_Form):
    """Where a step acts: all that is given must hold. `checks`: where at least one of them fails."""

    input: Pattern | None = Field(None, description="RE2 that the user's text matches.")
    not_input: Pattern | None = Field(None, description="RE2 that the user's text does not match.")
    completion: Pattern | None = Field(None, description="RE2 that the answer matches.")
    not_completion: Pattern | None = Field(None, description="RE2 that the answer does not match.")
    checks: Checks = Field((), description="Acts where one of them fails.")

    @model_validator(mode="after")
    def _says_something(self) -> When:
        if not self.model_fields_set:
            raise ValueError(f"says nothing; give {', '.join(type(self).model_fields)}")
        return self

    @property
    def needs_answer(self) -> bool:
        """Whether a request alone cannot tell."""
        return bool(self.completion is not None or self.not_completion is not None or self.checks)


class _Step(_Form):
    @model_validator(mode="after")
    def _looks_at_what_is_there(self) -> _Step:
        when: When | None = getattr(self, "when", None)
        early = isinstance(self, Best | Vote) or acts_before(self)
        if when is not None and when.needs_answer and early:
            word = "chooses among answers" if isinstance(self, Best | Vote) else "acts before there is an answer"
            raise ValueError(f"this step {word}, so its `when` can only look at `input` and `not_input`")
        return self


class Answer(_Step):
    """A special case. With `text` the answer to matching requests, without a call; with `set` these values stand in
    the JSON answer instead of the model's."""

    step: Literal["answer"]
    when: When
    text: str | None = None
    set: dict[str, JSON] | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _one_of_two(self) -> Answer:
        if (self.text is None) == (self.set is None):
            raise ValueError("give either `text`, the whole answer, or `set`, values that stand in the model's answer")
        return self


class Block(_Step):
    """A guard that stops what matches: `says` is the reply instead, with the finish reason `blocked`."""

    step: Literal["block"]
    on: On = "completion"
    when: When
    says: str = "I cannot help with that."


class Rewrite(_Step):
    """Other words: of the user's text, or of the answer. In this order: fences off, replace, rename, drop, set."""

    step: Literal["rewrite"]
    on: On = "completion"
    when: When | None = None
    text: str | None = Field(None, description="The whole new text.")
    strip_fences: bool = Field(False, strict=True, description="Take ``` around the whole answer off.")
    replace: tuple[Replacement, ...] = Field((), max_length=MOST_TIMES, description="Pairs: RE2, and the new text.")
    rename: dict[str, str] = Field(default_factory=dict, description="Old key: new key, in a JSON answer.")
    drop: tuple[str, ...] = Field((), description="Keys or JSON pointers that are taken out of a JSON answer.")
    set: dict[str, JSON] = Field(default_factory=dict, description="Keys or JSON pointers with their values.")

    @model_validator(mode="after")
    def _says_what(self) -> Rewrite:
        given = [name for name in ("strip_fences", "replace", "rename", "drop", "set") if getattr(self, name)]
        if self.text is None and not given:
            raise ValueError("says nothing to change; give text, replace, set, drop, rename or strip_fences")
        if self.text is not None and given:
            raise ValueError(f"`text` is the whole new text, so `{given[0]}` has nothing to change; give one of them")
        wrong = [name for name in given if name != "replace"]
        if self.on == "input" and wrong:
            raise ValueError(f"`{wrong[0]}` changes answers; with `on: input` give `replace` or `text`")
        return self


class Retry(_Step):
    """Asks again, `times` at most, while the answer looks wrong; then the last one stands."""

    step: Literal["retry"]
    when: When | None = None
    checks: Checks = Field((), description="Asks again where one of them fails.")
    times: Times = 1

    @model_validator(mode="after")
    def _knows_when(self) -> Retry:
        if not self.checks and (self.when is None or not self.when.needs_answer):
            raise ValueError("say which answers are asked for again: `checks`, or `when: {completion: ...}`")
        if self.checks and self.when is not None and self.when.checks:
            raise ValueError("`checks` stand here and in `when`; write them once")
        return self


class Best(_Step):
    """Draws until an answer passes all checks, `n` at most; where none does, the first stands."""

    step: Literal["best"]
    when: When | None = None
    n: Several
    checks: Checks = Field(min_length=1)


class Vote(_Step):
    """Draws `n` answers; the first with the value that most of them have stands."""

    step: Literal["vote"]
    when: When | None = None
    n: Several
    by: Pointer | None = Field(None, description="JSON pointer to what is counted; default: the whole answer.")


class Python(_Step):
    """A function of the project's own files gets the text and returns the new one."""

    step: Literal["python"]
    on: On = "completion"
    when: When | None = None
    function: Annotated[str, AfterValidator(_function)]


Step = Answer | Block | Rewrite | Retry | Best | Vote | Python
STEP_KINDS: dict[str, type[_Step]] = {
    get_args(kind.model_fields["step"].annotation)[0]: kind for kind in get_args(Step)
}


class WrongStep(ValueError):
    """An entry of `steps` says something that it cannot mean. `path` leads from the entry to the place.

    errors, kind: what pydantic said of it and of which form, where it was pydantic.
    """

    def __init__(
        self,
        problem: str,
        index: int,
        path: tuple[str | int, ...] = (),
        errors: Sequence[ErrorDetails] = (),
        kind: type[BaseModel] | None = None,
    ) -> None:
        super().__init__(f"step {index + 1}: {problem}")
        self.problem, self.index, self.path, self.errors, self.kind = problem, index, path, tuple(errors), kind


def read_steps(entries: Sequence[JSON]) -> tuple[Step, ...]:
    """The steps of a program. Raises: WrongStep for the first entry that is none.

    >>> read_steps([{"step": "block", "when": {"input": "(?i)ignore"}}])[0].says
    'I cannot help with that.'
    """
    if len(entries) > MOST_STEPS:
        raise WrongStep(f"more than {MOST_STEPS} steps; a program of so many is no program any more", MOST_STEPS)
    found: list[Step] = []
    for i, entry in enumerate(entries):
        found.append(_read(entry, i))
        if (calls := most_calls(found)) > MOST_CALLS:
            words = f"with this step one answer may take {calls} calls, and {MOST_CALLS} are the most; lower its times"
            raise WrongStep(words, i)
    return tuple(found)


def steps_of(program: Program) -> tuple[Step, ...]:
    """The steps of this program, which make sense in it. Raises: WrongStep.

    >>> steps_of(Program(program="p"))
    ()
    """
    steps = read_steps(program.steps)
    n = program.sampling.get("n")
    if steps and isinstance(n, int) and n > 1:
        raise WrongStep(f"steps act on one answer, and `n` asks for {n} of each call; take `n` out of the params", 0)
    names = {match.group(1) for match in PLACEHOLDER.finditer(program.user) if match.group(1)}
    for i, step in enumerate(steps):
        for check in step_checks(step):
            if found := sorted(check.names_used() & names):
                words = (
                    f"a check in a step sees the answer and not the case's inputs, and this one asks for {{{found[0]}}}"
                )
                raise WrongStep(words, i)
            own = any(inner.kind == "schema" and inner.value is True for inner in check.walk())
            if own and program.response is None and program.raw is None:
                raise WrongStep("`schema: true` means the program's `response`, and program.yaml has none", i)
    return steps


def _read(entry: JSON, i: int) -> Step:
    kinds = ", ".join(STEP_KINDS)
    if not isinstance(entry, Mapping):
        raise WrongStep(f"a step is written with keys, such as `step: retry`; got {show(entry)}", i)
    name = entry.get("step")
    if name is None:
        hint = next((h for key in entry if (h := nearest(str(key), ["step"]))), "")
        raise WrongStep(f"`step` is missing{hint or f'; it says what kind it is: {kinds}'}", i)
    kind = STEP_KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        hint = (nearest(name, STEP_KINDS) if isinstance(name, str) else "") or f"; the kinds are {kinds}"
        raise WrongStep(f"{show(name)} is no kind of step{hint}", i, ("step",))
    try:
        return kind.model_validate(entry)  # type: ignore[return-value]  # of the kinds of Step
    except ValidationError as error:
        errors = error.errors()
        first = min(errors, key=lambda e: e["type"] == "missing")
        if first["type"] == "extra_forbidden" and len(first["loc"]) == 1:
            known = list(kind.model_fields)
            words = f"unknown key `{first['loc'][0]}`{nearest(str(first['loc'][0]), known) or _keys(known)}"
        elif first["type"] == "missing":
            words = f"`{first['loc'][-1]}` is missing"
        else:
            words = first["msg"].removeprefix("Value error, ")
            words = f"`{'.'.join(map(str, first['loc']))}`: {words}" if first["loc"] else words
        same = [e for e in errors if e["loc"] == first["loc"]]
        raise WrongStep(words, i, first["loc"], [first, *(e for e in same if e is not first)], kind) from None


def _keys(known: Sequence[str]) -> str:
    return "; the keys are " + ", ".join(known)


def acts_before(step: BaseModel) -> bool:
    """Whether this step acts before the model is called."""
    if isinstance(step, Answer):
        return step.text is not None
    return isinstance(step, Block | Rewrite | Python) and step.on == "input"


def most_calls(steps: Sequence[Step]) -> int:
    """How many calls one answer may take at most: a step that draws again repeats all that stands before it.

    >>> most_calls(read_steps([{"step": "retry", "checks": [{"contains": "a"}], "times": 2}, {"step": "vote", "n": 3}]))
    9
    """
    calls = 1
    for step in steps:
        if isinstance(step, Retry):
            calls *= 1 + step.times
        elif isinstance(step, Best | Vote):
            calls *= step.n
    return calls


def step_checks(step: Step) -> tuple[Check, ...]:
    """All checks that a step holds answers against."""
    when: When | None = step.when
    own = step.checks if isinstance(step, Retry | Best) else ()
    return (*own, *(when.checks if when is not None else ()))


def functions_of(steps: Sequence[Step]) -> Iterator[str]:
    """The project's functions that these steps run, as `module:function`: patches and python checks."""
    for step in steps:
        if isinstance(step, Python):
            yield step.function
        for check in step_checks(step):
            yield from (inner.value for inner in check.walk() if inner.kind == "python")
