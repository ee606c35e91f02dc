"""What every command opens: the project, its store, a model, and an event loop that Ctrl-C stops."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from reroll.arguments import Common
from reroll.checking import Checker, Judges
from reroll.intake.reported import Told
from reroll.judge_calls import JudgeCalls
from reroll.models.registry import open_model
from reroll.options import can_be_capped
from reroll.person import Person
from reroll.program import Program
from reroll.project import Project, load_project
from reroll.session import Options, Session
from reroll.settings import setting
from reroll.store import Store

if TYPE_CHECKING:
    from reroll.models.model import Model

__all__ = ["checker_of", "judges_of", "model_of", "on_stop", "project_of", "run", "stopping_cleanly", "store_of"]

T = TypeVar("T")


def project_of(common: Common, told: Told | None = None) -> Project:
    """The project; a bare one where only a request file is asked about."""
    if told and told.request and not (common.project / "program.yaml").exists():
        return Project(common.project, Program(program=told.request.stem, model=told.model or "bundled"), (), (), ())
    return load_project(common.project)


def store_of(common: Common, project: Project, create: bool = True) -> Store:
    home = project.path / ".reroll"
    store = Store.open(setting("store", common.store) or home / "store.sqlite", create=create, rescue=home)
    store.take_in()
    return store


def model_of(ref: str, base_url: str | None, folder: Path) -> Model:
    return open_model(ref, base_url=base_url, project=folder, timeout=setting("timeout"), tries=setting("tries"))


def checker_of(project: Project, judges: Judges, person: Person | None = None) -> Checker:
    """What holds samples against the project's checks; close it."""
    return Checker(project.path, seconds=setting("check_timeout"), person=person, judges=judges)


def judges_of(store: Store, project: Project, options: Options) -> JudgeCalls:
    """Who asks the judges of a project's checks, held to the caps of these options; close it."""
    return JudgeCalls(
        store,
        project.path,
        timeout=setting("timeout"),
        tries=setting("tries"),
        concurrency=options.concurrency,
        max_seconds=options.max_seconds,
        admit=lambda model: can_be_capped(model, options),
    )


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run on uvloop where it exists: the wire costs a third less CPU there."""
    factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    with contextlib.suppress(ImportError):
        import uvloop

        factory = uvloop.new_event_loop
    with _collecting_less(), asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(work)


@contextlib.contextmanager
def _collecting_less() -> Iterator[None]:
    """Look for garbage in cycles less often: thousands of calls in flight are alive, and were looked through each time.

    Saves a tenth of a call's CPU; what is in cycles waits a little longer.
    """
    usual = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()


def _all_beside(sessions: Sequence[Session]) -> Iterator[Session]:
    """These sessions and all that were made from them."""
    for session in sessions:
        yield session
        yield from _all_beside(session.beside)


def on_stop(call: Callable[[], object]) -> None:
    """Call this at Ctrl-C and at a signal to end, in place of what they usually do."""
    for one in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # Windows, or not the main thread
            asyncio.get_running_loop().add_signal_handler(one, call)


@contextlib.contextmanager
def stopping_cleanly(*sessions: Session) -> Iterator[None]:
    """Ctrl-C ends the drawing, not the program: what is known is still printed. A second one ends it."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        for session in _all_beside(sessions):
            session.stopped = True
            if session.checker.judges is not None:
                session.checker.judges.stop()
            for drawing in session.drawing:
                drawing.cancel()

    with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # Windows, or not the main thread
        loop.add_signal_handler(signal.SIGINT, stop)
    try:
        yield
    finally:
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            loop.remove_signal_handler(signal.SIGINT)
