"""Files that users write: what loads, and the one sentence that each mistake gets."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reroll import strict_yaml
from reroll.case import Case
from reroll.errors import FileError, UsageError
from reroll.fix import Fix
from reroll.ideas_file import read_ideas
from reroll.program import Program
from reroll.project import CaseFile, load_project, parse_yaml, read_checks, schemas
from reroll.requirement import KINDS
from reroll.strict_yaml import write_yaml

DOCS = Path(__file__).parent.parent / "docs"
RAW = '{"messages": [],\n "seed": 1.0}\n'


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def problem(folder: Path) -> str:
    with pytest.raises(FileError) as caught:
        load_project(folder)
    return str(caught.value).replace(f"{folder}/", "")


# -- what loads


def test_a_whole_project_loads(tmp_path: Path) -> None:
    project = load_project(
        write(
            tmp_path,
            {
                "program.yaml": "program: m\nsystem: {b: one., a: two.}\nparams: {temperature: 1}",
                "cases.yaml": "cases:\n- {id: a, input: {request: hi}, checks: [{equals: x}]}\n"
                "- {id: b, set: lookalike, of: a}",
                "fixes/one.yaml": "fix: one\nkind: example.reorder\norder: [b, a]",
                "labels.jsonl": '{"sample": "s1", "outcome": "pass"}\n\n{"sample": "s1", "outcome": "unsure"}\n',
            },
        )
    )
    assert project.program == Program(program="m", system={"b": "one.", "a": "two."}, params={"temperature": 1})
    assert [c.id for c in project.cases] == ["a", "b"]
    assert project.fixes[0].settings == {"order": ["b", "a"]}
    assert [label.outcome for label in project.labels] == ["pass", "unsure"]
    assert project.case("b").of == "a"
    with pytest.raises(UsageError, match=r"no case `bb` in .*; did you mean `b`\?"):
        project.case("bb")


def test_a_program_alone_is_a_project(tmp_path: Path) -> None:
    project = load_project(write(tmp_path, {"program.yaml": "program: m"}))
    assert (project.cases, project.fixes, project.labels) == ((), (), ())


def test_the_order_of_parameters_is_no_part_of_what_is_sent_and_that_of_clauses_is() -> None:
    one, two = (Program(program="p", params=p) for p in ({"seed": 1, "top_p": 1}, {"top_p": 1, "seed": 1}))
    assert one.id == two.id
    assert one.render({"request": "x"}).id("m") == two.render({"request": "x"}).id("m")
    clauses = {"a": "x", "b": "y"}
    assert Program(program="p", system=clauses).id != Program(program="p", system=dict(reversed(clauses.items()))).id


def test_a_stored_request_is_kept_to_the_byte(tmp_path: Path) -> None:
    project = load_project(write(tmp_path, {"program.yaml": "program: m\nraw: request.json", "request.json": RAW}))
    assert project.program.raw == RAW
    assert project.program.render({}).raw == RAW


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("NO", "NO"), ("no", "no"), ("yes", "yes"), ("off", "off"), ("y", "y"), ("12:30", "12:30"),
        ("190:20:30", "190:20:30"),
        ("2026-11-27", "2026-11-27"), ("2026-11-27T10:00:00Z", "2026-11-27T10:00:00Z"),
        ("007", "007"), ("0o14", "0o14"),
        ("0x1F", "0x1F"), ("1_000", "1_000"), (".inf", ".inf"), (".nan", ".nan"), ("=", "="), ("1.2.3", "1.2.3"),
        ("true", True), ("False", False), ("null", None), ("~", None), ("", None), ("'true'", "true"),
        ('"1.10"', "1.10"),
        ("30", 30), ("-3", -3), ("+5", 5), ("0", 0), ("0.5", 0.5), (".5", 0.5), ("1.", 1.0), ("1.10", 1.1),
        ("1e-2", 0.01),
        ("1E5", 100000.0), ("-0.0", -0.0), ("[1, a]", [1, "a"]), ("{1: a, no: b}", {"1": "a", "no": "b"}),
        ("!!str 5", "5"), ("!!int 7", 7), ("[&x a, *x]", ["a", "a"]),
    ],
)  # fmt: skip
def test_yaml_has_no_surprises(written: str, meant: Any) -> None:
    value = parse_yaml(f"a: {written}\n", "memory")["a"]
    assert value == meant
    assert type(value) is type(meant)


def test_the_slow_parser_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    import yaml

    class Slow(yaml.SafeLoader):
        yaml_implicit_resolvers = strict_yaml._Resolver.yaml_implicit_resolvers

    monkeypatch.setattr(strict_yaml, "_Loader", Slow)
    text = "a: NO\nb: 007\nc: 1e-2\nd: [true, null, 2026-11-27]\n"
    assert parse_yaml(text, "m") == {"a": "NO", "b": "007", "c": 0.01, "d": [True, None, "2026-11-27"]}
    with pytest.raises(FileError, match="m:2: a tab at the beginning of the line"):
        parse_yaml("a:\n\tb: c", "m")


# -- mistakes

P = "program: m\n"
NEEDS_PROGRAM = "`program: NAME` and what is sent to the model"
NO_CASE = "no case yet; a case is written as `- {id: NAME, input: {...}, checks: [...]}`"
BAD_PROGRAMS: list[tuple[str | bytes, str]] = [
    ("", f"program.yaml: the file is empty; it needs {NEEDS_PROGRAM}"),
    ("# nothing\n", f"program.yaml: the file is empty; it needs {NEEDS_PROGRAM}"),
    ("- a", f"program.yaml:1: the file holds a list; it needs keys, such as {NEEDS_PROGRAM}"),
    ("\nx", f"program.yaml:2: the file holds one value; it needs keys, such as {NEEDS_PROGRAM}"),
    ("model: bundled", "program.yaml:1: `program` is missing"),
    (P + "modle: x", "program.yaml:2: `modle`: unknown key; did you mean `model`?"),
    (P + "examples:\n- {name: a, user: b, assistant: c, reply: d}",
     "program.yaml:3: `examples.1.reply`: unknown key; the keys are name, user, assistant"),
    (P + "examples:\n- {name: a, user: b}", "program.yaml:3: `examples.1`: `assistant` is missing"),
    (P + "examples:\n- {name: a, user: b, assistant: c}\n- {name: a, user: b, assistant: c}",
     "program.yaml:2: `examples`: two examples have the same name; every example needs its own"),
    (P + "model: 1.10", 'program.yaml:2: `model`: needs text, and 1.10 without quotes is a number; write "1.10"'),
    (P + "system:\n  a: x\n  version: 1.10",
     'program.yaml:4: `system.version`: needs text, and 1.10 without quotes is a number; write "1.10"'),
    (P + "user: true", 'program.yaml:2: `user`: needs text, and true without quotes is true or false; write "true"'),
    (P + "user:", "program.yaml:2: `user`: needs text, and here is nothing"),
    (P + "user: [a]", 'program.yaml:2: `user`: needs text; got ["a"]'),
    (P + "system: 5", "program.yaml:2: `system`: needs keys with values or text; got 5"),
    (P + "params: [a]", 'program.yaml:2: `params`: needs keys with values; got ["a"]'),
    (P + "tools: {a: b}", 'program.yaml:2: `tools`: needs a list; got {"a": "b"}'),
    (P + "target: high", 'program.yaml:2: `target`: needs a number; got "high"'),
    (P + "target: 99", "program.yaml:2: `target`: must be below 1, and this is 99"),
    (P + "target: 0", "program.yaml:2: `target`: must be above 0, and this is 0"),
    (P + "prevalence: -0.1", "program.yaml:2: `prevalence`: must be at least 0, and this is -0.1"),
    (P + "structured: enforced",
     'program.yaml:2: `structured`: "enforced" is none of enforce, describe, both, off; did you mean `enforce`?'),
    (P + "response:\n  properties:\n    a: {type: strng}",
     'program.yaml:4: `response.properties.a.type`: not a JSON Schema: "strng" is no type; did you mean `string`?'),
    (P + "system: {role: x}\nneutral:\n  system.rol: y",
     "program.yaml:4: `neutral.system.rol`: the program has no part of this name; did you mean `system.role`?"),
    (P + "alternatives: {zzz: [1]}",
     "program.yaml:2: `alternatives.zzz`: the program has no part of this name; it has model"),
    (P + "program: n", "program.yaml:2: `program`: written twice, first in line 1; keep one"),
    (P + "params:\n  a: 1\n  b: 2\n  a: 3", "program.yaml:5: `params.a`: written twice, first in line 3; keep one"),
    (P + "params:\n\ta: 1", "program.yaml:3: a tab at the beginning of the line; YAML is indented with spaces"),
    (P + "params: {a: 1", None),  # type: ignore[list-item]
    (P + "a: b: c", "program.yaml:2: not YAML here: mapping values are not allowed in this context; "
     "is a quote, a colon or the indentation amiss?"),
    (P + "---\nb: 1", "program.yaml:2: a second document begins here (---); one file holds one"),
    (P + "a: *b", "program.yaml:2: found undefined alias"),
    (P + "<<: {a: b}", "program.yaml:2: `<<`: merge keys are not taken; write the keys out"),
    (P + "? [a]\n: b", "program.yaml:2: a key must be text; quote it if it begins with a brace or bracket"),
    (P + "params: {x: &a {y: *a}}", "program.yaml:2: `params.x.y`: an anchor that contains itself"),
    (P + "params: !!python/object/apply:os.system {a: b}",
     "program.yaml:2: `params`: the tag 'tag:yaml.org,2002:python/object/apply:os…' means nothing here; remove it"),
    (P + "params: {a: !!timestamp 2026-11-27}",
     "program.yaml:2: `params.a`: the tag 'tag:yaml.org,2002:timestamp' means nothing here; remove it"),
    (P + "params: {a: !!int x}", "program.yaml:2: `params.a`: 'x' is not what its tag says, or is too long a number"),
    (P + "params: {a: 1e999}", "program.yaml:2: `params.a`: '1e999' is too large a number"),
    (P + "params: {a: \0}", "program.yaml:2: a control character that YAML does not take; remove it"),
    (b"program: m\nuser: caf\xe9\n", "program.yaml:2: byte 0xe9 is not UTF-8; save the file as UTF-8"),
    ("program: m".encode("utf-16"), "program.yaml:1: byte 0xff is not UTF-8; save the file as UTF-8"),
    (P + "raw: request.json", "program.yaml:2: `raw`: there is no file request.json"),
    (P + "raw: 5", 'program.yaml:2: `raw`: needs text, and 5 without quotes is a number; write "5"'),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), BAD_PROGRAMS)
def test_a_wrong_program_gets_one_sentence(tmp_path: Path, text: str | bytes, message: str | None) -> None:
    said = problem(write(tmp_path, {"program.yaml": text}))
    # What an unclosed bracket is called differs by the version of libyaml.
    assert said == message if message else re.match(r"program.yaml:[23]: not YAML here: ", said)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"request.json": "[1]"}, "request.json: a request is a JSON object; this is [1]"),
        ({"request.json": '{"a":\n}'}, "request.json:2: not JSON: expecting value in column 1"),
        ({"request.json": b"\xff"}, "request.json:1: byte 0xff is not UTF-8; save the file as UTF-8"),
        ({"request.json": "[" * 100_000}, "request.json: not JSON that can be read"),
        ({"request.json": "{}", "program.yaml": "program: m\nraw: request.json\nuser: x"},
         "program.yaml:3: `user`: the request in `raw: request.json` says this already; remove the one or the other"),
    ],
)  # fmt: skip
def test_a_wrong_stored_request_gets_one_sentence(tmp_path: Path, files: dict[str, Any], message: str) -> None:
    assert problem(write(tmp_path, {"program.yaml": "program: m\nraw: request.json", **files})) == message


C = "cases:\n- id: a\n"
BAD_CASES = [
    ("", "cases.yaml: the file is empty; it needs `cases:` with a list"),
    ("cases:\n", f"cases.yaml:1: `cases`: {NO_CASE}"),
    ("cases: []", f"cases.yaml:1: `cases`: {NO_CASE}"),
    ("case: []", "cases.yaml:1: `case`: unknown key; did you mean `cases`?"),
    ("- id: a", "cases.yaml:1: the file holds a list; it needs keys, such as `cases:` with a list"),
    ("cases: {a: b}", 'cases.yaml:1: `cases`: needs a list; got {"a": "b"}'),
    ("cases:\n- a", 'cases.yaml:2: `cases.1`: needs keys with values; got "a"'),
    ("cases:\n- {input: {a: b}}", "cases.yaml:2: `cases.1`: `id` is missing"),
    ("cases:\n- id: ''", "cases.yaml:2: `cases.1.id`: is empty"),
    ("cases:\n- id: 2026", 'cases.yaml:2: `cases.1.id`: needs text, and 2026 without quotes is a number; write "2026"'),
    (C + "  inputs: {}", "cases.yaml:3: `cases.1.inputs`: unknown key; did you mean `input`?"),
    ("cases:\n- ids: a", "cases.yaml:2: `cases.1.ids`: unknown key; did you mean `id`?"),
    (C + "- id: b\n- id: a", "cases.yaml:4: `cases.3.id`: two cases are called a; give each its own id"),
    (C + "  set: neigbour", 'cases.yaml:3: `cases.1.set`: "neigbour" is none of case, neighbour, lookalike, control; '
     "did you mean `neighbour`?"),
    (C + "- id: b\n  set: neighbour",
     "cases.yaml:4: `cases.2.set`: a neighbour needs `of`: the id of the case that it belongs to"),
    (C + "- id: b\n  of: aa\n  set: neighbour", "cases.yaml:4: `cases.2.of`: there is no case aa; did you mean `a`?"),
    (C + "- id: b\n  of: a",
     "cases.yaml:4: `cases.2.of`: only a neighbour or a lookalike belongs to a case, and this is `set: case`"),
    (C + "- {id: b, set: control}\n- {id: c, set: neighbour, of: b}",
     "cases.yaml:4: `cases.3.of`: b is a control; `of` names a case that is `set: case`"),
    (C + "  checks:\n  - {contian: x}",
     "cases.yaml:4: `cases.1.checks.1.contian`: `contian` is no kind of check; did you mean `contains`?"),
    (C + "  checks:\n  - equals: 1.10",
     'cases.yaml:4: `cases.1.checks.1.equals`: `equals` takes text, got 1.10; quote it: "1.10"'),
    (C + "  checks:\n  - contains: [a, 1.10]", "cases.yaml:4: `cases.1.checks.1.contains.2`: `contains` takes text or "
     'a list of texts, got 1.10; quote it: "1.10"'),
    (C + "  checks:\n  - all:\n    - equals: x\n    - not:\n        matches: '('",
     "cases.yaml:7: `cases.1.checks.1.all.2.not.matches`: not a regular expression that RE2 takes: missing ): ("),
    (C + "  checks:\n  - equals: x\n  - any:\n    - schema: true", "cases.yaml:6: `cases.1.checks.2.any.1.schema`: "
     "`schema: true` means the program's `response`, and program.yaml has none"),
    (C + "  checks:\n  - not:\n      schema: true", "cases.yaml:5: `cases.1.checks.1.not.schema`: "
     "`schema: true` means the program's `response`, and program.yaml has none"),
    (C + "  checks:\n  - equals: x\n  - equals: '{expected}'",
     "cases.yaml:5: `cases.1.checks.2`: check `equals-2` asks for {expected}, and the case has no `expected`"),
    (C + "  checks:\n  - {name: n, equals: x}\n  - {name: n, equals: y}",
     "cases.yaml:5: `cases.1.checks.2`: two checks of case `a` have the same name; give each its own `name`"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), BAD_CASES)
def test_wrong_cases_get_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    assert problem(write(tmp_path, {"program.yaml": P, "cases.yaml": text})) == message


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"fixes/a.yaml": ""}, "fixes/a.yaml: the file is empty; it needs `fix: NAME` and `kind: KIND`"),
        ({"fixes/a.yaml": "fix: a"}, "fixes/a.yaml:1: `kind` is missing"),
        ({"fixes/a.yaml": "fix: a\nkind: b\nauthr: c"}, "fixes/a.yaml:1: unknown key `authr`; did you mean `author`?"),
        ({"fixes/a.yaml": "fix: a\nkind: A B"},
         'fixes/a.yaml:2: `kind`: "A B" does not have the form ^[a-z][a-z0-9_.]*$'),
        ({"fixes/a.yaml": "fix: a\nkind: clause.delet\ntarget: system.a"},
         "fixes/a.yaml:2: `kind`: `clause.delet` is no kind of fix; did you mean `clause.delete`?"),
        ({"fixes/a.yaml": "fix: a\nkind: clause.edit\ntarget: sytem.a\ntext: b"},
         "fixes/a.yaml:3: `target`: `clause.edit` has targets of the form system.NAME; got `sytem.a`"),
        ({"fixes/a.yaml": "fix: a\nkind: clause.move\ntarget: system.a\natt: first"},
         "fixes/a.yaml:4: `att`: `clause.move` has no setting `att`; did you mean `at`?"),
        ({"fixes/a.yaml": "fix: a\nkind: sample.best\nn: many\nchecks: [{contains: x}]"},
         'fixes/a.yaml:3: `n`: needs a whole number; got "many"'),
        ({"fixes/a.yaml": "fix: a\nkind: sample.best\nn: 3"},
         "fixes/a.yaml:1: `sample.best` needs `checks`: checks as in cases.yaml"),
        ({"fixes/a.yaml": "fix: a\nkind: response.off", "fixes/b.yaml": "kind: response.off\nfix: a"},
         "fixes/b.yaml:2: `fix`: fixes/a.yaml has a fix called a too; rename one"),
        ({"fixes/a.yml": "fix: a"}, "fixes/a.yml: rename this file to a.yaml"),
        ({"cases.yml": C}, "cases.yml: rename this file to cases.yaml"),
        ({"labels.jsonl": "\nx"}, 'labels.jsonl:2: not a JSON object: "x"'),
        ({"labels.jsonl": '{"sample": "s", "outcome": "pass", "outcome": "fail"}'},
         "labels.jsonl:1: `outcome`: a key stands twice; keep one"),
        ({"labels.jsonl": "[]"}, "labels.jsonl:1: a label is a JSON object; this is []"),
        ({"labels.jsonl": '{"outcome": "pass"}'}, "labels.jsonl:1: `sample` is missing"),
        ({"labels.jsonl": '{"sample": "s", "outcome": "passed"}'},
         'labels.jsonl:1: `outcome`: "passed" is none of pass, fail, unsure; did you mean `pass`?'),
        ({"labels.jsonl": '{"sample": "s", "outcome": "pass", "who": "ana"}'},
         "labels.jsonl:1: `who`: unknown key; the keys are sample, outcome, by, note, check"),
    ],
)  # fmt: skip
def test_wrong_fixes_and_labels_get_one_sentence(tmp_path: Path, files: dict[str, Any], message: str) -> None:
    assert problem(write(tmp_path, {"program.yaml": P, **files})) == message


def test_a_folder_without_a_program_says_how_to_make_one(tmp_path: Path) -> None:
    said = problem(tmp_path)
    assert said == f"{tmp_path}: no program.yaml in this folder; run `reroll init {tmp_path}` to make a project"
    nowhere = tmp_path / "nowhere"
    assert problem(nowhere) == f"{nowhere}: no such folder; run `reroll init {nowhere}` to make a project"
    write(tmp_path, {"program.yml": P})
    assert problem(tmp_path) == "program.yml: rename this file to program.yaml"
    assert problem(tmp_path / "program.yml").endswith("a file; give the folder that holds program.yaml")


def test_aliases_cannot_fill_the_memory(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x]"] + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    said = problem(write(tmp_path, {"program.yaml": "\n".join(lines)}))
    assert said.endswith("aliases repeat more than 10000 values; write them out")


@pytest.mark.parametrize("text", ["[" * 5000, "{a: " * 5000, "- " * 5000])
def test_depth_cannot_break_the_reader(tmp_path: Path, text: str) -> None:
    assert problem(write(tmp_path, {"program.yaml": text})).startswith("program.yaml")


@given(st.binary(max_size=60) | st.text(":-[]{}&*!|>'\"\n\t #a1,?%@`~", max_size=40).map(str.encode))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_in_a_file_the_error_is_ours(tmp_path: Path, data: bytes) -> None:
    write(tmp_path, {"program.yaml": P, "cases.yaml": data})
    try:
        load_project(tmp_path)
        said = ""
    except FileError as error:
        said = str(error)
    assert "\n" not in said


def test_checks_on_the_command_line_are_read_as_in_a_file() -> None:
    assert [c.model_dump() for c in read_checks("contains: Friday", "--check")] == [{"contains": "Friday"}]
    assert [c.kind for c in read_checks("[{contains: a}, {not: {equals: b}}]", "--check")] == ["contains", "not"]
    for text, said in [
        ("contian: x", "--check:1: `contian`: `contian` is no kind of check; did you mean `contains`?"),
        ("- equals: a\n- equals: 1.10", '--check:2: `2.equals`: `equals` takes text, got 1.10; quote it: "1.10"'),
        ("", "--check: says no check; a check is written as `contains: noon`"),
    ]:
        with pytest.raises(FileError) as caught:
            read_checks(text, "--check")
        assert str(caught.value) == said


# -- round trips


def texts() -> st.SearchStrategy[str]:
    awkward = st.sampled_from(
        ["NO", "1.10", "1e5", "2026-11-27", "", " a\n", "a\n\nb", "- x", "a: b", "# x", "\t", "\x85", "~"]
    )
    return awkward | st.text(st.characters(exclude_categories=("Cs",)), max_size=20)


def values() -> st.SearchStrategy[Any]:
    leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts()
    return st.recursive(
        leaves, lambda v: st.lists(v, max_size=3) | st.dictionaries(texts(), v, max_size=3), max_leaves=8
    )


@given(values())
@settings(deadline=None, max_examples=300)
def test_what_is_written_is_read_back_as_it_was(value: Any) -> None:
    again = parse_yaml(write_yaml({"a": value}), "memory")["a"]
    assert json.dumps(again) == json.dumps(value)  # also types, and the order of keys


@given(st.builds(Program, program=texts(), system=texts() | st.dictionaries(texts(), texts(), max_size=3), user=texts(),
                 params=st.dictionaries(texts(), values(), max_size=2), target=st.none() | st.floats(0.01, 0.99),
                 history=st.lists(st.dictionaries(texts(), values(), max_size=2), max_size=2)))  # fmt: skip
@settings(deadline=None)
def test_a_program_is_read_back_from_yaml_as_it_was(program: Program) -> None:
    again = Program.model_validate(parse_yaml(write_yaml(program.model_dump(mode="json")), "memory"))
    assert (again, again.id) == (program, program.id)


@given(st.builds(Case, id=texts().filter(len), input=st.dictionaries(texts(), values(), max_size=3), expected=values()))
@settings(deadline=None)
def test_a_case_is_read_back_from_yaml_as_it_was(case: Case) -> None:
    again = Case.model_validate(parse_yaml(write_yaml(case.model_dump(mode="json")), "memory"))
    assert (again, again.content_id) == (case, case.content_id)


def test_the_id_of_a_fix_is_what_it_does() -> None:
    fix = Fix(fix="a", kind="x", text="t", author="ana", where=1)
    assert fix.id == Fix(fix="b", kind="x", text="t", author="bo", where=1).id
    assert fix.id != Fix(fix="a", kind="x", text="t", where=2).id


# -- schemas and docs


def test_the_published_schemas_are_current(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "reroll.project", "--write-schemas", str(tmp_path)], check=True)
    assert done.returncode == 0
    assert {p.name for p in tmp_path.iterdir()} == {f"{name}.json" for name in schemas()}
    for path in tmp_path.iterdir():
        published = DOCS / "schemas" / path.name
        assert published.read_text() == path.read_text(), "run python -m reroll.project --write-schemas docs/schemas"


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (DOCS / page).read_text(), re.M | re.S)


def test_the_files_in_the_docs_load_and_fit_their_schemas(tmp_path: Path) -> None:
    files = {re.match(r"# (.+)\n", block)[1]: block for block in blocks("files.md", "yaml")}  # type: ignore[index]
    written = {"program.yaml", "program.yaml of a stored request", "cases.yaml", "fixes/describe-date.yaml"}
    assert set(files) == written | {"ideas.yaml"}
    raw = files.pop("program.yaml of a stored request")
    label, row = blocks("files.md", "json")
    project = load_project(write(tmp_path / "a", {**files, "labels.jsonl": label}))
    assert len(project.cases) == 4
    assert project.labels[0].note == "wrong Friday"
    assert read_ideas(project)[0].confirmed
    assert load_project(write(tmp_path / "b", {"program.yaml": raw, "request.json": RAW})).program.raw == RAW
    every = {"program": files["program.yaml"], "cases": files["cases.yaml"], "fix": files["fixes/describe-date.yaml"]}
    every["ideas-file"] = files["ideas.yaml"]
    for name, text in [*every.items(), ("program", raw)]:
        jsonschema.validate(parse_yaml(text, name), schemas()[name])
    jsonschema.validate(json.loads(label), schemas()["label"])
    assert set(Program.model_fields) - {"raw", "http"} == set(parse_yaml(files["program.yaml"], "docs"))
    assert json.loads(row)["case_id"] == "q1"


def test_the_checks_in_the_docs_are_checks() -> None:
    text, _ = blocks("checks.md", "yaml")
    kinds = {c.kind for c in read_checks(text, "docs/checks.md")}
    assert kinds == set(KINDS) - {"person"}
    jsonschema.validate({"cases": [{"id": "a", "checks": parse_yaml(text, "docs")}]}, schemas()["cases"])


def test_a_schema_for_editors_refuses_what_the_reader_refuses() -> None:
    validator = jsonschema.Draft202012Validator(schemas()["cases"])
    for check in ({"contian": "x"}, {"not": {"contian": "x"}}, {"all": [{"equals": 1}]}, {}):
        assert not validator.is_valid({"cases": [{"id": "a", "checks": [check]}]})
    assert CaseFile.model_validate({"cases": [{"id": "a"}]})
