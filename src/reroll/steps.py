"""What product code does around the model: steps that act on a request and its answers, one interpreter for all.

Nothing here calls a model: `run` yields each request that it wants an answer to, and is sent the sample.
Steps before the call act in the order of the list; then the model is called; then the others act in their order.
`retry`, `best` and `vote` draw again, and a draw is the call with every later step that stands before them in the list.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from reroll.check import Check, Outcome
from reroll.match import NotJSON, parse, show
from reroll.program import Request, canonical
from reroll.sample import Completion, Sample, Usage
from reroll.step_forms import (
    STEP_KINDS,
    Answer,
    Best,
    Block,
    Python,
    Retry,
    Rewrite,
    Step,
    Vote,
    When,
    WrongStep,
    acts_before,
    most_calls,
    read_steps,
)
from reroll.step_texts import Broken, edited, input_text, matches, rewritten, value_at, with_input

__all__ = [
    "FREE",
    "STEP_KINDS",
    "Broken",
    "Hooks",
    "Step",
    "Stepped",
    "WrongStep",
    "asks",
    "asks_again",
    "fires_on",
    "input_text",
    "most_calls",
    "read_steps",
    "rewritten",
    "run",
    "with_input",
]

LONGEST = 1_000_000  # characters that a text of a patch may have
FREE = Usage(0, 0, 0.0, 0)
JSON = Any  # what json.loads returns


class Hooks(Protocol):
    """What steps need from outside: checks, and the project's functions in their child process."""

    def check(self, checks: Sequence[Check], sample: Sample) -> Sequence[Outcome]:
        """An outcome for each check."""
        ...

    def call(self, function: str, value: Mapping[str, JSON]) -> JSON:
        """What the function returns for the text and what is around it. Raises: Broken, within its time limit."""
        ...


@dataclass(frozen=True, slots=True)
class Stepped:
    """What one draw of a program with steps came to.

    sample:   what the product's user gets; attempts and usage are those of the call that it came from.
    draws:    calls that were made.
    fired:    which steps acted on what was delivered, by their places in the list.
    stopped:  whether an answer was withheld; `replaced` is the completion that a guard withheld.
    """

    sample: Sample
    draws: int
    fired: tuple[int, ...] = ()
    stopped: bool = False
    replaced: Sample | None = None


# ---------------------------------------------------------------- where a step acts


def asks(when: When | None, text: str) -> bool:
    """Whether what `when` says of the input holds."""
    return when is None or (matches(when.input, text) and (when.not_input is None or not matches(when.not_input, text)))


def fires_on(step: Step, request: Request) -> bool | None:
    """Whether this step acts on this request. None: only an answer, or running it, can tell; False: it never does.

    The request is the one that the product gets: what `when` says of the input is held against that
    wherever the step stands. Only what `replace` finds may depend on steps before it.
    """
    text = input_text(request)
    if not asks(step.when, text):
        return False
    if step.when is not None and step.when.needs_answer:
        return None
    match step:
        case Answer():
            return True if step.text is not None else None
        case Block():
            return True
        case Rewrite() if step.on == "input":
            return rewritten(step, text) != text
        case Best() | Vote():
            return True
    return None


def asks_again(step: Retry, request: Request, sample: Sample, hooks: Hooks) -> bool:
    """Whether this step would ask for another answer than this one: what `retry_forecast` counts of stored runs.

    Raises: Broken where one of its checks cannot run.
    """
    return sample.completion is not None and _Run((step,), request, hooks).flagged(0, step, _Draft(sample))


# ---------------------------------------------------------------- the interpreter


@dataclass(frozen=True, slots=True)
class _Draft:
    """An answer on its way out: which steps acted on it, and what a guard withheld instead of which it stands."""

    sample: Sample
    fired: frozenset[int] = frozenset()
    withheld: Sample | None = None

    @property
    def text(self) -> str:
        return self.sample.completion.text if self.sample.completion else ""


class _Ended(Exception):
    """A call brought nothing: the draw ends with its error."""

    def __init__(self, sample: Sample) -> None:
        super().__init__(sample.error)
        self.sample = sample


Drawing = Generator[Request, Sample, _Draft]


def run(steps: Sequence[Step], request: Request, hooks: Hooks) -> Generator[Request, Sample, Stepped]:
    """One draw of a program with these steps: yields each request that it wants answered, is sent the sample.

    Never raises for what a model, a check or a patch does: that is a sample with an error. A call that
    brings an error ends the draw with it, whatever steps stand around.
    """
    return (yield from _Run(steps, request, hooks).whole())


class _Run:
    def __init__(self, steps: Sequence[Step], request: Request, hooks: Hooks) -> None:
        self.hooks, self.request = hooks, request
        self.asked = input_text(request)
        self.before = [(i, step) for i, step in enumerate(steps) if acts_before(step)]
        self.after = [(i, step) for i, step in enumerate(steps) if not acts_before(step)]
        self.fired: set[int] = set()
        self.draws = 0

    def whole(self) -> Generator[Request, Sample, Stepped]:
        try:
            reply = self._enter()
            if reply is not None:
                stopped = reply.completion is not None and reply.completion.finish_reason == "blocked"
                return Stepped(reply, 0, tuple(sorted(self.fired)), stopped)
            draft = yield from self._upto(len(self.after))
        except _Ended as ended:
            return Stepped(ended.sample, self.draws, tuple(sorted(self.fired)))
        except Broken as broken:
            return Stepped(Sample(error=str(broken), usage=FREE), self.draws, tuple(sorted(self.fired)))
        fired = tuple(sorted(self.fired | draft.fired))
        return Stepped(draft.sample, self.draws, fired, draft.withheld is not None, draft.withheld)

    # -- before the call

    def _enter(self) -> Sample | None:
        """What is answered without a call; else None, with the request as it will be sent."""
        for i, step in self.before:
            if not asks(step.when, self.asked):
                continue
            if isinstance(step, Answer) and step.text is not None:
                self.fired.add(i)
                return Sample(completion=Completion(step.text), usage=FREE)
            if isinstance(step, Block):
                self.fired.add(i)
                return Sample(completion=Completion(step.says, "blocked"), usage=FREE)
            text = input_text(self.request)
            new = self._changed(i, step, text)
            if new != text:
                self.fired.add(i)
                self.request = self._named(i, step, lambda: with_input(self.request, new))  # noqa: B023
        return None

    def _changed(self, i: int, step: Step, text: str) -> str:
        """The text as a rewrite or a function leaves it. Raises: Broken, with the step's number."""
        if isinstance(step, Rewrite):
            return str(self._named(i, step, lambda: rewritten(step, text)))
        assert isinstance(step, Python)
        value = {"text": text, "on": step.on, "input": self.asked}
        found = self._named(i, step, lambda: self.hooks.call(step.function, value))
        if not isinstance(found, str):
            raise Broken(f"step {i + 1}: {step.function} returned {show(found)}; it must return the new text")
        if len(found) > LONGEST:
            raise Broken(f"step {i + 1}: {step.function} returned more than {LONGEST:,} characters")
        return found

    @staticmethod
    def _named(i: int, step: Step, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except Broken as broken:
            raise Broken(f"step {i + 1} ({step.step}): {broken}") from None

    # -- after it

    def _upto(self, k: int) -> Drawing:
        """The answer after the first k of the steps that act on answers: one call at least."""
        if k == 0:
            return (yield from self._call())
        i, step = self.after[k - 1]
        if isinstance(step, Retry | Best | Vote) and asks(step.when, self.asked):
            again: Drawing
            if isinstance(step, Retry):
                again = self._retry(i, step, k - 1)
            elif isinstance(step, Best):
                again = self._best(i, step, k - 1)
            else:
                again = self._vote(i, step, k - 1)
            return (yield from again)
        draft = yield from self._upto(k - 1)
        return draft if isinstance(step, Retry | Best | Vote) else self._mended(i, step, draft)

    def _call(self) -> Drawing:
        self.draws += 1
        sample = yield self.request
        if sample.completion is None:
            words = "only a reward was recorded, no completion, so steps have nothing to act on"
            raise _Ended(sample if sample.error is not None else Sample(error=words, usage=sample.usage))
        return _Draft(sample)

    def _retry(self, i: int, step: Retry, k: int) -> Drawing:
        draft = yield from self._upto(k)
        acted = False
        for _ in range(step.times):
            if not self.flagged(i, step, draft):
                break
            acted = True
            draft = yield from self._upto(k)
        return replace(draft, fired=draft.fired | {i}) if acted else draft

    def flagged(self, i: int, step: Retry, draft: _Draft) -> bool:
        """Whether it is asked for again: what a guard before it withheld is, whatever `when` says of the text."""
        if draft.withheld is not None:
            return True
        return self._holds(i, step, draft) and (not step.checks or self._fails(i, step, step.checks, draft))

    def _best(self, i: int, step: Best, k: int) -> Drawing:
        first: _Draft | None = None
        for number in range(step.n):
            draft = yield from self._upto(k)
            if draft.withheld is None and not self._fails(i, step, step.checks, draft):
                return replace(draft, fired=draft.fired | {i}) if number else draft
            first = first or draft
        assert first is not None
        return replace(first, fired=first.fired | {i})

    def _vote(self, i: int, step: Vote, k: int) -> Drawing:
        drafts = []
        for _ in range(step.n):
            drafts.append((yield from self._upto(k)))
        chosen = drafts[_winner([None if d.withheld else d.text for d in drafts], step.by)]
        return replace(chosen, fired=chosen.fired | {i})

    def _mended(self, i: int, step: Step, draft: _Draft) -> _Draft:
        """The answer after a step that draws nothing. What a guard withheld stays as the guard said it."""
        if draft.withheld is not None or not self._holds(i, step, draft):
            return draft
        sample, completion = draft.sample, draft.sample.completion
        assert completion is not None
        if isinstance(step, Block):
            said = replace(sample, completion=Completion(step.says, "blocked"))
            return _Draft(said, draft.fired | {i}, sample)
        if isinstance(step, Answer):
            new = edited(completion.text, {}, (), step.set or {})
        else:
            new = self._changed(i, step, completion.text)
        if new == completion.text:
            return draft
        # Tokens spell what the model said, and a refusal is its own word, too.
        whole = isinstance(step, Rewrite) and step.text is not None
        said_now = replace(completion, text=new, tokens=(), refusal=None if whole else completion.refusal)
        return replace(draft, sample=replace(sample, completion=said_now), fired=draft.fired | {i})

    def _holds(self, i: int, step: Step, draft: _Draft) -> bool:
        """Whether all that this step's `when` says holds of this answer. Raises: Broken for a check that cannot run."""
        when = step.when
        if when is None:
            return True
        if not asks(when, self.asked) or not matches(when.completion, draft.text):
            return False
        if when.not_completion is not None and matches(when.not_completion, draft.text):
            return False
        return not when.checks or self._fails(i, step, when.checks, draft)

    def _fails(self, i: int, step: Step, checks: Sequence[Check], draft: _Draft) -> bool:
        said = self._named(i, step, lambda: self.hooks.check(checks, draft.sample))
        for outcome in said:
            if outcome.outcome == "invalid":
                raise Broken(f"step {i + 1} ({step.step}): {outcome.reason}")
        return any(outcome.outcome == "fail" for outcome in said)


def _winner(texts: Sequence[str | None], by: str | None) -> int:
    """The place of the first answer with the value that most have; without a vote the first that is there.

    Without `by` the whole answers are counted: as JSON, or as texts where none of them is JSON.

    >>> _winner(['{"a": 1}', "oops", '{"a": 2}', '{"a":  2}'], "/a"), _winner(["no", "yes", "yes "], None)
    (2, 1)
    """
    values = [None if text is None else _value(text, by) for text in texts]
    if by is None and all(value is None for value in values):
        values = [None if text is None else text.strip() for text in texts]
    counted = Counter(value for value in values if value is not None)
    if not counted:
        return next((i for i, text in enumerate(texts) if text is not None), 0)
    most = max(counted.values())
    return next(i for i, value in enumerate(values) if value is not None and counted[value] == most)


def _value(text: str, by: str | None) -> str | None:
    """What this answer votes for, as canonical JSON; None where it says nothing there."""
    try:
        return canonical(value_at(parse(text), by or ""))
    except (NotJSON, KeyError):
        return None
