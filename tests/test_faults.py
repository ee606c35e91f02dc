"""Commands under failures end right, and the store holds what came; benchmarks/faults.py tries every command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import faults
from tests.faults import CALLING, EXCUSED, READING, Ground

# Each kind of failure once, each on another command; the whole matrix takes minutes.
CELLS = (
    ("certify", "reset"),
    ("rerun", "key expires"),
    ("compare", "dead"),
    ("try", "429"),
    ("investigate", "prompt-filter"),
    ("doctor", "dead"),
    ("replay", "no model"),
    ("forks", "DNS"),
    ("phrase", "TLS"),
    ("audit", "dead"),
    ("rerun", "full"),
    ("import", "locked"),
    ("watch", "damaged"),
    ("token", "read-only"),
    ("samples", "newer"),
    ("ledger", "bad project"),
    ("export", "no project"),
)


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with faults.ground(tmp_path_factory.mktemp("faults")) as made:
        yield made


def test_every_command_is_tried_under_failures_or_excused_with_a_reason() -> None:
    assert faults.named_commands() == {*CALLING, *READING, *EXCUSED}
    assert {command for command, _ in CELLS} <= {*CALLING, *READING}


@pytest.mark.parametrize(("command", "fault"), CELLS)
def test_a_command_under_a_failure_ends_well_and_goes_on_afterwards(
    command: str, fault: str, there: Ground, tmp_path: Path
) -> None:
    cell = faults.try_cell(there, command, fault, tmp_path)
    assert not cell.wrong, cell
    assert faults.applies(command, fault)
