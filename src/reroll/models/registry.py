"""A model reference such as `openai:NAME` into the model; each wire is loaded only when it is asked for."""

from __future__ import annotations

import asyncio
import difflib
import importlib
import random
from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from reroll.errors import ModelError, RerollError, UsageError
from reroll.models.model import Model
from reroll.program import FORMS

__all__ = ["open_model"]

OVER_HTTP = {
    "openai": ("openai", "OpenAIModel"),
    "openai-responses": ("responses", "ResponsesModel"),
    "openai-completions": ("completions", "CompletionsModel"),
    "anthropic": ("anthropic", "AnthropicModel"),
}
GROUP = "reroll.models"  # entry points: `kind = "package.module:factory"`


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

    base_url: for models at an address, where the server is, if not the vendor's; project: the folder that
    relative paths start from; timeout: seconds one HTTP try may take; tries: how many tries that end in a
    server's failure a draw may take; rng: for the jitter of waits; sleep: what waiting does.

    Raises: UsageError for a reference that names no wire; ModelError for a file that is no model.
    """
    kind, colon, rest = ref.strip().partition(":")
    kinds = {form.partition(":")[0] for form in FORMS}
    if kind not in kinds and rest and (factory := _plugin(kind)) is not None:
        return _from_plugin(factory, kind, rest, base_url, project)
    if base_url is not None and kind in kinds - set(OVER_HTTP):
        raise UsageError(
            f"base_url is for models at an address, such as openai:, not for `{ref}`; take it out, or name such a "
            "model in the same program.yaml",
            slug="base-url",
        )
    if kind not in kinds or (kind == "bundled") == bool(colon) or (colon and not rest):
        raise _unknown(ref, kind, rest)
    if kind == "recorded":
        from reroll.models.recorded import RecordedModel

        return RecordedModel(rest, project)

    from reroll.models.wire import Policy

    usual = Policy()
    policy = Policy(timeout=timeout or usual.timeout, tries=tries or usual.tries)
    if kind in OVER_HTTP:
        file, name = OVER_HTTP[kind]
        wire = getattr(importlib.import_module(f"reroll.models.{file}"), name)
        opened: Model = wire(rest, base_url, environment=environment, policy=policy, rng=rng, sleep=sleep)
        return opened
    if kind == "http":
        from reroll.models.endpoint import EndpointModel

        url = ref.strip() if rest.startswith("//") else rest
        return EndpointModel("product", url, environment=environment, policy=policy, rng=rng, sleep=sleep)
    if kind == "python":
        from reroll.models.function import FunctionModel

        return FunctionModel(rest, project, policy=policy)

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


def _plugin(kind: str) -> EntryPoint | None:
    """The entry point of this kind in an installed package, if there is one."""
    return next(iter(entry_points(group=GROUP, name=kind)), None)


def _from_plugin(point: EntryPoint, kind: str, rest: str, base_url: str | None, project: Path) -> Model:
    """The model that a package's factory makes. Raises: ModelError in one sentence when it cannot."""
    try:
        opened: Model = point.load()(rest, base_url=base_url, project=project)
    except RerollError:
        raise
    except Exception as error:
        whose = f"package {point.dist.name}" if point.dist else point.value
        raise ModelError(
            f"`{kind}:` models come from {whose}, which failed with {type(error).__name__}: {error}; "
            "tell its authors, or take another model",
            slug="model-plugin",
        ) from None
    return opened


def _unknown(ref: str, kind: str, rest: str) -> UsageError:
    forms = ", ".join(FORMS)
    kinds = {form.partition(":")[0]: form for form in FORMS}
    if kind in kinds:
        return UsageError(f"`{ref}` is no model; write {kinds[kind]}", slug="unknown-model")
    near = difflib.get_close_matches(kind.lower(), kinds, n=1, cutoff=0.6)
    if kind == "https":
        hint = f"for a product of your own behind that address, write `http:{ref}`"
    elif near:
        suggestion = kinds[near[0]].partition(":")[0] + (f":{rest}" if rest else "")
        hint = f"did you mean `{suggestion}`?"
    else:
        hint = "a model at an OpenAI-compatible server is openai:NAME with base_url"
    return UsageError(f"`{ref}` is no model that reroll knows ({forms}); {hint}", slug="unknown-model")
