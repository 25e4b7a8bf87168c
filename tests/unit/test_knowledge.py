"""What c7n knows, kept in a file: it is c7n's own, it is read without importing c7n, and no damage can change it."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from finops_policy.custodian import knowledge as module
from finops_policy.custodian.knowledge import Knowledge, cache_folder, installed_version, knowledge
from tests.lint.corpus import crossed, schema_accepts
from tests.lint.mutants import is_plain, mutant


@pytest.fixture(scope="session")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A cache as it is written."""
    folder = tmp_path_factory.mktemp("knowledge")
    knowledge(folder)
    return _file(folder).read_bytes()


def _file(folder: Path) -> Path:
    return folder / f"c7n-{installed_version()}.jsonl"


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch, content: bytes) -> list[str]:
    """The versions that a cache is built for, as it is built; quickly, from what is known already."""
    versions: list[str] = []

    def build(version: str) -> bytes:
        versions.append(version)
        return content if version == installed_version() else _of_version(content, version)

    monkeypatch.setattr(module, "_build", build)
    return versions


def _of_version(content: bytes, version: str) -> bytes:
    return _with_index(content, c7n=version)


def _with_index(content: bytes, **changes: Any) -> bytes:
    _, index, rest = content.split(b"\n", 2)
    changed = json.dumps(json.loads(index) | changes).encode()
    return b"\n".join([module._sum(changed), changed, rest])


def _is_right(known: Knowledge) -> bool:
    type_ = known.type_of("ec2")
    return type_ is not None and "marked-for-op" in type_.filters and len(known.names()) > 400


# --- made once, read without c7n --------------------------------------------------------------------------------------

_PROBE = """
import sys
from pathlib import Path
from finops_policy.custodian.knowledge import knowledge
known = knowledge(Path(sys.argv[1]))
assert known.type_of("aws.ec2").accepts({"name": "a", "resource": "ec2"})
print("c7n" in sys.modules, "jsonschema" in sys.modules, "boto3" in sys.modules)
"""


def _probed(folder: Path) -> str:
    done = subprocess.run([sys.executable, "-c", _PROBE, str(folder)], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_it_is_built_on_first_use_and_then_read_without_importing_c7n(tmp_path: Path) -> None:
    assert _probed(tmp_path).startswith("True")
    before = _file(tmp_path).stat()
    assert _probed(tmp_path) == "False False False"
    assert _file(tmp_path).stat() == before or _file(tmp_path).stat().st_mtime_ns == before.st_mtime_ns
    assert [path.name for path in tmp_path.iterdir()] == [_file(tmp_path).name]


def test_two_processes_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _PROBE, str(tmp_path)]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(2)]
    assert [each.communicate()[1] for each in running] == [b"", b""]
    assert [each.returncode for each in running] == [0, 0]
    assert _probed(tmp_path) == "False False False"
    assert len(list(tmp_path.iterdir())) == 1


def test_the_version_is_c7ns() -> None:
    from c7n.version import version

    assert installed_version() == version
    assert knowledge().version == version


def test_building_twice_gives_the_same_bytes(content: bytes, tmp_path: Path) -> None:
    knowledge(tmp_path)
    assert _file(tmp_path).read_bytes() == content


# --- what is wrong with a cache ---------------------------------------------------------------------------------------


def test_a_good_cache_is_not_built_again(tmp_path: Path, content: bytes, built: list[str]) -> None:
    _file(tmp_path).write_bytes(content)
    assert _is_right(knowledge(tmp_path))
    assert built == []


def test_a_cache_of_another_version_is_left_and_one_of_this_version_is_built(
    tmp_path: Path, content: bytes, built: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _file(tmp_path).write_bytes(content)
    monkeypatch.setattr(module, "installed_version", lambda: "9.9.9")
    assert knowledge(tmp_path).version == "9.9.9"
    assert built == ["9.9.9"]
    assert len(list(tmp_path.iterdir())) == 2


def _damages() -> dict[str, Callable[[bytes], bytes]]:
    def flipped(part: Callable[[int, int], int]) -> Callable[[bytes], bytes]:
        def damage(content: bytes) -> bytes:
            head = content.index(b"\n")
            index = content.index(b"\n", head + 1)
            at = part(head, index)
            return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]

        return damage

    return {
        "empty": lambda content: b"",
        "cut in the index": lambda content: content[:5000],
        "cut in a type": lambda content: content[:-1000],
        "the last byte is missing": lambda content: content[:-1],
        "a byte more": lambda content: content + b"\n",
        "not JSON": lambda content: b"x\ny\nz\n",
        "an index that is not JSON, with its digest": lambda content: b"\n".join([module._sum(b"{"), b"{", b""]),
        "an index that is a list, with its digest": lambda content: b"\n".join([module._sum(b"[]"), b"[]", b""]),
        "an empty index, with its digest": lambda content: b"\n".join([module._sum(b"{}"), b"{}", b""]),
        "another format": lambda content: _with_index(content, format=module.FORMAT + 1),
        "another version inside": lambda content: _with_index(content, c7n="0.0.1"),
        "no version inside": lambda content: _with_index(content, c7n=None),
        "zeros": lambda content: bytes(len(content)),
        "flipped: digest of the index": flipped(lambda head, index: head // 2),
        "flipped: line break behind it": flipped(lambda head, index: head),
        "flipped: index, first byte": flipped(lambda head, index: head + 1),
        "flipped: index": flipped(lambda head, index: (head + index) // 2),
        "flipped: index, last byte": flipped(lambda head, index: index - 1),
        "flipped: line break behind the index": flipped(lambda head, index: index),
        "flipped: first type": flipped(lambda head, index: index + 10),
        "flipped: a type in the middle": flipped(lambda head, index: index + 1_000_000),
        "flipped: last byte": flipped(lambda head, index: -1),
    }


@pytest.mark.parametrize("damage", _damages())
def test_a_damaged_cache_is_built_anew(damage: str, tmp_path: Path, content: bytes, built: list[str]) -> None:
    damaged = _damages()[damage](content)
    assert damaged != content
    _file(tmp_path).write_bytes(damaged)
    assert _is_right(knowledge(tmp_path))
    assert built == [installed_version()]
    assert _file(tmp_path).read_bytes() == content


def test_a_folder_in_the_place_of_the_cache(tmp_path: Path, built: list[str]) -> None:
    _file(tmp_path).mkdir()
    assert _is_right(knowledge(tmp_path))
    assert len(built) == 1
    assert list(tmp_path.iterdir()) == [_file(tmp_path)], "nothing is left lying about"


def test_a_file_in_the_place_of_the_folder(tmp_path: Path, built: list[str]) -> None:
    folder = tmp_path / "cache"
    folder.write_text("mine")
    assert _is_right(knowledge(folder))
    assert len(built) == 1
    assert folder.read_text() == "mine"


def test_a_folder_that_cannot_be_written(tmp_path: Path, built: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may write anywhere: the file system says no in its place."""

    def refuse(path: Path, _data: bytes) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    assert _is_right(knowledge(tmp_path))
    assert _is_right(knowledge(tmp_path))
    assert len(built) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_no_part_of_a_cache(
    tmp_path: Path, built: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(path: Path, data: bytes) -> int:
        with path.open("wb") as file:
            file.write(data[:1000])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fill)
    assert _is_right(knowledge(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_is_a_link(tmp_path: Path, content: bytes, built: list[str]) -> None:
    """What it leads to is read, and never written: a link could lead anywhere."""
    other = tmp_path / "other"
    other.write_bytes(content)
    folder = tmp_path / "cache"
    folder.mkdir()
    _file(folder).symlink_to(other)
    assert _is_right(knowledge(folder))
    assert built == []
    other.write_bytes(b"precious")
    assert _is_right(knowledge(folder))
    assert other.read_bytes() == b"precious"
    assert _file(folder).read_bytes() == content
    assert not _file(folder).is_symlink()


def test_a_link_that_leads_nowhere(tmp_path: Path, built: list[str]) -> None:
    _file(tmp_path).symlink_to(tmp_path / "missing" / "file")
    assert _is_right(knowledge(tmp_path))
    assert len(built) == 1
    assert not (tmp_path / "missing").exists()


# --- where it is kept -------------------------------------------------------------------------------------------------


def test_the_folder_is_that_of_the_xdg_specification(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "finops-policy"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    usual = tmp_path / "home" / ".cache" / "finops-policy"
    for value in ("", "relative/path", ".", "~"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert cache_folder() == usual, "the specification asks to ignore what is not absolute"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == usual


def test_without_a_home(tmp_path: Path, built: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """As in containers that run under a number."""
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(os, "getuid", lambda: 987_654_321)
    monkeypatch.chdir(tmp_path)
    assert _is_right(knowledge())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["missing", "a file", "a device"])
def test_a_cache_home_of_any_kind(kind: str, tmp_path: Path, built: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    if kind == "a file":
        home.write_text("mine")
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null" if kind == "a device" else str(home))
    assert _is_right(knowledge())
    assert _file(home / "finops-policy").is_file() == (kind == "missing")


# --- what it says -----------------------------------------------------------------------------------------------------


@cache
def _known() -> Knowledge:
    """Made now: the user's own cache may be older than this checkout."""
    with TemporaryDirectory() as folder:
        return knowledge(Path(folder))


def test_every_type_of_c7n_is_known_by_all_of_its_names() -> None:
    from c7n.provider import clouds
    from c7n.resources.resource_map import ResourceMap

    from finops_policy.custodian.library import load_types

    assert load_types(name for name in ResourceMap if name.startswith("aws.")) == ()
    for short, manager in clouds["aws"].resources.items():
        for name in (short, f"aws.{short}", *(f"aws.{alias}" for alias in manager.type_aliases or ())):
            type_ = _known().type_of(name)
            assert type_ is not None, name
            assert type_.name == f"aws.{short}"
            assert set(type_.filters) >= set(manager.filter_registry.keys())
            assert set(type_.actions) >= set(manager.action_registry.keys())
    assert {name for name in ResourceMap if name.startswith("aws.")} <= set(_known().names())


@pytest.mark.parametrize("name", ["network-addr", "aws.network-addr", "elastic-ip", "aws.elastic-ip"])
def test_aliases_lead_to_their_type(name: str) -> None:
    type_ = _known().type_of(name)
    assert type_
    assert type_.accepts({"name": "a", "resource": name, "filters": [{"AssociationId": "absent"}]})


@pytest.mark.parametrize("name", ["", "aws.", "aws", "EC2", "aws.aws.ec2", "gcp.instance", "nothing"])
def test_other_names_lead_nowhere(name: str) -> None:
    assert _known().type_of(name) is None


def test_the_schema_of_every_type_compiles() -> None:
    for name in _known().names():
        type_ = _known().type_of(name)
        assert type_
        assert type_.accepts({"name": "a", "resource": name}), name
        assert not type_.accepts({"name": "a", "resource": "nothing"}), name


def test_every_element_has_a_schema_that_its_reference_leads_to() -> None:
    for name in _known().names():
        type_ = _known().type_of(name)
        assert type_
        for element in (*type_.filters.values(), *type_.actions.values()):
            if element.kind == "group":
                assert element.reference == ""
                continue
            found: Any = type_.schema
            for key in element.reference.removeprefix("#/").split("/"):
                found = found[key]
            assert isinstance(found, dict), (name, element)


def test_it_accepts_what_jsonschema_accepts() -> None:
    """c7n asks jsonschema, in Python. The examples of its documentation, and mutants of them."""
    chance = random.Random(1)
    seen = {True: 0, False: 0}
    for _ in range(1500):
        policy = mutant(chance, crossed(chance)).policy
        type_ = _known().type_of(policy["resource"]) if isinstance(policy.get("resource"), str) else None
        if type_ is None or not is_plain(policy):
            continue
        policy = json.loads(json.dumps(policy))
        accepts = type_.accepts(policy)
        assert accepts == schema_accepts(policy), policy
        seen[accepts] += 1
    assert min(seen.values()) > 300


def test_false_as_text_is_true() -> None:
    """c7n writes so where ``value_from`` should have no other keys, and so it may have them."""
    value_from = {"url": "s3://a/b", "format": "json", "whatever": 1}
    policy = {"name": "a", "resource": "ec2", "filters": [{"type": "value", "key": "a", "value_from": value_from}]}
    type_ = _known().type_of("ec2")
    assert type_
    assert schema_accepts(policy)
    assert type_.accepts(policy)


def test_the_known_modes_are_c7ns() -> None:
    from c7n.policy import execution

    assert set(_known().modes) == {name for name, _ in execution.items()}
