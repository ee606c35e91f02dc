"""Samples: thousands at a glance, by outcome and reason; one read by keyboard and labelled; two side by side."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from reroll.case import Case, Label
from reroll.check import Outcome, overall
from reroll.checking import Checker, no_judge, not_asked
from reroll.errors import RerollError
from reroll.grouped import grouped_samples
from reroll.labelling import append_label
from reroll.looking import outcomes_of, said_by, whole_sample
from reroll.project import Project
from reroll.render.figures import outcome_strip
from reroll.store import StoredSample
from reroll.store_evaluated import standing
from reroll.store_rows import Evaluation
from reroll.web.access import Refused, form_of, visitor_of
from reroll.web.actions import PERSON_BUDGET, offer
from reroll.web.glimpse import Glimpse, checks_ids
from reroll.web.home import Home
from reroll.web.pages_answer import case_named
from reroll.web.view import page

__all__ = ["ROUTES", "differing"]

EACH_PAGE = 40
MOST_GROUPED = 5000  # samples that are grouped on a page: each failing one is read whole
MOST_COMPARED = 6000  # characters of each side
LABELS = "labels.jsonl"


@dataclass(frozen=True, slots=True)
class Item:
    """A sample in the list: what it said, its outcome and why, and a person's label if it has one."""

    stored: StoredSample
    outcome: str
    reason: str
    marks: tuple[tuple[int, int], ...]
    label: str

    @property
    def text(self) -> str:
        return said_by(self.stored.sample)


def listed(request: Request) -> Response:
    home: Home = request.app.state.home
    asked = request.query_params
    case_id = asked.get("case")
    if case_id is None:
        return page(request, "samples_all.html", counts=home.store.case_counts())
    case = case_named(home, case_id)
    variant = asked.get("variant") or None
    reason = (asked["check"], asked["reason"]) if "check" in asked and "reason" in asked else None
    glimpse: Glimpse = request.app.state.glimpses.of(home, case)
    chosen: dict[str, Any] = {"outcome": asked.get("outcome") or None, "reason": reason, "variant": variant}
    seqs = glimpse.page(**chosen, before=_number(asked.get("before")), limit=EACH_PAGE + 1)
    items = _items(home, case, home.store.of_seqs(seqs[:EACH_PAGE])[::-1])
    kept = {k: v for k, v in asked.items() if k in ("case", "outcome", "check", "reason", "variant")}
    words = glimpse.outcomes(variant)
    return page(
        request,
        "samples.html",
        figures={"strip": lambda width: outcome_strip("strip", words, width=width)} if words else {},
        case=case,
        glance=glimpse.counts(variant),
        items=items,
        kept={name: kept.get(name, "") for name in ("case", "outcome", "check", "reason", "variant")},
        link=lambda **more: "/samples?" + urlencode({k: v for k, v in {**kept, **more}.items() if v}),
        older=f"/samples?{urlencode({**kept, 'before': seqs[EACH_PAGE - 1]})}" if len(seqs) > EACH_PAGE else None,
        filters=urlencode({k: v for k, v in kept.items() if k != "case"}),
    )


def _items(home: Home, case: Case, stored: Sequence[StoredSample]) -> list[Item]:
    labels = {label.sample: label.outcome for label in _labels(home)}
    ids = checks_ids(home, case)
    have = home.store.outcomes([one.id for one in stored], ids)
    out = []
    for one in stored:
        said: list[Outcome] = [have[one.id][i] for i in ids if i in have.get(one.id, {})]
        whole = overall(said) if said else None
        marks = whole.marks if whole is not None else ()
        reason = (whole.reason if whole is not None else "") or (one.sample.error or "")
        out.append(Item(one, whole.outcome if whole else "unjudged", reason, tuple(marks), labels.get(one.id, "")))
    return out


def _labels(home: Home) -> Sequence[Label]:
    try:
        return home.project().labels
    except RerollError:  # the page says so; what the store holds is shown
        return ()


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and len(text) < 19 else None


def groups_page(request: Request) -> Response:
    """What failed of a case, in groups by what was observed: which check and why, and where it leaves passing runs."""
    home: Home = request.app.state.home
    case = case_named(home, request.query_params.get("case", ""))
    count = next((c.n for c in home.store.case_counts() if c.case_id == case.id), 0)
    variant = request.query_params.get("variant") or None
    grouped = 0 < count <= MOST_GROUPED
    found = grouped_samples(home.project(), home.store, case.id, variant=variant) if grouped else None
    return page(request, "groups.html", case=case, found=found, count=count, most=MOST_GROUPED, variant=variant)


def sample_page(request: Request) -> Response:
    home: Home = request.app.state.home
    id = request.path_params["id"]
    stored = home.store.sample(id)
    if stored.id != id:
        return RedirectResponse(f"/samples/{stored.id}", 303)
    if request.query_params.get("as") == "text":
        headers = {"content-disposition": f'attachment; filename="{stored.id}.txt"'}
        return PlainTextResponse(said_by(stored.sample).encode("utf-8", "replace"), headers=headers)
    project = home.project()
    whole = whole_sample(project, home.store, stored.id)
    case = _case(home, stored.case_id)
    around: tuple[str | None, str | None] = (None, None)
    other = None
    if case is not None:
        around = _neighbours(home, case, stored, request)
        if whole.shown.outcome != "pass":
            other = _passing(request.app.state.glimpses.of(home, case), home, stored)
    return page(
        request,
        "sample.html",
        whole=whole,
        stored=stored,
        around=around,
        other=other,
        other_marks=None if other is None else differing(whole.shown.text, said_by(other.sample)),
        other_text=None if other is None else said_by(other.sample),
        label={label.sample: label for label in project.labels}.get(stored.id),
        filters=request.url.query,
        checked=bool(whole.outcomes),
        told=_told(home, stored),
        **_again(home, project, stored),
    )


def _told(home: Home, stored: StoredSample) -> list[tuple[Evaluation, bool]]:
    """What was said of its call elsewhere, in the order in which it came, and whether it still counts."""
    told = home.store.evaluations_about(stored.id)
    stand = told if stored.choice else standing(told)
    return [(one, one in stand) for one in told]


def _again(home: Home, project: Project, stored: StoredSample) -> dict[str, Any]:
    """How what was recorded elsewhere is run again: by its case's page, or by a button, where the case is not ours."""
    if stored.source != "imported":
        return {}
    if any(case.id == stored.case_id for case in (*project.cases, *project.reported)):
        return {"again_at": f"/cases/{quote(stored.case_id, safe='')}#again"}
    label = f"Run it again, up to {PERSON_BUDGET} times"
    told = {"sample": stored.id, "forks": "no", "cause": "no", "fixes": "no"}
    return {
        "again": offer(home, project, "investigate", label=label, budget=PERSON_BUDGET, **told),
        "model": project.program.model,
    }


def _case(home: Home, id: str) -> Case | None:
    try:
        return case_named(home, id)
    except RerollError:
        return None


def _neighbours(home: Home, case: Case, stored: StoredSample, request: Request) -> tuple[str | None, str | None]:
    """The samples before and after this one in the list that it was opened from."""
    asked = request.query_params
    glimpse: Glimpse = request.app.state.glimpses.of(home, case)
    reason = (asked["check"], asked["reason"]) if "check" in asked and "reason" in asked else None
    chosen: dict[str, Any] = {
        "outcome": asked.get("outcome") or None,
        "reason": reason,
        "variant": asked.get("variant") or None,
    }
    newer = glimpse.page(**chosen, after=stored.seq, limit=1)
    older = glimpse.page(**chosen, before=stored.seq, limit=1)
    found = {one.seq: one.id for one in home.store.of_seqs([*newer, *older])}
    return (found.get(newer[0]) if newer else None, found.get(older[0]) if older else None)


def _passing(glimpse: Glimpse, home: Home, stored: StoredSample) -> StoredSample | None:
    """The newest passing sample of the same case and variant, else of any variant."""
    for variant in (stored.variant, None):
        seqs = glimpse.page(outcome="pass", variant=variant, limit=1)
        if seqs:
            return home.store.of_seqs(seqs)[0]
    return None


def against(request: Request) -> Response:
    """Two samples side by side, what differs marked."""
    home: Home = request.app.state.home
    project = home.project()
    sides = []
    for name in ("id", "other"):
        stored = home.store.sample(request.path_params[name])
        case = _case(home, stored.case_id)
        with Checker(project.path, person=not_asked, judges=no_judge) as checker:
            said = outcomes_of(checker, home.store, project, case, stored)
        sides.append((stored, overall(said).outcome if said else "unjudged", said_by(stored.sample)))
    return page(request, "against.html", sides=sides, marks=differing(sides[0][2], sides[1][2]))


def differing(one: str, other: str) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """The spans of each text that the other has not, word by word.

    >>> differing("on Friday", "on Monday")
    ([(3, 9)], [(3, 9)])
    """
    left, right = _words(one[:MOST_COMPARED]), _words(other[:MOST_COMPARED])
    matcher = difflib.SequenceMatcher(None, [w for w, _ in left], [w for w, _ in right], autojunk=False)
    first, second = [], []
    for tag, i1, i2, j1, j2 in matcher.get_opcodes():
        if tag != "equal":
            first += [(left[i1][1], left[i2 - 1][1] + len(left[i2 - 1][0]))] if i2 > i1 else []
            second += [(right[j1][1], right[j2 - 1][1] + len(right[j2 - 1][0]))] if j2 > j1 else []
    return first, second


def _words(text: str) -> list[tuple[str, int]]:
    return [(m.group(), m.start()) for m in re.finditer(r"\w+|\s+|[^\w\s]", text)]


async def label(request: Request) -> Response:
    """Keep what a person says of a sample; the checks' own errors are measured by it."""
    form, who = await form_of(request), visitor_of(request)
    word = str(form.get("outcome", ""))
    if word not in ("pass", "fail", "unsure"):
        raise Refused(400, "a label is pass, fail or unsure")
    home: Home = request.app.state.home
    id = await run_in_threadpool(
        _keep, home, request.path_params["id"], word, who.name, str(form.get("note", ""))[:1000]
    )
    if "application/json" in request.headers.get("accept", ""):
        return JSONResponse({"sample": id, "outcome": word})
    back = str(form.get("back", ""))
    return RedirectResponse(back if back.startswith("/samples") else f"/samples/{id}", 303)


def _keep(home: Home, id: str, word: Any, by: str, note: str) -> str:
    stored = home.store.sample(id)
    append_label(home.folder / LABELS, Label(sample=stored.id, outcome=word, by=by or "page", note=note))
    return stored.id


ROUTES = [
    Route("/samples", listed),
    Route("/samples/groups", groups_page),
    Route("/samples/{id}", sample_page),
    Route("/samples/{id}/against/{other}", against),
    Route("/samples/{id}/label", label, methods=["POST"]),
]
