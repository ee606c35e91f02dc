"""Holding samples against a case's checks; the user's own python, checks and patches, in one child process per run."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from reroll.case import Case, surroundings_of
from reroll.check import UNSURE, Check, Outcome, Surroundings, judge_sample
from reroll.errors import FileError, UsageError
from reroll.match import clean, nearest
from reroll.person import Person
from reroll.program import Program
from reroll.sample import Sample
from reroll.sources import sources_of
from reroll.step_texts import Broken
from reroll.strict_yaml import read_text

__all__ = ["Checker", "Judges", "no_judge", "not_asked"]

WORKER = Path(__file__).with_name("check_process.py")
SECONDS = 5.0  # per check
LOAD_SECONDS = 30.0  # to start the child, and to load the user's file with all that it imports
MEMORY = 2 << 30  # bytes of address space; libraries such as numpy reserve much more than they use
LONGEST_REPLY = 1 << 20
LOOPS = 3  # time-outs of one patch in a row after which it is not called any more


class Judges(Protocol):
    """Who asks the models of `judge` checks."""

    def ready(self, check: Check) -> None:
        """Return if this one can be asked. Raises: UsageError, ModelError otherwise, before any call is paid for."""

    def ahead(self, wanted: Sequence[tuple[Check, Sample, Surroundings]], again: Sequence[int]) -> None:
        """Ask all at once what `say` will be asked one by one."""

    def say(self, check: Check, sample: Sample, around: Surroundings, again: int = 0) -> Outcome:
        """The verdict on one sample; `again`: asked anew, so many times after the first."""
        ...

    def stop(self) -> None:
        """Ask nothing any more."""


class _Nobody:
    """Asks no model: says so of what none has judged."""

    def ready(self, check: Check) -> None:
        return

    def ahead(self, wanted: Sequence[tuple[Check, Sample, Surroundings]], again: Sequence[int]) -> None:
        return

    def say(self, check: Check, sample: Sample, around: Surroundings, again: int = 0) -> Outcome:
        return Outcome("invalid", "no judge has judged this yet", broken=True)

    def stop(self) -> None:
        return


no_judge: Judges = _Nobody()


def not_asked(check: Check, sample: Sample, around: Surroundings) -> Outcome:
    """What a check of a person says where nobody is asked: nothing."""
    return Outcome("invalid", "no person has judged this yet")


class Overran(Exception):
    """The child did not answer in time and was stopped."""


class Died(Exception):
    """The child ended by itself; says how."""


@dataclass(frozen=True, slots=True)
class _Source:
    file: str
    text: str
    hash: str
    functions: frozenset[str]


class Checker:
    """Judges samples. Thread-safe; close it, or use it in `with`, to end the child process.

    Args: seconds: how long one python check may take; memory: bytes that the child may address;
        person: who answers `person` checks; judges: who asks the models of `judge` checks.
    """

    def __init__(
        self,
        project_dir: str | Path,
        *,
        seconds: float = SECONDS,
        load_seconds: float = LOAD_SECONDS,
        memory: int = MEMORY,
        person: Person | None = None,
        judges: Judges | None = None,
    ) -> None:
        self.folder = Path(project_dir)
        self.person, self.judges = person, judges
        self.seconds, self.load_seconds = seconds, load_seconds
        self._child = _Child(self.folder, memory, load_seconds)
        self._sources: dict[str, _Source] = {}
        self._lock = threading.Lock()
        self._overran: dict[str, int] = {}  # patches that took too long, and how often in a row

    def judge(self, case: Case, program: Program, sample: Sample) -> list[Outcome]:
        """An outcome per check of the case, in its order, under the check's name.

        Raises: FileError where a python check's file or function is missing; UsageError where a person or a judge
            is to be asked and nobody can.
        """
        return self.judging(case, program)(sample)

    def judging(self, case: Case, program: Program, again: int = 0) -> Callable[[Sample], list[Outcome]]:
        """What does so for any number of samples; `again`: so many times after the first. Raises: as judge."""
        self._prepare(case)
        around = surroundings_of(case, program)
        named = list(zip(case.check_names(), case.checks, strict=True))

        def run(check: Check, sample: Sample, around: Surroundings) -> Outcome:
            return self._run(check, sample, around, again)

        def judge(sample: Sample) -> list[Outcome]:
            with self._lock:
                return [judge_sample(check, sample, around, run, name) for name, check in named]

        return judge

    def ahead(self, case: Case, program: Program, samples: Iterable[Sample], again: Sequence[int] = (0,)) -> None:
        """Have models judge these samples side by side, so that `judging` need not wait for one after the other."""
        if case.asks_a_model:
            self.ahead_of_all(program, [(case, list(samples))], again)

    def ahead_of_all(
        self, program: Program, wanted: Iterable[tuple[Case, Sequence[Sample]]], again: Sequence[int] = (0,)
    ) -> None:
        """The same for samples of several cases: all of them side by side."""
        if self.judges is None:
            return
        asked = []
        for case, samples in wanted:
            around = surroundings_of(case, program)
            whole = [sample for sample in samples if sample.completion is not None]
            asked += [(check, sample, around) for check in case.judges for sample in whole]
        with self._lock:
            self.judges.ahead(asked, again)

    def ids(self, case: Case, program: Program) -> list[str]:
        """The content id of each check of the case, as it stands in this case and program. Raises: as judge."""
        self._prepare(case)
        around = surroundings_of(case, program)
        hashes = {name: source.hash for name, source in self._sources.items()}
        if case.asks_a_model:
            hashes |= self._judging_functions(case)
        return [check.identity(around, hashes) for check in case.checks]

    def _judging_functions(self, case: Case) -> dict[str, str]:
        """The content hash of the file of each judge that is a function of the project's, by the judge's model."""
        found = {}
        for check in case.judges:
            kind, _, reference = check.value["model"].partition(":")
            path = self.folder.joinpath(*reference.partition(":")[0].split(".")).with_suffix(".py")
            if kind == "python" and path.is_file():
                found[check.value["model"]] = _hash(b"".join(sources_of(path, self.folder)))
        return found

    def close(self) -> None:
        """End the child process. The checker may be used again; it then starts another."""
        self._child.stop()

    def __enter__(self) -> Checker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _prepare(self, case: Case) -> None:
        """Find out before any call is paid for that every check of this case can run."""
        for check in (inner for outer in case.checks for inner in outer.walk()):
            if check.kind == "judge":
                if self.judges is None:
                    raise UsageError(
                        f"case `{case.id}` is judged by a model, and this command asks none; "
                        "take the judge out of its checks here, or use `reroll rerun`",
                        slug="no-judge",
                    )
                with self._lock:
                    self.judges.ready(check)
            if check.kind == "person" and self.person is None:
                raise UsageError(
                    f"case `{case.id}` is judged by a person, and nobody is there to ask; run it in a terminal, "
                    "or pass --person CMD",
                    slug="no-person",
                )
            if check.kind == "python":
                self._known(check.value)

    def _known(self, reference: str) -> None:
        """Find out that this `module:function` of the project's can run. Raises: FileError."""
        module, _, function = reference.partition(":")
        with self._lock:
            if module not in self._sources:
                source = _read_source(self.folder / f"{module}.py", reference, self.folder)
                self._try_loading(module, source)
                self._sources[module] = source
        known = self._sources[module].functions
        if function not in known:
            hint = nearest(function, known) or f"; it has {', '.join(sorted(known)) or 'none'}"
            raise FileError(self.folder / f"{module}.py", f"no function `{function}`{hint}", slug="no-check")

    def _try_loading(self, module: str, source: _Source) -> None:
        path = self.folder / source.file
        try:
            crash = self._child.load(module, source).get("crash")
        except Overran:
            raise FileError(path, f"takes longer than {self.load_seconds:g} s to load") from None
        except Died as died:
            raise FileError(path, f"cannot be loaded: it {died}") from None
        if crash:
            raise FileError(path, f"cannot be loaded: {clean(crash['words'])}", line=crash["line"])

    def _run(self, check: Check, sample: Sample, around: Surroundings, again: int = 0) -> Outcome:
        """A python check, a judge or a person on one sample; whatever goes wrong in it is an invalid outcome."""
        if check.kind == "judge" and self.judges is not None:
            return self.judges.say(check, sample, around, again)
        if check.kind == "person" and self.person is not None:
            return _said_by(self.person(check, sample, around))
        name = f"check {check.name or check.value}"
        text = sample.completion.text if sample.completion else ""
        try:
            reply = self._ask(name, check.value, {"text": text, "sample": _as_dict(sample, around)})
        except Broken as broken:
            return _broken(str(broken))
        if "holds" not in reply:
            said = clean(str(reply.get("nonsense")))
            wanted = "it must return True, False, a reason, or (bool, reason)"
            return _broken(f"{name} returned {said}; {wanted}")
        reason = clean(reply["reason"]) or f"{check.value} says {'yes' if reply['holds'] else 'no'}"
        return Outcome("pass" if reply["holds"] else "fail", reason)

    def _ask(self, name: str, reference: str, words: dict[str, Any]) -> dict[str, Any]:
        """What the child says of a function that is known. Raises: Broken where it crashed, died or took too long."""
        module, _, function = reference.partition(":")
        source = self._sources[module]
        request = {"module": module, "file": source.file, "function": function, **words}
        try:
            self._child.load(module, source)
            reply = self._child.ask(request, self.seconds)
        except Overran:
            raise Broken(f"{name} took longer than {self.seconds:g} s and was stopped") from None
        except Died as died:
            raise Broken(f"{name} {died}") from None
        if "crash" in reply:
            line = reply["crash"]["line"]
            where = f" at {source.file}:{line}" if line else ""
            raise Broken(f"{name} crashed: {clean(reply['crash']['words'])}{where}")
        return reply

    def patched(self, reference: str, value: Mapping[str, Any]) -> str:
        """What a patch of the project's makes of `value["text"]`, in the child process and its time limit.

        Raises: Broken where it crashes, takes too long or returns no text; FileError where it is not there; UsageError
            where it took too long so often in a row that it seems to loop: each further call would cost that time.
        """
        self._known(reference)
        name = f"patch {reference}"
        with self._lock:
            self.not_given_up(reference)
            before = self._overran.pop(reference, 0)
            try:
                reply = self._ask(name, reference, {"patch": dict(value)})
            except Broken as broken:
                if isinstance(broken.__context__, Overran):
                    self._overran[reference] = before + 1
                raise
        if "text" not in reply:
            raise Broken(f"{name} returned {clean(str(reply.get('nonsense')))}; it must return the new text")
        return clean(str(reply["text"]))

    def not_given_up(self, reference: str) -> None:
        """Raises: UsageError for a patch that took too long so often in a row that it is not called any more."""
        if self._overran.get(reference, 0) >= LOOPS:
            raise UsageError(
                f"patch {reference} took longer than {self.seconds:g} s {LOOPS} times in a row; mend it, or give it "
                "more by REROLL_CHECK_TIMEOUT; what was drawn is stored",
                slug="patch-loops",
            )

    def source_hashes(self, references: Iterable[str]) -> dict[str, str]:
        """The content hash of each file that holds one of these functions, by module. Raises: FileError."""
        modules = []
        for reference in references:
            self._known(reference)
            modules.append(reference.partition(":")[0])
        return {module: self._sources[module].hash for module in sorted(modules)}


def _broken(reason: str) -> Outcome:
    return Outcome("invalid", reason, broken=True)


def _said_by(person: Outcome) -> Outcome:
    """A person's outcome; whatever is neither their verdict nor their doubt is a broken command."""
    return replace(person, broken=person.outcome == "invalid" and person.reason != UNSURE)


def _as_dict(sample: Sample, around: Surroundings) -> dict[str, Any]:
    """What a python check sees as `sample`."""
    completion = sample.completion
    return {
        "text": completion.text if completion else None,
        "finish_reason": completion.finish_reason if completion else None,
        "tool_calls": [dict(c) for c in completion.tool_calls] if completion else [],
        "refusal": completion.refusal if completion else None,
        "reward": sample.reward,
        "model": sample.model,
        "seed": sample.seed,
        "input": dict(around.input),
        "expected": around.expected,
        "response": around.response,
    }


def _read_source(path: Path, wanted: str, folder: Path) -> _Source:
    """The text of a checks file and the names that it defines, found without running it."""
    if not path.is_file():
        raise FileError(path, f"there is no such file, and the check `python: {wanted}` is in it", slug="no-check")
    text = read_text(path)
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError) as error:
        line = error.lineno if isinstance(error, SyntaxError) else None
        raise FileError(path, f"not Python: {getattr(error, 'msg', error)}", line=line) from None
    names: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ImportFrom):
            names.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Assign):
            names.update(t.id for t in node.targets if isinstance(t, ast.Name))
    _, *imported = sources_of(path, folder)
    return _Source(path.name, text, _hash(b"".join((text.encode(), *imported))), frozenset(names))


def _hash(text: bytes) -> str:
    return hashlib.blake2b(text, digest_size=8).hexdigest()


class _Child:
    """One process, started when first needed, killed when it overruns, started again after."""

    def __init__(self, folder: Path, memory: int, start_seconds: float) -> None:
        self.folder, self.memory, self.start_seconds = folder, memory, start_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._replies: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._loaded: dict[str, str] = {}
        self._count = 0

    def load(self, module: str, source: _Source) -> dict[str, Any]:
        """Have the module in the child, unless it is there. Raises: Overran, Died."""
        if self._process is not None and self._loaded.get(module) == source.hash:
            return {}
        request = {"module": module, "file": source.file, "source": source.text}
        reply = self.ask(request, self.start_seconds)
        if "loaded" in reply:
            self._loaded[module] = source.hash
        return reply

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """The reply to one request. Raises: Overran, Died; the child is gone after either."""
        if self._process is None:
            self._start()
        process = self._process
        assert process is not None
        assert process.stdin is not None
        self._count += 1
        line = json.dumps({"id": self._count, "seconds": seconds, **request}, default=str).encode() + b"\n"
        # In a thread, since a child that does not read must not block us for ever.
        threading.Thread(target=_write, args=(process.stdin, line), daemon=True).start()
        deadline = time.monotonic() + seconds
        while True:
            reply = self._next(deadline)
            if reply.get("id") == self._count:
                return reply

    def _start(self) -> None:
        keep = {k: v for k, v in os.environ.items() if k == "SYSTEMROOT"}  # Windows does not start without
        self._process = subprocess.Popen(
            [sys.executable, "-I", str(WORKER), str(self.memory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=self.folder,
            env=keep,
            start_new_session=True,
        )
        self._replies, self._loaded = queue.SimpleQueue(), {}
        threading.Thread(target=_read, args=(self._process.stdout, self._replies), daemon=True).start()
        self._next(time.monotonic() + self.start_seconds)

    def _next(self, deadline: float) -> dict[str, Any]:
        try:
            line = self._replies.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            self.stop()
            raise Overran from None
        try:
            reply = json.loads(line or b"")
            if isinstance(reply, dict):
                return reply
        except ValueError:
            pass
        raise Died(self._how_it_ended(had_line=line is not None))

    def _how_it_ended(self, had_line: bool) -> str:
        process = self._process
        code = None
        if process is not None and not had_line:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = process.wait(timeout=1)
        self.stop()
        if code is None:
            return "broke the line to reroll"
        if code < 0:
            return f"was killed by the system ({signal.Signals(-code).name}; too much memory or time?)"
        return f"ended its process (exit code {code})"

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(OSError, AttributeError):
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.wait()
        # In a thread, since a write that is stuck in a pipe holds the pipe's lock. Stdout is closed by its reader.
        threading.Thread(target=_close, args=(process.stdin,), daemon=True).start()


def _close(pipe: Any) -> None:
    with contextlib.suppress(OSError, ValueError):
        pipe.close()


def _write(pipe: Any, line: bytes) -> None:
    with contextlib.suppress(OSError, ValueError):
        pipe.write(line)
        pipe.flush()


def _read(pipe: Any, replies: queue.SimpleQueue[bytes | None]) -> None:
    with contextlib.suppress(OSError, ValueError):
        while line := pipe.readline(LONGEST_REPLY):
            replies.put(line)
    _close(pipe)
    replies.put(None)
