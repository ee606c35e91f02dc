"""Follows what runs: its message shows where it stands, then its answer; reporters hear when theirs is mended."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from reroll.errors import RerollError, StoreError
from reroll.job_person import PATIENCE
from reroll.ledger import APPLIED, TRIED, fix_in
from reroll.numbers import counts
from reroll.slack import limits, shown
from reroll.slack.delivery import Delivery
from reroll.slack.desk import AGAIN, Desk, what_is_done
from reroll.slack.followed import CAN_ASK
from reroll.store_rows_web import Finding, Job
from reroll.store_slack import SlackAsk
from reroll.web.gathered import answer_of

__all__ = ["Watching"]

JSON = Any
USER = re.compile(r"[UW][A-Z0-9]+")
EVERY = 1.0  # seconds between edits of one message, at least
MENDED_EVERY = 5.0  # seconds between looks for what was mended
ANSWERS = ("investigate", "rerun", "certify")


@dataclass(slots=True)
class Watching:
    """pages: where `reroll serve` is reached, for links; drawn: by ask what its message showed last, and when."""

    desk: Desk
    delivery: Delivery
    pages: str | None = None
    drawn: dict[str, tuple[str, float]] = field(default_factory=dict)
    looked: float = 0.0
    applied: set[str] = field(default_factory=set)  # decisions that were told

    async def look(self) -> None:
        """Draw what changed, and end what is over."""
        for asked in await asyncio.to_thread(self.desk.store.asks, states=("running",)):
            try:
                await self._one(asked)
            except StoreError:
                raise
            except Exception as error:  # one answer that cannot be drawn holds up no other
                self.delivery.complain(f"an answer could not be told: {type(error).__name__}: {error}")
        if time.monotonic() - self.looked >= MENDED_EVERY:
            self.looked = time.monotonic()
            await asyncio.to_thread(self.tell_mended)

    async def _one(self, asked: SlackAsk) -> None:
        store = self.desk.store
        job = await asyncio.to_thread(store.job, str(asked.job_id))
        if not job.active:
            if time.monotonic() - self.drawn.get(asked.id, ("", 0.0))[1] < EVERY:
                return
            await asyncio.to_thread(self.end, asked, job)
            self.drawn.pop(asked.id, None)
            return
        await asyncio.to_thread(self._ask_people, asked, job)
        line = shown.progress_line(job.progress) if job.progress else ""
        before, at = self.drawn.get(asked.id, ("", 0.0))
        message = await asyncio.to_thread(store.message, f"ask:{asked.id}")
        if line in ("", before) or time.monotonic() - at < EVERY or message is None or message.ts is None:
            return
        self.drawn[asked.id] = (line, time.monotonic())
        text = f"{what_is_done(asked)}: {asked.about['price']}."
        blocks = shown.with_buttons([shown.section(text), shown.note(line)], shown.button("Stop", "stop", asked.id))
        await self.delivery.draw(asked.channel, message.ts, shown.message(f"{text} {line}", blocks))

    def _ask_people(self, asked: SlackAsk, job: Job) -> None:
        """A completion that only a person can judge, with buttons."""
        asks = self.desk.store.open_question(job.id) if job.state == "running" else None
        if asks is None:
            return
        n, question = asks
        value = f"{job.id}:{n}"
        text, wanted = str(question.get("text") or ""), question.get("question") or question.get("expected")
        ask = wanted if isinstance(wanted, str) else "Is this answer right?"
        if question.get("optional"):
            ask += f" It tells how far the check is right; without an answer I go on after {PATIENCE:.0f} seconds."
        blocks = [shown.section(ask), shown.section(text or "(an empty answer)")]
        buttons = [
            shown.button("Right", "right", value),
            shown.button("Wrong", "wrong", value),
            shown.button("Nobody can say", "unsure", value),
        ]
        body = {"ask": asked.id, **shown.message("Is this answer right?", shown.with_buttons(blocks, *buttons))}
        self.desk.store.send(f"judge:{value}", asked.channel, "post", body)

    def end(self, asked: SlackAsk, job: Job) -> None:
        """The answer in place of the progress, the figure behind it. Done twice it is done once."""
        store = self.desk.store
        key = f"ask:{asked.id}"
        if job.finding_id is None:
            why = f": {job.message}" if job.message else ", as somebody stopped it."
            text = f"{what_is_done(asked)} could not be done{why}"
            again = shown.button("Run it again", "again", asked.id)
            said = {"of": key, "ask": asked.id, **shown.plain_message(text, again)}
            store.send(f"{key}:end", asked.channel, "edit", said)
            self._call(asked, f"{key}:call")
        else:
            finding = store.finding(job.finding_id)
            body = store.finding_body(finding.id)
            message = self._answer(asked, finding, body)
            store.send(f"{key}:end", asked.channel, "edit", {"of": key, "ask": asked.id, **message})
            if finding.command not in ANSWERS:
                self._call(asked, f"{key}:call")
            else:
                told = {"ask": asked.id, "finding": finding.id, "title": "How often it fails"}
                store.send(f"{key}:figure", asked.channel, "file", {**told, "text": _above(asked)})
        store.change_ask(asked.id, was="running", state="told")

    def _call(self, asked: SlackAsk, key: str) -> None:
        """An edit calls nobody, so whoever asked is called."""
        self.desk.store.send(key, asked.channel, "post", {"ask": asked.id, "text": _above(asked)})

    def _answer(self, asked: SlackAsk, finding: Finding, body: Mapping[str, JSON]) -> dict[str, JSON]:
        words = str(asked.about["told"].get("words") or "")
        made = shown.answered(finding.command, body, answer_of(body), words, self._page(asked, finding))
        if finding.command == "investigate":
            made["blocks"].append(shown.note(CAN_ASK))
        try:
            price = self.desk.price_of_again(asked)
        except RerollError:  # the project's files cannot be read now
            price = ""
        buttons = [
            shown.button(f"Run it again ({counts('call', AGAIN)}{price})", "again", asked.id),
            shown.button("I have an idea", "idea", asked.id),
        ]
        if asked.report_id is not None:
            buttons.append(shown.button("This is not what I meant", "meant", asked.id))
        made["blocks"] = limits.fitting(shown.with_buttons(made["blocks"], *buttons))
        return made

    def _page(self, asked: SlackAsk, finding: Finding) -> str | None:
        if self.pages is None:
            return None
        if finding.command == "investigate" and asked.report_id is not None:
            return f"{self.pages}/reports/{quote(asked.report_id, safe='')}"
        return f"{self.pages}/findings/{quote(finding.id, safe='')}"

    # -- what was mended -----------------------------------------------------------------------------------------------

    def tell_mended(self) -> None:
        """Each thread that a report came from hears once that it is mended, or that a fix was applied."""
        store = self.desk.store
        reported = {
            (one.report_id, one.channel, one.thread): one
            for one in store.asks(states=("told",))
            if one.report_id is not None and one.what == "investigate" and one.thread
        }
        marks = store.report_marks({str(report) for report, _, _ in reported})
        for (report, channel, thread), asked in reported.items():
            if marks.get(str(report), {}).get("status") == "mended":
                key = f"mended:{report}:{channel}:{thread}"
                self._tell(
                    asked, key, "This is mended, says whoever looked into it. “Run it again” shows whether it is."
                )
        if reported:
            self._tell_applied(list(reported.values()))

    def _tell_applied(self, reported: list[SlackAsk]) -> None:
        store = self.desk.store
        applied = [one for one in store.decisions(rule=APPLIED) if one.id not in self.applied]
        if not applied:
            return
        cases = {d.evidence["fix"]["id"]: d.case_id for d in store.decisions(rule=TRIED) if fix_in(d.evidence)}
        for decision in applied:
            self.applied.add(decision.id)
            fix = fix_in(decision.evidence)
            case = cases.get(fix.get("id")) if fix else None
            for asked in reported:
                if fix and asked.case_id == case and decision.made * 1e6 > asked.made_us:
                    text = f"The fix {fix.get('fix')} was applied for this. “Run it again” shows what it does."
                    self._tell(asked, f"applied:{decision.id}:{asked.channel}:{asked.thread}", text)

    def _tell(self, asked: SlackAsk, key: str, text: str) -> None:
        again = shown.button(f"Run it again ({counts('call', AGAIN)})", "again", asked.id)
        self.desk.store.send(key, asked.channel, "post", {"ask": asked.id, **shown.plain_message(text, again)})


def _above(asked: SlackAsk) -> str:
    called = f"<@{asked.asked_by}> the" if USER.fullmatch(asked.asked_by) else "The"
    return f"{called} answer is above."
