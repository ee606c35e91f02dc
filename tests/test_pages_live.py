"""Pages that follow jobs: seen where the button stands, many at once, and nothing taken from whoever is writing."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from reroll.init import init_project
from reroll.store import Store
from reroll.web import jobs
from reroll.web.access import Access
from reroll.web.actions import key_of
from reroll.web.app import create_app
from reroll.web.home import Home
from reroll.web.jobs import AT_ONCE, Pool
from reroll.web.live import Hub
from reroll.web.passes import Passes
from tests.pages import SECONDS, Served, browser, home_in, needs_chromium, run, served, tab

BASE = "http://127.0.0.1:8585"
ASKS = """
  - id: asks
    input: {request: "Lunch with Ben next Friday at noon"}
    checks:
      - {name: a-person-says, person: true}
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with home_in(tmp_path / "meetings") as home:
        yield home


@pytest.fixture
def client(home: Home) -> TestClient:
    """A visitor who opened the link. The jobs' pool does not run: nothing is started."""
    access = Access(Passes(home.secret), home.store, clock=lambda: 1_800_000_000.0)
    made = TestClient(create_app(home, access), base_url=BASE, follow_redirects=False, raise_server_exceptions=False)
    made.get(f"/?token={access.passes.link(1_800_000_000.0)}")
    return made


def post(client: TestClient, path: str, **form: str) -> Any:
    mark = client.get("/settings").text.split('name="mark" value="')[1].split('"')[0]
    return client.post(path, data={"mark": mark, **form}, headers={"origin": BASE})


def test_whoever_begins_to_watch_is_told_what_others_were_told_before(home: Home) -> None:
    job, _ = home.store.ask_job(["rerun", "--", "next-friday"], title="t", key="k", by="")
    hub = Hub(home)
    with hub.watching([job.id]) as first:
        home.store.end_job(job.id, "done")
        hub.tell(hub.look((job.id,)))
        assert [word["state"] for word in first.taken()] == ["done"]
        with hub.watching([job.id]) as second:
            hub.tell(hub.look((job.id,)))
            assert [word["state"] for word in second.taken()] == ["done"]


def test_a_report_that_could_not_be_measured_says_why_on_its_page(home: Home, client: TestClient) -> None:
    sent = post(client, "/reports", **{"input.request": "Lunch with Ana next Friday at noon"})
    assert sent.status_code == 303
    (job,) = home.store.jobs()
    home.store.end_job(job.id, "failed", message="the model wants a key: set OPENAI_API_KEY")
    assert "the model wants a key" in client.get(sent.headers["location"]).text
    again = post(client, "/jobs", do="try", case="next-friday", back="/cases/next-friday/fixes")
    home.store.end_job(home.store.jobs(limit=1)[0].id, "failed", message="there is no fix to try")
    assert "there is no fix to try" in client.get(again.headers["location"]).text


def test_a_rate_that_was_read_is_not_said_to_be_left_open_by_runs(home: Home, client: TestClient) -> None:
    run("rerun", "half-seven", "--budget", "10", "--method", "sampling", "--quiet", "--project", str(home.folder))
    [counted] = home.store.findings(command="rerun", limit=1)
    body = home.store.finding_body(counted.id)
    body["luck"]["rate"] |= {"method": "enumeration", "n": 60}  # the answer with the most runs stands
    home.store.add_finding("rerun", body, case_id="half-seven", program_id=counted.program_id)
    shown = html.unescape(client.get("/cases/half-seven").text)
    assert "is what the model's own probabilities leave open" in shown


def test_the_title_of_a_job_says_its_target_in_percent(home: Home, client: TestClient) -> None:
    post(client, "/jobs", do="certify", case="next-friday", target="0.99")
    assert home.store.jobs()[0].title == "Whether next-friday works 99 % of the time"


# -- the pool ----------------------------------------------------------------------------------------------------------


class Sleeper:
    """A process that does nothing and does not end."""

    returncode = None

    def poll(self) -> None:
        return None


def put(home: Home, *words: str) -> str:
    return home.store.ask_job(words, title="t", key=key_of(words, home), by="")[0].id


def test_jobs_that_wait_for_a_person_keep_no_other_from_starting(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    monkeypatch.setattr("reroll.web.jobs.start", lambda id, home: started.append(id) or Sleeper())
    pool = Pool(home)
    ids = [put(home, "rerun", f"--budget={n}", "--", "next-friday") for n in range(5, 5 + AT_ONCE + 2)]
    pool.look(False)
    assert started == ids[:AT_ONCE]
    for id in started:
        home.store.claim_job(id, "worker")
    home.store.ask_person(ids[0], {"text": "is it right?"})
    pool.look(False)
    assert started == ids[: AT_ONCE + 1]


def test_a_job_of_another_project_in_the_same_store_is_not_started_here(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    monkeypatch.setattr("reroll.web.jobs.start", lambda id, home: started.append(id) or Sleeper())
    init_project(tmp_path / "other")
    theirs = put(Home(tmp_path / "other", home.store), "rerun", "--", "next-friday")
    mine = put(home, "rerun", "--", "next-friday")
    Pool(Home(home.folder, home.store, store_url="postgresql://db/shared")).look(True)
    assert started == [mine]
    started.clear()
    Pool(home).look(True)  # the store lies in the project's own folder, which may have been moved
    assert started == [theirs, mine]


def test_a_job_that_was_lost_and_is_wanted_stopped_is_over(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reroll.web.jobs.start", lambda id, home: pytest.fail("it was started"))
    monkeypatch.setattr("reroll.web.jobs.STALE", -1.0)
    id = put(home, "rerun", "--", "next-friday")
    home.store.claim_job(id, "gone")
    home.store.stop_job(id)
    Pool(home).look(True)
    assert home.store.job(id).state == "stopped"


def test_the_address_of_a_store_with_its_password_is_on_no_command_line(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[list[str], dict[str, str]]] = []
    monkeypatch.setattr("subprocess.Popen", lambda words, **more: seen.append((words, more["env"])))
    url = "postgresql://reroll:s3cret@db/reroll"
    jobs.start("j_1", Home(home.folder, home.store, store_url=url))
    ((words, env),) = seen
    assert "s3cret" not in " ".join(words)
    assert env["REROLL_STORE"] == url


def test_a_machine_that_can_start_no_process_for_a_while_ends_no_pool(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[str] = []

    def start(id: str, home: Home) -> Sleeper:
        tries.append(id)
        if len(tries) == 1:
            raise BlockingIOError("no more processes")
        return Sleeper()

    monkeypatch.setattr("reroll.web.jobs.start", start)
    put(home, "rerun", "--", "next-friday")

    async def until_it_runs() -> None:
        async with jobs.pool(home) as pool, asyncio.timeout(20):
            while not pool.running:
                pool.woken.set()
                await asyncio.sleep(0.01)

    asyncio.run(until_it_runs())
    assert len(tries) == 2


# -- in a browser ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("live") / "meetings"
    run("init", str(folder))
    cases = folder / "cases.yaml"
    cases.write_text(cases.read_text() + ASKS)
    run("rerun", "next-friday", "--budget", "40", "--project", str(folder), "--quiet", "--yes")
    with served(folder) as running:
        yield running


def waiting_for_a_person(folder: Path, n: int) -> list[str]:
    """Jobs that do not end before somebody says whether an answer is right."""
    with Store.open(folder / ".reroll" / "store.sqlite") as store:
        asked = [
            store.ask_job(words, title=f"Job {k}", key=key_of(words, Home(folder, store)), by="", case_id="asks")
            for k in range(n)
            for words in (["rerun", f"--budget={k + 5}", "--", "asks"],)
        ]
    return [job.id for job, _ in asked]


def stop(folder: Path, ids: list[str]) -> None:
    with Store.open(folder / ".reroll" / "store.sqlite") as store:
        for id in ids:
            store.stop_job(id)


@pytest.mark.browser
@needs_chromium
def test_a_run_is_seen_where_its_button_stands_and_stays_in_sight_when_it_is_over(
    chromium: Any, server: Served
) -> None:
    with tab(chromium, server.another_link()) as visit:
        visit.go("/cases/next-friday")
        visit.page.click("#again button")
        job = visit.page.wait_for_selector("#again [data-job]", timeout=SECONDS)
        box = job.bounding_box()
        assert 0 <= box["y"] <= 900 - box["height"]
        visit.page.wait_for_selector("main:not(:has([data-job])) #again", timeout=SECONDS)
        assert visit.page.url.endswith("/cases/next-friday#again")
        assert -100 < visit.page.locator("#again").bounding_box()["y"] < 900
        visit.is_clean()


@pytest.mark.browser
@needs_chromium
def test_a_page_that_follows_more_jobs_than_a_browser_holds_connections_can_still_stop_them(
    chromium: Any, server: Served
) -> None:
    ids = waiting_for_a_person(server.folder, 8)
    with tab(chromium, server.another_link()) as visit:
        visit.go("/cases/asks")
        assert visit.page.locator("[data-job]").count() == 8
        visit.page.wait_for_selector("[data-job][data-ready=waiting]")
        with visit.page.expect_navigation():
            visit.page.locator(f"[data-job='{ids[-1]}'] button", has_text="Stop").click(timeout=5000)
        visit.page.wait_for_function("document.querySelectorAll('[data-job]').length === 7", timeout=SECONDS)
        stop(server.folder, ids)
        visit.page.wait_for_selector("main:not(:has([data-job]))", timeout=SECONDS)
        visit.is_clean()


@pytest.mark.browser
@needs_chromium
def test_what_somebody_is_writing_is_not_taken_away_by_a_job_that_ends(chromium: Any, server: Served) -> None:
    ids = waiting_for_a_person(server.folder, 1)
    with tab(chromium, server.another_link()) as visit:
        visit.go("/cases/asks/wordings")
        visit.page.fill("textarea[name=other]", "lunch with ben, the friday after this one")
        stop(server.folder, ids)
        offered = visit.page.wait_for_selector("[data-job] a:has-text('show what is known')", timeout=SECONDS)
        assert visit.page.input_value("textarea[name=other]") == "lunch with ben, the friday after this one"
        offered.click()
        visit.page.wait_for_selector("main:not(:has([data-job]))", timeout=SECONDS)
        assert re.search("/wordings$", visit.page.url)
        visit.is_clean()
