"""What is fuzzed: each target takes one example, and either does its work right or says one sentence that has a name.

`TARGETS` maps a name to a strategy and a function of an example and an empty folder. The function returns where all is
well; it raises AssertionError, or whatever the code under test let out, where it is not. tests/test_fuzz.py gives each
target a few examples, benchmarks/fuzz.py many.
"""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
import re
import tempfile
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from starlette.testclient import TestClient

from reroll.answer import ShownSample
from reroll.case import Case
from reroll.check import Check, Outcome, Surroundings, judge_sample
from reroll.errors import RerollError
from reroll.evaluations import evaluation_exports
from reroll.grouping import facts_of
from reroll.ideas_file import read_ideas
from reroll.init import init_project
from reroll.intake.formats import read_files
from reroll.intake.otlp_bodies import Body, Junk, TooMuch, spans_in, unpacked
from reroll.intake.single import Served, single_call
from reroll.intake.traffic import take_in
from reroll.levers import apply, diff
from reroll.levers import fitting as fitting_fix
from reroll.looking import judged_samples
from reroll.models.anthropic import parse_message
from reroll.models.completions import parse_completion
from reroll.models.parse import Malformed, ServerSaid, parse_body
from reroll.models.responses import parse_response
from reroll.models.wire import Reply, fault_of_reply, retry_after, server_message
from reroll.program import Program
from reroll.project import load_fix, load_project, read_checks, read_labels
from reroll.receiving import Reader
from reroll.render.svg import page_svg
from reroll.render.terminal import show_sample, show_samples
from reroll.sample import Completion, Sample, Token, Usage
from reroll.slack import limits
from reroll.slack.arrived import arrived
from reroll.slack.shown import answered, plain_message
from reroll.step_forms import WrongStep, steps_of
from reroll.steps import run as run_steps
from reroll.store import NewSample, Store
from reroll.store_export import exported
from reroll.store_rows import Evaluation, Origin
from reroll.streamed import events_of, joined
from reroll.strict_yaml import write_yaml
from reroll.table_export import write_table
from reroll.training_export import training_lines
from reroll.variant import changed_part, with_part
from reroll.watch_file import read_watch
from reroll.web.access import Access
from reroll.web.app import create_app
from reroll.web.home import Home
from reroll.web.passes import Passes
from reroll.web.receiver import Declined, kept
from tests import otlp, test_intake
from tests.fuzz_seeds import ANSWER, CASES, CHECKS, FIXES, IDEAS, LABELS, PRODUCT, PROGRAM, SAID, SLACK, WATCH
from tests.fuzzing import CANARY, HOSTILE, damaged, mangled, messy, texts

JSON = Any
MESSAGES_PAGE = Path(__file__).parent.parent / "docs" / "messages.md"
LONGEST = 4000  # characters of a sentence: what a person still reads, with a path and a hint in it
LARGEST = 2_000_000  # characters of a page about a few short samples

# -- what must hold ----------------------------------------------------------------------------------------------------


@cache
def slugs() -> frozenset[str]:
    return frozenset(re.findall(r"^\| `([^`]+)` \|", MESSAGES_PAGE.read_text(encoding="utf-8"), re.MULTILINE))


def is_a_sentence(error: RerollError) -> None:
    """One line that a person can read, without anything that steers a terminal, under a name that is explained."""
    said = str(error)
    assert said.strip(), "an error without words"
    assert len(said) <= LONGEST, f"{len(said)} characters: {said[:300]!r}"
    assert "Traceback" not in said, said
    steers_nothing(said)
    assert error.slug in slugs(), f"the slug {error.slug} is not in docs/messages.md"


def steers_nothing(said: str) -> None:
    for char in said:
        steers = char in BIDI or unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")
        assert not steers, f"{char!r} in {said[:300]!r}"


BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@contextlib.contextmanager
def or_a_sentence() -> Iterator[None]:
    try:
        yield
    except RerollError as error:
        is_a_sentence(error)


def inert(text: str) -> None:
    """Nothing in it steers a terminal."""
    for char in text:
        assert char == "\n" or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp"), repr(char)


class _Page(HTMLParser):
    """Elements and attributes that only an injection can have brought."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            assert not name.startswith("on"), f"<{tag} {name}={value!r}>"
            address = (value or "").strip().lower()
            assert name not in ("href", "src", "action") or not address.startswith(("javascript:", "data:text")), (
                address
            )


def is_a_safe_page(html: str) -> None:
    assert CANARY not in html, html[max(0, html.find(CANARY) - 200) :][:400]
    assert "<script>alert(1)" not in html
    assert len(html) <= LARGEST, len(html)
    html.encode("utf-8")
    assert "\x00" not in html
    _Page().feed(html)


def is_a_safe_reply(reply: Any, path: str) -> None:
    """No 500; a page that is safe, or a text that no browser takes for a page."""
    assert reply.status_code < 500, (path, reply.status_code, reply.text[:500])
    kind = reply.headers.get("content-type", "")
    if kind.startswith("text/html"):
        is_a_safe_page(reply.text)
    elif reply.text:
        assert kind.startswith(("text/plain", "text/css", "text/event-stream", "application/json", "image/")), (
            path,
            kind,
        )
        assert reply.headers["x-content-type-options"] == "nosniff"


def put_file(path: Path, data: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode("utf-8", "surrogatepass"))
    return path


def as_yaml(value: JSON) -> bytes:
    """The value as a person's file might hold it: block YAML where it can be written, else JSON, which is YAML too."""
    try:
        return write_yaml(value).encode()
    except Exception:  # PyYAML's own words for what is no text; JSON's escapes say it
        return messy(value).encode("utf-8", "surrogatepass")


# -- loaders -----------------------------------------------------------------------------------------------------------


def a_project(folder: Path, **files: bytes) -> None:
    """A project with one file of it damaged: it loads, and then its requests, parts and steps can be made."""
    good = {"program.yaml": as_yaml(PROGRAM), "cases.yaml": as_yaml(CASES)}
    for name, data in {**good, **{k.replace("__", "/"): v for k, v in files.items()}}.items():
        put_file(folder / name, data)
    with or_a_sentence():
        project = load_project(folder)
        assert project.program.id == Program.model_validate(project.program.model_dump()).id
        project.program.parts()
        with contextlib.suppress(WrongStep):
            steps_of(project.program)
        for case in project.cases:
            with or_a_sentence():
                request = project.program.render(case.input, case.history)
                project.program.parts(case.input)
                request.id("m")
        for fix in project.fixes:
            with or_a_sentence():
                diff(project.program, apply(fix, project.program))
        read_ideas(project)
        read_watch(project)


def yaml_file(name: str, *seeds: JSON) -> tuple[st.SearchStrategy[bytes], Callable[[bytes, Path], None]]:
    whole = [as_yaml(seed) for seed in seeds]
    return damaged(seeds).map(as_yaml) | damaged(seeds).map(as_yaml) | mangled(whole), lambda data, folder: a_project(
        folder, **{name: data}
    )


def labels(data: bytes, folder: Path) -> None:
    with or_a_sentence():
        read_labels(put_file(folder / "labels.jsonl", data))


def a_fix(value: JSON, folder: Path) -> None:
    """A fix that loads is applied to programs of several forms, once and again with the same result."""
    with or_a_sentence():
        fix = load_fix(put_file(folder / "f.yaml", as_yaml(value)))
        for program in PROGRAMS:
            with or_a_sentence():
                once = apply(fix, program)
                assert apply(fix, once).id == once.id, "a second time changes something"
                diff(program, once)
                fitting_fix(fix, program)


def checks_and_answers(example: tuple[JSON, JSON, str], folder: Path) -> None:
    """Checks that can be read judge any answer, and never crash."""
    value, answer, text = example
    with or_a_sentence():
        checks = read_checks(as_yaml(value).decode("utf-8", "replace"), "--check")
        calls = ({"type": "function", "function": {"name": text, "arguments": messy(answer)}}, {"odd": answer})
        said = [Completion(text), Completion(messy(answer), "length"), Completion("", tool_calls=calls, refusal=text)]
        around = Surroundings(input={"request": text}, expected=answer, response={"type": "object"})
        for check in checks:
            assert check.id == Check.model_validate(check.model_dump()).id
            for one in said:
                found = judge_sample(check, Sample(one), around, lambda *_: Outcome("pass", "foreign"))
                assert "crashed" not in found.reason, found.reason
                assert len(found.reason) < 20_000, len(found.reason)
                found.reason.encode()


def variants(text: str, folder: Path) -> None:
    with or_a_sentence():
        found = changed_part(text)
        if found is not None:
            for program in PROGRAMS:
                with or_a_sentence():
                    changed = with_part(program, *found)
                    changed.render({"request": "x", "kind": "y"})
                    assert changed.id


def steps_on_answers(example: tuple[JSON, JSON, str], folder: Path) -> None:
    """Steps that can be read act on any answer: a sample comes out, never an exception."""
    value, answer, text = example
    try:
        program = Program(program="p", steps=value if isinstance(value, list) else [value])  # type: ignore[arg-type]
        steps = steps_of(program)
    except (WrongStep, ValueError):
        return
    request = program.render({"request": text.replace("\x00", "")})
    hooks = SimpleNamespace(
        check=lambda checks, sample: [judge_sample(c, sample, Surroundings()) for c in checks],
        call=lambda name, value: text,
    )
    drawing = run_steps(steps, request, hooks)
    said = itertools.cycle([Sample(Completion(text)), Sample(Completion(messy(answer))), Sample(error="down")])
    with contextlib.suppress(StopIteration):
        next(drawing)
        for _ in range(2000):
            drawing.send(next(said))
        raise AssertionError("the steps draw without end")


# -- intake ------------------------------------------------------------------------------------------------------------


def recorded_values(values: list[JSON], folder: Path) -> None:
    """A file of records: read, stored once, nothing lost without a reason, and one of them sent again."""
    path = put_file(folder / "calls", "\n".join(messy(v) for v in values))
    a_recording(path, folder)


def a_recording(path: Path, folder: Path) -> None:
    with or_a_sentence():
        found = list(read_files([path]))
        for one in found:
            steers_nothing(getattr(one, "why", ""))
        with Store.open(folder / "store.sqlite") as store:
            seen = take_in(read_files([path]), store=store, folder=folder)
            stored = len(store.samples())
            again = take_in(read_files([path]), store=store, folder=folder)
            assert len(store.samples()) == stored, "the same file twice is more samples"
            assert again.samples == seen.samples or again.stored == 0
    for number in ("", "#1", "#9999"):
        with or_a_sentence():
            single_call(path.with_name(path.name + number), Served("openai:tiny")).program.render({})


def recorded_bytes(data: bytes, folder: Path) -> None:
    a_recording(put_file(folder / "calls", data), folder)


def own_recording(values: list[JSON], folder: Path) -> None:
    from reroll.intake.importing import import_file, project_from_recorded

    path = put_file(folder / "own.jsonl", "\n".join(messy(v) for v in values))
    with or_a_sentence():
        import_file(path)
        project_from_recorded(path, folder / "new", "contains: x")
        load_project(folder / "new")


def otlp_body(example: tuple[str, str, str, bytes], folder: Path) -> None:
    """A body from outside: declined, or kept and then read into samples with every span of it counted."""
    signal, encoding, packing, data = example
    body = Body(signal, encoding, packing, data)  # type: ignore[arg-type]
    try:
        batch = kept(body, "fuzz")
    except Declined:
        return
    with contextlib.suppress(Junk, TooMuch):
        spans_in(body, unpacked(body))
    with Store.open(folder / "store.sqlite") as store:
        store.keep_received([batch])
        reader = Reader(store, folder, lambda: None)
        for _ in range(5):
            if not reader.read():
                break
        assert not store.received().waiting, "a batch that nobody can read waits for ever"


def streamed_events(data: bytes, folder: Path) -> None:
    joined(events_of(data.decode("utf-8", "replace")))


# -- what servers say --------------------------------------------------------------------------------------------------


def server_bodies(example: tuple[bytes, str, int, str], folder: Path) -> None:
    """A body is a completion, or something that has words; never another exception."""
    data, kind, status, header = example
    for parse in (parse_body, parse_message, parse_response, parse_completion):
        try:
            parsed = parse(data, kind)
        except (Malformed, ServerSaid):
            continue
        completion = parsed.completion
        assert isinstance(completion.text, str)
        Sample(
            completion, usage=Usage(parsed.prompt_tokens, parsed.completion_tokens, parsed.usd, parsed.cached_tokens)
        )
    reply = Reply(status, data, kind)
    fault = fault_of_reply(reply)
    server_message(reply)
    assert fault is None or fault.words
    wait = retry_after(header, header, header)
    assert wait is None or wait >= 0


# -- what is shown -----------------------------------------------------------------------------------------------------


def sample_of(text: str, other: str) -> Sample:
    tokens = tuple(Token(piece, -0.5, ((piece, -0.5), (other[:9], -1.5))) for piece in (text[:7], text[7:20]) if piece)
    calls = ({"type": "function", "id": other[:5], "function": {"name": text[:30], "arguments": other}},)
    said = Completion(text, "stop", calls, tokens, other or None)
    return Sample(said, model=other[:60] or None, usage=Usage(3, 4))


def on_a_terminal(example: tuple[str, str, int, str], folder: Path) -> None:
    text, other, width, encoding = example
    shown = ShownSample(text[:9], "fail", other, text, ((3, 9), (-5, 10**6)), 2)
    sample = sample_of(text, other)
    assert sample.completion is not None
    tokens = sample.completion.tokens
    for show in (
        lambda console: show_sample(shown, console, messages=[{"role": other[:9], "content": text}], tokens=tokens),
        lambda console: show_samples([shown, shown], console),
    ):
        raw = io.BytesIO()
        file = io.TextIOWrapper(raw, encoding=encoding, newline="\n")
        show(Console(file=file, width=width, color_system=None, _environ={}))
        file.flush()
        out = raw.getvalue().decode(encoding)
        inert(out)
        assert len(out) < 200_000
        assert all(cell_len(line) <= width for line in out.splitlines())
        picture = page_svg(show, 60, text[:40])
        assert CANARY not in picture
        ElementTree.fromstring(picture)


def on_slack(example: tuple[str, str], folder: Path) -> None:
    """A message that Slack takes, in which nothing is a mention, a link or markup that was not ours."""
    text, other = example
    for made in (answered("rerun", {"verdict": "undecided", "text": text}, None, other, None), plain_message(text)):
        said = json.dumps(made, ensure_ascii=False)
        said.encode("utf-8")
        for block in made["blocks"]:
            told = block.get("text") if isinstance(block.get("text"), Mapping) else None
            for one in [told] if told else block.get("elements", ()):
                words = one.get("text", "")
                if one.get("type") == "mrkdwn":
                    assert "<" not in words, words
                    assert len(words) <= limits.TEXT
                if block["type"] == "header":
                    assert 0 < len(words) <= limits.HEADER
        assert len(made["blocks"]) <= 50
        assert limits.size(made["blocks"]) <= limits.TOTAL
        assert "<" not in made["text"]


def from_slack(body: JSON, folder: Path) -> None:
    if isinstance(body, dict):
        arrived(body)


# -- pages and exports, over a store with hostile samples --------------------------------------------------------------


@dataclass
class Shown:
    """A project, its store and a visitor; made once, since that is most of what an example costs."""

    home: Home
    client: TestClient
    numbers: Iterator[int]
    request_id: str
    case: Case


@cache
def shown() -> Shown:
    folder = Path(tempfile.mkdtemp(prefix="reroll-fuzz-")) / "meetings"
    init_project(folder)
    project = load_project(folder)
    case = project.case("next-friday")
    store = Store.open(folder / ".reroll" / "store.sqlite")
    home = Home(folder, store, secret=b"s" * 32)
    access = Access(Passes(home.secret), store, clock=lambda: 1_800_000_000.0)
    client = TestClient(create_app(home, access), base_url="http://127.0.0.1:8585", follow_redirects=False)
    client.get(f"/?token={access.passes.link(1_800_000_000.0)}")
    request = project.program.render(case.input, case.history)
    request_id = request.id("m")
    store.put_request(request_id, request, "m")
    store.put_program(project.program)
    store.put_case(case)
    return Shown(home, client, itertools.count(), request_id, case)


def stored(there: Shown, text: str, other: str) -> str:
    project, n = there.home.project(), next(there.numbers)
    new = NewSample(
        sample_of(text, other),
        there.request_id,
        "fuzz",
        n,
        project.program.id,
        there.case.id,
        origin=Origin("t", f"{n}", ""),
    )
    said = [Evaluation("t", f"{n}", "", text, other, 0.5, text, scorer=other, said=1.0)]
    there.home.store.put_evaluations(said)
    return there.home.store.add_samples([new])[0]


def on_pages(example: tuple[str, str], folder: Path) -> None:
    """A sample with these texts on every page that shows it: an answer below 500, nothing foreign alive."""
    there = shown()
    id = stored(there, *example)
    other = stored(there, example[1], example[0])
    for path in (
        f"/samples/{id}",
        f"/samples/{id}/against/{other}",
        f"/tokens/{id}",
        "/samples?case=next-friday&limit=2",
        f"/samples/{id}?case=next-friday",
    ):
        is_a_safe_reply(there.client.get(path), path)


def asked_of_pages(example: tuple[str, str, dict[str, str]], folder: Path) -> None:
    """Any address, any query and any form: an answer that is no 500 and repeats nothing alive."""
    from urllib.parse import quote

    path, part, form = example
    there = shown()
    part = quote(part.encode("utf-8", "replace"), safe="")
    address = path.replace("{}", part or "x")
    reply = there.client.get(address, params={k: v.encode("utf-8", "replace").decode() for k, v in form.items()})
    is_a_safe_reply(reply, address)
    mark = there.client.get("/settings").text.split('name="mark" value="')[1].split('"')[0]
    data = {**{k: v.encode("utf-8", "replace").decode() for k, v in form.items()}, "mark": mark}
    for where in ("/jobs", "/reports", "/ideas", "/settings/tokens", f"/reports/{part or 'x'}/marks", "/name"):
        reply = there.client.post(where, data=data, headers={"origin": "http://127.0.0.1:8585"})
        is_a_safe_reply(reply, where)


PATHS = (
    "/samples/{}",
    "/cases/{}",
    "/cases/{}/fixes",
    "/cases/{}/cause",
    "/cases/{}/tree",
    "/cases/{}/life",
    "/reports/{}",
    "/reports/{}/life",
    "/findings/{}",
    "/jobs/{}",
    "/tokens/{}",
    "/learn/{}",
    "/samples/groups",
    "/samples",
    "/watch",
    "/ideas",
    "/ledger",
    "/cases/{}/wordings",
    "/cases/next-friday/wordings",
    "/cases/next-friday/tree",
    "/static/{}",
    "/{}",
)
FIELDS = (
    "case",
    "outcome",
    "limit",
    "page",
    "group",
    "do",
    "words",
    "budget",
    "target",
    "input.request",
    "expect",
    "saw",
    "idea",
    "by",
    "name",
    "scope",
    "max_usd",
    "token",
    "job",
    "back",
    "sample",
    "fix",
    "margin",
    "other",
    "input",
    "at",
    "a",
    "b",
    "before",
    "find",
)
ACTIONS = ("rerun", "certify", "investigate", "forks", "try", "words", "cause")


def as_files(example: tuple[str, str], folder: Path) -> None:
    """A sample with these texts in every file that is exported: read back whole, no cell a formula."""
    text, other = example
    init_project(folder / "p")
    project = load_project(folder / "p")
    case = project.case("next-friday")
    with Store.open(folder / "store.sqlite") as store:
        request = project.program.render(case.input, case.history)
        request_id = request.id("m")
        store.put_request(request_id, request, "m")
        store.put_program(project.program)
        store.put_case(case)
        new = [
            NewSample(replace(sample_of(*pair), reward=k), request_id, "fuzz", k, project.program.id, case.id)
            for k, pair in enumerate([(text, other), (other, text)])
        ]
        store.add_samples(new)
        table = io.StringIO()
        assert sum(write_table(project, store, None, ("draw",), table)) == 2
        rows = list(csv.DictReader(io.StringIO(table.getvalue())))
        assert len(rows) == 2
        assert not any(
            (cell or "").startswith(("=", "+", "-", "@", "\t", "\r")) for row in rows for cell in row.values()
        )
        for page in judged_samples(project, store, None, ("draw",), payload=True):
            for one, outcomes in page:
                json.loads(json.dumps(exported(one, 0, store.get_request(request_id), None)))
                facts_of(one.sample, outcomes)
        for _, export in evaluation_exports(project, store, None, ("draw",)):
            json.dumps(export).encode()
        for form in ("sft", "preference"):
            with or_a_sentence():
                for line in training_lines(project, store, None, form):  # type: ignore[arg-type]
                    json.dumps(line).encode()


# -- the list ----------------------------------------------------------------------------------------------------------

PROGRAMS = (
    Program.model_validate(PROGRAM),
    Program(program="plain", system="Be kind. Answer in JSON."),
    Program(program="raw", raw='{"messages": [{"role": "user", "content": "x"}], "seed": 1}'),
    Program.model_validate(PRODUCT),
)
RECORDS = (*test_intake.GOOD, test_intake.AI_SDK)
FILES = [
    *(json.dumps(one).encode() for one in RECORDS),
    b"".join(json.dumps(one).encode() + b"\n" for one in (test_intake.OWN, test_intake.OWN)),
    json.dumps([test_intake.OBSERVATION] * 2, indent=1).encode(),
    test_intake.CURL.encode(),
]
STREAM = b"".join(
    b"data: " + json.dumps(one).encode() + b"\n\n"
    for one in (
        {
            "id": "c",
            "choices": [
                {"index": 0, "delta": {"content": "4", "tool_calls": [{"index": 0, "function": {"arguments": "{"}}]}}
            ],
        },
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "4"}},
        {"type": "message_start", "message": {"content": [], "usage": {}}},
        {"type": "response.completed", "response": {"output": []}},
    )
)
SPANS = otlp.traces(0, 3)
LOGS = otlp.logs(0, 2)
BODIES = [
    *(
        st.tuples(
            st.just("traces"),
            st.just("protobuf"),
            st.sampled_from(("", "gzip", "zstd")),
            mangled([SPANS.SerializeToString()]),
        ),
        st.tuples(st.just("logs"), st.just("protobuf"), st.just(""), mangled([LOGS.SerializeToString()])),
        st.tuples(
            st.sampled_from(("traces", "logs")),
            st.just("json"),
            st.just(""),
            damaged(
                [
                    json.loads(otlp.as_json(SPANS)),
                    *(r for r in test_intake.GOOD if "resourceSpans" in r or "resourceLogs" in r),
                ]
            ).map(lambda v: messy(v).encode("utf-8", "surrogatepass")),
        ),
    ),
]
KIND_OF_BODY = st.sampled_from(
    ("application/json", "application/json; charset=utf-16", "text/html", "", "text/plain; charset=x")
)
ANSWERS = damaged([ANSWER, *SAID.values(), {"error": {"message": "no", "type": "x", "code": 1}}])
TWO = st.tuples(texts(), texts(2))

Target = tuple[st.SearchStrategy[Any], Callable[[Any, Path], None]]
TARGETS: Mapping[str, Target] = {
    "program.yaml": yaml_file("program.yaml", PROGRAM, PRODUCT),
    "cases.yaml": yaml_file("cases.yaml", CASES),
    "fixes in a project": yaml_file("fixes__one.yaml", *FIXES),
    "ideas.yaml": yaml_file("ideas.yaml", IDEAS),
    "watch.yaml": yaml_file("watch.yaml", WATCH),
    "labels.jsonl": (mangled([LABELS]), labels),
    "fixes applied": (damaged(FIXES), a_fix),
    "checks on answers": (
        st.tuples(damaged([list(CHECKS), *CHECKS]), damaged([{"label": "spam", "score": 0.5}]), texts()),
        checks_and_answers,
    ),
    "parts on the command line": (
        st.tuples(
            st.sampled_from(
                (
                    "params.temperature",
                    "system.role",
                    "documents.policy",
                    "response.label.type",
                    "model",
                    "base_url",
                    "examples.a",
                    "user",
                    "params.stop",
                    "structured",
                )
            )
            | texts(1),
            texts(2) | st.just(""),
        ).map("=".join),
        variants,
    ),
    "steps on answers": (
        st.tuples(damaged([PROGRAM["steps"]]), damaged([{"label": "spam", "a": [1]}]), texts()),
        steps_on_answers,
    ),
    "recorded calls, damaged values": (st.lists(damaged(RECORDS), min_size=1, max_size=3), recorded_values),
    "recorded calls, damaged bytes": (mangled(FILES), recorded_bytes),
    "recorded completions": (st.lists(damaged([test_intake.OWN]), min_size=1, max_size=3), own_recording),
    "bodies of exporters": (st.one_of(BODIES), otlp_body),
    "streamed answers": (mangled([STREAM]), streamed_events),
    "answers of servers": (
        st.tuples(
            ANSWERS.map(lambda v: messy(v).encode("utf-8", "surrogatepass")) | mangled([json.dumps(ANSWER).encode()]),
            KIND_OF_BODY,
            st.sampled_from((200, 400, 404, 429, 500, 529, 999)),
            st.sampled_from(HOSTILE) | st.sampled_from(("1e400", "-5", "Fri, 31 Dec 9999 23:59:59 GMT")),
        ),
        server_bodies,
    ),
    "terminal and pictures": (
        st.tuples(texts(), texts(2), st.sampled_from((20, 60, 100)), st.sampled_from(("utf-8", "ascii", "cp437"))),
        on_a_terminal,
    ),
    "Slack, out": (TWO, on_slack),
    "Slack, in": (damaged(SLACK), from_slack),
    "pages of samples": (TWO, on_pages),
    "addresses and forms": (
        st.tuples(
            st.sampled_from(PATHS),
            texts(2),
            st.dictionaries(
                st.sampled_from(FIELDS), texts(2) | st.sampled_from(("next-friday", *ACTIONS, "1", "-1")), max_size=4
            ),
        ),
        asked_of_pages,
    ),
    "exported files": (TWO, as_files),
}
