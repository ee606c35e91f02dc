"""A model reference such as `openai:NAME` into the model; each wire is loaded only when it is asked for."""

from __future__ import annotations

import asyncio
import difflib
import random
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from reroll.errors import ModelError, UsageError
from reroll.models.model import Model

__all__ = ["FORMS", "open_model"]

FORMS = ("bundled", "gguf:PATH", "openai:NAME", "recorded:FILE")
LATER = ("openai-responses", "anthropic", "python", "http")


def open_model(
    ref: str,
    *,
    base_url: str | None = None,
    project: Path = Path(),
    timeout: float | None = None,
    tries: int | None = None,
    environment: Mapping[str, str] | None = None,
    rng: random.Random | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Model:
    """The model that `ref` names; nothing is sent or started yet.

    base_url: only for openai:, where the server is; project: the folder that relative paths start
    from; timeout: seconds one HTTP try may take; tries: how many tries that end in a server's failure
    a draw may take; rng: for the jitter of waits; sleep: what waiting does.

    Raises: UsageError for a reference that names no wire; ModelError for a file that is no model.
    """
    kind, colon, rest = ref.strip().partition(":")
    if base_url is not None and kind != "openai" and kind not in LATER:
        raise UsageError(
            f"base_url is for openai: models, not for `{ref}`; take it out of the program", slug="base-url"
        )
    if kind == "recorded" and rest:
        from reroll.models.recorded import RecordedModel

        return RecordedModel(rest, project)
    if kind not in ("bundled", "gguf", "openai") or (kind == "bundled") == bool(colon) or (colon and not rest):
        raise _unknown(ref, kind, rest)

    from reroll.models.wire import Policy

    usual = Policy()
    policy = Policy(timeout=timeout or usual.timeout, tries=tries or usual.tries)
    if kind == "openai":
        from reroll.models.openai import OpenAIModel

        return OpenAIModel(rest, base_url, environment=environment, policy=policy, rng=rng, sleep=sleep)

    from reroll.models.local import BUNDLED_CONTEXT, LocalModel, bundled_file

    if kind == "gguf":
        path = project / Path(rest).expanduser()
        return LocalModel(path, f"gguf:{path.name}", policy=policy, rng=rng, sleep=sleep)
    path = bundled_file()
    if not path.exists():
        raise ModelError(
            f"the bundled model is missing from this installation ({path}); install reroll again", slug="no-bundled"
        )
    return LocalModel(path, "bundled", context=BUNDLED_CONTEXT, policy=policy, rng=rng, sleep=sleep)


def _unknown(ref: str, kind: str, rest: str) -> UsageError:
    forms = ", ".join(FORMS)
    if kind in LATER:
        return UsageError(f"this version of reroll cannot call `{kind}:` models yet; it knows {forms}", slug="later")
    kinds = {form.partition(":")[0]: form for form in FORMS}
    if kind in kinds:
        return UsageError(f"`{ref}` is no model; write {kinds[kind]}", slug="unknown-model")
    near = difflib.get_close_matches(kind.lower(), kinds, n=1, cutoff=0.5)
    if near:
        suggestion = kinds[near[0]].partition(":")[0] + (f":{rest}" if rest else "")
        hint = f"did you mean `{suggestion}`?"
    else:
        hint = "a model at an OpenAI-compatible server is openai:NAME with base_url"
    return UsageError(f"`{ref}` is no model that reroll knows ({forms}); {hint}", slug="unknown-model")
