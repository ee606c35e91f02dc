"""The Watch page: what is watched, its alarms with their reports, the allowance; and the watch beside `serve`."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from reroll.check import Outcome
from reroll.checking import Checker
from reroll.init import init_project
from reroll.project import load_project
from reroll.store import Store
from reroll.watch_file import read_watch
from reroll.watch_rounds import Watcher
from reroll.web.access import Access
from reroll.web.app import create_app
from reroll.web.home import Home
from reroll.web.passes import Passes
from tests.pages import browser, needs_chromium, served, tab, until
from tests.test_watch import FILE, NOW, calls

BASE = "http://127.0.0.1:8585"


def page_of(folder: Path, store: Store, path: str = "/watch") -> tuple[int, str]:
    home = Home(folder, store)
    access = Access(Passes(home.secret), store, clock=lambda: 1_800_000_000.0)
    client = TestClient(create_app(home, access), base_url=BASE)
    client.get(f"/?token={access.passes.link(1_800_000_000.0)}")
    reply = client.get(path)
    return reply.status_code, reply.text


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "meetings"
    init_project(made)
    (made / "watch.yaml").write_text(FILE, encoding="utf-8")
    return made


def test_an_alarm_stands_on_the_page_with_its_report_and_the_figure_has_its_table(folder: Path) -> None:
    with Store.open(folder / ".reroll" / "store.sqlite") as store:
        project = load_project(folder)
        with Checker(folder) as checker:
            Watcher(project, read_watch(project), store, checker).look(NOW)
            calls(store, "r" * 500 + "w" * 8, gap=1200)
            Watcher(project, read_watch(project), store, checker).look(NOW)
        status, text = page_of(folder, store)
        assert status == 200
        assert "1 alarm open." in text
        (alarm,) = store.alarms("meetings")
        assert f"/reports/{str(alarm.report_id).replace(':', '%3A')}" in text
        assert "of dates (m-1, program p1:0) failed; at most 1 % is normal." in text
        assert "the share of each day&#39;s calls that failed" in text
        assert "As a table" in text
        status, report = page_of(folder, store, f"/reports/{alarm.report_id}")
        assert status == 200
        assert "reroll watch" in report


def test_what_commands_drew_stands_apart_from_production_and_spends_no_error_budget(folder: Path) -> None:
    with Store.open(folder / ".reroll" / "store.sqlite") as store:
        ids = calls(store, "r" * 39 + "w")
        ids += calls(store, "w" * 30 + "r" * 10, first=40, source="draw")
        project = load_project(folder)
        with Checker(folder) as checker:
            case = project.case("next-friday")
            for id, letter in zip(ids, "r" * 39 + "w" * 31 + "r" * 10, strict=True):
                said = Outcome("fail" if letter == "w" else "pass", "", "right-date")
                store.add_outcomes(id, [(check, said) for check in checker.ids(case, project.program)])
        _, text = page_of(folder, store)
        production, drawn = text.split("What commands here drew")
        assert "1 of 40 calls failed; the target allows 0.4" in production
        assert "250 % of the error budget is spent" in production
        assert "30 of 40 runs failed." in drawn
        assert "of the error budget is" not in drawn


def test_a_hostile_name_is_only_text_and_a_wrong_file_is_said(folder: Path) -> None:
    with Store.open(folder / ".reroll" / "store.sqlite") as store:
        (folder / "watch.yaml").write_text(FILE.replace("name: dates", "name: '<script>x</script>'"), encoding="utf-8")
        project = load_project(folder)
        calls(store, "rr")
        with Checker(folder) as checker:
            Watcher(project, read_watch(project), store, checker).look(NOW)
        status, text = page_of(folder, store)
        assert status == 200
        assert "<script>x" not in text
        assert "&lt;script&gt;x" in text
        (folder / "watch.yaml").write_text("streams: 3\n", encoding="utf-8")
        status, text = page_of(folder, store)
        assert status == 200
        assert "watch.yaml:1" in text


@needs_chromium
def test_while_the_pages_are_served_the_watch_goes_on_and_its_alarm_appears(folder: Path) -> None:
    place = folder / ".reroll" / "store.sqlite"
    with Store.open(place) as store:
        calls(store, "r" * 500, start=time.time() - 9e5, gap=1200)
        with served(folder) as server, browser() as chromium, tab(chromium, server.link) as visit:
            until(lambda: store.watch("meetings") is not None and bool(store.watched("meetings")))
            visit.go("/watch")
            assert "No alarm is open." in visit.text()
            calls(store, "w" * 8, start=time.time() - 4000, gap=400, first=500)
            until(lambda: bool(store.alarms("meetings")))
            visit.go("/watch")
            assert "1 alarm open." in visit.text()
            visit.page.click("#alarms >> text=Report")
            visit.page.wait_for_selector("html[data-ready]")
            assert "calls of dates (m-1, program p1:0) failed" in visit.text()
            visit.fits()
            visit.is_accessible()
            visit.is_clean()
