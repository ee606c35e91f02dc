"""`python -m reroll`: the command line, where no script `reroll` is on the path."""

from __future__ import annotations

from reroll.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    raise SystemExit(main())
