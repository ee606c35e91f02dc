"""The commands that make no call of a case: projects, stored samples, recordings, and what a model can do."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from reroll.answer import to_json
from reroll.arguments import Common, Pictures
from reroll.errors import ModelError, UsageError
from reroll.opening import model_of, project_of, run, store_of
from reroll.output import console, print_json
from reroll.pictures import can_be_drawn, nothing_to_draw, present
from reroll.program import Program
from reroll.project import Project
from reroll.settings import setting
from reroll.store import Store

__all__ = ["doctor", "init", "replay", "samples", "show", "show_request"]


# -- looking -----------------------------------------------------------------------------------------------------------


def samples(
    case: str | None, limit: int, tree: bool, group: bool, least: int, common: Common, pictures: Pictures
) -> int:
    from reroll.looking import parted_samples, stored_samples

    for option, value in (("--limit", limit), ("--least", least)):
        if value < 1:
            raise UsageError(f"{option} must be 1 or more, got {value}", slug="limit")
    if tree and group:
        raise UsageError("--tree and --group are two ways to look; give one of them", slug="usage")
    can_be_drawn(pictures)
    project = project_of(common)
    if group:
        return _groups(project, case, common, pictures)
    if tree:
        if case is None:
            raise UsageError("--tree is about the runs of one case; name it", slug="no-case")
        with store_of(common, project, create=False) as store:
            parted = parted_samples(project, store, case, least)
        from reroll.render.parted import show_parted

        present(
            f"reroll samples {case} --tree",
            lambda: {"schema": "reroll.tree/1", **to_json(parted)},
            lambda page: show_parted(parted, page),
            common,
            pictures,
        )
        return 0
    with store_of(common, project, create=False) as store:
        shown = stored_samples(project, store, case, min(limit, sys.maxsize))
    from reroll.render.terminal import show_samples

    present(
        f"reroll samples {case or ''}".strip(),
        lambda: {"schema": "reroll.samples/1", "samples": to_json(shown)},
        lambda page: show_samples([s.shown for s in shown], page),
        common,
        pictures,
    )
    return 0


def _groups(project: Project, case: str | None, common: Common, pictures: Pictures) -> int:
    from reroll.grouped import grouped_samples
    from reroll.render.grouped import show_grouped

    with store_of(common, project, create=False) as store:
        grouped = grouped_samples(project, store, case, setting("alpha"))
    present(
        f"reroll samples {case or ''}".strip() + " --group",
        lambda: {"schema": "reroll.groups/1", **to_json(grouped)},
        lambda page: show_grouped(grouped, page),
        common,
        pictures,
    )
    return 0


def show(sample: str, common: Common, pictures: Pictures) -> int:
    from reroll.looking import whole_sample
    from reroll.render.terminal import show_sample

    can_be_drawn(pictures)
    project = project_of(common)
    with store_of(common, project, create=False) as store:
        whole = whole_sample(project, store, sample)
    more: dict[str, Any] = {name: getattr(whole, name) for name in ("messages", "tokens", "usage", "choice")}
    present(
        f"reroll show {sample}",
        lambda: {"schema": "reroll.sample/1", **to_json(whole)},
        lambda page: show_sample(whole.shown, page, **more),
        common,
        pictures,
    )
    return 0


def show_request(sample: str, common: Common, pictures: Pictures) -> int:
    from reroll.replaying import request_bytes

    nothing_to_draw("show --request", pictures)
    if common.json:
        raise UsageError("show --request prints the request as it is; leave --json out")
    project = project_of(common)
    with store_of(common, project, create=False) as store:
        body = request_bytes(project, store, sample)
    sys.stdout.flush()
    sys.stdout.buffer.write(body + (b"\n" if sys.stdout.isatty() else b""))
    return 0


def replay(sample: str, common: Common) -> int:
    from reroll import replaying

    project = project_of(common)
    with store_of(common, project, create=False) as store:
        new, answered = replaying.replay(project, store, sample)
    show(new, common, Pictures())
    return 0 if answered else 4


# -- making ------------------------------------------------------------------------------------------------------------


def init(directory: Path, common: Common) -> int:
    from reroll.init import init_project

    written = init_project(directory)
    if common.json:
        print_json({"schema": "reroll.init/1", "project": str(directory), "files": [str(p) for p in written]})
        return 0
    for path in written:
        print(path)
    print(f"\nNow: cd {directory} && reroll investigate --case next-friday", file=sys.stderr)
    return 0


def doctor(model: str | None, base_url: str | None, common: Common) -> int:
    from reroll.looking import environment_facts
    from reroll.models.probe import FAILED
    from reroll.probing import Probed, probe_now

    here = (common.project / "program.yaml").exists()
    if model is None:
        program = project_of(common).program
        model, base_url = program.model, program.base_url

    async def work(store: Store | None) -> tuple[str, str, Probed]:
        opened = model_of(model, base_url, common.project)
        try:
            await opened.check()
            return opened.name, opened.identity, await probe_now(store, opened)
        finally:
            await opened.close()

    if here or setting("store", common.store):  # elsewhere a look at a server leaves no file behind
        with store_of(common, Project(common.project, Program(program="doctor"))) as store:
            name, identity, probed = run(work(store))
    else:
        name, identity, probed = run(work(None))
    if failed := [note for note in probed.capabilities.notes if note.startswith(FAILED)]:
        why = failed[0].partition(": ")[2].rstrip(".")
        raise ModelError(
            f"a plain call of `{name}` ({identity}) failed: {why}; mend that, then ask again",
            slug="model-no-answer",
        )
    if common.json:
        print_json(
            {
                "schema": "reroll.doctor/1",
                "model": name,
                "identity": identity,
                **to_json(probed),
                **environment_facts(),
            }
        )
    else:
        from reroll.render.terminal import show_capabilities

        show_capabilities(f"{name}  ({identity})", probed.capabilities, console(), probed.probed, probed.changes)
        for key, value in environment_facts().items():
            print(f"{key}: {value}")
    return 0
