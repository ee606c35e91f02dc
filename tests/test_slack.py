"""Slack as people use it, against a fake one: reports, answers, buttons, follow-ups, and nothing twice or lost."""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from reroll.cli import main
from reroll.init import init_project
from reroll.store import Store
from reroll.store_rows_web import Job
from reroll.store_slack import SlackAsk
from reroll.web.home import Home
from tests import fake_slack as fake
from tests.fake_slack import FakeSlack
from tests.pages import no_job_goes_on, until

pytest.importorskip("slack_bolt", reason="slack-bolt is not installed here; `pip install 'reroll[slack]'`")

ROOM, ANA, BEN = "C1", "UANA", "UBEN"
WORDS = 'I tried "Lunch with Ana next Friday at noon" and it didn\'t work.'
MENTION = f"<@{fake.ME}>"


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    with fake.fake_slack() as made:
        yield made
        assert not made.problems, made.problems


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example project with an empty store."""
    folder = tmp_path_factory.mktemp("example") / "meetings"
    init_project(folder)
    Store.open(folder / ".reroll" / "store.sqlite").close()
    return folder


@pytest.fixture
def home(tmp_path: Path, example: Path) -> Path:
    return Path(shutil.copytree(example, tmp_path / "meetings"))


@dataclass
class Running:
    """`reroll slack` as a process."""

    process: subprocess.Popen[bytes]
    folder: Path
    log: Path
    url: str = ""

    def post(self, body: dict[str, Any]) -> float:
        """Send it as Slack does; seconds until it was acknowledged."""
        status, _, seconds = fake.post(self.url, body)
        assert status == 200, self.log.read_text()
        return seconds

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(20)


def environment(slack: FakeSlack) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "SLACK_BOT_TOKEN": fake.BOT_TOKEN,
        "SLACK_APP_TOKEN": fake.APP_TOKEN,
        "SLACK_SIGNING_SECRET": fake.SIGNING,
        "REROLL_SLACK_API": f"{slack.base}/api/",
    }


@contextlib.contextmanager
def answering(slack: FakeSlack, folder: Path, *words: str, says: str = r"at (http://\S+);") -> Iterator[Running]:
    """`reroll slack` until the block ends; jobs are stopped with it."""
    log = folder / "slack.log"
    command = [sys.executable, "-m", "reroll", "slack", "--project", str(folder), *words]
    with log.open("ab") as told:
        before = log.stat().st_size
        process = subprocess.Popen(command, stderr=told, env=environment(slack))
    made = Running(process, folder, log)
    try:
        until(lambda: bool(re.search(says, log.read_text()[before:])) or process.poll() is not None)
        found = re.search(says, log.read_text()[before:])
        assert found, log.read_text()
        made.url = found[1] if found.groups() else ""
        yield made
    finally:
        killed = process.poll() is not None
        process.terminate()
        process.wait(20)
        if not killed:
            no_job_goes_on(folder)
    said = log.read_text()
    assert "Traceback" not in said, said[-4000:]
    assert not any(secret in said for secret in (fake.BOT_TOKEN, fake.APP_TOKEN, fake.SIGNING))


def texts(slack: FakeSlack, channel: str = ROOM) -> list[str]:
    return [str(one["text"]) for one in slack.ours(channel)]


def whole(message: dict[str, Any]) -> str:
    """All that a message shows."""
    return " ".join(re.findall(r'"text": "((?:[^"\\]|\\.)*)"', json.dumps(message, ensure_ascii=False)))


def buttons(message: dict[str, Any]) -> dict[str, str]:
    """What its buttons do, by their action."""
    blocks = message.get("blocks") or []
    return {e["action_id"]: e["value"] for b in blocks if b["type"] == "actions" for e in b["elements"]}


# -- one step at a time, in this process -------------------------------------------------------------------------------


class Place:
    """A workplace whose steps are taken by hand; jobs are ended by hand, too."""

    def __init__(self, slack: FakeSlack, folder: Path, caps: Any = None, pages: str | None = None) -> None:
        from reroll.slack.app import Office, Secrets
        from reroll.slack.desk import Caps

        self.slack, self.folder = slack, folder
        self.store = Store.open(folder / ".reroll" / "store.sqlite")
        secrets = Secrets(fake.BOT_TOKEN, fake.SIGNING, None, f"{slack.base}/api/")
        self.office = Office(Home(folder, self.store), secrets, caps or Caps(), pages)

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *_: object) -> None:
        self.store.close()

    def take(self, *bodies: dict[str, Any]) -> None:
        """Slack sends these, and what they ask for is done as far as it goes without a job's end."""

        async def work() -> None:
            for body in bodies:
                assert (await self.office.take(body)).status == 200
            await asyncio.gather(*self.office.opening)
            await self._steps()

        asyncio.run(work())

    def go_on(self) -> None:
        asyncio.run(self._steps())

    async def _steps(self) -> None:
        await self.office.deal()
        await self.office.delivery.look()
        await self.office.watching.look()
        await self.office.delivery.look()

    def mention(self, user: str, text: str, thread: str | None = None, id: str = "", channel: str = ROOM) -> str:
        """Somebody calls us; the message's name."""
        said = f"{MENTION} {text}"
        ts = self.slack.say(channel, user, said, thread)
        inside = {} if thread is None else {"thread_ts": thread}
        self.take(fake.event("app_mention", channel, user, said, ts, id or f"Ev{ts}", **inside))
        return ts

    def talk(self, user: str, text: str, thread: str, **more: Any) -> str:
        """Somebody writes in a thread without calling us."""
        ts = self.slack.say(ROOM, user, text, thread)
        self.take(fake.event("message", ROOM, user, text, ts, f"Ev{ts}", thread_ts=thread, **more))
        return ts

    def press(self, user: str, message: dict[str, Any], action: str, at: str) -> dict[str, Any]:
        """Somebody presses a button of the message."""
        body = fake.press(ROOM, user, action, buttons(message)[action], at, message["ts"])
        self.take(body)
        return body

    def job(self) -> Job:
        """The newest."""
        return self.store.jobs(limit=1)[0]

    def finish(self, body: dict[str, Any], usd: float | None = 0.0) -> None:
        """The newest job ends with this."""
        job = self.job()
        assert self.store.claim_job(job.id, "w")
        about = {"case_id": job.case_id, "report_id": job.report_id, "job_id": job.id}
        found = self.store.add_finding(job.words[0], body, **about)
        self.store.end_job(job.id, "done", worker="w", finding_id=found, usd=usd)
        self.office.watching.drawn.clear()
        self.go_on()

    def newest(self) -> SlackAsk:
        return self.store.asks()[0]


@pytest.fixture
def place(slack: FakeSlack, home: Path) -> Iterator[Place]:
    with Place(slack, home, pages="https://pages.example.org") as made:
        yield made


@pytest.fixture
def paid(slack: FakeSlack, home: Path) -> Iterator[Place]:
    """Where calls cost money; nothing is called, as jobs are ended by hand."""
    with Place(slack, costing(home)) as made:
        yield made


def costing(home: Path, model: str = "openai:gpt-4o") -> Path:
    file = home / "program.yaml"
    file.write_text(re.sub("model: bundled .*", f"model: {model}", file.read_text()))
    return home


@pytest.fixture(scope="module")
def answer(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `reroll investigate` answers, from a real run."""
    folder = tmp_path_factory.mktemp("answer") / "meetings"
    init_project(folder)
    besides = ["--no-forks", "--no-cause", "--no-fixes", "--budget", "12", "--quiet", "--json"]
    with contextlib.redirect_stdout(io.StringIO()):
        assert main(["investigate", "--case", "next-friday", *besides, "--project", str(folder)]) == 0
    with Store.open(folder / ".reroll" / "store.sqlite") as store:
        return store.finding_body(store.findings()[0].id)


def test_a_case_that_is_quoted_is_measured_and_answered_in_its_thread(place: Place, answer: dict[str, Any]) -> None:
    ts = place.mention(ANA, WORDS)
    (message,) = place.slack.ours(ROOM)
    assert message["thread_ts"] == ts
    assert "up to 1,200 calls, free: the model runs here. It runs now." in message["text"]
    job = place.job()
    assert (job.words[0], job.case_id, job.asked_by) == ("investigate", "next-friday", f"slack:{ANA}")
    (report,) = place.store.reports()
    assert (report.report.words, report.report.by, job.report_id) == (WORDS, f"slack:{ANA}", report.id)
    place.finish(answer)
    told, figure = place.slack.ours(ROOM)
    assert told["ts"] == message["ts"]  # the same message says the answer now
    for sentence in answer["text"].split(". "):
        assert sentence in whole(told)
    assert f"<https://pages.example.org/reports/{report.id.replace(':', '%3A')}|" in whole(told)
    assert set(buttons(told)) == {"again", "idea", "meant"}
    assert figure["text"] == f"<@{ANA}> the answer is above."
    (upload,) = place.slack.uploads.values()
    assert upload["data"].startswith(b"\x89PNG")
    assert "fails" in upload["alt_txt"]
    assert place.newest().state == "told"


def test_the_words_of_whoever_reported_it_are_found_in_the_thread(place: Place) -> None:
    root = place.slack.say(ROOM, ANA, WORDS)
    place.mention(BEN, "can you look into this?", thread=root)
    assert place.store.reports()[0].report.by == f"slack:{ANA}"
    assert place.job().case_id == "next-friday"


@pytest.mark.parametrize(
    "text",
    [
        "```Dinner with Omar on Friday at half seven```",
        "this failed:\n&gt; Dinner with Omar on Friday\n&gt; at half seven\nwhy?",
        "`Dinner with Omar on Friday at half seven` gives the wrong time",
        "Dinner with Omar on Friday at half seven",
        "I tried Dinner with Omar on Friday at half seven and it didn't work",
    ],
)
def test_a_request_may_be_fenced_quoted_or_stand_alone(place: Place, text: str) -> None:
    place.mention(ANA, text)
    assert place.job().case_id == "half-seven"


def test_what_fits_several_cases_is_asked_about_and_not_guessed(place: Place) -> None:
    place.mention(ANA, 'I tried "next Friday" and it failed')
    assert place.store.jobs() == []
    assert texts(place.slack)[0].startswith("Which request was it?")


def test_another_request_in_the_same_thread_is_a_report_of_its_own(place: Place) -> None:
    root = place.mention(ANA, WORDS)
    place.mention(BEN, 'again: "Dinner with Omar on Friday at half seven" fails, too', thread=root)
    assert place.job().case_id == "half-seven"
    assert [report.report.case_id for report in place.store.reports()] == ["next-friday", "half-seven"]
    place.mention(BEN, 'and "Tea with Zoe at four"', thread=root)
    assert "I do not know “Tea with Zoe at four” yet" in texts(place.slack)[-1]


def test_the_same_event_and_the_same_message_are_answered_once(place: Place) -> None:
    ts = place.mention(ANA, WORDS, id="Ev1")
    said = fake.event("app_mention", ROOM, ANA, f"{MENTION} {WORDS}", ts, "Ev1")
    place.take(said, said, {**said, "event_id": "Ev2"})
    place.take({**fake.event("message", ROOM, ANA, f"{MENTION} {WORDS}", ts, "Ev3"), "event_id": "Ev3"})
    assert len(place.slack.ours(ROOM)) == len(place.store.jobs()) == 1


def test_an_event_that_was_kept_but_not_dealt_with_is_dealt_with_after_a_restart(slack: FakeSlack, home: Path) -> None:
    ts = slack.say(ROOM, ANA, f"{MENTION} {WORDS}")
    said = fake.event("app_mention", ROOM, ANA, f"{MENTION} {WORDS}", ts, "Ev1")
    with Place(slack, home) as first:
        asyncio.run(first.office.take(said))
    for _ in range(2):
        with Place(slack, home) as second:
            second.go_on()
    assert len(slack.ours(ROOM)) == 1


def test_what_was_dealt_with_halfway_is_not_said_twice(place: Place) -> None:
    """Killed after the job was asked for and before the event was ended."""
    ts = place.slack.say(ROOM, ANA, WORDS)
    said = fake.event("app_mention", ROOM, ANA, WORDS, ts, "Ev1")
    asyncio.run(place.office.take(said))
    (event,) = place.store.open_events()
    ended, place.store.end_event = place.store.end_event, lambda id: None  # type: ignore[method-assign]
    place.office.desk.deal(event)
    place.store.end_event = ended  # type: ignore[method-assign]
    place.go_on()
    place.go_on()
    assert len(place.slack.ours(ROOM)) == len(place.store.jobs()) == len(place.store.asks()) == 1
    assert place.store.open_events() == []


def test_nothing_that_could_be_measured_gets_one_question_and_its_answer_is_measured(place: Place) -> None:
    root = place.mention(ANA, "the assistant is odd today")
    (question,) = place.slack.ours(ROOM)
    assert question["text"].startswith("Which request was it?")
    assert set(buttons(question)) == {"form"}
    place.talk(BEN, "same here", root)
    place.talk(ANA, "let me look for it", root)
    assert len(place.slack.ours(ROOM)) == 1
    place.talk(ANA, 'it was "Lunch with Ana next Friday at noon"', root)
    assert place.job().case_id == "next-friday"
    assert place.store.reports()[0].report.words == "the assistant is odd today"


def test_a_request_that_is_new_is_asked_about_once_and_kept_as_a_case(place: Place) -> None:
    root = place.mention(ANA, 'I tried "Tea with Zoe tomorrow at four" and it failed')
    (question,) = place.slack.ours(ROOM)
    assert "Tea with Zoe tomorrow at four" in question["text"]
    place.talk(ANA, 'it should say "2026-11-19"', root)
    job = place.job()
    (case,) = place.office.home.project().reported
    assert case.input == {"request": "Tea with Zoe tomorrow at four"}
    assert [check.form() for check in case.checks] == [{"name": "as-expected", "contains": "2026-11-19"}]
    assert job.case_id == case.id


def test_where_nobody_can_say_it_in_quotes_people_judge_each_answer_by_buttons(place: Place) -> None:
    root = place.mention(ANA, 'I tried "Tea with Zoe tomorrow at four" and it failed')
    place.talk(ANA, "the day should be right", root)
    job = place.job()
    assert place.store.claim_job(job.id, "w")
    n = place.store.ask_person(job.id, {"text": "<!channel> 2026", "question": "the day should be right"})
    place.go_on()
    asked = place.slack.ours(ROOM)[-1]
    assert "&lt;!channel&gt; 2026" in whole(asked)
    place.press(BEN, asked, "wrong", "9.1")
    assert place.store.answer_of(job.id, n) == "fail"
    assert "Answered: wrong." in whole(place.slack.ours(ROOM)[-1])


def test_where_calls_cost_money_the_price_comes_first_and_a_button_starts_it(
    paid: Place, answer: dict[str, Any]
) -> None:
    paid.mention(ANA, WORDS)
    (message,) = paid.slack.ours(ROOM)
    assert re.search(r"up to 400 calls, \$\d", message["text"]), message["text"]
    assert paid.store.jobs() == []
    pressed = paid.press(BEN, message, "start", "5.1")
    paid.take(pressed)  # the same press again
    paid.take(fake.press(ROOM, ANA, "start", buttons(message)["start"], "5.2", message["ts"]))  # somebody else, too
    (job,) = paid.store.jobs()
    assert job.asked_by == f"slack:{BEN}"
    assert "--no-fixes" in job.words
    paid.finish(answer, usd=0.25)
    assert len(paid.slack.ours(ROOM)) == 2
    assert re.search(r"Run it again \(10 calls, \$", whole(paid.slack.ours(ROOM)[0]))
    assert paid.store.spent_on_slack(0, asked_by=BEN) == 0.25


def test_a_person_and_a_channel_spend_no_more_than_their_caps(
    slack: FakeSlack, home: Path, answer: dict[str, Any]
) -> None:
    from reroll.slack.desk import Caps

    with Place(slack, costing(home), Caps(user=0.02, channel=0.03)) as place:
        place.mention(ANA, WORDS)
        first = slack.ours(ROOM)[-1]
        place.press(ANA, first, "start", "1.1")
        assert "--max-usd=0.02" in place.job().words
        place.finish(answer, usd=0.02)
        place.mention(ANA, WORDS + " Again.")
        second = slack.ours(ROOM)[-1]
        place.press(ANA, second, "start", "1.2")
        assert "may spend $0.02 in 24 hours, and that is spent" in texts(slack)[-1]
        assert len(place.store.jobs()) == 1
        place.press(BEN, second, "start", "1.3")
        assert "--max-usd=0.01" in place.job().words
        place.finish(answer, usd=0.01)
        place.mention("UCEM", WORDS + " Here, too.")
        place.press("UCEM", slack.ours(ROOM)[-1], "start", "1.4")
        assert "This channel may spend $0.03" in texts(slack)[-1]
        assert len(place.store.jobs()) == 2


def test_a_cap_that_cannot_be_held_as_no_price_is_known_starts_nothing(slack: FakeSlack, home: Path) -> None:
    from reroll.slack.desk import Caps

    costing(home, "openai:nobody-knows-me")
    with Place(slack, home, Caps(user=1.0)) as place:
        place.mention(ANA, WORDS)
        assert "price unknown" in texts(slack)[0]
        place.press(ANA, slack.ours(ROOM)[0], "start", "1.1")
        assert "the cap of $1.00 cannot be held" in texts(slack)[-1]
        assert place.store.jobs() == []


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("But we need this to be 99.5 % reliable", ["certify", "--target=0.995"]),
        ("is it reliable?", ["certify", "--target=0.99"]),
        ("Can't we just hard-code it?", ["try", "--case=next-friday", "hard-code"]),
        ("what about an if for that", ["try", "--case=next-friday", "hard-code"]),
        ("can't we just detect it and stop it?", ["try", "--case=next-friday", "guard-next-friday"]),
        ("but why?", ["cause", "next-friday"]),
        ("what if you run it again?", ["rerun", "--fresh", "next-friday"]),
    ],
)
def test_a_follow_up_is_answered_by_the_measurement_that_it_asks_for(place: Place, said: str, words: list[str]) -> None:
    root = place.mention(ANA, WORDS)
    place.mention(BEN, said, thread=root)
    job = place.job()
    assert job.words[0] == words[0]
    assert set(words) <= set(job.words), job.words
    assert "free: the model runs here" in texts(place.slack)[-1]


def test_without_being_called_we_only_offer_and_only_what_was_plainly_said(place: Place) -> None:
    root = place.mention(ANA, WORDS)
    place.talk(BEN, "see if you like it", root)
    place.talk(BEN, "thanks!", root)
    assert len(place.slack.ours(ROOM)) == 1
    place.talk(BEN, "Can't we just hard-code it?", root)
    offered = place.slack.ours(ROOM)[-1]
    place.talk(ANA, "yes, hard-code it", root)  # it is on offer already
    assert place.slack.ours(ROOM)[1:] == [offered]
    assert len(place.store.jobs()) == 1
    place.press(BEN, offered, "start", "3.1")
    assert place.job().words == ("try", "--case=next-friday", "--budget=2000", "--", "hard-code")


def test_what_cannot_be_measured_gets_one_sentence_that_says_what_can_be_asked(place: Place) -> None:
    root = place.mention(ANA, WORDS)
    place.mention(BEN, "thanks!", thread=root)
    assert texts(place.slack)[-1].startswith("Ask me “is it 99 % reliable?”")


def test_run_it_again_shows_outcomes_as_they_come(place: Place, answer: dict[str, Any]) -> None:
    place.mention(ANA, WORDS)
    place.finish(answer)
    place.press(BEN, place.slack.ours(ROOM)[0], "again", "4.1")
    job = place.job()
    assert job.words == ("rerun", "--fresh", "--budget=10", "--", "next-friday")
    assert place.store.claim_job(job.id, "w")
    shown = []
    for n in range(1, 4):
        progress = {"strip": "pfp"[:n], "calls": n, "budget": 10, "failures": int(n > 1), "doing": "", "phase": "case"}
        place.store.beat(job.id, "w", progress)
        place.office.watching.drawn.clear()  # as if a second had passed
        place.go_on()
        shown.append(whole(place.slack.ours(ROOM)[-1]))
    assert ["✓ —" in shown[0], "✓ ✗ —" in shown[1], "✓ ✗ ✓ — 1 of 3 runs failed so far" in shown[2]] == [True] * 3


def test_a_message_is_edited_once_a_second_at_most_and_only_if_it_changed(place: Place) -> None:
    place.mention(ANA, WORDS)
    job = place.job()
    place.store.claim_job(job.id, "w")
    edits = len(place.slack.called("chat.update"))
    for n in range(1, 6):
        place.store.beat(job.id, "w", {"strip": "p" * n, "calls": n, "budget": 10, "failures": 0, "phase": "case"})
        place.go_on()
    assert len(place.slack.called("chat.update")) - edits <= 1
    place.office.watching.drawn = {k: (line, 0.0) for k, (line, _) in place.office.watching.drawn.items()}
    before = len(place.slack.called("chat.update"))
    place.go_on()
    place.office.watching.drawn = {k: (line, 0.0) for k, (line, _) in place.office.watching.drawn.items()}
    place.go_on()
    assert len(place.slack.called("chat.update")) - before <= 1


def test_an_idea_goes_into_the_box(place: Place, answer: dict[str, Any]) -> None:
    from reroll.ideas_file import read_ideas

    place.mention(ANA, WORDS)
    place.finish(answer)
    place.press(BEN, place.slack.ours(ROOM)[0], "idea", "6.1")
    (view,) = place.slack.views
    sent = fake.submitted(view, BEN, "V1", idea="say what next Friday means <!here>")
    place.take(sent, sent)
    (idea,) = read_ideas(place.office.home.project())
    assert (idea.idea, idea.by, idea.case) == ("say what next Friday means <!here>", f"slack:{BEN}", "next-friday")
    assert "Idea 1 is in the box" in texts(place.slack)[-1]
    assert "<!here>" not in texts(place.slack)[-1]


def test_not_what_i_meant_marks_the_report_and_measures_what_was_meant(place: Place, answer: dict[str, Any]) -> None:
    place.mention(ANA, WORDS)
    place.finish(answer)
    message = place.slack.ours(ROOM)[0]
    place.press(ANA, message, "meant", "7.1")
    place.take(fake.submitted(place.slack.views[-1], ANA, "V1", meant='no, "Dinner with Omar on Friday at half seven"'))
    (first,) = [r for r in place.store.reports() if r.report.case_id == "next-friday"]
    assert "half seven" in place.store.report_marks([first.id])[first.id]["meant"]
    assert place.job().case_id == "half-seven"


def test_the_shortcut_measures_the_words_of_the_message_and_else_opens_a_form(place: Place) -> None:
    ts = place.slack.say(ROOM, ANA, WORDS)
    place.take(fake.shortcut(ROOM, BEN, ANA, WORDS, ts, "8.1"))
    assert place.store.reports()[0].report.by == f"slack:{ANA}"
    assert place.slack.ours(ROOM)[0]["thread_ts"] == ts
    other = place.slack.say(ROOM, ANA, "it is broken again")
    place.take(fake.shortcut(ROOM, BEN, ANA, "it is broken again", other, "8.2"))
    (view,) = place.slack.views
    assert [block["block_id"] for block in view["blocks"]] == ["which", "expected"]
    place.take(fake.submitted(view, BEN, "V1", which="option:half-seven", expected="19:30"))
    assert place.job().case_id == "half-seven"
    assert place.slack.ours(ROOM)[-1]["thread_ts"] == other


def test_a_command_opens_a_thread_of_its_own(place: Place) -> None:
    place.take(fake.command(ROOM, ANA, WORDS, "t1"))
    (message,) = place.slack.ours(ROOM)
    assert place.newest().thread == message["ts"]
    place.mention(BEN, "why?", thread=message["ts"])
    assert place.job().words[0] == "cause"
    assert place.slack.ours(ROOM)[-1]["thread_ts"] == message["ts"]


def test_a_report_that_is_mended_is_told_once_in_its_thread(place: Place, answer: dict[str, Any]) -> None:
    root = place.mention(ANA, WORDS)
    place.finish(answer)
    (report,) = place.store.reports()
    place.store.mark_report(report.id, "status", "looking into it", "ben")
    before = len(place.slack.ours(ROOM))
    for _ in range(3):
        place.office.watching.tell_mended()
        place.go_on()
    assert len(place.slack.ours(ROOM)) == before
    place.store.mark_report(report.id, "status", "mended", "ben")
    for _ in range(3):
        place.office.watching.tell_mended()
        place.go_on()
    said = place.slack.ours(ROOM)[before:]
    assert [("This is mended" in one["text"], one["thread_ts"]) for one in said] == [(True, root)]


def test_a_fix_that_is_applied_is_told_once(place: Place, answer: dict[str, Any]) -> None:
    place.mention(ANA, WORDS)
    place.finish(answer)
    fix = {"id": "f1:x", "fix": "describe-date"}
    place.store.add_decision(
        rule="fix/1", question="fix", verdict="accept", case_id="next-friday", evidence={"fix": fix}
    )
    place.store.add_decision(rule="applied/1", question="applied", verdict="applied", evidence={"fix": fix})
    before = len(place.slack.ours(ROOM))
    for _ in range(3):
        place.office.watching.tell_mended()
        place.go_on()
    assert ["describe-date was applied" in one["text"] for one in place.slack.ours(ROOM)[before:]] == [True]


# -- Slack is slow, busy or down ---------------------------------------------------------------------------------------


def test_slack_that_asks_for_patience_gets_it(place: Place) -> None:
    place.slack.faults["chat.postMessage"] = ["429:30"]
    place.mention(ANA, WORDS)
    place.go_on()
    assert len(place.slack.called("chat.postMessage")) == 1  # not before half a minute is over
    (message,) = place.store.unsent()
    assert (message.state, message.problem) == ("waiting", "ratelimited")
    assert 25e6 < message.next_us - place.newest().made_us < 60e6
    place.store.retry_message(message.seq, 0, "ratelimited")  # half a minute later
    place.office.delivery.quiet_until.clear()
    place.go_on()
    place.go_on()
    assert len(place.slack.ours(ROOM)) == 1


def test_what_nobody_foresaw_is_said_and_holds_up_nobody(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reroll.slack.app.RESTED", 0.0)
    dealt = place.office.desk._words

    def odd(event: Any, before: Any) -> None:
        if event.event_id == "EvOdd":
            raise KeyError("odd")
        dealt(event, before)

    monkeypatch.setattr(place.office.desk, "_words", odd)
    place.mention(ANA, "something odd", id="EvOdd")
    place.mention(BEN, WORDS)
    place.go_on()
    place.go_on()
    assert [text.split(":")[0][:15] for text in texts(place.slack)] == ["Measuring “I tr", "Something went "]
    assert place.store.open_events() == []


def test_what_runs_can_be_stopped_and_what_fails_says_why(place: Place) -> None:
    place.mention(ANA, WORDS)
    job = place.job()
    place.store.claim_job(job.id, "w")
    place.store.beat(job.id, "w", {"strip": "p", "calls": 1, "budget": 9, "failures": 0, "phase": "case"})
    place.go_on()
    place.press(BEN, place.slack.ours(ROOM)[0], "stop", "1.1")
    assert place.store.beat(job.id, "w") is True
    place.store.end_job(job.id, "failed", worker="w", message="the model <cannot> be reached")
    place.office.watching.drawn.clear()
    place.go_on()
    message, call = place.slack.ours(ROOM)
    assert "could not be done: the model &lt;cannot&gt; be reached" in whole(message)
    assert set(buttons(message)) == {"again"}
    assert call["text"] == f"<@{ANA}> the answer is above."


@pytest.mark.parametrize("fault", ["500", "drop", "lost", "internal_error"])
def test_a_fault_of_slack_costs_a_try_and_no_message_comes_twice(
    place: Place, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reroll.slack.delivery.FIRST", 0.0)
    place.slack.faults["chat.postMessage"] = [fault]
    place.mention(ANA, WORDS)
    place.go_on()
    place.go_on()
    assert len(place.slack.ours(ROOM)) == 1
    assert place.store.unsent() == []


def test_messages_are_kept_while_slack_is_down_and_come_once_after_a_restart(
    slack: FakeSlack, home: Path, answer: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reroll.slack.delivery.FIRST", 0.0)
    slack.down = True
    with Place(slack, home) as first:
        first.mention(ANA, WORDS)
        first.finish(answer)
        assert first.newest().state == "told"
        assert len(first.store.unsent()) == 3
    slack.down = False
    with Place(slack, home) as second:
        for _ in range(3):
            second.go_on()
    message, figure = slack.ours(ROOM)
    assert answer["text"].split(". ")[0] in whole(message)
    assert figure["files"]


@pytest.mark.parametrize("arrived", [True, False])
def test_a_message_that_was_being_sent_when_we_were_killed_is_there_once(
    slack: FakeSlack, home: Path, arrived: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    slack.down = True
    with Place(slack, home) as first:
        root = first.mention(ANA, WORDS)
        (message,) = first.store.unsent()
        first.store.retry_message(message.seq, 0, "")
        assert first.store.claim_message(message.seq, 60)  # and then we were killed
    slack.down = False
    if arrived:
        named = {"metadata": {"event_payload": {"key": message.key}}}
        slack.messages[ROOM].append({"ts": slack.ts(), "bot_id": "BBOT", "text": "m", "thread_ts": root, **named})
    with Place(slack, home) as second:
        second.go_on()
        assert len(slack.ours(ROOM)) == int(arrived)  # whoever was sending it may still be at it
        monkeypatch.setattr("reroll.slack.delivery.STALE", -1.0)
        second.go_on()
        second.go_on()
        assert second.store.unsent() == []
    assert len(slack.ours(ROOM)) == 1


def test_a_file_that_arrived_unheard_is_not_sent_again(
    place: Place, answer: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reroll.slack.delivery.FIRST", 0.0)
    place.mention(ANA, WORDS)
    place.slack.faults["files.completeUploadExternal"] = ["lost"]
    place.finish(answer)
    place.go_on()
    assert len(place.slack.ours(ROOM)) == 2
    assert place.store.unsent() == []


def test_where_we_may_not_write_it_goes_on_with_the_person_alone(place: Place, answer: dict[str, Any]) -> None:
    place.slack.faults["chat.postMessage"] = ["channel_not_found"]
    place.take(fake.command("C9", ANA, WORDS, "t9"))
    (message,) = place.slack.ours(f"D{ANA}")
    assert "invite me there" in whole(message)
    place.finish(answer)
    told, figure = place.slack.ours(f"D{ANA}")
    assert answer["text"].split(". ")[0] in whole(told)
    assert figure["thread_ts"] == told["ts"]
    assert place.slack.ours("C9") == []


def test_refused_blocks_are_said_in_plain_words(place: Place) -> None:
    place.slack.faults["chat.postMessage"] = ["invalid_blocks"]
    place.mention(ANA, WORDS)
    assert len(place.slack.ours(ROOM)) == 1
    assert place.slack.ours(ROOM)[0]["blocks"] is None


# -- what is said is safe and fits -------------------------------------------------------------------------------------


def test_nothing_from_a_model_or_a_person_comes_alive(place: Place, answer: dict[str, Any]) -> None:
    place.mention(ANA, WORDS + " &lt;!channel&gt; https://evil.example <@UBEN>")
    evil = "<!channel> <@UBEN> <https://evil.example|click> & *bold*"
    place.finish({**answer, "text": evil})
    told = place.slack.ours(ROOM)[0]
    assert "&lt;!channel&gt; &lt;@UBEN&gt; &lt;https://evil.example|click&gt; &amp;" in whole(told)
    assert "<!" not in whole(told)
    assert "<@" not in whole(told)
    first = told["told"]
    assert [first[k] in (False, "false", "0", 0) for k in ("unfurl_links", "unfurl_media", "link_names")] == [True] * 3
    assert all(b["text"].get("verbatim") for b in told["blocks"] if b["type"] == "section")


def test_an_answer_of_any_length_fits_into_one_message(place: Place, answer: dict[str, Any]) -> None:
    place.mention(ANA, WORDS + "<" * 15_000)
    place.finish({**answer, "text": "<&>" * 20_000, "outcomes": ["pass", "fail"] * 5000})
    told = place.slack.ours(ROOM)[0]
    assert len(json.dumps(told["blocks"], ensure_ascii=False)) < 13_000
    assert set(buttons(told)) == {"again", "idea", "meant"}


def test_blocks_that_do_not_fit_are_left_out_and_buttons_stay() -> None:
    from reroll.slack import limits, shown

    many = [shown.section(f"{k} " + "x" * 900) for k in range(70)]
    kept = limits.fitting(shown.with_buttons(many, shown.button("b" * 200, "a", "v" * 3000)))
    assert len(kept) <= 50
    assert limits.size(kept) <= limits.TOTAL
    assert kept[-1]["type"] == "actions"
    assert sum("left out" in json.dumps(one) for one in kept) == 1
    assert not fake.limits_broken({"blocks": kept})
    assert limits.escaped("&" * 4000).endswith("&amp;…")


def test_nothing_that_is_secret_or_somebody_elses_talk_is_kept(place: Place, home: Path) -> None:
    ts = place.slack.say(ROOM, BEN, "what a nice day in the sun")
    place.take(fake.event("message", ROOM, BEN, "what a nice day in the sun", ts, "Ev7"))
    place.mention(ANA, WORDS)
    place.take(fake.press(ROOM, ANA, "start", place.newest().id, "2.2", "x"))
    place.store.close()
    kept = b"".join(path.read_bytes() for path in (home / ".reroll").iterdir())
    for secret in (fake.BOT_TOKEN, fake.SIGNING, "the-old-verification-token", "hooks.example", "nice day", "trigger-"):
        assert secret.encode() not in kept, secret


# -- over HTTP and Socket Mode -----------------------------------------------------------------------------------------


def test_what_is_not_signed_by_slack_is_refused_and_nothing_of_it_is_logged(
    slack: FakeSlack, home: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    from starlette.testclient import TestClient

    from reroll.slack.app import on_http

    said = fake.event("app_mention", ROOM, ANA, "the secret words", "1.1", "Ev1")
    caplog.set_level(1)
    with Place(slack, home) as place, TestClient(on_http(lambda: place.office)) as web:

        def status(body: dict[str, Any], **more: Any) -> int:
            raw, headers = fake.signed(body, **more)
            return web.post("/slack/events", content=raw, headers=headers).status_code

        assert status(said, secret="wrong") == 401
        assert status(said, age=400) == 401
        assert web.post("/slack/events", content=json.dumps(said)).status_code == 401
        assert web.post("/slack/events", content=b"\xff\xfe").status_code == 400
        pieces = (b"x" * 2**16 for _ in range(32))  # no length is said
        assert web.post("/slack/events", content=pieces).status_code == 413
        assert web.post("/slack/events", content=b"x", headers={"content-length": "many"}).status_code == 401
        raw, headers = fake.signed({"type": "url_verification", "challenge": "c-123"})
        assert web.post("/slack/events", content=raw, headers=headers).json() == {"challenge": "c-123"}
        assert place.store.open_events() == place.store.asks() == []
        assert status(said) == 200
    told = caplog.text + "".join(capfd.readouterr())
    assert "secret words" not in told
    assert fake.SIGNING not in told
    assert fake.BOT_TOKEN not in told


def test_the_whole_way_from_a_mention_to_six_sentences_though_we_are_killed_meanwhile(
    slack: FakeSlack, home: Path
) -> None:
    ts = slack.say(ROOM, ANA, f"{MENTION} {WORDS}")
    mention = fake.event("app_mention", ROOM, ANA, f"{MENTION} {WORDS}", ts, "Ev1")
    with answering(slack, home, "--port", "0", "--budget", "24") as running:
        assert running.post(mention) < 3.0  # or Slack sends it again
        assert min(running.post(mention) for _ in range(3)) < 1.0  # and so it does
        until(lambda: len(slack.called("chat.update")) > 0, 60)
        running.kill()
    with answering(slack, home, "--port", "0", "--budget", "24") as running:
        running.post(mention)
        until(lambda: any("files" in one for one in slack.ours(ROOM)), 60)
    measured, figure = slack.ours(ROOM)
    assert measured["thread_ts"] == figure["thread_ts"] == ts
    assert "free: the model runs here" in measured["told"]["text"]
    assert "I ran this request" in whole(measured)
    edits = [call.at for call in slack.called("chat.update")]
    assert all(b - a > 0.9 for a, b in itertools.pairwise(edits)), edits


def test_the_same_app_works_over_socket_mode(slack: FakeSlack, home: Path) -> None:
    ts = slack.say(ROOM, ANA, f"{MENTION} it is odd")
    with answering(slack, home, says="reroll is connected to Slack"):
        until(lambda: bool(slack.sockets))
        slack.over_socket("events_api", fake.event("app_mention", ROOM, ANA, "it is odd", ts, "Ev1"), "env1")
        until(lambda: "env1" in slack.acks and bool(slack.ours(ROOM)))
    assert texts(slack)[0].startswith("Which request was it?")


def test_the_manifest_makes_such_an_app(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["slack", "--manifest"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["settings"]["socket_mode_enabled"] is True
    assert made["features"]["shortcuts"][0]["callback_id"] == "measure"
    assert main(["slack", "--manifest", "--url", "https://a.example"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["settings"]["event_subscriptions"]["request_url"] == "https://a.example/slack/events"


def test_what_is_missing_is_said_in_a_sentence(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLACK_BOT_TOKEN", raising=False)
    assert main(["slack", "--project", str(home)]) == 2
    assert "SLACK_BOT_TOKEN is not set" in capsys.readouterr().err
