"""What each command does once its words are understood: open, run, print, exit code."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from reroll.answer import Answer, to_json
from reroll.checking import Checker
from reroll.errors import UsageError
from reroll.intake.reported import Told, read_report
from reroll.investigation import Asked
from reroll.investigation import investigate as run_investigation
from reroll.models.registry import open_model
from reroll.numbers import counts, money
from reroll.person import Person, by_asking, by_command
from reroll.program import Program
from reroll.project import Project, load_project, read_checks
from reroll.runner import Options, Session
from reroll.settings import SETTINGS, setting
from reroll.store import Store
from reroll.store_rows import to_json as row_json

if TYPE_CHECKING:
    from rich.console import Console

    from reroll.cli import Common, Spending
    from reroll.models.model import Model

__all__ = ["certify", "demo", "doctor", "export", "import_", "init", "investigate", "rerun", "samples", "show"]

T = TypeVar("T")
DEMO_WORDS = 'I tried "Lunch with Ana next Friday at noon" and it didn\'t work.'
GATES = {"met": 0, "not_met": 1, "worse_than_reference": 1, "undecided": 3}


# -- measuring ---------------------------------------------------------------------------------------------------------


def investigate(told: Told, target: float | None, common: Common, spending: Spending) -> int:
    project = _project(common, told)
    with _store(common, project) as store:
        report, project, case = read_report(told, project, store, _ask, _person(spending) is not None)
        exact = told.request is not None or told.sample is not None
        asked = Asked(report, case, "luck", _target(target), "exact" if exact else "rebuilt")
        answer = _measure(project, store, asked, common, spending)
    return _finish(answer, "answer", answer, common, spending)


def rerun(case: str, common: Common, spending: Spending) -> int:
    project = _project(common)
    with _store(common, project) as store:
        report, project, chosen = read_report(Told(case=case), project, store, _ask, _person(spending) is not None)
        answer = _measure(project, store, Asked(report, chosen), common, spending)
    return _finish(answer, "luck", answer.luck, common, spending)


def certify(case: str, target: float | None, common: Common, spending: Spending) -> int:
    project = _project(common)
    goal = _target(target) or project.program.target
    if goal is None:
        raise UsageError("no target: pass --target 0.99, or put `target: 0.99` into program.yaml", slug="no-target")
    with _store(common, project) as store:
        report, project, chosen = read_report(Told(case=case), project, store, _ask, _person(spending) is not None)
        answer = _measure(project, store, Asked(report, chosen, "certify", goal), common, spending)
    return _finish(answer, "certify", answer.certify, common, replace(spending, gate=True))


def demo(common: Common, spending: Spending, svg: Path | None) -> int:
    from reroll.init import init_project

    with tempfile.TemporaryDirectory(prefix="reroll-demo-") as folder:
        home = Path(folder) / "meetings"
        init_project(home)
        here = replace(common, project=home, store=None)
        project = _project(here)
        with _store(here, project) as store:
            report, project, case = read_report(Told(words=DEMO_WORDS), project, store, _ask)
            answer = _measure(project, store, Asked(report, case), here, spending)
        if svg is not None:
            from reroll.render.svg import save_svg

            save_svg(answer, svg)
    code = _finish(answer, "answer", answer, common, spending)
    if not common.json:
        print(
            "\nThis was a real language model, small enough to ship with reroll. Make the example yours:\n"
            "  reroll init meetings && cd meetings && reroll investigate --case half-seven",
            file=sys.stderr,
        )
    return code


def _measure(project: Project, store: Store, asked: Asked, common: Common, spending: Spending) -> Answer:
    """Open the model, ask before spending much, run, and close everything again."""
    from reroll.render.live import Progress

    options, person = _options(spending), _person(spending)
    kinds = {inner.kind for check in asked.case.checks for inner in check.walk()}
    asks = spending.person is None and "person" in kinds  # a live line would run over the question
    _effects_allow_repeating(project.program)
    for case in (asked.case, *(c for c in project.cases if c.set == "control")):
        project.program.render(case.input, case.history)  # a missing input is known before anything is called

    async def run() -> Answer:
        program = project.program
        model = _open(program.model, program.base_url, project.path)
        try:
            _price_agreed(program, model.priced, options, spending)
            await model.check()
            with (
                Checker(project.path, seconds=setting("check_timeout"), person=person) as checker,
                Progress(quiet=spending.quiet or asks) as progress,
            ):
                session = Session(project, store, model, checker, options, progress.update, fresh=spending.fresh)
                with _stopping_cleanly(session):
                    return await run_investigation(session, asked)
        finally:
            await model.close()

    return _run(run())


def _finish(answer: Answer, schema: str, section: Any, common: Common, spending: Spending) -> int:
    """Print the section (or the whole answer) and say how it went.

    A run that did not finish never exits 0: 4 when it was stopped or the server went away.
    """
    if common.json:
        plain = to_json(section, f"reroll.{schema}/1")
        if section is not answer:
            plain |= {"cost": to_json(answer.cost), "caveats": list(answer.caveats), "stopped": answer.stopped}
        _print_json(plain)
    else:
        _show(answer, schema)
    if answer.stopped.startswith("stopped by you") or "stopped answering" in answer.stopped:
        return 4
    if not spending.gate:
        return 0
    verdict = section if section is not answer else answer.luck
    return GATES.get(getattr(verdict, "verdict", "undecided"), 0)


def _show(answer: Answer, schema: str) -> None:
    from reroll.render import terminal

    console = _console()
    about = {
        "case_id": answer.case["id"],
        "outcomes": answer.outcomes,
        "cost": answer.cost,
        "stopped": answer.stopped,
        "caveats": answer.caveats,
    }
    if schema == "luck":
        terminal.show_luck(answer.luck, console, **about)
    elif schema == "certify":
        terminal.show_certify(answer.certify, console, **about)
    else:
        terminal.show_answer(answer, console)


# -- looking -----------------------------------------------------------------------------------------------------------


def samples(case: str | None, limit: int, common: Common) -> int:
    from reroll.looking import stored_samples

    project = _project(common)
    with _store(common, project, create=False) as store:
        shown = stored_samples(project, store, case, limit)
    if common.json:
        _print_json({"schema": "reroll.samples/1", "samples": to_json(shown)})
    else:
        from reroll.render.terminal import show_samples

        show_samples([s.shown for s in shown], _console())
    return 0


def show(sample: str, common: Common) -> int:
    from reroll.looking import whole_sample

    project = _project(common)
    with _store(common, project, create=False) as store:
        whole = whole_sample(project, store, sample)
    if common.json:
        _print_json({"schema": "reroll.sample/1", **to_json(whole)})
    else:
        from reroll.render.terminal import show_sample

        show_sample(whole.shown, _console(), messages=whole.messages, tokens=whole.tokens)
    return 0


def export(case: str | None, out: Path | None, common: Common) -> int:
    project = _project(common)
    with _store(common, project, create=False) as store, contextlib.ExitStack() as stack:
        try:
            stream = stack.enter_context(out.open("w", encoding="utf-8")) if out else sys.stdout
        except OSError as error:
            raise UsageError(f"{out} cannot be written: {error.strerror}; choose another --out", slug="out") from None
        n = 0
        for row in store.export(case_id=case, source=("draw", "imported", "reported")):
            stream.write(row_json(row) + "\n")
            n += 1
    if out:
        print(f"wrote {counts('sample', n)} to {out}", file=sys.stderr)
    return 0


# -- making ------------------------------------------------------------------------------------------------------------


def init(directory: Path, common: Common) -> int:
    from reroll.init import init_project

    written = init_project(directory)
    if common.json:
        _print_json({"schema": "reroll.init/1", "project": str(directory), "files": [str(p) for p in written]})
        return 0
    for path in written:
        print(path)
    print(f"\nNow: cd {directory} && reroll investigate --case next-friday", file=sys.stderr)
    return 0


def import_(file: Path, check: str | None, into: Path | None, common: Common) -> int:
    from reroll.intake.importing import ImportedSample, project_from_recorded
    from reroll.intake.recording import look_at, store_all
    from reroll.render.recording import show_recording

    rows: list[ImportedSample] = []
    checks = None if check is None else read_checks(check, "--check")
    _, seen = look_at(file, checks, setting("alpha"), None if into else rows.append)
    if into is not None:
        project_from_recorded(file, into, check)
    else:
        with Store.open(setting("store", common.store) or common.project / ".reroll" / "store.sqlite") as store:
            seen = replace(seen, stored=store_all(store, file, rows))
    if common.json:
        _print_json(to_json(seen, "reroll.import/1"))
    else:
        show_recording(seen, _console())
        if into is not None:
            print(f"Wrote a project to {into}: cd {into} && reroll investigate --case ID", file=sys.stderr)
    return 0


def doctor(model: str | None, base_url: str | None, common: Common) -> int:
    from reroll.looking import environment_facts
    from reroll.models.probe import probe  # noqa: F401  (the wires use it; imported here to fail early)

    if model is None:
        program = _project(common).program
        model, base_url = program.model, program.base_url

    async def run() -> tuple[str, str, Any]:
        opened = _open(model, base_url, common.project)
        try:
            await opened.check()
            return opened.name, opened.identity, await opened.probe()
        finally:
            await opened.close()

    name, identity, capabilities = _run(run())
    if common.json:
        facts = environment_facts()
        _print_json(
            {
                "schema": "reroll.doctor/1",
                "model": name,
                "identity": identity,
                "capabilities": to_json(capabilities),
                **facts,
            }
        )
    else:
        from reroll.render.terminal import show_capabilities

        show_capabilities(f"{name}  ({identity})", capabilities, _console())
        for key, value in environment_facts().items():
            print(f"{key}: {value}")
    return 0


# -- what commands share -----------------------------------------------------------------------------------------------


def _open(ref: str, base_url: str | None, folder: Path) -> Model:
    return open_model(ref, base_url=base_url, project=folder, timeout=setting("timeout"), tries=setting("tries"))


def _project(common: Common, told: Told | None = None) -> Project:
    """The project; a bare one where only a request file is asked about."""
    if told and told.request and not (common.project / "program.yaml").exists():
        return Project(common.project, Program(program=told.request.stem, model=told.model or "bundled"), (), (), ())
    return load_project(common.project)


def _store(common: Common, project: Project, create: bool = True) -> Store:
    return Store.open(setting("store", common.store) or project.path / ".reroll" / "store.sqlite", create=create)


def _target(target: float | None) -> float | None:
    if target is not None and not 0 < target < 1:
        raise UsageError(f"--target is a success rate between 0 and 1, such as 0.99; got {target:g}", slug="target")
    return target


def _options(spending: Spending) -> Options:
    given = {
        "alpha": spending.alpha,
        "budget": spending.budget,
        "concurrency": spending.concurrency,
        "control_share": None,
    }
    values = {name: setting(name, value) for name, value in given.items()}
    if not 0 < values["alpha"] < 0.5:
        raise UsageError(f"--alpha is a chance between 0 and 0.5, such as 0.05; got {values['alpha']:g}", slug="alpha")
    for name in ("budget", "horizon", "concurrency"):
        value = getattr(spending, name)
        if value is not None and value < 1 and not (name == "budget" and value == 0):
            raise UsageError(f"--{name} must be 1 or more, got {value}", slug=name)
    if spending.max_usd is not None and spending.max_usd <= 0:
        raise UsageError(f"--max-usd must be more than 0, got {spending.max_usd:g}", slug="max-usd")
    return Options(**values, horizon=spending.horizon, max_usd=spending.max_usd, seed=spending.seed)


def _effects_allow_repeating(program: Program) -> None:
    """Raises: UsageError where repeating the call would repeat what it does to the world."""
    if program.effects == "real":
        raise UsageError(
            f"program `{program.program}` declares `effects: real`, and repeating a call repeats what it does; "
            "point it at a sandbox and declare `effects: sandbox`",
            slug="effects",
        )
    if program.effects is None and program.model.split(":")[0] in ("python", "http"):
        raise UsageError(
            f"program `{program.program}` runs your own code, and repeating a call repeats what it does; "
            "declare `effects: none` or `effects: sandbox` in program.yaml",
            slug="effects",
        )


def _price_agreed(program: Program, priced: bool, options: Options, spending: Spending) -> None:
    """Say calls, tokens and money first where they are many or unknown. Raises: UsageError when nobody agrees."""
    if spending.yes or (priced and options.budget <= SETTINGS["budget"].default):
        return
    from reroll.models.prices import price
    from reroll.sample import Usage

    prompt = sum(len(str(m.get("content") or "")) for m in program.messages_alone()) // 4 + 50
    answer = int(program.params.get("max_tokens") or program.params.get("max_completion_tokens") or 500)
    usage = Usage(prompt * options.budget, answer * options.budget)
    usd = (
        price(program.model.partition(":")[2] or program.model, usage, program.model.partition(":")[0])
        if priced
        else None
    )
    text = (
        f"this may make up to {counts('call', options.budget)}, about {usage.prompt_tokens:,} prompt tokens and "
        f"at most {usage.completion_tokens:,} completion tokens, {money(usd)}"
    )
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(f"{text}; add --yes to agree, or lower --budget", slug="price")
    print(f"{text[0].upper()}{text[1:]}.", file=sys.stderr)
    if input("Go on? [y/N] ").strip().lower() not in ("y", "yes"):
        raise UsageError("nothing was called", slug="price")


def _person(spending: Spending) -> Person | None:
    """Who answers `person` checks: the command given, else whoever sits at the terminal, else nobody."""
    if spending.person is not None:
        return by_command(spending.person)
    return by_asking(_ask_about) if sys.stdin.isatty() and sys.stderr.isatty() else None


def _ask_about(question: str, text: str, inputs: Mapping[str, Any]) -> str:
    from rich.console import Console

    from reroll.render.terminal import show_question

    show_question(question, text, inputs, Console(file=sys.stderr, highlight=False))
    typed = input("pass, fail or unsure [p/f/u]: ").strip().lower()
    return {"p": "pass", "f": "fail", "u": "unsure"}.get(typed, typed)


def _ask(question: str, choices: Sequence[str]) -> int | None:
    """The choice that the person at the terminal makes; None where nobody sits there."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    print(question, file=sys.stderr)
    for i, choice in enumerate(choices, 1):
        print(f"  {i}. {choice}", file=sys.stderr)
    reply = input("Number: ").strip()
    return int(reply) - 1 if reply.isdigit() and 0 < int(reply) <= len(choices) else None


@contextlib.contextmanager
def _stopping_cleanly(session: Session) -> Iterator[None]:
    """Ctrl-C ends the drawing, not the program: what is known is still printed. A second one ends it."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        session.stopped = True
        if session.drawing is not None:
            session.drawing.cancel()
        loop.remove_signal_handler(signal.SIGINT)

    with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # Windows, or not the main thread
        loop.add_signal_handler(signal.SIGINT, stop)
    try:
        yield
    finally:
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.remove_signal_handler(signal.SIGINT)


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run on uvloop where it exists: the wire costs a third less CPU there."""
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    with contextlib.suppress(ImportError):
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(work)


def _print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False, allow_nan=False))


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False)
