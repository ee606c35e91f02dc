"""tau-bench's trajectories: whole conversations of an agent with a simulated user, and the reward of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from reroll.intake.bodies import as_list, as_mapping, as_text, call
from reroll.intake.taken import Format, Skipped, Taken, Value

__all__ = ["TAU"]

JSON = Any
NAME = "tau-bench"
NO_PARAMS = "The trajectory keeps neither the model nor its parameters nor its tools."


def _looks_like(first: Sequence[JSON]) -> bool:
    return any(_is_trajectory(v) or _simulations(v) for v in first)


def _is_trajectory(value: JSON) -> bool:
    one = as_mapping(value)
    return "task_id" in one and isinstance(one.get("traj"), list)


def _simulations(value: JSON) -> list[JSON]:
    """The runs of a file of the second version."""
    one = as_mapping(value)
    return as_list(one.get("simulations")) if "tasks" in one or "info" in one else []


def _read(values: Iterable[Value]) -> Iterator[Taken | Skipped]:
    for one in values:
        if _is_trajectory(one.value):
            info = as_mapping(as_mapping(as_mapping(one.value).get("info")).get("task"))
            yield _taken(one.where, one.value, one.value["traj"], one.value.get("reward"), info.get("instruction"), {})
            continue
        runs = _simulations(one.value)
        if not runs:
            yield Skipped(NAME, one.where, "is no trajectory (it has no `task_id` with `traj`)")
        agent = as_mapping(as_mapping(as_mapping(one.value).get("info")).get("agent_info"))
        about = {"model": agent.get("llm"), **as_mapping(agent.get("llm_args"))} if agent.get("llm") else {}
        for i, run in enumerate(runs, 1):
            given = as_mapping(run)
            reward = as_mapping(given.get("reward_info")).get("reward")
            yield _taken(f"{one.where}, run {i}", given, given.get("messages"), reward, None, about)


def _taken(
    where: str, value: Mapping[str, JSON], turns: JSON, reward: JSON, told: JSON, about: Mapping[str, JSON]
) -> Taken | Skipped:
    messages = [_message(m) for m in as_list(turns) if isinstance(m, dict)]
    if not messages:
        return Skipped(NAME, where, "is a trajectory without messages")
    good = isinstance(reward, int | float) and not isinstance(reward, bool) and 0 <= reward <= 1
    task = as_text(value.get("task_id"))
    told = told if isinstance(told, str) and told else ""
    ids = {
        "case": f"task-{task}" if task.isdecimal() else task,
        "run": as_text(value.get("trial")),
        "instruction": told,
    }
    return Taken(
        format=NAME,
        where=where,
        body={**about, "messages": messages},
        fidelity="partly" if len(about) > 1 else "messages",
        reward=float(reward) if good else None,
        error=None if good else "the trajectory has no reward between 0 and 1",
        ids={k: v for k, v in ids.items() if v},
        whole=True,
        guessed=() if about else (NO_PARAMS,),
    )


def _message(message: Mapping[str, JSON]) -> dict[str, JSON]:
    """The message with the calls of tools in the shape of chat completions."""
    kept = ("role", "content", "tool_call_id", "name")
    found = {k: message[k] for k in kept if message.get(k) is not None or (k == "content" and k in message)}
    found["role"] = as_text(found.get("role")) or "user"
    calls = [as_mapping(c) for c in as_list(message.get("tool_calls"))]
    if calls:
        found["tool_calls"] = [
            dict(c) if isinstance(c.get("function"), dict) else call(c.get("id"), c.get("name"), c.get("arguments"))
            for c in calls
        ]
    if found["role"] == "tool" and "tool_call_id" not in found and message.get("id"):
        found["tool_call_id"] = as_text(message["id"])
    return found


TAU = Format(NAME, _looks_like, _read)
