"""Goldens: what a format wrote when somebody last looked at it."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(__file__).parent / "golden"
UPDATE = os.environ.get("FINOPS_POLICY_UPDATE_GOLDEN") == "1"


def assert_golden(name: str, rendered: bytes) -> None:
    """Compares with golden/``name``; FINOPS_POLICY_UPDATE_GOLDEN=1 writes it first, for the diff to be reviewed."""
    path = FOLDER / name
    if UPDATE:
        path.write_bytes(rendered)
    assert rendered == path.read_bytes(), f"{path} differs: run with FINOPS_POLICY_UPDATE_GOLDEN=1 and review the diff"
