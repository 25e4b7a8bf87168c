"""100,000 resources of one type in one target fit into a worker of 1.5 GB.

By default two smaller targets are judged, and what the larger one takes more is extended to 100,000;
FINOPS_POLICY_LONG=1 judges them all, in some minutes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.fake_aws import running
from tests.engine.sized import FILTERS

LIMIT = 1.5e9
MANY = 100_000
SMALL, LARGE = 5_000, 10_000
"""Both fill a chunk of resources."""
WRITING = 350e6
"""What DuckDB may take at the end, for any number of rows; tests/unit/test_evidence_parquet.py holds it to that."""
LONG = "FINOPS_POLICY_LONG" in os.environ


def judged(instances: int, folder: Path) -> dict[str, Any]:
    with running(instances=instances) as fake:
        child = subprocess.run(
            [sys.executable, "-m", "tests.engine.sized", str(folder)],
            check=True,
            capture_output=True,
            text=True,
            env=os.environ | fake.environment(),
        )
    found: dict[str, Any] = json.loads(child.stdout)
    assert found["populations"] == dict.fromkeys(FILTERS, instances)
    return found


@pytest.mark.skipif(LONG, reason="the long form is run instead")
def test_a_target_of_100_000_resources_would_fit(tmp_path: Path) -> None:
    small, large = (judged(count, tmp_path)["judging"] for count in (SMALL, LARGE))
    each = (large - small) / (LARGE - SMALL)
    assert each > 5_000, "a resource that takes no memory is none"
    assert large + each * (MANY - LARGE) + WRITING < LIMIT, f"{large:,} bytes for {LARGE}, {each:,.0f} for each more"


@pytest.mark.skipif(not LONG, reason="takes minutes: set FINOPS_POLICY_LONG=1")
def test_a_target_of_100_000_resources_fits(tmp_path: Path) -> None:
    assert judged(MANY, tmp_path)["writing"] < LIMIT
