"""Spans that Langfuse's SDK sends: its own attributes, whose made-up parameters are left out."""

from __future__ import annotations

from typing import Literal

from reroll.intake.langfuse import taken_from_observation
from reroll.intake.spans import Span
from reroll.intake.taken import Taken

__all__ = ["take"]

KINDS = ("generation", "completion")


def take(span: Span, where: str) -> Taken | Literal["no messages"] | None:
    """The call of this span; None for a span that is none."""
    kind = span.text("langfuse.observation.type")
    if kind not in KINDS:
        return None
    names = {
        "input": "langfuse.observation.input",
        "output": "langfuse.observation.output",
        "model": "langfuse.observation.model.name",
        "modelParameters": "langfuse.observation.model.parameters",
        "usageDetails": "langfuse.observation.usage_details",
        "statusMessage": "langfuse.observation.status_message",
        "level": "langfuse.observation.level",
    }
    found = {key: span.attributes.get(name) for key, name in names.items()}
    about = "langfuse.observation.metadata."
    found["metadata"] = {k.removeprefix(about): v for k, v in span.attributes.items() if k.startswith(about)}
    return taken_from_observation({**found, "type": "GENERATION"}, where) or "no messages"
