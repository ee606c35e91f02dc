"""What the real tools write of real calls goes in, and each call can be made again as far as it is known."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from benchmarks.peers import installing

from reroll.intake.formats import read_files
from reroll.intake.taken import Skipped, Taken
from tests.background import in_thread, reroll, write_project
from tests.exports.calls import ASKED, CALLS, MODEL, SET, SYSTEM
from tests.exports.server import ModelAndCollector, serving

HERE = Path(__file__).parent / "exports"
PYTHON = HERE.parent.parent / ".venv-exports" / "bin" / "python"
installed = pytest.mark.skipif(not PYTHON.exists(), reason="the real tools are not in .venv-exports; make test")
TRACED = ("genai", "openinference", "langfuse")
ANSWERED = f"{MODEL}-2026-01-01"
# What a tool does not keep of a request; `stream` is taken out of every one.
LOST = {
    "genai": {"stream", "logprobs", "top_logprobs", "tool_choice", "response_format"},
    "openinference": {"stream"},
    "langfuse": {"stream", "logprobs", "top_logprobs", "tool_choice", "stop"},
}
ERRORS = {"busy": "Error code: 429 - No: rate_limit_exceeded.", "broken": "Error code: 500 - No: server_error."}


@dataclass(frozen=True)
class Export:
    """What a tool wrote, and the bodies that the model was sent."""

    file: Path
    sent: list[bytes]

    def read(self) -> tuple[list[Taken], list[Skipped]]:
        found = list(read_files([self.file]))
        return [t for t in found if isinstance(t, Taken)], [s for s in found if isinstance(s, Skipped)]


def run(*words: object) -> str:
    """What a script prints that runs with the Python of the real tools. Nothing of this environment comes along."""
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE")}
    env |= {"OPENAI_API_KEY": "none", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    command = [str(PYTHON), *map(str, words)]
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=240)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Export]:
    """What each instrumentation sent of the calls, as a collector writes it to a file."""
    folders = {tool: tmp_path_factory.mktemp(tool) for tool in TRACED}
    with ThreadPoolExecutor() as pool:
        return dict(zip(folders, pool.map(traced, folders.keys(), folders.values()), strict=True))


def traced(tool: str, folder: Path) -> Export:
    with in_thread(serving(folder)) as (server, url):
        run(HERE / "traced.py", tool, f"{url}/v1", url)
    file = folder / "spans.jsonl"
    run(HERE / "written.py", file, *server.sent)
    return Export(file, server.bodies)


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Export]:
    """The logs of an evaluation by Inspect, `.eval` and JSON."""
    folder = tmp_path_factory.mktemp("inspect")
    with in_thread(serving(folder)) as (server, url):
        run(HERE / "task.py", f"{url}/v1", folder)
    chat = [b for b in server.bodies if b"messages" in b]
    found = {f.suffix: f for f in folder.iterdir()}
    return {
        ".eval": Export(found[".eval"], chat),
        ".json": Export(found[".json"], [b for b in server.bodies if b not in chat]),
    }


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ModelAndCollector, str]]:
    with in_thread(serving(tmp_path_factory.mktemp("model"))) as served:
        yield served


def known(tool: str, name: str) -> dict[str, Any]:
    """The request of a call, as far as the tool keeps it."""
    asked = {k: v for k, v in CALLS[name].items() if k not in LOST[tool]}
    if tool == "genai":  # it keeps the arguments of a tool call as values, not as their text
        text = json.dumps(asked["messages"]).replace('{\\"day\\":\\"', '{\\"day\\": \\"')
        asked["messages"] = json.loads(text)
    answered = tool == "langfuse" and name not in ERRORS
    return {"model": ANSWERED if answered else MODEL, **asked}


# -- going in ----------------------------------------------------------------------------------------------------------


@installed
@pytest.mark.parametrize("tool", TRACED)
def test_the_request_of_every_traced_call_is_known_as_far_as_the_tool_keeps_it(
    tool: str, exports: dict[str, Export]
) -> None:
    assert len(exports[tool].sent) == len(CALLS)
    taken, _ = exports[tool].read()
    assert [dict(t.body) for t in taken] == [known(tool, name) for name in CALLS]
    grade = {"genai": "partly", "openinference": "exact", "langfuse": "partly"}[tool]
    bare = "exact" if tool == "openinference" else "messages"
    assert [t.fidelity for t in taken] == [bare if name == "bare" else grade for name in CALLS]


@installed
@pytest.mark.parametrize("tool", TRACED)
def test_the_answer_of_every_traced_call_is_what_the_model_said(tool: str, exports: dict[str, Export]) -> None:
    taken = dict(zip(CALLS, exports[tool].read()[0], strict=True))
    said = {name: t.completion.text if t.completion else None for name, t in taken.items()}
    assert said == {name: "" if name == "tools" else None if name in ERRORS else "Friday" for name in CALLS}
    assert [c.text for c in taken["several"].others if not isinstance(c, str)] == ["Sunday"]
    called = taken["tools"].completion
    assert called is not None
    assert [c["function"] for c in called.tool_calls] == [{"name": "look_up", "arguments": '{"day": "Monday"}'}]
    for name, words in ERRORS.items():
        assert str(taken[name].error).endswith(words)
    assert (taken["plain"].usage.prompt_tokens, taken["plain"].usage.cached_tokens) == (21, 4)
    assert {t.model for name, t in taken.items() if name not in ERRORS} == {ANSWERED}


@installed
def test_token_probabilities_are_there_where_a_tool_keeps_them(exports: dict[str, Export]) -> None:
    kept = {tool: exports[tool].read()[0][0].completion for tool in TRACED}
    assert {tool: [(t.text, t.logprob) for t in said.tokens] if said else None for tool, said in kept.items()} == {
        "genai": [],
        "openinference": [("Fri", -0.25), ("day", -0.0625)],
        "langfuse": [],
    }


@installed
def test_a_call_that_is_both_a_span_and_a_log_record_is_taken_once(exports: dict[str, Export]) -> None:
    taken, skipped = exports["genai"].read()
    assert (len(taken), len(skipped)) == (len(CALLS), len(CALLS))
    assert {s.why for s in skipped} == {"is a call that was taken already (the same span a second time)"}


@installed
def test_what_is_not_known_or_was_made_up_is_said(exports: dict[str, Export]) -> None:
    taken = {tool: dict(zip(CALLS, exports[tool].read()[0], strict=True)) for tool in TRACED}
    said = {tool: {name: " ".join(t.guessed) for name, t in calls.items()} for tool, calls in taken.items()}
    assert "keeps only some parameters" in said["genai"]["plain"]
    assert "in the form of JSON was asked for" in said["genai"]["shaped"]
    assert "how their JSON was spaced is not known" in said["genai"]["tools"]
    assert said["openinference"]["plain"] == ""
    made_up = "Langfuse writes max_tokens Infinity, top_p 1, frequency_penalty 0, presence_penalty 0 whether or not"
    assert made_up in said["langfuse"]["plain"]
    assert "as the one that answered does" in said["langfuse"]["plain"]


@installed
@pytest.mark.parametrize("tool", TRACED)
def test_an_export_is_imported_and_nothing_is_missing(
    tool: str, exports: dict[str, Export], tmp_path: Path, capsys: Any
) -> None:
    project = write_project(tmp_path, "http://127.0.0.1:1")
    told = reroll(capsys, "import", exports[tool].file, "--project", project, "--json").json
    # Eight calls, one of them of two completions; two of them errors, which stay in the count.
    assert (told["cases"], told["samples"], told["stored"]) == (8, 8, 9)
    lines = reroll(capsys, "export", "--project", project).out.splitlines()
    rows = [json.loads(line) for line in lines]
    assert sorted("nothing" if r["completion"] is None else "said" for r in rows) == ["nothing"] * 2 + ["said"] * 7
    assert sorted(r["error"].rpartition(" - ")[2] for r in rows if "error" in r) == [
        "No: rate_limit_exceeded.",
        "No: server_error.",
    ]
    again = reroll(capsys, "import", exports[tool].file, "--project", project, "--json").json
    assert again["stored"] == 0


@installed
@pytest.mark.parametrize("kind", [".eval", ".json"])
def test_a_log_of_inspect_holds_the_very_requests_and_the_scores(kind: str, logs: dict[str, Export]) -> None:
    taken, skipped = logs[kind].read()
    assert (len(taken), skipped) == (2 if kind == ".eval" else 1, [])
    assert {t.fidelity for t in taken} == {"exact"}
    assert {t.api for t in taken} == {"chat" if kind == ".eval" else "responses"}
    sent = [json.loads(b) for b in logs[kind].sent]
    assert all(dict(t.body) in sent for t in taken)
    good = [t for t in taken if t.ids["case"] == "which-day"]
    assert {(t.completion.text, t.reward, t.expected) for t in good if t.completion} == {("Friday", 1.0, "Friday")}
    assert [t.logprob for t in good[0].completion.tokens] == [-0.25, -0.0625]  # type: ignore[union-attr]
    assert [t.error for t in taken if t.ids["case"] == "broken"] == [ERRORS["broken"]] * (kind == ".eval")


@installed
def test_evaluations_of_imported_calls_are_what_opentelemetry_reads_at_their_spans(
    exports: dict[str, Export], tmp_path: Path, capsys: Any
) -> None:
    project = write_project(tmp_path, "http://127.0.0.1:1")
    export, out = exports["genai"], tmp_path / "evaluations.jsonl"
    reroll(capsys, "import", export.file, "--check", "contains: Friday", "--project", project)
    reroll(capsys, "export", "--evaluations", out, "--project", project)
    found = json.loads(run(HERE / "understood.py", out))
    assert (found["records"], found["unknown"]) == (9, [])
    assert set(found["spans"]) == {t.ids["span"] for t in export.read()[0]}


# -- once more ---------------------------------------------------------------------------------------------------------


@installed
@pytest.mark.parametrize("name", ["plain", "tools", "several", "shaped", "streamed"])
@pytest.mark.parametrize("tool", TRACED)
def test_a_traced_call_is_made_again_as_far_as_it_is_known(
    tool: str,
    name: str,
    exports: dict[str, Export],
    model: tuple[ModelAndCollector, str],
    tmp_path: Path,
    capsys: Any,
) -> None:
    number = list(CALLS).index(name) + 1
    sent = again(capsys, f"{exports[tool].file}#{number}", model, tmp_path)
    assert [json.loads(body) for body in sent] == [known(tool, name)] * len(sent)
    if tool == "openinference":
        assert set(sent) == {exports[tool].sent[number - 1].replace(b'"stream":true,', b"")}


@installed
@pytest.mark.parametrize("kind", [".eval", ".json"])
def test_a_call_of_an_evaluation_is_made_again(
    kind: str, logs: dict[str, Export], model: tuple[ModelAndCollector, str], tmp_path: Path, capsys: Any
) -> None:
    sent = again(capsys, f"{logs[kind].file}#1", model, tmp_path)
    assert all(json.loads(body) in [json.loads(b) for b in logs[kind].sent] for body in sent)


def again(capsys: Any, request: str, model: tuple[ModelAndCollector, str], folder: Path) -> list[bytes]:
    """The bodies that the model is sent where this recorded call is investigated."""
    server, url = model
    before = len(server.bodies)
    words = ["--expect", "contains: Friday", "--base-url", f"{url}/v1", "--budget", 2]
    ran = reroll(capsys, "investigate", "--request", request, *words, "--project", folder, "--json")
    assert (ran.code, ran.json["luck"]["rate"]["n"]) == (0, 2)
    return server.bodies[before:]


# -- promptfoo, where `make bench` has installed it --------------------------------------------------------------------

promptfoo = pytest.mark.skipif(
    installing.promptfoo() is None, reason=f"promptfoo (1.4 GB) is not here: {installing.why_not('promptfoo')}"
)


@promptfoo
def test_what_promptfoo_wrote_is_known_and_made_again(tmp_path: Path, capsys: Any) -> None:
    with in_thread(serving(tmp_path)) as (server, url):
        config = {"apiBaseUrl": f"{url}/v1", "apiKey": "none", **SET, "passthrough": {"logprobs": True}}
        asks = {"type": "contains", "value": "Friday"}
        told = {
            "prompts": [json.dumps([SYSTEM, {"role": "user", "content": "{{said}}"}])],
            "providers": [{"id": f"openai:chat:{MODEL}", "config": config}],
            "tests": [
                {"description": "which day", "vars": {"said": ASKED["content"]}, "assert": [asks]},
                {"vars": {"said": "fail with 500"}, "assert": [asks]},
            ],
        }
        (tmp_path / "config.json").write_text(json.dumps(told))
        quiet = {f"PROMPTFOO_DISABLE_{w}": "1" for w in ("TELEMETRY", "UPDATE", "REMOTE_GENERATION", "DEBUG_LOG")}
        words = "eval -c config.json -o out.json --no-cache --no-table --no-progress-bar --no-share".split()
        env = {**os.environ, **quiet, "HOME": str(tmp_path), "PROMPTFOO_CONFIG_DIR": str(tmp_path / "own")}
        command = [str(installing.promptfoo()), *words]  # ends with 100 where a test failed
        subprocess.run(command, cwd=tmp_path, env=env, stdout=subprocess.DEVNULL, timeout=240)
        export = Export(tmp_path / "out.json", list(server.bodies))
        taken, skipped = export.read()
        assert (len(taken), skipped) == (2, [])
        good, bad = taken
        # It adds a parameter that nobody set, and keeps no word of it.
        assert {**good.body, "max_tokens": 1024} in [json.loads(b) for b in export.sent]
        assert "max_tokens 1024" in " ".join(good.guessed)
        assert (good.fidelity, good.reward, good.ids["case"]) == ("partly", 1.0, "which day")
        assert good.completion is not None
        assert good.completion.text == "Friday"
        assert "500" in str(bad.error)
        sent = again(capsys, f"{export.file}#1", (server, url), tmp_path)
        assert {json.dumps(json.loads(b), sort_keys=True) for b in sent} == {
            json.dumps(dict(good.body), sort_keys=True)
        }
