"""The planted causes of benchmarks/cause.py are what they say: rates, texts, projects and scores."""

from __future__ import annotations

import http.client
import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from benchmarks._causes import Around, texts
from benchmarks._causes_kinds import KINDS, world
from benchmarks._causes_peers import oracle, request
from benchmarks._causes_server import Server, write_project
from benchmarks.cause import score

from reroll.project import load_project

CIRCUMSTANCES = Around(in_flight=9, cold=True, number=1)


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_reported_request_holds_every_cue_and_fails_as_planted(kind: str) -> None:
    w = world(kind, 3)
    body = request(w)
    assert len(w.on(body, CIRCUMSTANCES)) == len(w.cues)
    if w.between is None:
        assert w.seen(w.fails(body, CIRCUMSTANCES)) == pytest.approx(w.rate)


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_project_of_every_kind_loads_and_its_controls_fail_at_the_base_rate(kind: str, tmp_path: Path) -> None:
    w = world(kind, 4)
    project = load_project(write_project(w, tmp_path, "http://127.0.0.1:9/v1"))
    known = {p.id for p in project.program.parts(w.cases[0]["input"])}
    for cue in w.cues:
        assert (
            any(i in known or i.startswith(("serving.", "documents.order", "check.")) for i in cue.ids) or kind == "raw"
        )
    if w.easy and not w.flips and not w.spread:
        body = project.program.render(w.cases[1]["input"]).body
        assert w.fails(body) == pytest.approx(w.base)


@pytest.mark.parametrize("kind", list(KINDS))
def test_who_knows_the_world_scores_one(kind: str) -> None:
    w = world(kind, 5)
    got = score(w, oracle(w))
    assert got["right"], got
    assert got["covers"], got
    assert got["score"] == pytest.approx(1), got


def test_different_seeds_share_no_clause() -> None:
    one, two = (
        {s for t in texts(w.program) + texts(w.cases) for s in re.split(r"(?<=\.)\s+", t) if len(s) > 20}
        for w in (world("user", 1), world("user", 2))
    )
    assert one
    assert two
    assert not one & two


def test_the_server_fails_as_often_as_the_simulator_says() -> None:
    w, server = world("user_and", 1), Server()
    server.play(w)
    where = urlsplit(server.url)
    line = http.client.HTTPConnection(where.netloc)
    failed = 0
    for _ in range(400):
        line.request("POST", f"{where.path}/chat/completions", json.dumps(request(w)))
        failed += json.loads(line.getresponse().read())["choices"][0]["message"]["content"] in w.failing
    line.close()
    server.close()
    assert abs(failed / 400 - w.rate) < 0.1
