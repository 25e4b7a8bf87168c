"""From a sealed bundle to what a report is made from. Frameworks come from the catalogue, all else from the bundle."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from finops_policy.compiler import load_policies, policies_path
from finops_policy.errors import EvidenceError
from finops_policy.evidence import queries
from finops_policy.evidence.parquet import read_coverage
from finops_policy.evidence.store import read_run
from finops_policy.formats.data import ReportInput
from finops_policy.marks import Mark
from finops_policy.model import Framework, Waiver
from finops_policy.savings import add_up


def read_bundle(folder: Path, frameworks: Sequence[Framework]) -> ReportInput:
    """Adds a run up; what is a row a cell or a finding is left to be read.

    Raises :class:`EvidenceError` when a file is missing or is not what it should be.
    """
    run = read_run(folder)
    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        compiled = yaml.load((folder / "compiled" / policies_path("")).read_bytes(), loader)  # noqa: S506 - both are safe
        waivers = json.loads((folder / "compiled" / "waivers.json").read_bytes())
        prices = json.loads((folder / "compiled" / "prices.json").read_bytes())
        judged = set(run.data["policies"])
        return ReportInput(
            record=run.data,
            digest=run.digest,
            policies=[policy for policy in load_policies(compiled["policies"]) if policy.name in judged],
            cells=queries.count_cells(folder),
            found=queries.count_findings(folder),
            savings=add_up(queries.claims(folder)),
            read_cells=partial(read_coverage, folder),
            read_findings=partial(queries.read_findings, folder),
            frameworks=frameworks,
            waivers=[_waiver(each) for each in waivers["waivers"]],
            malformed=waivers["malformed"],
            currency=min((each["currency"] for each in prices), default="USD"),
        )
    except (OSError, KeyError, TypeError, ValueError, yaml.YAMLError) as error:
        raise EvidenceError(
            f"The run in {folder} is not as it was written: {error}",
            hint="Run `finops-policy verify` on it: it names what has changed.",
        ) from error


def _waiver(raw: dict[str, Any]) -> Waiver:
    days = {name: dt.date.fromisoformat(raw[name]) for name in ("expires", "created", "starts") if raw.get(name)}
    return Waiver(**{**raw, **days, "mark": Mark(raw["mark"])})
