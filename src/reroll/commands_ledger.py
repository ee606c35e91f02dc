"""The command that says what was tried and applied in a project, what each fix still earns, and what all cost."""

from __future__ import annotations

from dataclasses import replace

from reroll.answer import to_json
from reroll.applying import still_in
from reroll.arguments import Common, Pictures
from reroll.errors import StoreError
from reroll.ideas import unblinded
from reroll.ideas_file import read_ideas
from reroll.ledger import APPLIED, TRIED, UNDONE, Ledger, Made, ledger_of
from reroll.opening import project_of, store_of
from reroll.pictures import can_be_drawn, present
from reroll.project import Project

__all__ = ["ledger", "ledger_from"]


def ledger(common: Common, pictures: Pictures) -> int:
    from reroll.render.ledger import show_ledger

    can_be_drawn(pictures)
    project = project_of(common)
    found = ledger_from(project, common)
    present(
        "reroll ledger",
        lambda: {"schema": "reroll.ledger/1", **to_json(found)},
        lambda page: show_ledger(found, page),
        common,
        pictures,
    )
    return 0


def ledger_from(project: Project, common: Common) -> Ledger:
    """The ledger of a project's store; an empty one where nothing was stored yet."""
    made: list[Made] = []
    try:
        with store_of(common, project, create=False) as store:
            rows = [*store.decisions(rule=TRIED), *store.decisions(rule=APPLIED)]
            made = [_as_it_stands(Made(d.id, d.rule, d.verdict, d.case_id, d.made, d.evidence), project) for d in rows]
    except StoreError as error:
        if error.slug != "store-missing" or common.store is not None:
            raise
    made.sort(key=lambda one: one.when)
    found = ledger_of(project.program.program, made, len(project.program.steps))
    return replace(found, fixes=unblinded(found.fixes, read_ideas(project), project.fixes))


def _as_it_stands(one: Made, project: Project) -> Made:
    """The decision; where it put a fix into the program that somebody took out or rewrote since, as one undone."""
    return one if one.rule != APPLIED or still_in(one.evidence, project.program) else replace(one, verdict=UNDONE)
