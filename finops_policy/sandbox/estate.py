"""The estate as data: what ``accounts/*.yaml`` beside this module says, as frozen dataclasses.

A file describes one account of Acme Health, a hospital company. Ages are days before the sandbox starts; ``metrics``
gives the lowest and highest value of hourly datapoints, ``[0, 0]`` is a measured zero, and a metric left out has no
datapoints at all, which no policy may take for a zero. What else a resource says (``type``, ``disk``, ...) are keyword
arguments of its maker in ``makers.py``. The files are ours and are read with plain ``yaml.safe_load``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

CALLER_ACCOUNT = "999900001111"
CALLER_USER = "finops-runner"
HUB_ROLE = "finops-policy-hub"
ACCESS_KEY_ID = "AKIASANDBOXFINOPSRUN"
SECRET_ACCESS_KEY = "sandbox-only-not-a-secret"  # noqa: S105 - known to everyone, good for nothing
EXTERNAL_ID = "acme-7f3c"


@dataclass(frozen=True, slots=True)
class Item:
    """One resource. ``age`` is in days; ``metrics`` maps a CloudWatch metric to its lowest and highest hourly value."""

    kind: str
    name: str
    age: float
    tags: Mapping[str, str]
    metrics: Mapping[str, tuple[float, float]]
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BudgetItem:
    """A monthly cost budget in USD. ``actual`` and ``forecast`` are None where AWS does not know them yet."""

    name: str
    limit: float
    actual: float | None
    forecast: float | None
    notifications: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AccountEstate:
    """One account. ``role`` is the role that may be assumed there; empty means that none may."""

    id: str
    name: str
    role: str
    budgets: tuple[BudgetItem, ...]
    regions: Mapping[str, tuple[Item, ...]]


def load_estate() -> tuple[AccountEstate, ...]:
    """Every account, by file name."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found = _files(files("finops_policy.sandbox").joinpath("accounts"), ".yaml")
    return tuple(_account(yaml.load(file.read_bytes(), Loader=loader)) for file in found)  # noqa: S506 - a safe loader


def digest() -> str:
    """SHA-256 over the estate and the code that makes it, so that a running sandbox of another version is noticed."""
    package = files("finops_policy.sandbox")
    sha = hashlib.sha256()
    for file in (*_files(package, ".py"), *_files(package.joinpath("accounts"), ".yaml")):
        sha.update(file.name.encode() + b"\0" + file.read_bytes())
    return sha.hexdigest()


def _files(folder: Traversable, suffix: str) -> list[Traversable]:
    return sorted((file for file in folder.iterdir() if file.name.endswith(suffix)), key=lambda file: file.name)


def _account(data: dict[str, Any]) -> AccountEstate:
    return AccountEstate(
        id=data["account"],
        name=data["name"],
        role=data.get("role", ""),
        budgets=tuple(
            BudgetItem(
                name=budget["name"],
                limit=budget["limit"],
                actual=budget.get("actual"),
                forecast=budget.get("forecast"),
                notifications=tuple(budget.get("notifications", ())),
            )
            for budget in data.get("budgets", ())
        ),
        regions={
            region: tuple(item for kind, entries in kinds.items() for entry in entries for item in _items(kind, entry))
            for region, kinds in data.get("regions", {}).items()
        },
    )


def _items(kind: str, entry: dict[str, Any]) -> Iterator[Item]:
    """``count: 3`` stands for three resources that differ in the number at the end of their names."""
    options = dict(entry)
    name, count = options.pop("name"), options.pop("count", 1)
    age, tags = options.pop("age", 0), options.pop("tags", {})
    metrics = {metric: (low, high) for metric, (low, high) in options.pop("metrics", {}).items()}
    for number in range(1, count + 1):
        yield Item(kind, f"{name}-{number}" if count > 1 else name, age, tags, metrics, options)
