"""The two sides of a comparison, run on the same files: the peers (stock Cloud Custodian, c7n-org), and ours.

The peers live in a virtual environment of their own (``make bench``) and start from an empty home, so that no cache of
an earlier run helps them. What either side matched comes back as :data:`Matches`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from bench.estate import REGIONS, account_ids
from bench.fake_aws import ROOT, Fake
from bench.measure import During, Measured, measure

PEERS = ROOT / ".venv-peers" / "bin"
OWN = ROOT / ".venv-own" / "bin"
"""finops-policy as users have it: not editable, and without what its development needs."""
POLICIES = ROOT / "bench" / "policies"
CUSTOMER = "bench"
ROLE = "arn:aws:iam::{}:role/reader"
_DROPPED = ("AWS_", "C7N_", "FINOPS_POLICY_", "COVERAGE_", "COV_")
_IDS = {"ec2": "InstanceId", "ebs": "VolumeId"}

Cell = tuple[str, str, str]
"""Account id, region, policy name."""
Matches = dict[Cell, set[str]]
"""The ids of the resources matched, for every cell that was evaluated."""


@dataclass(frozen=True)
class Work:
    """What both sides are given: one file of policies, one of accounts, in a folder that is theirs to write into."""

    folder: Path
    policies: Path
    accounts: Path
    account_ids: tuple[str, ...]
    regions: tuple[str, ...]
    names: tuple[str, ...] = field(default=())

    def cells(self) -> set[Cell]:
        return {
            (account, region, name) for account in self.account_ids for region in self.regions for name in self.names
        }


def work(folder: Path, accounts: int, regions: int, documents: Sequence[Mapping[str, object]] | None = None) -> Work:
    """Writes the files; without ``documents`` the policies are those of bench/policies."""
    chosen = list(documents or policies())
    ids = tuple(account_ids(accounts))
    listed = [
        {"account_id": each, "name": each, "role": ROLE.format(each), "regions": list(REGIONS[:regions])}
        for each in ids
    ]
    files = folder / "policies.yml", folder / "accounts.yml"
    for file, content in zip(files, ({"policies": chosen}, {"accounts": listed}), strict=True):
        file.write_text(yaml.safe_dump(content, sort_keys=False))
    return Work(folder, *files, ids, REGIONS[:regions], tuple(str(each["name"]) for each in chosen))


def policies() -> list[dict[str, object]]:
    return [each for file in sorted(POLICIES.glob("*.yml")) for each in yaml.safe_load(file.read_text())["policies"]]


def environment(fake: Fake, home: Path) -> dict[str, str]:
    """The caller's environment without anything that leads to AWS, an empty home, and the way to the fake AWS."""
    return offline_environment(home) | fake.environment()


def offline_environment(home: Path) -> dict[str, str]:
    """The caller's environment without anything that leads to AWS, and an empty home."""
    home.mkdir(parents=True, exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_DROPPED)}
    homes = {"HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache"), "XDG_CONFIG_HOME": str(home / ".config")}
    return kept | homes


@dataclass(frozen=True)
class Side:
    """One side's run: its cost, what it matched, and the calls the fake AWS counted."""

    measured: Measured
    matches: Matches
    calls: dict[str, int]
    assumed: dict[str, int]


def custodian(fake: Fake, given: Work, *, cached: bool, binaries: Path = PEERS) -> Side:
    """``custodian run`` on the first account and region, with its default cache or with none."""
    out = given.folder / ("custodian-cached" if cached else "custodian")
    account, region = given.account_ids[0], given.regions[0]
    command = [str(binaries / "custodian"), "run", "-s", str(out), "-r", region, "--assume", ROLE.format(account)]
    command += [] if cached else ["--cache-period", "0"]
    side = _run(fake, given, [*command, str(given.policies)], out)
    return _with(side, {(account, region, name): ids for name, ids in _outputs(out).items()})


def c7n_org(fake: Fake, given: Work, during: During | None = None) -> Side:
    """``c7n-org run`` with its defaults: four processes a core, and its cache."""
    out = given.folder / "c7n-org"
    command = [str(PEERS / "c7n-org"), "run", "-c", str(given.accounts), "-u", str(given.policies), "-s", str(out)]
    side = _run(fake, given, command, out, during)
    folders = [folder for folder in out.glob("*/*") if folder.is_dir()]
    found = {(each.parent.name, each.name, name): ids for each in folders for name, ids in _outputs(each).items()}
    return _with(side, found)


def ours(fake: Fake, given: Work, *options: str, during: During | None = None) -> Side:
    """``finops-policy run`` with its defaults, on the same two files."""
    store = given.folder / "store"
    command = [sys.executable, "-m", "finops_policy", "run", "--policies", str(given.policies)]
    command += [
        "--accounts",
        str(given.accounts),
        "--customer",
        CUSTOMER,
        "--fail-on",
        "never",
        "--store",
        str(store),
        *options,
    ]
    side = _run(fake, given, command, given.folder / "finops-policy", during)
    return _with(side, evidence(store))


def _run(fake: Fake, given: Work, command: list[str], place: Path, during: During | None = None) -> Side:
    fake.reset()
    measured = measure(command, environment(fake, place.with_suffix(".home")), given.folder, during)
    calls = fake.calls()
    if unknown := calls.get("unknown"):
        raise RuntimeError(
            f"{unknown} calls that the fake AWS does not know: {' '.join(command)}\n{measured.err[-2000:]}"
        )
    return Side(measured, {}, calls, fake.assumed())


def _with(side: Side, matches: Matches) -> Side:
    return Side(side.measured, matches, side.calls, side.assumed)


def _outputs(folder: Path) -> dict[str, set[str]]:
    """What ``custodian`` wrote: a folder per policy."""
    found = {}
    for file in folder.glob("*/resources.json"):
        name = file.parent.name
        found[name] = {each[_IDS[name[:3]]] for each in json.loads(file.read_text())}
    return found


def evidence(store: Path) -> Matches:
    """What our one run in a store says: every evaluated cell, and the resources found noncompliant in it.

    Nothing where no run was sealed.
    """
    import duckdb

    sealed = list(store.glob("customer=*/month=*/run=*/run.json"))
    if not sealed:
        return {}
    [record] = sealed
    run = record.parent
    cells = duckdb.sql(
        f"select account_id, region, policy from read_parquet('{run}/coverage/*.parquet') where status = 'evaluated'"
    ).fetchall()
    matched = duckdb.sql(
        f"select account_id, region, policy, list(resource_id) from read_parquet('{run}/evaluations/*.parquet') "
        "where verdict in ('noncompliant', 'waived') group by all"
    ).fetchall()
    found: Matches = {cell: set() for cell in cells}
    return found | {(account, region, policy): set(ids) for account, region, policy, ids in matched}


def differences(peer: Matches, ours: Matches, cells: set[Cell]) -> list[str]:
    """Sentences on every cell where the two sides do not agree; none when the verdicts are equal."""
    said = []
    for cell in sorted(cells):
        left, right = peer.get(cell), ours.get(cell)
        if left is None or right is None:
            missing = [side for side, found in (("the peer", left), ("ours", right)) if found is None]
            said.append(f"{'/'.join(cell)}: no result of {' and '.join(missing)}")
        elif left != right:
            said.append(f"{'/'.join(cell)}: only the peer {sorted(left - right)}, only ours {sorted(right - left)}")
    return said
