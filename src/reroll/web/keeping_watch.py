"""Watching goes on beside a server or in `reroll watch`: look, ask for what an alarm may spend, tell the webhook."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from reroll.checking import Checker
from reroll.errors import RerollError, StoreError
from reroll.judge_calls import JudgeCalls
from reroll.numbers import money
from reroll.project import Project
from reroll.settings import setting
from reroll.store_rows_web import Job
from reroll.store_watch import StoredAlarm
from reroll.watch_file import WatchFile, judges_variant, read_watch, secret_of_webhook, watch_path
from reroll.watch_rounds import BY, Said, Watcher
from reroll.web.access import Visitor
from reroll.web.actions import ACTIONS, ask
from reroll.web.beside import beside
from reroll.web.home import Home
from reroll.web.reporting import how_measured
from reroll.webhook import deliver

__all__ = ["Keeper", "keeping_watch"]

EVERY = 2.0  # seconds between looks
RESTED = 30.0  # seconds before what could not be done is tried again
STALE = 60.0  # seconds after which an alarm whose job somebody was asking for is taken up
WEEK_US = 7 * 86400 * 1_000_000
SPENT_UP = "not investigated: the {cap} that watch.yaml allows in 7 days are spent"
NO_CASE = "not investigated: the calls are of no case of this project (docs/watching.md says how they become one)"


@dataclass
class Keeper:
    """Keeps one project's watch, rebuilt when its files change.

    say: is told what happens; complain: what goes wrong. needs_file: without a watch.yaml nothing is watched.
    """

    home: Home
    say: Callable[[Said], None] = lambda said: None
    complain: Callable[[str], None] = lambda words: None
    needs_file: bool = False
    watcher: Watcher | None = None
    told: WatchFile = field(default_factory=WatchFile)
    secret: str | None = None
    asked: list[Job] = field(default_factory=list)  # jobs of this process, newest last
    _project: Project | None = None
    _checker: Checker | None = None
    _judges: JudgeCalls | None = None
    _complained: str = ""
    _unasked: str = ""  # why a model that judges could not be asked, as it was said last
    _ended: bool = False
    _stopping: bool = False
    _looking: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> Keeper:
        return self

    def __exit__(self, *_: object) -> None:
        with self._looking:  # a check that is ended while it looks would seem to have crashed
            self._close()
            self._ended = True

    def _close(self) -> None:
        if self._checker is not None:
            self._checker.close()
        if self._judges is not None:
            self._judges.close()

    def stop(self) -> None:
        """End a look that waits for a model: what it did not ask about is left to the next one."""
        self._stopping = True
        if self.watcher is not None:
            self.watcher.judges.ended = True
        if self._judges is not None:
            self._judges.stop()

    def ready(self) -> Watcher:
        """The watcher of the project as its files say now. Raises: FileError, UsageError."""
        project = self.home.project()
        if self.watcher is None or project is not self._project:
            told = read_watch(project)
            self.secret = secret_of_webhook(told)
            self._close()
            self._judges = None if told.judge is None else self._asking(project, told)
            self._checker = Checker(project.path, judges=self._judges)
            self.watcher, self.told, self._project = (
                Watcher(project, told, self.home.store, self._checker),
                told,
                project,
            )
        return self.watcher

    def _asking(self, project: Project, told: WatchFile) -> JudgeCalls:
        """Who asks the judges of production's calls."""
        tries, seconds = setting("tries"), setting("timeout")
        return JudgeCalls(self.home.store, project.path, timeout=seconds, tries=tries, variant=judges_variant(told))

    def look(self) -> bool:
        """Look once and ask for what is wanted; whether there is more to see at once. Raises: RerollError."""
        with self._looking:
            if self._ended or self._stopping or (self.needs_file and not watch_path(self.home.folder).exists()):
                return False
            found = self.ready().look(time.time())
            for said in found.said:
                self.say(said)
            problem = "" if self.watcher is None else self.watcher.judges.problem
            if problem and problem != self._unasked:
                self.complain(f"{problem}; calls that a model should have judged are counted as not judged")
            self._unasked = problem
            self.ask_jobs()
        return found.more

    # -- what an alarm may spend ---------------------------------------------------------------------------------------

    def ask_jobs(self) -> None:
        """Have alarms investigated that are to be: each once, whoever asks or dies meanwhile."""
        store = self.home.store
        for alarm in store.jobs_wanted(str(self.told.watch)):
            if not store.claim_alarm(alarm.id, STALE):
                continue
            made = [job for job in store.jobs(report_id=alarm.report_id) if job.asked_by == BY]
            if made:
                store.end_claim(alarm.id, "asked", made[0].id)
                continue
            job = self._ask(alarm)
            if isinstance(job, str):
                store.end_claim(alarm.id, job)
            else:
                store.end_claim(alarm.id, "asked", job.id)
                self.asked.append(job)

    def _ask(self, alarm: StoredAlarm) -> Job | str:
        """The job, or why there is none."""
        cap, project = self.told.investigate, self.home.project()
        if cap is None:
            return "not investigated: watch.yaml does not ask for it any more"
        report = next((one.report for one in self.home.store.reports() if one.id == alarm.report_id), None)
        cases = {case.id: case for case in (*project.cases, *project.reported)}
        if report is None or report.case_id not in cases:
            return NO_CASE
        most: float | None = max(0.0, cap.max_usd - self._spent())
        if project.program.runs_here:
            most = None  # its calls cost nothing
        elif not most:
            return SPENT_UP.format(cap=money(cap.max_usd))
        if self.home.max_usd is not None:
            most = self.home.max_usd if most is None else min(most, self.home.max_usd)
        home = Home(self.home.folder, self.home.store, self.home.store_url, max_usd=most, budget=self.home.budget)
        case = cases[report.case_id]
        told = {"case": case.id, "words": report.words, **how_measured(project, case), "budget": str(cap.budget)}
        try:
            job: Job = ask(home, ACTIONS["investigate"], told, Visitor(BY, ("read", "run"), ""), alarm.report_id)
        except StoreError:
            raise
        except RerollError as error:
            return f"not investigated: {error}"
        return job

    def _spent(self) -> float:
        """What alarms' jobs of the last 7 days cost; one that runs, or whose cost is unknown, all that it may cost."""
        since = time.time_ns() // 1000 - WEEK_US
        mine = [job for job in self.home.store.jobs() if job.asked_by == BY and job.asked_us >= since]
        return sum((job.usd if job.usd is not None else job.max_usd) or 0.0 for job in mine)

    # -- going on ------------------------------------------------------------------------------------------------------

    async def go(self) -> None:
        """Until it is cancelled. What goes wrong is said once, and tried again."""
        while True:
            more, rest = False, EVERY
            try:
                more = await asyncio.to_thread(self.look)
                if more or not await self.tell():
                    self._complained = ""
            except RerollError as error:
                rest = RESTED if not isinstance(error, StoreError) else EVERY
                self._complain(str(error))
            except Exception as error:  # what nobody foresaw must not end the watch
                rest = RESTED
                self._complain(f"unexpected error: {type(error).__name__}: {error}; the watch goes on")
            if not more:
                await asyncio.sleep(rest)

    async def tell(self) -> str:
        """Tell the webhook what it does not know; why it does not know it then, "" if it does."""
        url = self.told.tell.webhook
        if url is None or self.secret is None:
            return ""
        problem = await deliver(self.home.store, str(self.told.watch), url, self.secret)
        if problem:
            self._complain(problem)
        return problem

    def _complain(self, words: str) -> None:
        if words != self._complained:
            self._complained = words
            self.complain(words)


@contextlib.asynccontextmanager
async def keeping_watch(home: Home, complain: Callable[[str], None]) -> AsyncIterator[None]:
    """While a server runs: the watch of a project that has a watch.yaml, as soon as it has one."""
    with Keeper(home, complain=complain, needs_file=True) as keeper:
        async with beside(keeper.go()):
            try:
                yield
            finally:
                keeper.stop()
