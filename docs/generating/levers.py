"""The tables of docs/levers.md: every kind of fix, from the catalogue that fixes are read with."""

from __future__ import annotations

from reroll.lever_kinds import KINDS, Setting

__all__ = ["blocks"]


def blocks() -> dict[str, str]:
    """A table for each group of kinds."""
    return {f"kinds: {group}": table(group) for group in dict.fromkeys(kind.group for kind in KINDS.values())}


def table(group: str) -> str:
    """The kinds of one group: what each does, to what, with which settings (needed ones in bold)."""
    lines = ["| kind | what it does | target | settings |", "|---|---|---|---|"]
    for name, kind in KINDS.items():
        if kind.group == group:
            said = [setting_words(key, setting) for key, setting in kind.settings.items()]
            if kind.either:
                said.append(f"at least one of {', '.join(kind.either)}" + (", no more" if kind.exactly_one else ""))
            settings = "; ".join(said).replace("|", "\\|") or "–"
            lines.append(f"| `{name}` | {kind.words} | {f'`{kind.target}`' if kind.target else '–'} | {settings} |")
    return "\n".join(lines) + "\n"


def setting_words(key: str, setting: Setting) -> str:
    words = ", ".join(f"`{word}`" for word in setting.form.split("|")) if "|" in setting.form else ""
    name = f"**`{key}`**" if setting.required else f"`{key}`"
    return f"{name}: {setting.help}{f' ({words})' if words else ''}"
