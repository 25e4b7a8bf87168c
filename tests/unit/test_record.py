"""What a former run tells of its targets, whatever became of its file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from finops_policy.engine.record import _target_events

TOLD: dict[str, Any] = {
    "event": "target",
    "account_id": "111111111111",
    "region": "us-east-1",
    "seconds": "1.250",
    "calls": {"ec2:DescribeInstances": 2},
    "metrics": 0,
}


@pytest.mark.parametrize(
    "broken",
    [
        *[{key: value for key, value in TOLD.items() if key != left_out} for left_out in TOLD],
        TOLD | {"seconds": "soon"},
        TOLD | {"seconds": None},
        TOLD | {"calls": [1]},
        TOLD | {"calls": {"ec2:DescribeInstances": "2"}},
        TOLD | {"metrics": "many"},
        TOLD | {"account_id": 1},
        [],
        None,
    ],
    ids=str,
)
def test_a_line_that_does_not_tell_is_passed_over(broken: Any, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"\xff\xfe not text\n" + f"{json.dumps(broken)}\n{json.dumps(TOLD)}\n{{".encode())
    assert list(_target_events(path)) == [TOLD]


def test_no_file_tells_nothing(tmp_path: Path) -> None:
    assert list(_target_events(tmp_path / "events.jsonl")) == []
