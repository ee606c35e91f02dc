"""Draws of one case that send something else than its program does: each request has slots and samples of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path

from reroll.case import Case
from reroll.checking import Checker
from reroll.models.model import Capabilities, Draw
from reroll.program import Program, Request
from reroll.project import Project
from reroll.runner import draw_at
from reroll.sample import Completion, Sample
from reroll.session import Options, Session, judged, slots
from reroll.store import Store

CASE = Case.model_validate({"id": "greet", "input": {"request": "Say yes"}, "checks": [{"equals": "Say yes"}]})


class Echo:
    """A model that answers with the last message it was sent; later draws come back before earlier ones."""

    name = identity = "echo"
    priced = True
    concurrency = 6

    async def check(self) -> None: ...

    async def probe(self) -> Capabilities:
        return Capabilities()

    async def close(self) -> None: ...

    async def draw(self, draw: Draw) -> Sample:
        for _ in range(5 - draw.index):
            await asyncio.sleep(0)
        return Sample(Completion(draw.request.body["messages"][-1]["content"]))


def test_two_requests_of_one_case_are_drawn_in_one_call_and_not_mixed_up(tmp_path: Path) -> None:
    program = Program(program="greeting", model="echo")
    other = Request("echo", None, {"messages": [{"role": "user", "content": "Say no"}]})
    project = Project(tmp_path, program, (CASE,), (), ())
    with Store.open(tmp_path / "store.sqlite") as store, Checker(tmp_path) as checker:
        session = Session(project, store, Echo(), checker, Options(seed=5))
        own, changed = slots(session, CASE, series="here"), slots(session, CASE, series="here", request=other)
        assert own.request is None
        assert own.request_id != changed.request_id
        assert not judged(session, own)  # the checks are known before the first draw
        assert not judged(session, changed)
        asyncio.run(draw_at(session, [(own, 3), (changed, 4)]))
        said = {at.request_id: judged(session, at) for at in (own, changed)}
        texts = {id: [j.stored.sample.completion.text for j in runs] for id, runs in said.items()}  # type: ignore[union-attr]
        assert texts == {own.request_id: ["Say yes"] * 3, changed.request_id: ["Say no"] * 4}
        assert list(said[own.request_id].words()) == ["pass"] * 3
        assert list(said[changed.request_id].words()) == ["fail"] * 4
        assert [j.stored.idx for j in said[changed.request_id]] == [0, 1, 2, 3]
        # What was sent is stored, so that it can be sent again.
        assert store.get_request(changed.request_id).request == other


def test_what_was_drawn_for_another_request_is_no_run_of_the_case(tmp_path: Path) -> None:
    other = Request("echo", None, {"messages": [{"role": "user", "content": "Say no"}]})
    project = Project(tmp_path, Program(program="greeting", model="echo"), (CASE,), (), ())
    with Store.open(tmp_path / "store.sqlite") as store, Checker(tmp_path) as checker:
        session = Session(project, store, Echo(), checker, Options())
        assert not session.runs(CASE)
        asyncio.run(draw_at(session, [(slots(session, CASE, request=other), 2)]))
        assert len(session.runs(CASE)) == 0
