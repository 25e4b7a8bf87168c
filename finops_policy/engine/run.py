"""One run from plan to sealed bundle."""

from __future__ import annotations

import datetime as dt
import importlib.metadata
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from finops_policy import __version__, aws
from finops_policy.custodian.library import problems, quiet
from finops_policy.digests import digest
from finops_policy.engine.fanout import Plan, Progress, run_targets
from finops_policy.errors import InvalidFilesError
from finops_policy.evidence.bundle import BundleWriter
from finops_policy.evidence.canonical import encode
from finops_policy.evidence.chain import read_head
from finops_policy.evidence.layout import new_run_id
from finops_policy.evidence.signing import SigningKey
from finops_policy.evidence.store import LocalStore
from finops_policy.model import Coverage, Diagnostic, Target
from finops_policy.money import Price
from finops_policy.project import Project, select_policies, select_targets


@dataclass(frozen=True, slots=True)
class Selection:
    """What the user asked for; empty means all. Accounts are ids or names, policies are globs."""

    accounts: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """A sealed run."""

    run_id: str
    folder: Path
    cells: tuple[Coverage, ...]


def check_with_c7n(project: Project) -> None:
    """Raises :class:`InvalidFilesError` where c7n would refuse a compiled policy, at the policy's own file."""
    marks = {policy.name: policy.mark for pack in project.packs.values() for policy in pack.policies.values()}
    found: dict[tuple[str, str], Diagnostic] = {}
    for policies in project.compiled.variants.values():
        for name, sentence in problems(policy.document for policy in policies):
            hint = "Check the filter against `custodian schema`."
            found[name, sentence] = Diagnostic("c7n", f"Cloud Custodian refuses it: {sentence}", marks[name], hint)
    if found:
        raise InvalidFilesError(list(found.values()))


def execute(
    project: Project,
    prices: tuple[Price, ...],
    selection: Selection,
    store: LocalStore,
    key: SigningKey,
    *,
    workers: int,
    environment: Mapping[str, str],
    sandboxed: bool,
    progress: Progress,
) -> Outcome:
    """Judges, records and seals. Whatever ends it early leaves a run without run.json: visibly incomplete."""
    targets = select_targets(project.customer, selection.accounts, selection.regions)
    policy_names = select_policies(project.compiled, selection.policies)
    caller = aws.caller(targets[0].region)  # before c7n, whose imports break on an AWS_PROFILE that is not there
    quiet()
    check_with_c7n(project)
    progress.said(f"Caller: {caller.arn}")
    read_head(
        store.customer_folder(project.customer.name), key.public
    )  # a chain that this key cannot continue: better said before the work than after
    started = dt.datetime.now(dt.UTC)
    run_id = new_run_id(started)
    bundle = store.create(project.customer.name, run_id)
    bundle.event("started", caller=caller.arn, targets=len(targets), policies=len(policy_names))
    for name, data in _compiled_files(project, prices).items():
        bundle.write(f"compiled/{name}", data)
    plan = Plan(
        run_id=run_id,
        customer=project.customer,
        caller=caller,
        compiled=project.compiled,
        targets=targets,
        policy_names=policy_names,
        waivers=project.waivers,
        prices=prices,
        redacted_tags=project.profile.redacted_tags,
        part=bundle.part,
    )
    cells = run_targets(
        plan,
        workers=workers,
        environment=environment,
        sandboxed=sandboxed,
        progress=_Recorded(progress, bundle),
    )
    lock = project.compiled.lock
    record = {
        **{key: lock[key] for key in ("customer", "profile", "packs", "frameworks")},
        "started_at": started,
        "finished_at": dt.datetime.now(dt.UTC),
        "caller": caller.arn,
        "sandbox": sandboxed,
        "versions": _versions(),
        "lock_digest": digest(lock),
        "targets": [asdict(target) for target in targets],
        "policies": [policy.name for policy in project.compiled.policies() if policy.name in policy_names],
        "selection": {
            "accounts": sorted({target.account_id for target in targets}) if selection.accounts else [],
            "regions": list(selection.regions),
            "policies": list(selection.policies),
        },
        "counts": _counts(cells),
    }
    sealed = bundle.seal(record, key)
    return Outcome(run_id, sealed.folder, tuple(cells))


class _Recorded:
    """Passes progress on and writes it into the bundle's events."""

    def __init__(self, progress: Progress, bundle: BundleWriter) -> None:
        self._progress = progress
        self._bundle = bundle

    def said(self, text: str) -> None:
        self._progress.said(text)

    def started(self, targets: int, cells: int) -> None:
        self._progress.started(targets, cells)

    def finished(self, target: Target, cells: Sequence[Coverage]) -> None:
        failed = sum(1 for cell in cells if cell.status == "failed")
        self._bundle.event(
            "target", account_id=target.account_id, region=target.region, cells=len(cells), failed=failed
        )
        self._progress.finished(target, cells)


def _compiled_files(project: Project, prices: Sequence[Price]) -> dict[str, bytes]:
    """What ran: the policies and their lock, the waivers as they stood, and the prices that figures were made from."""
    waivers = {
        "waivers": [
            {**{key: value for key, value in asdict(waiver).items() if key != "mark"}, "mark": str(waiver.mark)}
            for waiver in project.waivers
        ],
        "malformed": [f"{each.mark}: {each.message}" for each in project.malformed],
    }
    written = {"waivers.json": waivers, "prices.json": [asdict(price) for price in prices]}
    return {
        **project.compiled.files(),
        **{name: (encode(content, indent=2) + "\n").encode() for name, content in written.items()},
    }


def _versions() -> dict[str, str]:
    packages = ("c7n", "boto3", "botocore", "duckdb")
    found = {name: importlib.metadata.version(name) for name in packages}
    return {"finops-policy": __version__, "python": platform.python_version(), **found}


def _counts(cells: Sequence[Coverage]) -> dict[str, Any]:
    statuses = ("evaluated", "not_applicable", "skipped", "failed")
    members = ("population", "compliant", "noncompliant", "waived", "unknown")
    return {
        "cells": {status: sum(1 for cell in cells if cell.status == status) for status in statuses},
        **{name: sum(getattr(cell, name) for cell in cells) for name in members},
    }
