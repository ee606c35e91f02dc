"""What is done about each event: a report is measured, a question is asked once, a button and a follow-up are obeyed.

Whatever happens twice has the effect of once: reports, jobs, asks and messages all have keys of their own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reroll.case import Case, Report
from reroll.errors import RerollError, StoreError, UsageError
from reroll.ideas import Idea
from reroll.ideas_file import add_idea, read_ideas
from reroll.numbers import counts, money, percent
from reroll.slack import limits, shown
from reroll.slack.followed import CAN_ASK, Wish, wish_of
from reroll.slack.matching import Matched, Spoken, expectation, matched
from reroll.slack.patches import guard_for, special_case_for
from reroll.slack.said import plain, quotes
from reroll.store import Store
from reroll.store_rows_web import Job
from reroll.store_slack import SlackAsk, SlackEvent
from reroll.web.access import Visitor
from reroll.web.actions import ACTIONS, Offer, ask, offer
from reroll.web.home import Home
from reroll.web.reporting import how_measured, input_names, report_of

__all__ = ["AGAIN", "Caps", "Desk", "what_is_done"]

JSON = Any
DAY = 86_400_000_000  # microseconds
AGAIN = 10  # calls of “run it again”
PATCHES = {"special": special_case_for, "guard": guard_for}
WHICH = (
    "Which request was it? Answer here with what was sent, in quotes, and with what a right answer has in it, in "
    "quotes too; or fill in the form."
)
EXPECTED = (
    "I do not know “{quote}” yet. What should a right answer have in it? Answer here with it in quotes, or fill in "
    "the form."
)


@dataclass(frozen=True, slots=True)
class Caps:
    """What one person, and one channel, may spend in 24 hours, in US dollars; None: no cap."""

    user: float | None = None
    channel: float | None = None


class Desk:
    """Deals with events, one after another; safe to call from a thread. woken: told when a job was asked for."""

    def __init__(self, home: Home, caps: Caps, woken: Callable[[], None] = lambda: None) -> None:
        self.home, self.caps, self.woken = home, caps, woken

    @property
    def store(self) -> Store:
        return self.home.store

    # -- what is asked of the desk -------------------------------------------------------------------------------------

    def needs_thread(self, event: SlackEvent) -> bool:
        """Whether what was said before in the thread is to be read first."""
        if event.kind not in ("mention", "shortcut", "message") or not event.body.get("thread"):
            return False
        inside = event.body.get("inside", False) and event.body["thread"] != event.ts
        return bool(inside) and not self.known(event.channel, event.body["thread"])

    def known(self, channel: str, thread: str) -> list[SlackAsk]:
        """What was asked for in this thread before, the newest first."""
        return self.store.asks(thread=(channel, thread)) if thread else []

    def matches(self, body: Mapping[str, JSON]) -> bool:
        """Whether the words alone say which request it is, so that no form is needed."""
        return matched([Spoken(body["user"], plain(body["text"]))], self.home.project()).case is not None

    def form(self, body: Mapping[str, JSON], channel: str) -> dict[str, JSON]:
        """The form that asks what the words leave open."""
        carried = {"channel": channel, "thread": body["thread"], "by": body.get("author") or body["user"]}
        return shown.form_report({**carried, "words": plain(body["text"])}, self._choices())

    def form_of_press(self, body: Mapping[str, JSON], channel: str) -> dict[str, JSON] | None:
        """The form that a button opens; None where it opens none."""
        made = {"idea": shown.form_idea, "meant": shown.form_meant}
        carried = {"channel": channel, "ask": body["value"]}
        if body["action"] == "form":
            return shown.form_report(carried, self._choices())
        return made[body["action"]](carried) if body["action"] in made else None

    def _choices(self) -> list[tuple[str, str]]:
        cases = [c for c in self.home.project().cases if c.set == "case"]
        return [(c.id, " ".join(" ".join(str(v) for v in c.input.values()).split())) for c in cases]

    def deal(self, event: SlackEvent, before: Sequence[Spoken] = ()) -> None:
        """Do what the event asks for; what cannot be done is said in its thread.

        Raises: StoreError where the store cannot be reached: the event stays open.
        """
        does = {"press": self._press, "form": self._form}.get(event.kind)
        try:
            if (asked := self.store.ask_of(event.event_id)) is not None:
                self._go_on(event, asked)
            elif does is not None:
                does(event)
            else:
                self._words(event, before)
        except StoreError:
            raise
        except RerollError as error:
            self._say(event, f"{event.event_id}:no", _sentence(error))
        self.store.end_event(event.event_id)

    def give_up(self, event: SlackEvent) -> None:
        """Say that it cannot be done; the event is over."""
        self._say(event, f"{event.event_id}:no", "Something went wrong here that I cannot name; the log has its kind.")
        self.store.end_event(event.event_id)

    def _go_on(self, event: SlackEvent, asked: SlackAsk) -> None:
        """We were ended in the middle of this event: what is missing is done, what is there is not done again."""
        if asked.what == "question":
            self._tell_question(asked)
            return
        self._begin(event, asked)
        for other in self.known(asked.channel, asked.thread):
            if other.what == "question" and other.made_us < asked.made_us:
                self.store.change_ask(other.id, was="open", state="told")

    # -- words ---------------------------------------------------------------------------------------------------------

    def _words(self, event: SlackEvent, before: Sequence[Spoken]) -> None:
        body = event.body
        words, known = plain(body["text"]), self.known(event.channel, body["thread"])
        mine = [Spoken(body.get("author") or body["user"], words)] if words else []
        question = next((one for one in known if one.state == "open"), None)
        if event.kind == "shortcut":
            self._report(event, matched([*mine, *before], self.home.project()))
        elif question is not None and (event.kind != "message" or words):
            self._answered(event, question, words)
        elif about := next((one for one in known if one.case_id), None):
            other = self._another(event, about, words)
            if other is not None:
                self._report(event, other)
            else:
                self._follow(event, about, words, known)
        elif event.kind == "message" and not body.get("private"):
            return  # people talk among themselves
        else:
            self._report(event, matched([*mine, *before], self.home.project()))

    def _another(self, event: SlackEvent, about: SlackAsk, words: str) -> Matched | None:
        """The report that a mention in a known thread makes: it quotes another request than the one talked about."""
        if event.kind != "mention" or not quotes(words):
            return None
        found = matched([Spoken(event.body["user"], words)], self.home.project())
        if found.case is not None:
            return found if found.case.id != about.case_id else None
        return found if found.quote and wish_of(words) is None else None

    def _report(self, event: SlackEvent, found: Matched) -> None:
        if found.case is not None:
            self._measure(event, found.case, found.spoken)
            return
        about = {"words": found.spoken.words, "by": found.spoken.by, "quote": found.quote}
        one_input = len(input_names(self.home.project())) == 1
        text = EXPECTED.format(quote=limits.words(found.quote, 100)) if found.quote and one_input else WHICH
        self._question(event, about, text)

    def _question(self, event: SlackEvent, about: Mapping[str, JSON], text: str) -> None:
        self._tell_question(self._add(event, "question", "open", about={**about, "text": text}))

    def _tell_question(self, asked: SlackAsk) -> None:
        fill = shown.button("Fill in the form", "form", asked.id)
        self._tell(asked, f"ask:{asked.id}", shown.plain_message(asked.about["text"], fill))

    def _answered(self, event: SlackEvent, question: SlackAsk, words: str) -> None:
        """Someone answers our question: a case that it quotes, or what a right answer has in it."""
        about, project = question.about, self.home.project()
        asked_whom = (question.asked_by, about["by"])
        if event.kind == "message" and event.body["user"] not in asked_whom and not quotes(words):
            return  # people talk among themselves
        spoken = Spoken(about["by"] or event.body["user"], about["words"] or words)
        found = (
            matched([Spoken(spoken.by, words)], project) if quotes(words) and not about["quote"] else Matched(spoken)
        )
        if found.case is None and not about["quote"] and not found.quote:
            if event.kind == "message" and not event.body.get("private"):
                return  # not meant for us
            self._say(event, f"{event.event_id}:quote", "Put what was sent in quotes, and I measure it.")
            return
        case = found.case
        if case is None:
            quoted = quotes(words)
            tried = about["quote"] or quoted[0]
            rest = words if about["quote"] else " ".join(f"“{one}”" for one in quoted[1:])
            case = self._new_case(tried, rest, spoken)
        self._measure(event, case, spoken)
        self.store.change_ask(question.id, was="open", state="told")

    def _new_case(self, tried: str, expected: str, spoken: Spoken) -> Case:
        """The case that somebody reports for the first time, kept as the pages keep it. Raises: UsageError."""
        project = self.home.project()
        names = input_names(project)
        if len(names) != 1:
            raise UsageError(
                "a request of this program has several inputs, so it cannot be read from a message; report it on the "
                "page, or quote one of the project's cases",
                slug="slack-inputs",
            )
        form = {f"input.{names[0]}": tried, "happened": spoken.words, **expectation(expected)}
        return report_of(self.home, project, form, spoken.by)[1]

    # -- measuring -----------------------------------------------------------------------------------------------------

    def _measure(self, event: SlackEvent, case: Case, spoken: Spoken) -> None:
        """Keep the report before anything runs; then start it where it is free, or say the price."""
        project = self.home.project()
        program_id = self.store.put_program(project.program)
        self.store.put_case(case)
        report = Report(words=spoken.words, case_id=case.id, by=f"slack:{spoken.by}" if spoken.by else None)
        report_id = self.store.put_report(report, program_id)
        told = how_measured(project, case) | {"case": case.id, "words": report.words}
        self._offer(event, "investigate", told, case.id, report_id)

    def _follow(self, event: SlackEvent, about: SlackAsk, words: str, others: Sequence[SlackAsk]) -> None:
        """Measure what is asked for; where nobody called us, only offer what was said plainly, and write nothing."""
        wish, called = wish_of(words), event.kind != "message" or bool(event.body.get("private"))
        if wish is None or not (called or wish.plain):
            if called:
                self._say(event, f"{event.event_id}:can", CAN_ASK)
            return
        what, told = self._wanted(wish, about)
        if not called and any(one.about.get("told") == told and one.state in ("offered", "running") for one in others):
            return  # it is on offer already
        self._offer(event, what, told, str(about.case_id), about.report_id, at_once=called)

    def _wanted(self, wish: Wish, about: SlackAsk) -> tuple[str, dict[str, str]]:
        """The action and its fields."""
        id = str(about.case_id)
        match wish.does:
            case "certify":
                target = wish.target or self.home.project().program.target or 0.99
                return "certify", {"case": id, "target": f"{target:g}"}
            case "special" | "guard":
                return "try", {"case": id, "patch": wish.does}
            case "cause":
                return "cause", {"case": id}
        return "rerun", {"case": id, "fresh": "yes", "budget": str(AGAIN)}

    def _offer(
        self,
        event: SlackEvent,
        what: str,
        told: Mapping[str, str],
        case_id: str,
        report_id: str | None,
        at_once: bool = True,
    ) -> None:
        """Start what is free and was asked of us; show the price of all else, with the button that starts it."""
        price = self._price(what, told)
        about = {"told": dict(told), "at_once": price.here and at_once, "price": price.price}
        given: dict[str, JSON] = {"case_id": case_id, "report_id": report_id, "max_usd": price.usd}
        self._begin(event, self._add(event, what, "offered", about=about, **given))

    def _begin(self, event: SlackEvent, asked: SlackAsk) -> None:
        if asked.state == "offered" and asked.about["at_once"]:
            asked = self._start(asked, event.body["user"])
        text = f"{what_is_done(asked)}: {asked.about['price']}."
        if asked.state == "offered":
            label = _start_label(self._price(asked.what, asked.about["told"]))
            self._tell(
                asked, f"ask:{asked.id}", shown.plain_message(text, shown.button(label, "start", asked.id, True))
            )
        else:
            self._tell(asked, f"ask:{asked.id}", shown.plain_message(f"{text} It runs now."))

    def price_of_again(self, asked: SlackAsk) -> str:
        """What running it again may cost, as it stands on the button; nothing where the model runs here."""
        price = self._price("rerun", {"case": str(asked.case_id), "budget": str(AGAIN)})
        return "" if price.here else f", {money(price.usd)}"

    def _price(self, what: str, told: Mapping[str, str]) -> Offer:
        fields = {k: v for k, v in told.items() if k not in ("budget", "patch")}
        budget = int(told["budget"]) if told.get("budget") else None
        return offer(self.home, self.home.project(), what, budget=budget, **fields)

    def _start(self, asked: SlackAsk, user: str) -> SlackAsk:
        """The ask, running. Raises: UsageError where a cap is reached."""
        price = self._price(asked.what, asked.about["told"])
        most, told = self._left(asked, user, price), dict(asked.about["told"])
        if made := PATCHES.get(told.pop("patch", "")):
            project = self.home.project()
            told["fix"] = made(project, project.case(told["case"]))
        home = self.home if most is None else replace(self.home, max_usd=most)
        who = Visitor(f"slack:{user}", ("read", "run"), "slack")
        job: Job = ask(home, ACTIONS[asked.what], told, who, report_id=asked.report_id)
        usd = price.usd if most is None else most if price.usd is None else min(most, price.usd)
        self.store.change_ask(asked.id, was="offered", state="running", job_id=job.id, asked_by=user, max_usd=usd)
        self.woken()
        return self.store.ask(asked.id) or asked

    def _left(self, asked: SlackAsk, user: str, price: Offer) -> float | None:
        """The most that this may cost by the caps of today. Raises: UsageError where nothing is left, or not known."""
        if price.here:
            return self.home.max_usd
        after, left = time.time_ns() // 1000 - DAY, [] if self.home.max_usd is None else [self.home.max_usd]
        whose = (
            ("you", self.caps.user, {"asked_by": user}),
            ("this channel", self.caps.channel, {"channel": asked.channel}),
        )
        for who, cap, where in whose:
            if cap is None:
                continue
            spent = self.store.spent_on_slack(after, **where)
            if spent is None or price.usd is None:
                whose_price = "this" if price.usd is None else f"what {who} started in the last 24 hours"
                raise UsageError(
                    f"the price of {whose_price} is not known, so the cap of {money(cap)} cannot be held; ask whoever "
                    "runs me to start it",
                    slug="slack-cap",
                )
            if cap - spent <= 0:
                raise UsageError(
                    f"{who} may spend {money(cap)} in 24 hours, and that is spent; try again tomorrow, or ask whoever "
                    "runs me for more",
                    slug="slack-cap",
                )
            left.append(cap - spent)
        return min(left, default=None)

    # -- buttons -------------------------------------------------------------------------------------------------------

    def _press(self, event: SlackEvent) -> None:
        action, value = event.body["action"], event.body["value"]
        if action in ("right", "wrong", "unsure"):
            self._judged(event, action, value)
            return
        asked = self.store.ask(value)
        if asked is None or asked.channel != event.channel:
            return
        if action == "start" and asked.state == "offered":
            asked = self._start(asked, event.body["user"])
        elif action == "stop" and asked.state == "running":
            self.store.stop_job(str(asked.job_id))
        elif action == "again" and asked.case_id:
            told = {"case": asked.case_id, "fresh": "yes", "budget": str(AGAIN)}
            about = {"told": told, "at_once": True, "price": self._price("rerun", told).price}
            given = {"case_id": asked.case_id, "report_id": asked.report_id, "thread": asked.thread}
            self._begin(event, self._add(event, "rerun", "offered", about=about, **given))

    def _judged(self, event: SlackEvent, action: str, value: str) -> None:
        """A person says whether a completion is right; the first word counts."""
        job_id, _, n = value.rpartition(":")
        word = {"right": "pass", "wrong": "fail"}.get(action, "unsure")
        first = n.isdecimal() and self.store.answer_question(job_id, int(n), word, f"slack:{event.body['user']}")
        said = {"pass": "right", "fail": "wrong"}.get(word, "nobody can say")
        text = f"Answered: {said}." if first else "This was answered before, or is no longer asked."
        edit = {"of": f"judge:{value}", **shown.plain_message(text)}
        self.store.send(f"judged:{value}", event.channel, "edit", edit)

    # -- forms ---------------------------------------------------------------------------------------------------------

    def _form(self, event: SlackEvent) -> None:
        carried, fields = event.body["carried"], event.body["fields"]
        asked = self.store.ask(str(carried.get("ask") or ""))
        match event.body["form"]:
            case "report":
                self._filled(event, carried, fields, asked)
            case "idea" if asked is not None:
                self._idea(event, asked, " ".join(fields.get("idea", "").split()))
            case "meant" if asked is not None:
                self._meant(event, asked, fields.get("meant", "").strip())

    def _filled(
        self, event: SlackEvent, carried: Mapping[str, JSON], fields: Mapping[str, str], asked: SlackAsk | None
    ) -> None:
        about = asked.about if asked is not None and asked.what == "question" else carried
        by, expected = about.get("by") or event.body["user"], fields.get("expected", "").strip()
        words = str(about.get("words") or "") or expected
        spoken = Spoken(by, words)
        if fields.get("which", "-") != "-":
            case = self.home.project().case(fields["which"])
        else:
            tried = about.get("quote") or next(iter(quotes(words)), words)
            case = self._new_case(tried, expected, spoken)
        self._measure(event, case, spoken)
        if asked is not None:
            self.store.change_ask(asked.id, was="open", state="told")

    def _idea(self, event: SlackEvent, asked: SlackAsk, words: str) -> None:
        project = self.home.project()
        if not words:
            raise UsageError("an idea needs words", slug="idea")
        if all(c.id != asked.case_id for c in project.cases):
            raise UsageError("an idea is for a case of cases.yaml; move the reported case there first", slug="idea")
        idea = Idea(idea=words[:2000], by=f"slack:{event.body['user']}", case=str(asked.case_id))
        there = [(one.idea, one.by, one.case) for one in read_ideas(project)]
        known = (idea.idea, idea.by, idea.case)
        number = there.index(known) + 1 if known in there else add_idea(project, idea)
        said = limits.words(words, limits.QUOTE)
        text = f"Idea {number} is in the box: “{said}”. It is tried blind once it is written as a fix."
        self._tell(asked, f"idea:{event.event_id}", shown.plain_message(text))

    def _meant(self, event: SlackEvent, asked: SlackAsk, words: str) -> None:
        """The report is marked with what was meant; where that quotes a case, that is measured instead."""
        if asked.report_id is not None:
            self.store.mark_report(asked.report_id, "meant", words[:2000], f"slack:{event.body['user']}")
        found = matched([Spoken(event.body["user"], words)], self.home.project()) if quotes(words) else None
        if found is not None and (found.case is not None or found.quote):
            self._report(event, found)
            return
        text = "Thank you; the report is marked with what you meant. Quote the exact request here, and I measure that."
        self._tell(asked, f"meant:{event.event_id}", shown.plain_message(text))

    # -- saying --------------------------------------------------------------------------------------------------------

    def _add(self, event: SlackEvent, what: str, state: str, thread: str | None = None, **given: JSON) -> SlackAsk:
        where = self._thread(event) if thread is None else thread
        return self.store.add_ask(
            event.event_id,
            channel=event.channel,
            thread=where,
            asked_by=event.body["user"],
            what=what,
            state=state,
            **given,
        )

    def _thread(self, event: SlackEvent) -> str:
        carried = event.body.get("carried") or {}
        asked = self.store.ask(str(carried.get("ask") or event.body.get("value") or ""))
        return asked.thread if asked is not None else str(event.body.get("thread") or carried.get("thread") or "")

    def _tell(self, asked: SlackAsk, key: str, message: Mapping[str, JSON]) -> None:
        self.store.send(key, asked.channel, "post", {"ask": asked.id, "user": asked.asked_by, **message})

    def _say(self, event: SlackEvent, key: str, text: str) -> None:
        """A sentence in the event's thread; where a command or a form has none, to the person alone."""
        thread = self._thread(event)
        body = {"thread": thread, "user": event.body["user"], **shown.plain_message(text)}
        self.store.send(key, event.channel, "post" if thread else "whisper", body)


def what_is_done(asked: SlackAsk) -> str:
    """What runs, in words: the beginning of its message."""
    told = asked.about["told"]
    match asked.what:
        case "investigate":
            return f"Measuring “{limits.words(told.get('words') or str(asked.case_id), limits.QUOTE)}”"
        case "certify":
            return f"Can we say {percent(float(told['target']))} of {asked.case_id}?"
        case "try":
            what = "To hard-code" if told.get("patch") == "special" else "A guard for"
            return f"{what} {asked.case_id}, what that cures and what it breaks"
        case "cause":
            return f"Why {asked.case_id} fails"
    return f"Running {asked.case_id} again"


def _start_label(price: Offer) -> str:
    if price.here:
        return f"Measure it, up to {counts('call', price.calls)}"
    return f"Measure it, up to {counts('call', price.calls)}, {money(price.usd)}"


def _sentence(error: RerollError) -> str:
    text = " ".join(str(error).split())
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '?', '!')) else '.'}"
