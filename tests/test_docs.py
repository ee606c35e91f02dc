"""The docs are true: messages, settings, help, schemas, links, examples and command lines are held against the code."""

from __future__ import annotations

import ast
import doctest
import importlib.util
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest
from cyclopts import CycloptsError

import reroll
from reroll.answer import (
    Answer,
    CaseRate,
    Certified,
    CertifySection,
    CheckClaim,
    Comparison,
    Cost,
    LuckSection,
    Pair,
    Rate,
    Reference,
    ShownSample,
    VariantRate,
)
from reroll.cli import GROUPS, app, main
from reroll.evidence import Est
from reroll.fix import Fix
from reroll.init import init_project
from reroll.lever_kinds import KINDS as FIX_KINDS
from reroll.levers import fitting
from reroll.program import Program
from reroll.project import parse_yaml
from reroll.settings import SETTINGS

SOURCE = Path(reroll.__file__).parent
ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])


def by_name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def blocks(page: Path, *languages: str) -> list[str]:
    return re.findall(rf"^```(?:{'|'.join(languages)})\n(.*?)^```", read(page), re.M | re.S)


def prose(page: Path) -> str:
    """The page without its code blocks."""
    return re.sub(r"^```.*?^```", "", read(page), flags=re.M | re.S)


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    """docs/generate.py, which is no module of the package."""
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# -- messages ----------------------------------------------------------------------------------------------------------


def slugs(path: Path) -> Iterator[str]:
    """Every name of a message in one file: given to an error, a class's own, a default, or looped over."""
    tree = ast.parse(read(path))
    tables = {
        target.id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            assigned = [n for n in node.body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "slug"]
            yield from (ast.literal_eval(n.value) for n in assigned)
        elif isinstance(node, ast.FunctionDef):
            given = [*node.args.posonlyargs, *node.args.args][::-1]
            defaults = zip(given, node.args.defaults[::-1], strict=False)
            yield from (ast.literal_eval(default) for argument, default in defaults if argument.arg == "slug")
        elif isinstance(node, ast.keyword) and node.arg == "slug":
            yield from values(node.value, tree, tables)


def values(node: ast.expr, tree: ast.AST, tables: dict[str, ast.expr]) -> Iterator[str]:
    """What an expression given as `slug=` can be."""
    if isinstance(node, ast.Constant):
        yield node.value
        return
    assert isinstance(node, ast.Name), f"a message's name must be readable here: {ast.unparse(node)}"
    for loop in ast.walk(tree):
        if not (
            isinstance(loop, ast.For) and node.id in {n.id for n in ast.walk(loop.target) if isinstance(n, ast.Name)}
        ):
            continue
        if isinstance(loop.iter, ast.Tuple):
            yield from ast.literal_eval(loop.iter)
        elif ast.unparse(loop.iter).endswith(".items()"):
            table = ast.literal_eval(tables[ast.unparse(loop.iter).removesuffix(".items()")])
            yield from (row[0] for row in table.values())


def test_every_message_has_an_entry_and_every_entry_a_message() -> None:
    raised = {slug for path in SOURCE.rglob("*.py") for slug in slugs(path)}
    assert {"store-locked", "horizon", "usage", "no-case"} <= raised, "the search finds what it should"
    entries = re.findall(r"^\| `([a-z-]+)` \|", read(DOCS / "messages.md"), re.M)
    assert sorted(entries) == sorted(set(entries)), "twice"
    assert set(entries) == raised


def test_the_names_in_printed_examples_exist() -> None:
    entries = set(re.findall(r"^\| `([a-z-]+)` \|", read(DOCS / "messages.md"), re.M))
    for page in PAGES:
        for block in blocks(page, "console", "text"):
            assert set(re.findall(r"^reroll: .* \[([a-z-]+)\]$", block, re.M)) <= entries, page.name


# -- what the code writes ----------------------------------------------------------------------------------------------


def test_what_is_generated_is_current(generate: ModuleType) -> None:
    assert not generate.stale(), "run python docs/generate.py --write"


def test_every_block_that_the_code_writes_has_its_place(generate: ModuleType) -> None:
    known = generate.blocks()
    assert sorted(name for name in generate.held() if name in known) == sorted(known)


def test_every_command_has_a_page_and_a_place_in_the_index(generate: ModuleType) -> None:
    rows = re.findall(r"^\| \[`([a-z-]+)`\]\(commands/([a-z-]+)\.md\) \| (.+) \|$", read(DOCS / "commands.md"), re.M)
    assert sorted(name for name, _, _ in rows) == sorted(name for name in app if not name.startswith("-"))
    assert {page.stem for page in (DOCS / "commands").iterdir()} == {name for name, _, _ in rows}
    for name, page, question in rows:
        assert name == page
        text = read(DOCS / "commands" / f"{page}.md")
        assert text.startswith(f"# reroll {name}\n\n*{question}*\n"), "the page answers the question of the index"
        headings = re.findall(r"^## (.+)$", text, re.M)
        assert headings[-4:] == ["Options", "Exit codes", "JSON", "Related"], name


def test_help_has_every_command_in_one_group_and_each_option_in_whole_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert sorted(sum(GROUPS.values(), ())) == sorted(name for name in app if not name.startswith("-"))
    for words in ([], ["investigate"], ["compare"], ["audit"]):
        assert main([*words, "--help"]) == 0
        shown = capsys.readouterr().out
        assert "[default: False]" not in shown
        assert "[default: ()]" not in shown
        if not words:
            assert [title for title in GROUPS if f"─ {title} ─" in shown] == list(GROUPS)
        said = " ".join(re.sub("[│╭╮╰╯─]", " ", shown).split())
        for argument in app[words[0]].assemble_argument_collection(parse_docstring=True) if words else ():
            assert " ".join((argument.parameter.help or "").split()) in said
    assert "[default: PJZCLSRV]" in said


ELSEWHERE = {
    "REROLL_DATA",  # where the tests look for recorded completions
    "REROLL_WATCH_SECRET",  # a name that a watch.yaml gives
}


def test_every_setting_is_documented_and_every_documented_setting_exists() -> None:
    known = {setting.env for setting in SETTINGS.values()}
    assert set(re.findall(r"^\| `(REROLL_[A-Z_]+)` \|", read(DOCS / "settings.md"), re.M)) == known
    source = "".join(read(path) for path in SOURCE.rglob("*.py"))
    for page in PAGES:
        for name in set(re.findall(r"\bREROLL_[A-Z_]+\b", read(page))) - known:
            assert name in source or name in ELSEWHERE, f"{page.name}: {name}"


def test_every_key_of_an_answer_is_explained() -> None:
    commands = "".join(read(page).partition("\n## JSON\n")[2] for page in (DOCS / "commands").glob("*.md"))
    explained = set(re.findall(r"`([a-z_]+)`", read(DOCS / "json.md") + commands))
    for kind in (
        Answer, LuckSection, CertifySection, Certified, CheckClaim, CaseRate, Comparison, VariantRate, Pair, Rate,
        Reference, Est, Cost, ShownSample,
    ):  # fmt: skip
        assert {f.name for f in fields(kind)} <= explained, kind.__name__


RUNS = "".join(
    json.dumps({"case_id": c, "run": i, "model": "m", "messages": [{"role": "user", "content": c}], "completion": t})
    + "\n"
    for c in ("tea", "usual")
    for i, t in enumerate(["no"] * 6 if c == "tea" else ["yes"] * 40)
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    (folder / "runs.jsonl").write_text(RUNS)
    (folder / "other.jsonl").write_text(RUNS.replace('"no"', '"yes"'))
    (folder / "program.yaml").write_text("program: m\nmodel: recorded:runs.jsonl\neffects: none\ntarget: 0.9\n")
    cases = [{"id": c, "set": s, "input": {"request": c}, "checks": [{"equals": "yes"}]} for c, s in KINDS]
    (folder / "cases.yaml").write_text(json.dumps({"cases": cases}))
    (folder / "watch.yaml").write_text(WATCHED)
    return folder


KINDS = (("tea", "case"), ("usual", "control"))
WATCHED = "watch: tea\nruns: [draw]\nstreams: [{name: all, baseline: 0.001, silence: false}]\n"
PRINTED = {
    "answer": ["investigate", "--case", "tea"],
    "luck": ["rerun", "tea"],
    "certify": ["certify", "tea"],
    "explain": ["certify", "--explain", "--budget", "50"],
    "compare": ["compare", "model=recorded:other.jsonl"],
    "samples": ["samples", "tea"],
    "sample": ["show", "SAMPLE"],
    "association": ["forks", "SAMPLE"],
    "check": ["check", "--labels", "LABELS"],
    "ideas": ["ideas"],
    "ledger": ["ledger"],
    "groups": ["samples", "--group"],
    "watch": ["watch", "--once"],
    "token": ["token", "ana"],
    "tokens": ["token"],
    "cause": ["cause", "half-seven", "--budget", "40"],
    "audit": ["audit", "tea"],
    "neighbours": ["neighbours", "half-seven", "--count", "3", "--runs", "12", "--seed", "5"],
    "try": ["try", "describe-date", "--case", "next-friday", "--budget", "40"],
    "luck on a model": ["rerun", "half-seven", "--budget", "12", "--seed", "3"],
    "samples on a model": ["samples", "half-seven"],
    "tree": ["samples", "half-seven", "--tree"],
    "futures": ["futures", "half-seven", "--budget", "30"],
    "surprise": ["surprise", "SAMPLE", "--draws", "4"],
    "dud": ["forks", "SAMPLE", "--budget", "200", "--seed", "1"],
    "phrase": ["phrase", "half-seven", "--by-rule", "2", "--budget", "12"],
    "phrase of tokens": ["phrase", "half-seven", "--tokens", "--by-rule", "1", "--budget", "20"],
    "export": ["export", "--out", "OUT"],
    "import": ["import", "FILE", "--check", "equals: yes", "--store", ":memory:"],
    "init": ["init", "NEW"],
    "apply": ["apply", "describe-date", "--anyway"],
    "doctor": ["doctor"],
}
# A recording cannot be asked anything new, and has no fixes.
ON_A_MODEL = ("half-seven", "describe-date")


def closed(part: Any) -> Any:
    """The schema as it says which keys there are: none but those, at any depth."""
    if isinstance(part, list):
        return [closed(inner) for inner in part]
    if not isinstance(part, dict):
        return part
    inner = {key: closed(value) for key, value in part.items()}
    return {"additionalProperties": False, **inner} if isinstance(part.get("properties"), dict) else inner


def test_what_is_printed_fits_its_schema_which_has_every_key_at_any_depth(
    generate: ModuleType, project: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert {name.split()[0] for name in PRINTED} == set(generate.schemas())
    words = {"FILE": str(project / "runs.jsonl"), "NEW": str(tmp_path / "new"), "OUT": str(tmp_path / "out.jsonl")}
    init_project(tmp_path / "meetings")
    for title, line in PRINTED.items():
        command, name = [words.get(word, word) for word in line], title.split()[0]
        asked_a_model = any(word in ON_A_MODEL for word in line) or title in ("surprise", "dud")
        home = tmp_path / "meetings" if asked_a_model else project
        # 4: a recording is at its end, or the budget, before it could be said which words or tokens go with failure.
        assert main([*command, "--json", "--project", str(home)]) in (0, 1, 3, 4), title
        printed = json.loads(capsys.readouterr().out)
        schema = json.loads(read(DOCS / "schemas" / f"{name}.json"))
        jsonschema.validate(printed, schema)
        jsonschema.validate(printed, closed(schema))
        assert set(schema["required"]) <= set(printed) <= set(schema["properties"]), title
        if name == "samples":
            words["SAMPLE"] = next(
                one["shown"]["id"] for one in printed["samples"] if one["shown"]["outcome"] in ("fail", None)
            )
            (tmp_path / "labels.jsonl").write_text(json.dumps({"sample": words["SAMPLE"], "outcome": "fail"}) + "\n")
            words["LABELS"] = str(tmp_path / "labels.jsonl")
        if name == "watch":
            assert printed["alarms"], "its keys are held too"
            assert printed["events"]


# -- links -------------------------------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", read(page), flags=re.M | re.S)
    found = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        place = page.parent / name if name else page
        assert place.exists(), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors(place), f"{page.name}: {target}"


def test_the_index_has_every_page() -> None:
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", read(DOCS / "index.md")))
    assert linked == {p.name for p in DOCS.glob("*.md")} - {"index.md"}  # docs/commands.md has the rest


def test_every_benchmark_has_its_numbers_on_the_page() -> None:
    page = read(DOCS / "benchmarks.md")
    for script in (ROOT / "benchmarks").glob("[a-z]*.py"):
        assert re.search(rf"`python benchmarks/{script.stem}\.py( [^`]*)?`, 20\d\d-", page), script.name


# -- examples ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [p for p in PAGES if ">>>" in read(p)], ids=by_name)
def test_python_examples_say_what_they_print(page: Path) -> None:
    text = "\n".join(block for block in blocks(page, "python") if ">>>" in block)
    test = doctest.DocTestParser().get_doctest(text, {}, page.name, str(page), 0)
    assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test).failed == 0


def test_every_kind_of_fix_has_an_example_that_works() -> None:
    program, *found = [parse_yaml(block, "levers.md") for block in blocks(DOCS / "levers.md", "yaml")]
    assert [one["kind"] for one in found] == list(FIX_KINDS)
    for one in found:
        fitting(Fix.model_validate(one), Program.model_validate(program))


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "json", "jsonl")], ids=by_name)
def test_json_examples_are_json(page: Path) -> None:
    for block in blocks(page, "json", "jsonl"):
        for text in block.splitlines() if block.count("\n{") else [block]:
            json.loads(text)


def command_lines(text: str) -> Iterator[str]:
    """The `reroll ...` commands of lines as one types them, also behind `&&`."""
    for line in text.replace("\\\n", " ").splitlines():
        for part in re.split(r" (?:&&|\\?\||>) ", line.removeprefix("$ ")):
            if part.startswith("reroll "):
                yield part


def written(page: Path) -> list[str]:
    """Every command line of a page: in shell blocks, and between backticks in the prose."""
    typed = "".join(
        block if language == "sh" else "".join(f"{line}\n" for line in block.splitlines() if line.startswith("$ "))
        for language in ("sh", "console")
        for block in blocks(page, language)
    )
    return [*command_lines(typed), *named(prose(page))]


def named(text: str) -> list[str]:
    """The command lines between backticks; a command that is only named, as `reroll show`, may lack its words."""
    spans = [" ".join(span.split()) for span in re.findall(r"`(reroll [^`]+)`", text)]
    only = {f"reroll {name}" for name in app}
    return [line for span in spans for line in command_lines(span) if line not in only]


def check_parses(line: str) -> None:
    """Raises: AssertionError unless the command line would be understood; nothing is run."""
    tokens = shlex.split(line, comments=True)[1:]
    tokens = [t for t in tokens if t not in ("[OPTIONS]", "...", "…") and not re.fullmatch(r"\[[A-Z.]+\]", t)]
    if tokens[:1] == ["COMMAND"]:
        return
    if "investigate" in tokens and tokens[-1:] == ["ID"]:
        tokens[-1] = "an-id"
    try:
        app.parse_args(tokens, exit_on_error=False, print_error=False)
    except CycloptsError as error:
        raise AssertionError(f"`{line}`: {' '.join(str(error).split())}") from None


def test_a_renamed_option_would_be_noticed() -> None:
    for line in ("reroll rerun --case x", "reroll frobnicate", "reroll certify x --goal 0.9", "reroll show"):
        with pytest.raises(AssertionError):
            check_parses(line)


@pytest.mark.parametrize("page", [p for p in PAGES if written(p)], ids=by_name)
def test_every_command_line_is_understood(page: Path) -> None:
    for line in written(page):
        check_parses(line)


def test_the_commands_that_messages_and_examples_recommend_are_understood() -> None:
    files = [p for p in SOURCE.rglob("*") if p.suffix in (".py", ".yaml", ".md")]
    for path in files:
        for line in named(re.sub(r"\{[^}]*\}", "X", read(path))):
            check_parses(line)
