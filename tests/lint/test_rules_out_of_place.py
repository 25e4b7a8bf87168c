"""Files that nothing reads: by a wrong name, in a wrong folder, or outside of the workspace."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lint.engine_kit import CUSTOMER, GOOD, PACK, POLICY, PROFILE, WAIVERS, WORKSPACE, look, write

RULE = "out-of-place"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def told(*paths: str, workspace: str = ".") -> list[tuple[str, str, str]]:
    found = [each.diagnostic for each in look(*paths, workspace=workspace).told if each.diagnostic.rule == RULE]
    return [(str(each.mark), each.message, each.hint) for each in found]


@pytest.mark.parametrize(
    ("name", "text", "kind", "hint"),
    [
        ("packs/own/new.yml", POLICY, "policy", "Call it new.yaml."),
        ("packs/own/pack.yml", PACK, "pack", "Call it pack.yaml."),
        ("customers/globex/waivers.yml", WAIVERS, "waiver", "Call it waivers.yaml."),
        ("customers/globex/waiver.yaml", WAIVERS, "waiver", "It is read from customers/*/waivers.yaml in a workspace."),
        ("customers/customer.yaml", CUSTOMER, "customer", "It is read from customers/*/customer.yaml in a workspace."),
        ("packs/new.yaml", POLICY, "policy", "It is read from packs/*/*.yaml in a workspace."),
        ("packs/own/sub/new.yaml", POLICY, "policy", "It is read from packs/*/*.yaml in a workspace."),
        ("hipaa.yaml", PROFILE, "profile", "It is read from profiles/*.yaml in a workspace."),
    ],
)
def test_a_file_that_nothing_reads(name: str, text: str, kind: str, hint: str, place: Path) -> None:
    write(place, {**WORKSPACE, name: text})
    assert told(".") == [(f"{name}:2:1", f"nothing reads a {kind} file here", hint)]


def test_a_workspace_that_is_linted_from_outside(place: Path) -> None:
    write(place, {f"{folder}/{name}": text for folder in ("one", "two") for name, text in WORKSPACE.items()})
    more = "this and 5 more stand outside of the workspace: how they fit together is not checked"
    first = "customers/globex/customer.yaml:2:1"
    assert told(".") == [
        (f"one/{first}", more, "Lint with --workspace one."),
        (f"two/{first}", more, "Lint with --workspace two."),
    ]
    assert told(".", workspace="one") == [(f"two/{first}", more, "Lint with --workspace two.")]
    assert told("two/profiles", workspace="one") == [
        (
            "two/profiles/ours.yaml:2:1",
            "it stands outside of the workspace: how they fit together is not checked",
            "Lint with --workspace two.",
        )
    ]


def test_what_is_read_is_in_its_place(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(place, {**WORKSPACE, "a.yml": GOOD, "pricebook.yaml": "apiVersion: finops-policy/v1\nkind: PriceBook\n"})
    assert told(".") == []
    monkeypatch.chdir(place / "packs")
    assert told(".", workspace="..") == []
    assert told("own/pack.yaml", workspace=str(place)) == []


def test_a_library_is_in_its_place(place: Path) -> None:
    write(place, {f"policies/{name}": text for name, text in WORKSPACE.items() if not name.startswith("customers")})
    write(place, {"customers/globex/customer.yaml": CUSTOMER})
    assert told(".") == []
    assert told("policies", workspace="policies") == []


def test_a_folder_without_packs_is_no_library(place: Path) -> None:
    write(place, {"policies/profiles/ours.yaml": PROFILE})
    assert [each[2] for each in told(".")] == ["Lint with --workspace policies."]


@pytest.mark.parametrize("text", ["apiVersion: finops-policy/v1\n- x\n", "apiVersion: finops-policy/v1\nkind: [x\n"])
def test_a_broken_file_has_a_place_too(text: str, place: Path) -> None:
    write(place, {"a.yaml": text})
    assert [each[0] for each in told(".")] == ["a.yaml:1:1"]
