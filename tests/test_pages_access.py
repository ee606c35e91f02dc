"""Who may see and do what: links, cookies, tokens, proxies, other sites, too much; and how a job survives."""

from __future__ import annotations

import html
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from reroll.case import Report
from reroll.errors import UsageError
from reroll.sample import Completion, Sample
from reroll.serving import Serving, access_of
from reroll.store import NewSample, Store
from reroll.web import pages_tokens
from reroll.web.access import Access
from reroll.web.app import create_app
from reroll.web.home import Home, secret_of
from reroll.web.passes import LINK_SECONDS, Passes
from tests.pages import environment, home_in, until

BASE = "http://127.0.0.1:8585"
SECRET = "a-secret-of-the-proxy"


class Clock:
    now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with home_in(tmp_path / "meetings") as home:
        yield home


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def access(home: Home, clock: Clock) -> Access:
    return Access(Passes(home.secret), home.store, proxy_secret=SECRET, clock=clock)


@pytest.fixture
def client(home: Home, access: Access) -> TestClient:
    """A visitor whom nobody let in. The jobs' pool does not run: nothing is started."""
    return TestClient(create_app(home, access), base_url=BASE, follow_redirects=False, raise_server_exceptions=False)


@pytest.fixture
def inside(client: TestClient, access: Access, clock: Clock) -> TestClient:
    """A visitor who opened the link."""
    assert client.get(f"/?token={access.passes.link(clock.now)}").status_code == 303
    return client


def mark(client: TestClient) -> str:
    return client.get("/settings").text.split('name="mark" value="')[1].split('"')[0]


def post(client: TestClient, path: str, **form: str) -> object:
    return client.post(path, data={"mark": mark(client), **form}, headers={"origin": BASE})


HTML = {"accept": "text/html"}


# -- coming in ---------------------------------------------------------------------------------------------------------


def test_nobody_sees_anything_without_being_let_in(client: TestClient) -> None:
    for path in ("/", "/samples", "/settings", "/events?job=j_x", "/findings/f_x"):
        reply = client.get(path, headers=HTML)
        assert reply.status_code == 401, path
        assert "reroll serve --link" in reply.text
    assert client.get("/healthz").text == "ok"
    assert client.get("/static/style.css").status_code == 200


def test_a_link_opens_the_pages_once_and_leaves_a_cookie_that_scripts_cannot_read(
    client: TestClient, access: Access, clock: Clock
) -> None:
    link = f"/samples?case=a&token={access.passes.link(clock.now)}"
    first = client.get(link)
    assert first.status_code == 303
    assert first.headers["location"] == "/samples?case=a"
    cookie = first.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert client.get("/").status_code == 200
    client.cookies.clear()
    again = client.get(link, headers=HTML)
    assert again.status_code == 401
    assert "used before" in again.text


def test_a_link_never_leads_to_another_site(inside: TestClient) -> None:
    for path in ("//evil.example/", "///evil.example/a"):
        assert inside.get(f"{BASE}{path}?token=used").headers["location"].startswith("/evil.example/")
    reply = post(inside, "/name", name="Ana", back="//evil.example/")
    assert reply.headers["location"] == "/settings"


def test_saying_ones_name_leaves_the_forms_of_other_windows_valid(inside: TestClient, home: Home) -> None:
    earlier = mark(inside)
    post(inside, "/name", name="Ana")
    sent = inside.post("/jobs", data={"mark": earlier, "do": "rerun", "case": "next-friday"}, headers={"origin": BASE})
    assert sent.status_code == 303
    assert home.store.jobs()[0].asked_by == "Ana"


@pytest.mark.parametrize("header", [{"host": "["}, {"host": "a]b:c"}, {"host": "127.0.0.1:8585", "origin": "http://["}])
def test_an_address_that_is_none_is_refused_in_a_sentence(inside: TestClient, header: dict[str, str]) -> None:
    reply = inside.post("/jobs", headers=header)
    assert reply.status_code in (403, 421)
    assert "unexpected" not in reply.text


def test_a_link_is_too_old_after_a_quarter_of_an_hour_and_a_cookie_after_a_month(
    client: TestClient, access: Access, clock: Clock
) -> None:
    link = f"/?token={access.passes.link(clock.now)}"
    clock.now += LINK_SECONDS + 1
    assert client.get(link).status_code == 401
    assert client.get(f"/?token={access.passes.link(clock.now)}").status_code == 303
    assert client.get("/").status_code == 200
    clock.now += 31 * 24 * 3600
    assert client.get("/").status_code == 401


@pytest.mark.parametrize("cookie", ["", "x", "e30.e30", "eyJ0IjowfQ.AAAA", "a.b.c", "é.ü"])
def test_a_cookie_of_somebody_elses_making_opens_nothing(client: TestClient, cookie: str) -> None:
    assert client.get("/", headers={"cookie": f"reroll={cookie}".encode()}).status_code == 401


def test_the_secret_is_kept_for_its_owner_alone_and_survives_a_restart(home: Home) -> None:
    path = home.folder / ".reroll" / "serve.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert secret_of(home.folder) == home.secret
    path.write_text("{}")
    with pytest.raises(UsageError, match="remove it"):
        secret_of(home.folder)


# -- access tokens -----------------------------------------------------------------------------------------------------


def test_an_access_token_lets_in_with_its_scopes_until_it_is_revoked(client: TestClient, home: Home) -> None:
    id, secret = home.store.new_token("ci", ("read",))
    header = {"authorization": f"Bearer {secret}"}
    assert client.get("/", headers=header).status_code == 200
    refused = client.post("/jobs", data={"do": "rerun", "case": "next-friday"}, headers=header)
    assert refused.status_code == 403
    assert "scope `run`" in refused.text
    home.store.revoke_token(id)
    assert client.get("/", headers=header).status_code == 401
    assert client.get("/", headers={"authorization": "Bearer rr_wrong"}).status_code == 401
    assert secret not in str(home.store.tokens())


def test_a_person_with_a_token_comes_in_by_the_door_and_goes_out_when_it_is_revoked(
    client: TestClient, home: Home
) -> None:
    id, secret = home.store.new_token("Ben", ("read", "run"))
    assert client.post("/enter", data={"token": "rr_no"}, headers={"origin": BASE}).status_code == 401
    assert client.post("/enter", data={"token": secret}, headers={"origin": BASE}).status_code == 303
    assert "access token of Ben" in client.get("/settings").text
    assert (
        client.post("/settings/tokens", data={"mark": mark(client), "name": "x"}, headers={"origin": BASE}).status_code
        == 403
    )
    home.store.revoke_token(id)
    assert client.get("/").status_code == 401


def test_a_token_spends_no_more_than_its_cap(client: TestClient, home: Home) -> None:
    _, secret = home.store.new_token("ci", ("run",), max_usd=2.0)
    header = {"authorization": f"Bearer {secret}"}
    ask = {"do": "rerun", "case": "next-friday"}
    assert client.post("/jobs", data=ask, headers=header).status_code == 303
    [job] = home.store.jobs()
    assert "--max-usd=2" in job.words
    assert job.max_usd == 2.0
    more = client.post("/jobs", data={**ask, "case": "half-seven"}, headers=header)
    assert more.status_code == 403
    assert "that is spent" in more.text
    home.store.end_job(job.id, "done", usd=0.5)
    assert client.post("/jobs", data={**ask, "case": "half-seven"}, headers=header).status_code == 303
    assert "--max-usd=1.5" in home.store.jobs()[0].words


def test_a_proxy_that_knows_the_secret_says_who_it_is_and_nobody_else_can(client: TestClient) -> None:
    said = {"x-forwarded-user": "ana", "x-reroll-proxy": SECRET}
    assert "ana" in client.get("/", headers=said).text
    assert client.get("/", headers={**said, "x-reroll-proxy": "guess"}).status_code == 401
    assert client.get("/", headers={"x-reroll-proxy": SECRET}).status_code == 401


def test_whoever_comes_by_the_proxy_gets_no_cookie_and_gives_no_access_tokens(client: TestClient, home: Home) -> None:
    said = {"x-forwarded-user": "ana", "x-reroll-proxy": SECRET, "origin": BASE}
    page = client.get("/settings", headers=said).text
    form = {"mark": page.split('name="mark" value="')[1].split('"')[0], "name": "the boss"}
    assert "you are ana" in page
    assert client.post("/name", data=form, headers=said).status_code == 303
    assert client.cookies.get("reroll") is None
    assert client.post("/settings/tokens", data={**form, "run": "yes"}, headers=said).status_code == 403
    assert home.store.tokens() == []


@pytest.mark.parametrize(
    ("headers", "secure"),
    [
        ({"origin": BASE}, False),  # on this machine
        ({"origin": BASE, "sec-fetch-site": "same-origin"}, False),
        ({"host": "reroll.test", "origin": "https://reroll.test"}, True),  # a proxy with TLS before us
        ({"host": "reroll.test", "origin": "http://reroll.test"}, False),
    ],
    ids=str,
)
def test_over_tls_the_cookie_goes_nowhere_without_it(
    home: Home, access: Access, headers: dict[str, str], secure: bool
) -> None:
    _, secret = home.store.new_token("ana", ("read",))
    known = Access(access.passes, access.store, (*access.hosts, "reroll.test"), clock=access.clock)
    client = TestClient(create_app(home, known), base_url=BASE, follow_redirects=False)
    cookie = client.post("/enter", data={"token": secret}, headers=headers).headers["set-cookie"]
    assert ("Secure" in cookie) == secure


def test_no_other_machine_is_let_in_unless_something_says_who_may(home: Home) -> None:
    with pytest.raises(UsageError, match="nothing says who may"):
        access_of(home, Serving("0.0.0.0", 0, ("reroll.example.org",), None))
    with pytest.raises(UsageError, match="fewer than 16"):
        access_of(home, Serving("0.0.0.0", 0, ("reroll.example.org",), "short"))
    with pytest.raises(UsageError, match="by which name"):
        access_of(home, Serving("0.0.0.0", 0, (), SECRET))
    home.store.new_token("team", ("read",))
    assert "reroll.example.org" in access_of(home, Serving("0.0.0.0", 0, ("reroll.example.org",), None)).hosts
    assert access_of(home, Serving("127.0.0.1", 0, (), None))


# -- other sites -------------------------------------------------------------------------------------------------------


def test_a_host_that_is_not_ours_gets_nothing(inside: TestClient) -> None:
    for host in ("evil.example", "127.0.0.1.evil.example", "", "localhost.evil"):
        assert inside.get("/", headers={"host": host}).status_code == 421, host
    assert inside.get("/", headers={"host": "localhost:8585"}).status_code in (200, 401)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {},
    ],
    ids=str,
)
def test_a_form_from_another_site_starts_nothing(inside: TestClient, home: Home, headers: dict[str, str]) -> None:
    form = {"mark": mark(inside), "do": "rerun", "case": "next-friday"}
    assert inside.post("/jobs", data=form, headers=headers).status_code == 403
    assert home.store.jobs() == []


# An access token of its own opens these; no cookie does.
FOR_EXPORTERS = {"/v1/traces", "/v1/logs", "/api/public/otel/v1/traces"}


def paths(client: TestClient, method: str) -> list[str]:
    """Every address of the pages that takes this method, with something in the place of its names."""
    routes = [r for r in client.app.routes if method in (getattr(r, "methods", None) or ())]  # type: ignore[attr-defined]
    return [re.sub(r"\{\w+(:\w+)?\}", "1", route.path) for route in routes]


def test_every_form_is_refused_from_another_site_without_a_mark_and_to_strangers(
    client: TestClient, access: Access, clock: Clock
) -> None:
    posts = [path for path in paths(client, "POST") if path not in FOR_EXPORTERS]
    assert len(posts) > 12
    for path in set(posts) - {"/enter"}:
        assert client.post(path, data={"mark": "x"}, headers={"origin": BASE}).status_code == 401, path
    client.get(f"/?token={access.passes.link(clock.now)}")
    good = mark(client)
    for path in posts:
        elsewhere = client.post(path, data={"mark": good}, headers={"origin": "http://evil.example"})
        assert elsewhere.status_code == 403, path
        assert client.post(path, data={"mark": good}).status_code == 403, path
        assert client.post(path, headers={"origin": BASE, "host": "evil.example"}).status_code == 421, path
        assert client.post(path, data={"mark": "x"}, headers={"origin": BASE}).status_code == 403, path


def test_every_page_is_for_those_who_were_let_in_and_says_what_it_may_load(
    client: TestClient, access: Access, clock: Clock
) -> None:
    pages = [path for path in paths(client, "GET") if not path.startswith(("/static", "/healthz"))]
    assert len(pages) > 20
    for path in pages:
        assert client.get(path).status_code == 401, path
    client.get(f"/?token={access.passes.link(clock.now)}")
    for path in pages:
        reply = client.get(path)
        # No hub runs beside this server, so its events break: what nobody foresaw has the headers too.
        assert reply.status_code in ((500,) if path == "/events" else (200, 303, 404)), path
        assert reply.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'"), path
        assert client.get(path, headers={"host": "evil.example"}).status_code == 421, path


@pytest.mark.parametrize("kind", ["serving.pin", "model.pin"])
def test_no_page_says_where_calls_go(inside: TestClient, home: Home, kind: str) -> None:
    post(inside, "/ideas", idea="elsewhere", by="ana", case="next-friday")
    reply = post(inside, "/ideas/1/fix", yaml=f"kind: {kind}\ntext: http://169.254.169.254/latest\n")
    assert reply.status_code == 422  # type: ignore[attr-defined]
    assert "never on a page" in html.unescape(reply.text)  # type: ignore[attr-defined]
    assert not list((home.folder / "fixes").glob("idea-*"))


def test_a_form_without_our_mark_starts_nothing(inside: TestClient, home: Home) -> None:
    form = {"do": "rerun", "case": "next-friday"}
    for given in ({}, {"mark": ""}, {"mark": "AAAA"}):
        reply = inside.post("/jobs", data={**form, **given}, headers={"origin": BASE})
        assert reply.status_code == 403
        assert "reload" in reply.text
    assert home.store.jobs() == []


def test_every_page_forbids_everything_that_it_does_not_need(inside: TestClient) -> None:
    for path in ("/", "/nowhere", "/static/live.js", "/healthz"):
        headers = inside.get(path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert "http" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in policy


def test_nobody_is_sent_to_another_site(inside: TestClient) -> None:
    for back in ("//evil.example", "https://evil.example", "/\\evil.example"):
        reply = post(inside, "/jobs", do="rerun", case="next-friday", back=back)
        assert reply.headers["location"].startswith("/jobs/")  # type: ignore[attr-defined]


# -- too much, and nonsense --------------------------------------------------------------------------------------------


def test_five_megabytes_are_refused_in_a_sentence_with_or_without_a_length(inside: TestClient) -> None:
    headers = {"origin": BASE, "content-type": "application/x-www-form-urlencoded", "accept": "text/html"}
    reply = inside.post("/reports", content=b"happened=" + b"x" * 5_000_000, headers=headers)
    assert reply.status_code == 413
    assert "more than a million characters" in reply.text
    pieces = (b"x" * 100_000 for _ in range(50))
    assert inside.post("/reports", content=pieces, headers=headers).status_code == 413


def test_what_no_html_can_hold_stands_on_no_page(inside: TestClient) -> None:
    assert "\0" not in post(inside, "/settings/tokens", name="ana", scope="re\0ad").text  # type: ignore[attr-defined]
    post(inside, "/name", name="a\0na")
    page = inside.get("/ideas", params={"words": "a\0b"}).text
    assert "\0" not in page
    assert 'value="a\N{REPLACEMENT CHARACTER}na"' in page


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"do": "rm -rf"}, "no such action"),
        ({"do": "rerun"}, "`case` is missing"),
        ({"do": "rerun", "case": "a\0b"}, "NUL"),
        ({"do": "rerun", "case": "next-friday", "budget": "-1"}, "between 1 and"),
        ({"do": "rerun", "case": "next-friday", "budget": "lots"}, "no number of calls"),
        ({"do": "rerun", "case": "x" * 200_000}, "200,000 characters"),
        ({"do": "rerun", "case": "nobody"}, "no case `nobody`"),
    ],
)
def test_a_form_that_makes_no_sense_is_answered_in_one_sentence(
    inside: TestClient, form: dict[str, str], words: str
) -> None:
    reply = post(inside, "/jobs", **form)
    assert reply.status_code in (400, 403), reply.text  # type: ignore[attr-defined]
    assert words in reply.text
    assert "Traceback" not in reply.text


@pytest.mark.parametrize(
    "form",
    [
        {"do": "rerun", "case": "--person=touch /tmp/hacked"},
        {"do": "rerun", "case": "next-friday\n--store=x"},
        {"do": "try", "case": "next-friday", "fix": "--gepa"},
        {"do": "try", "case": "next-friday", "fix": "base_url=http://169.254.169.254/"},
        {"do": "try", "case": "next-friday", "fix": "/etc/passwd"},
        {"do": "try", "case": "next-friday", "fix": "hard-code\n../other.yaml"},
        {"do": "forks", "sample": "--project=/"},
        {"do": "certify", "case": "next-friday", "target": "0.9 --person=x"},
        {"do": "certify", "case": "next-friday", "target": "nan"},
        {"do": "words", "case": "next-friday", "input": "base_url", "other": "http://evil.example"},
    ],
    ids=str,
)
def test_no_page_names_a_file_an_address_or_an_option(inside: TestClient, home: Home, form: dict[str, str]) -> None:
    assert post(inside, "/jobs", **form).status_code in (400, 404)  # type: ignore[attr-defined]
    assert home.store.jobs() == []


def test_other_words_are_words_whatever_they_look_like(inside: TestClient, home: Home) -> None:
    for other in ("@/etc/passwd", "base_url=http://evil.example", "--store=x", "baseline"):
        post(inside, "/jobs", do="words", case="next-friday", input="request", other=other)
        assert home.store.jobs()[0].words[:2][-1] == f"--tokens=input.request={other}"


def test_a_check_that_runs_code_is_taken_from_no_form(inside: TestClient, home: Home) -> None:
    post(inside, "/jobs", do="investigate", case="next-friday", expect="python: os:system")
    assert not any("python" in word for word in home.store.jobs()[0].words)
    form = {"input.request": "x", "happened": "y", "expected": "os:system"}
    for kind in ("python", "judge", "any", "schema"):
        assert post(inside, "/reports", **form, expect=kind).status_code == 422  # type: ignore[attr-defined]
    assert not (home.folder / ".reroll" / "reported.yaml").exists()


def test_a_store_that_is_gone_or_locked_is_a_page_that_says_so(inside: TestClient, home: Home) -> None:
    home.store.close()
    reply = inside.get("/", headers=HTML)
    assert reply.status_code == 503
    assert "The store does not answer" in reply.text
    assert "closed" in reply.text


def test_a_store_whose_file_is_gone_takes_no_report_until_it_is_back(inside: TestClient, home: Home) -> None:
    assert home.store.path is not None
    form = {"mark": mark(inside), "input.request": "Tea next Friday", "expect": "contains", "expected": "2026-11-27"}
    away = home.store.path.with_suffix(".away")
    home.store.path.rename(away)
    reply = inside.get("/", headers=HTML)
    assert reply.status_code == 503
    assert "was moved or removed while it was open" in reply.text
    sent = inside.post("/reports", data=form, headers={"origin": BASE})
    assert sent.status_code == 503  # and not a thank-you for what nobody will ever find
    away.rename(home.store.path)
    assert inside.get("/", headers=HTML).status_code == 200
    assert home.store.reports() == []


def test_files_that_cannot_be_read_are_said_on_every_page_and_the_store_is_still_shown(
    inside: TestClient, home: Home
) -> None:
    (home.folder / "program.yaml").write_text("program: [\n")
    reply = inside.get("/", headers=HTML)
    assert reply.status_code == 200
    assert "program.yaml:2" in reply.text
    assert "mend the file" in reply.text


# -- jobs --------------------------------------------------------------------------------------------------------------


def test_two_people_who_press_the_button_at_once_start_one_run(inside: TestClient, home: Home) -> None:
    form = {"mark": mark(inside), "do": "rerun", "case": "next-friday"}

    def press(_: int) -> str:
        return inside.post("/jobs", data=form, headers={"origin": BASE}).headers["location"]

    with ThreadPoolExecutor(8) as people:
        places = set(people.map(press, range(16)))
    assert len(places) == 1
    assert len(home.store.jobs()) == 1


def test_a_job_that_waits_can_be_stopped_before_it_starts(inside: TestClient, home: Home) -> None:
    post(inside, "/jobs", do="rerun", case="next-friday")
    [job] = home.store.jobs()
    post(inside, f"/jobs/{job.id}/stop")
    assert home.store.job(job.id).state == "stopped"
    assert not home.store.claim_job(job.id, "late")


def work(home: Home, id: str) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "reroll.working", id, "--project", str(home.folder)]
    return subprocess.Popen(words, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def ask(home: Home, *words: str) -> str:
    job, _ = home.store.ask_job(words, title="a test", key=" ".join(words), by="test")
    return job.id


def test_a_job_leaves_its_finding_and_where_it_stood(home: Home) -> None:
    id = ask(home, "rerun", "--budget=12", "--", "half-seven")
    assert work(home, id).wait(60) == 0
    job = home.store.job(id)
    assert job.state == "done"
    assert job.finding_id is not None
    body = home.store.finding_body(job.finding_id)
    assert body["schema"] == "reroll.answer/1"
    assert body["case"]["id"] == "half-seven"
    assert job.progress is not None
    assert job.progress["strip"].count("f") == body["luck"]["rate"]["failures"]


def test_a_job_that_cannot_be_done_says_why_in_a_sentence(home: Home) -> None:
    id = ask(home, "rerun", "--", "no-such-case")
    work(home, id).wait(60)
    job = home.store.job(id)
    assert job.state == "failed"
    assert "no case `no-such-case`" in job.message
    assert job.usd == 0.0  # else whoever has a capped token could start nothing more
    assert "[" not in job.message[-12:]


def test_no_job_is_a_command_that_is_not_for_jobs(home: Home) -> None:
    id = ask(home, "init", "/tmp/elsewhere")
    work(home, id).wait(60)
    assert home.store.job(id).state == "failed"


def test_a_job_whose_worker_was_killed_is_taken_up_again_and_pays_for_nothing_twice(home: Home) -> None:
    id = ask(home, "try", "--case=next-friday", "--budget=400", "--", "describe-date")
    first = work(home, id)
    until(lambda: home.store.newest() > 50)
    os.kill(first.pid, signal.SIGKILL)
    first.wait(20)
    before = home.store.newest()
    assert home.store.job(id).state == "running"
    assert not home.store.claim_job(id, "too early")
    until(lambda: bool(home.store.stale_jobs(0.5)))
    with home.store._write() as connection:  # as if ten seconds had passed
        connection.exec_driver_sql("UPDATE jobs SET beat_us = beat_us - 20000000")
    second = work(home, id)
    second.wait(280)
    job = home.store.job(id)
    assert job.state == "done", job.message
    stored = home.store.samples(source="draw")
    slots = {(one.request_id, one.series, one.idx) for one in stored}
    assert len(slots) == len(stored) >= before
    body = home.store.finding_body(str(job.finding_id))
    assert body["cost"]["calls"] <= 400
    assert body["cost"]["reused"] >= 50


def test_a_job_stops_as_at_ctrl_c_and_keeps_what_is_known(home: Home) -> None:
    id = ask(home, "try", "--case=next-friday", "--budget=20000", "--", "describe-date")
    worker = work(home, id)
    until(lambda: home.store.newest() > 20)
    home.store.stop_job(id)
    worker.wait(60)
    job = home.store.job(id)
    assert job.state == "stopped"
    assert job.finding_id is not None
    assert home.store.finding_body(job.finding_id)["finished"] is False


def test_a_worker_that_lost_its_job_writes_nothing_more(home: Home) -> None:
    id = ask(home, "rerun", "--", "half-seven")
    assert home.store.claim_job(id, "one")
    assert home.store.beat(id, "one", {"calls": 1}) is False
    assert home.store.claim_job(id, "two", stale_seconds=-1.0)
    assert home.store.beat(id, "one") is None
    assert not home.store.end_job(id, "done", worker="one")
    assert home.store.end_job(id, "done", worker="two")
    assert home.store.beat(id, "two") is None


# -- reports and projects as they come -----------------------------------------------------------------------------


def test_what_was_reported_is_known_at_once_and_the_same_request_is_one_case(inside: TestClient, home: Home) -> None:
    inside.get("/reports/new")
    for words in ("Alpha one", "Beta two", "Alpha one"):
        told = {"input.request": words, "expect": "contains", "expected": "x"}
        assert post(inside, "/reports", **told).status_code == 303
    assert [case.id for case in home.project().reported] == ["alpha-one", "beta-two"]
    assert post(inside, "/jobs", do="rerun", case="beta-two").status_code == 303


@pytest.mark.parametrize("id", ["a/b", "a b?c#d", "“昼”", 'say "hi"'])
def test_a_case_is_found_whatever_its_id(inside: TestClient, home: Home, id: str) -> None:
    cases = home.folder / "cases.yaml"
    more = f"\n  - id: {json.dumps(id)}\n    input: {{request: Tea}}\n    checks:\n      - contains: x\n"
    cases.write_text(cases.read_text() + more)
    links = set(re.findall(r'href="(/cases/[^"]*)"', inside.get("/").text))
    assert len(links) == 5
    for link in links:
        for page in ("", "/cause", "/fixes", "/tree", "/wordings"):
            assert inside.get(link + page).status_code == 200, link + page


def test_a_fix_whose_aliases_would_fill_the_memory_is_refused(inside: TestClient) -> None:
    post(inside, "/ideas", idea="x", case="next-friday", by="Ana")
    lines = ["kind: patch.special_case", f"x0: &a0 [{','.join(['lol'] * 9)}]"]
    lines += [f"x{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    reply = post(inside, "/ideas/1/fix", yaml="\n".join(lines))
    assert reply.status_code == 422
    assert "no YAML" in reply.text


@pytest.mark.parametrize(
    ("kind", "target", "said"),
    [
        ("clause.add", "", "+ system.idea-1: Next Friday is next week."),
        ("clause.edit", "system.role", "+ system.role: Next Friday is next week."),
        ("field.describe", "response.date.description", "+ response.date.description: Next Friday is next week."),
    ],
)
def test_an_idea_is_written_in_each_way_that_the_form_offers(
    inside: TestClient, home: Home, kind: str, target: str, said: str
) -> None:
    post(inside, "/ideas", idea="Say which week", case="next-friday", by="Ana")
    assert kind in re.findall(r'<option value="([a-z.]+)">', inside.get("/ideas").text)
    reply = post(inside, "/ideas/1/fix", kind=kind, target=target, text="Next Friday is next week.")
    assert reply.status_code == 303
    assert said in html.unescape(inside.get("/ideas").text)
    assert [fix.kind for fix in home.project().fixes if fix.fix == "idea-1"] == [kind]


def test_a_reported_request_is_given_neighbours_without_breaking_the_project(inside: TestClient, home: Home) -> None:
    told = {"input.request": "Tea with Lena next Friday at 17:00", "expect": "json", "field": "date"}
    sent = post(inside, "/reports", **told, expected="2026-11-27")
    home.store.stop_job(home.store.jobs()[0].id)
    [case] = home.project().reported
    page = inside.get(f"/cases/{case.id}/fixes").text
    assert "first there must be some" in page
    assert "Suggest changes" not in page  # it would only say that there is nothing to try them on
    id = home.store.ask_job(["neighbours", "--", case.id], title="t", key="k", by="")[0].id
    work(home, id).wait(60)
    assert home.store.job(id).state == "done", home.store.job(id).message
    assert home.broken() is None
    assert case.id in [one.id for one in home.project().cases]
    assert not home.project().reported
    assert "Suggest changes" in inside.get(f"/cases/{case.id}/fixes").text
    assert inside.get(sent.headers["location"]).status_code == 200


def test_a_tree_is_made_of_the_newest_runs_of_the_request_as_it_is(
    inside: TestClient, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages_tokens, "MOST_TREE", 6)
    place = {"request_id": "r1:0", "program_id": "p1:0", "case_id": "next-friday"}
    said = ["old"] * 3 + ["new"] * 6
    new = [NewSample(Sample(Completion(text)), series="s", idx=i, **place) for i, text in enumerate(said)]
    new += [NewSample(Sample(Completion("changed")), series="f", idx=i, variant="tone", **place) for i in range(9)]
    home.store.add_samples(new)
    text = inside.get("/cases/next-friday/tree").text
    assert "The newest 6 runs of the request as it is" in text
    assert "new" in text.split("<svg", 1)[1]
    assert ">old<" not in text
    assert ">changed<" not in text


def test_no_search_is_offered_for_an_answer_to_what_is_not_asked_any_more(inside: TestClient, home: Home) -> None:
    project = home.project()
    case, program_id = project.case("next-friday"), home.store.put_program(project.program)
    sent = project.program.render(case.input, case.history)
    home.store.put_request("r1:0", sent, "bundled")
    place = {"request_id": "r1:0", "series": "s", "idx": 0, "program_id": program_id, "case_id": case.id}
    id = home.store.add_sample(Sample(Completion('{"date": "2026-11-20"}')), **place)
    assert "Find the token that led it astray" in inside.get(f"/tokens/{id}").text
    program = home.folder / "program.yaml"
    program.write_text(program.read_text().replace("one meeting", "a meeting"))
    assert "Find the token that led it astray" not in inside.get(f"/tokens/{id}").text


def test_an_idea_can_be_had_only_for_cases_that_take_one(inside: TestClient) -> None:
    post(inside, "/reports", **{"input.request": "Tea with Lena", "expect": "contains", "expected": "x"})
    choices = inside.get("/ideas").text.split("<select", 1)[1].split("</select>")[0]
    assert "next-friday" in choices
    assert "tea-with-lena" not in choices


def test_the_form_says_as_many_calls_as_its_job_may_make(inside: TestClient, home: Home) -> None:
    page = inside.get("/reports/new").text
    post(inside, "/reports", **{"input.request": "Lunch with Ana next Friday at noon"})
    assert f"up to {home.store.jobs()[0].max_calls:,} calls" in page


def test_an_inbox_of_thousands_comes_a_page_at_a_time_and_asks_the_store_no_more_for_it(
    inside: TestClient, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(120):
        home.store.put_report(Report(words=f"report-{n}", case_id="next-friday"), "p1:0000000000000000")
    asked: list[object] = []
    findings = home.store.findings
    monkeypatch.setattr(Store, "findings", lambda self, **told: asked.append(told) or findings(**told))
    seen: list[str] = []
    link = "/"
    while link:
        page = inside.get(link).text
        seen += re.findall(r"“(report-\d+)”", page)
        link = html.unescape(found[1]) if (found := re.search(r'href="([^"]*before=[^"]*)"', page)) else ""
    assert seen == [f"report-{n}" for n in reversed(range(120))]
    assert len(asked) <= 3 * 3


def test_pages_show_what_the_store_holds_while_the_projects_files_cannot_be_read(
    inside: TestClient, home: Home
) -> None:
    assert work(home, ask(home, "rerun", "--budget=5", "--", "half-seven")).wait(60) == 0
    (home.folder / "cases.yaml").write_text("cases: [")
    for path in ("/", "/samples?case=half-seven", "/cases/half-seven", "/watch"):
        reply = inside.get(path)
        assert reply.status_code == 200, path
        assert "cannot be read" in reply.text
    assert "half-seven" in inside.get("/cases/half-seven").text
    assert "cases.yaml" in inside.get("/cases/awkward", headers=HTML).text  # why, not that there is none


def test_nobody_is_asked_about_hundreds_of_answers_and_what_is_being_measured_is_not_offered_again(
    inside: TestClient, home: Home
) -> None:
    place = post(inside, "/reports", **{"input.request": "Tea", "expect": "person"}).headers["location"]
    assert "Measure it" not in inside.get(place).text
    home.store.stop_job(home.store.jobs()[0].id)
    assert "up to 24 calls" in inside.get(place).text.split("Measure it")[1][:200]
