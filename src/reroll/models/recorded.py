"""`recorded:FILE`: completions that a model gave before, handed out one after the other and never twice."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from reroll.errors import ModelError
from reroll.intake.recorded import RecordedRow, read_rows
from reroll.models.gguf import file_hash
from reroll.models.model import Capabilities, Draw
from reroll.sample import Sample, Usage

__all__ = ["RecordedModel"]


class RecordedModel:
    """The rows of a JSONL file. Draw number `index` of a case and variant gets its row number `index`,
    in the order of `run`; so a run that is resumed goes on where it stopped, and no row counts twice.

    `recorded:FILE#key=value` takes only the rows with that value under that key, e.g. `#variant=plain`
    or `#model=gpt-4o`; rows chosen by variant stand for whatever variant is drawn. A file with rows
    of several models needs such a choice: two models are not one.
    """

    def __init__(self, reference: str, project: Path = Path()) -> None:
        """reference: what follows `recorded:`; the file lies relative to `project`. Raises: FileError, ModelError."""
        file, _, choice = reference.partition("#")
        self.path = project / Path(file).expanduser()
        self.name = f"recorded:{reference}"
        self.concurrency = 64
        self.priced = True
        key, _, self._value = choice.partition("=")
        self._key = key or None
        rows = [r for r in read_rows(self.path) if self._key is None or self._chosen(r)]
        self.identity = f"recorded:{self.path.name}@{file_hash(self.path)}{f'#{choice}' if choice else ''}"
        if not rows:
            where = f" with {choice}" if choice else ""
            raise ModelError(f"{self.path} has no recorded completions{where}", slug="recorded-exhausted")
        models = sorted({r.model for r in rows if r.model is not None})
        if len(models) > 1:
            raise ModelError(
                f"{self.path} holds completions of {len(models)} models ({', '.join(models[:5])}); "
                f"choose one: recorded:{file}#model={models[0]}",
                slug="recorded-mixed",
            )
        grouped: dict[tuple[str, str], list[RecordedRow]] = defaultdict(list)
        for row in rows:
            grouped[row.case_id, row.variant].append(row)
        self.rows = {k: tuple(sorted(v, key=lambda r: r.run)) for k, v in grouped.items()}

    def __repr__(self) -> str:
        return f"<{self.identity}>"

    def _chosen(self, row: RecordedRow) -> bool:
        value: Any = row.variant if self._key == "variant" else row.fields.get(self._key or "")
        return str(value) == self._value

    async def check(self) -> None:
        """Return at once: the file was read when the model was opened."""

    async def draw(self, draw: Draw) -> Sample:
        """The draw's row. Raises: ModelError when the case has no row of that number."""
        variant = self._value if self._key == "variant" else draw.variant
        rows = self.rows.get((draw.case_id, variant), ())
        if not 0 <= draw.index < len(rows):
            raise self._exhausted(draw, len(rows))
        row = rows[draw.index]
        usage = Usage(usd=0.0)
        if row.error is not None:
            return Sample(error=row.error, usage=usage, model=row.model)
        return Sample(completion=row.completion, usage=usage, model=row.model, reward=row.reward)

    def _exhausted(self, draw: Draw, count: int) -> ModelError:
        case = f"case `{draw.case_id}`" + (f", variant `{draw.variant}`" if draw.variant != "baseline" else "")
        if count:
            todo = f"call number {draw.index + 1} was asked for; lower the budget or record more"
            return ModelError(
                f"{self.path} has only {count} recorded completions of {case}; {todo}", slug="recorded-exhausted"
            )
        variants = sorted({v for c, v in self.rows if c == draw.case_id})
        if variants:
            todo = (
                f"it has variants {', '.join(variants)}: choose one as recorded:{self.path.name}#variant={variants[0]}"
            )
        else:
            todo = f"its cases are {', '.join(sorted({c for c, _ in self.rows})[:5])}, ..."
        return ModelError(f"{self.path} has only 0 recorded completions of {case}; {todo}", slug="recorded-exhausted")

    async def probe(self) -> Capabilities:
        """What the rows hold; nothing new can be asked of a recording."""
        tops = [len(t.top) for rows in self.rows.values() for r in rows if r.completion for t in r.completion.tokens]
        return Capabilities(
            n=False,
            seed=False,
            temperature=False,
            logprobs=max(tops, default=0),
            prefix_continuation=False,
            token_ids=False,
            json_schema=False,
            tools=False,
            notes=("A recording only repeats what was recorded; nothing new can be asked of it.",),
        )

    async def close(self) -> None:
        """Nothing to let go of."""
