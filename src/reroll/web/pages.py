"""All pages, in the order in which the menu shows them."""

from __future__ import annotations

from starlette.routing import BaseRoute

from reroll.web import (
    pages_answer,
    pages_cause,
    pages_fixes,
    pages_inbox,
    pages_learn,
    pages_life,
    pages_project,
    pages_received,
    pages_samples,
    pages_tokens,
    pages_watch,
    pages_words,
)

__all__ = ["PAGES"]

PAGES: list[BaseRoute] = [
    *pages_inbox.ROUTES,
    *pages_life.ROUTES,
    *pages_answer.ROUTES,
    *pages_samples.ROUTES,
    *pages_tokens.ROUTES,
    *pages_cause.ROUTES,
    *pages_fixes.ROUTES,
    *pages_watch.ROUTES,
    *pages_learn.ROUTES,
    *pages_project.ROUTES,
    *pages_received.ROUTES,
    *pages_words.ROUTES,
    pages_answer.CASE,
]
