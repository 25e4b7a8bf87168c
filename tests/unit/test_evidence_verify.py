"""Whatever is done to a bundle or a chain after it was sealed, verify finds it and names it."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from finops_policy.errors import EvidenceError
from finops_policy.evidence.canonical import encode
from finops_policy.evidence.chain import Claim, ClaimKind, Link
from finops_policy.evidence.layout import measure
from finops_policy.evidence.problems import Problem
from finops_policy.evidence.signing import PublicKey, SigningKey, public_path
from finops_policy.evidence.store import LocalStore
from finops_policy.evidence.verify import Verification, verify, verify_bundle, verify_chain
from tests.unit.evidence_kit import fill, sealed, unprivileged

FILES = [
    "compiled/acme-prod.yml",
    "coverage/111122223333_us-east-1.parquet",
    "coverage/444455556666_eu-west-1.parquet",
    "evaluations/111122223333_us-east-1.parquet",
    "evaluations/444455556666_eu-west-1.parquet",
    "events.jsonl",
]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SigningKey]:
    root = tmp_path_factory.mktemp("original")
    key, _ = SigningKey.load_or_create(root / "signing.pem")
    for day in range(4):
        sealed(LocalStore(root / "store"), key, day)
    return root / "store", key


class Estate:
    """A copy of a store with four sealed runs, to be tampered with."""

    def __init__(self, root: Path, key: SigningKey) -> None:
        self.store = LocalStore(root)
        self.customer = self.store.customer_folder("acme")
        self.head = self.customer / "head.dsse.json"
        self.signing = key
        self.key = key.public
        self.runs = [run.folder for run in self.store.runs("acme")]

    def chain(self) -> list[tuple[str, Path]]:
        """Kind and place of every problem of the whole chain."""
        return found(verify(self.customer, self.key))

    def bundle(self, number: int = 1) -> list[tuple[str, Path]]:
        return found(verify(self.runs[number], self.key))


def found(verification: Verification) -> list[tuple[str, Path]]:
    for problem in verification.problems:
        assert problem.message[0].isupper() or problem.message.startswith("run ")
        assert problem.next_step.endswith(".")
    assert verification.ok == (not verification.problems)
    return sorted((problem.kind.value, Path(problem.where)) for problem in verification.problems)


def only(verification: Verification) -> Problem:
    (problem,) = verification.problems
    return problem


@pytest.fixture
def estate(original: tuple[Path, SigningKey], tmp_path: Path) -> Estate:
    root, key = original
    shutil.copytree(root, tmp_path / "store")
    return Estate(tmp_path / "store", key)


def flip(path: Path, position: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


# --- Nothing wrong --------------------------------------------------------------------------------------------------


def test_a_chain_that_nobody_touched(estate: Estate) -> None:
    checked = verify(estate.customer, estate.key)
    assert checked.problems == ()
    assert (checked.runs, checked.files, checked.chain_checked, checked.notes) == (4, 4 * len(FILES), True, ())
    digest = hashlib.sha256((estate.runs[-1] / "run.json").read_bytes()).hexdigest()
    assert checked.newest == Link(estate.runs[-1].name.removeprefix("run="), 4, digest)


def test_a_bundle_in_its_store_is_checked_with_its_chain(estate: Estate) -> None:
    checked = verify(estate.runs[1], estate.key)
    assert checked.problems == ()
    assert (checked.place, checked.runs, checked.files, checked.chain_checked) == (estate.runs[1], 4, len(FILES), True)


def test_a_bundle_that_stands_alone_says_that_its_chain_was_not_checked(estate: Estate, tmp_path: Path) -> None:
    previous = hashlib.sha256((estate.runs[0] / "run.json").read_bytes()).hexdigest()
    for name in (estate.runs[1].name, "any-name"):
        shutil.copytree(estate.runs[1], tmp_path / name)
        checked = verify(tmp_path / name, estate.key)
        assert checked.problems == ()
        assert (checked.runs, checked.files, checked.chain_checked) == (1, len(FILES), False)
        assert checked.newest is None
        (note,) = checked.notes
        assert "chain was not checked" in note
        assert previous in note
    assert "It follows" not in verify_bundle(estate.runs[0], estate.key).notes[0]


def test_a_relative_path(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(estate.runs[0])
    checked = verify(Path(), estate.key)
    assert checked.ok
    assert checked.chain_checked


def test_an_auditor_needs_the_bundle_and_the_public_key_only(estate: Estate, tmp_path: Path) -> None:
    """In a process without network libraries, catalogue or private key."""
    shutil.copytree(estate.runs[1], tmp_path / "bundle")
    public = tmp_path / "auditor.pub"
    shutil.copy(public_path(estate.signing.path), public)
    program = """
import sys
from pathlib import Path
for name in ("duckdb", "jsonschema", "c7n", "yaml", "finops_policy.library"):
    sys.modules[name] = None
from finops_policy.evidence.signing import PublicKey
from finops_policy.evidence.verify import verify
checked = verify(Path(sys.argv[1]), PublicKey.load(Path(sys.argv[2])))
print(checked.ok, checked.files)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "bundle", public],
        capture_output=True,
        check=False,
        cwd=Path(__file__).parents[2],
        env={"PATH": os.environ["PATH"]},
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == (f"True {len(FILES)}\n", "")


@pytest.mark.parametrize("place", ["store", "nowhere", "file", "empty", "customer=beta", "customer=nobody"])
def test_a_place_that_is_no_evidence(estate: Estate, tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "customer=beta" / "month=2026-11").mkdir(parents=True)
    with pytest.raises(EvidenceError) as caught:
        verify(tmp_path / place, estate.key)
    assert str(tmp_path / place) in caught.value.message
    assert ("customer=acme" in caught.value.hint) == (place == "store")


# --- A bundle -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("position", [0, -1])
@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit(estate: Estate, name: str, position: int) -> None:
    flip(estate.runs[1] / name, position)
    expected = [("file-changed", estate.runs[1] / name)]
    assert estate.bundle() == expected
    assert estate.chain() == expected
    assert found(verify_bundle(estate.runs[1], estate.key)) == expected


@pytest.mark.parametrize("name", FILES)
def test_a_removed_file(estate: Estate, name: str) -> None:
    (estate.runs[1] / name).unlink()
    assert estate.bundle() == estate.chain() == [("file-missing", estate.runs[1] / name)]


@pytest.mark.parametrize("name", ["more", "evaluations/more.parquet", ".hidden", "new/folder/more", "run.json.bak"])
def test_an_added_file(estate: Estate, name: str) -> None:
    path = estate.runs[1] / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    assert estate.bundle() == estate.chain() == [("file-added", path)]


def test_everything_at_once(estate: Estate) -> None:
    folder = estate.runs[1]
    flip(folder / FILES[0])
    (folder / FILES[1]).unlink()
    (folder / FILES[2]).rename(folder / "coverage" / "other.parquet")
    assert estate.bundle() == [
        ("file-added", folder / "coverage" / "other.parquet"),
        ("file-changed", folder / FILES[0]),
        ("file-missing", folder / FILES[1]),
        ("file-missing", folder / FILES[2]),
    ]


@pytest.mark.parametrize("name", [*FILES, "run.json", "run.dsse.json"])
def test_a_link_in_place_of_a_file(estate: Estate, tmp_path: Path, name: str) -> None:
    """Even one to the very same content: what it leads to can change at any time."""
    path = estate.runs[1] / name
    path.rename(tmp_path / "moved")
    path.symlink_to(tmp_path / "moved")
    assert estate.bundle() == [("not-a-file", path)]
    assert "a symbolic link" in only(verify(estate.runs[1], estate.key)).message


@pytest.mark.parametrize("what", ["dangling link", "link to a folder", "fifo"])
def test_things_that_are_no_files(estate: Estate, tmp_path: Path, what: str) -> None:
    path = estate.runs[1] / "compiled" / "thing"
    if what == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to("nowhere" if what == "dangling link" else tmp_path)
    assert estate.bundle() == [("not-a-file", path)]


def test_a_fifo_in_place_of_the_record(estate: Estate) -> None:
    (estate.runs[1] / "run.json").unlink()
    os.mkfifo(estate.runs[1] / "run.json")
    assert estate.bundle() == [("not-a-file", estate.runs[1] / "run.json")]


def test_a_link_in_place_of_a_run(estate: Estate, tmp_path: Path) -> None:
    estate.runs[1].rename(tmp_path / "moved")
    estate.runs[1].symlink_to(tmp_path / "moved")
    assert estate.chain() == [("not-a-file", estate.runs[1])]


@pytest.mark.parametrize("name", [*FILES, "run.json", "run.dsse.json", "evaluations"])
def test_what_cannot_be_read(original: tuple[Path, SigningKey], name: str) -> None:
    root, key = original
    with tempfile.TemporaryDirectory() as place:
        shutil.copytree(root, Path(place) / "store")
        estate = Estate(Path(place) / "store", key)
        assert estate.bundle() == []
        path = estate.runs[1] / name
        with unprivileged(Path(place)):
            path.chmod(0)
            assert estate.bundle() == [("unreadable", path)]
            assert os.strerror(errno.EACCES) in only(verify(estate.runs[1], estate.key)).message
            path.chmod(0o700)


def test_a_name_cannot_steer_the_terminal(estate: Estate) -> None:
    (estate.runs[1] / "\x1b[2Jall is well\n\udcff").touch()
    problem = only(verify(estate.runs[1], estate.key))
    assert problem.kind == "file-added"
    assert problem.where.endswith(r"\x1b[2Jall is well\n\udcff")
    assert (problem.where + problem.message).isprintable()


def test_a_path_longer_than_the_system_takes(estate: Estate) -> None:
    folder = os.open(estate.runs[1] / "compiled", os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 250, dir_fd=folder)
        below = os.open("d" * 250, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = below
    os.close(folder)
    assert only(verify(estate.runs[1], estate.key)).kind == "unreadable"


def test_a_link_is_not_followed_even_if_it_comes_late(tmp_path: Path) -> None:
    """After the look at what it is, and before it is read."""
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    with pytest.raises(OSError, match="symbolic links"):
        measure(tmp_path / "link")


# --- The record and its signature -----------------------------------------------------------------------------------


def test_any_changed_byte_of_the_record(estate: Estate, monkeypatch: pytest.MonkeyPatch) -> None:
    path = estate.runs[1] / "run.json"
    data = path.read_bytes()
    for position in range(0, len(data), 7):
        path.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        assert found(verify_bundle(estate.runs[1], estate.key)) == [("record-changed", path)], position


def test_any_changed_byte_of_the_signature(estate: Estate) -> None:
    path = estate.runs[1] / "run.dsse.json"
    data = path.read_bytes()
    for position in range(len(data)):
        path.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        places = {place for _, place in found(verify_bundle(estate.runs[1], estate.key))}
        assert places == {path}, position


def test_a_record_changed_to_fit_a_changed_file(estate: Estate) -> None:
    folder = estate.runs[1]
    (folder / FILES[0]).write_bytes(b"other\n")
    record = json.loads((folder / "run.json").read_bytes())
    record["files"][FILES[0]] = {"bytes": 6, "sha256": hashlib.sha256(b"other\n").hexdigest()}
    (folder / "run.json").write_bytes(encode(record, indent=2).encode() + b"\n")
    assert estate.chain() == [("record-changed", folder / "run.json")]
    assert "its files were not compared" in only(verify(folder, estate.key)).message


def test_a_run_without_its_record(estate: Estate) -> None:
    (estate.runs[1] / "run.json").unlink()
    assert found(verify_bundle(estate.runs[1], estate.key)) == [("run-incomplete", estate.runs[1])]
    assert estate.bundle() == estate.chain() == [("run-missing", estate.runs[1])]
    assert "run.json" in only(verify(estate.customer, estate.key)).message


@pytest.mark.parametrize("number", [0, 1, 3])
def test_a_run_without_its_signature(estate: Estate, number: int) -> None:
    path = estate.runs[number] / "run.dsse.json"
    path.unlink()
    assert estate.chain() == estate.bundle(number) == [("run-unsigned", path)]


def test_files_of_an_unsigned_run_are_compared_all_the_same(estate: Estate) -> None:
    (estate.runs[1] / "run.dsse.json").unlink()
    flip(estate.runs[1] / FILES[3])
    assert [kind for kind, _ in estate.bundle()] == ["file-changed", "run-unsigned"]


def test_a_wrong_key(estate: Estate, tmp_path: Path) -> None:
    other, _ = SigningKey.load_or_create(tmp_path / "other.pem")
    checked = verify(estate.customer, other.public)
    assert found(checked) == sorted(
        [("wrong-key", folder / "run.dsse.json") for folder in estate.runs] + [("wrong-key", estate.head)]
    )
    assert checked.newest is None
    assert estate.key.id in checked.problems[0].message
    assert other.public.id in checked.problems[0].message


def sign(estate: Estate, folder: Path, claim: Claim, key: SigningKey | None = None) -> None:
    (folder / "run.dsse.json").write_bytes((key or estate.signing).sign(claim.statement()))


def resealed(estate: Estate, number: int, key: SigningKey | None = None, **changes: Any) -> Claim:
    """Change a run's record and sign it anew, as somebody with a key could."""
    path = estate.runs[number] / "run.json"
    record = json.loads(path.read_bytes()) | changes
    path.write_bytes(encode(record, indent=2).encode() + b"\n")
    link = Link(record["run_id"], record["sequence"], hashlib.sha256(path.read_bytes()).hexdigest())
    claim = Claim(ClaimKind.RUN, "acme", link, Link(**record["previous"]) if record["previous"] else None)
    sign(estate, estate.runs[number], claim, key)
    return claim


def test_a_run_signed_anew_with_another_key(estate: Estate, tmp_path: Path) -> None:
    forger, _ = SigningKey.load_or_create(tmp_path / "forger.pem")
    resealed(estate, 1, forger, caller="arn:aws:iam::1:user/nobody")
    assert estate.chain() == [("wrong-key", estate.runs[1] / "run.dsse.json")]


def test_another_key_under_the_right_name(estate: Estate, tmp_path: Path) -> None:
    forger, _ = SigningKey.load_or_create(tmp_path / "forger.pem")
    claim = resealed(estate, 1, forger)
    envelope = json.loads(forger.sign(claim.statement()))
    envelope["signatures"][0]["keyid"] = estate.key.id
    (estate.runs[1] / "run.dsse.json").write_bytes(encode(envelope).encode() + b"\n")
    assert estate.chain() == [("signature-invalid", estate.runs[1] / "run.dsse.json")]


def test_a_run_signed_anew_with_the_right_key_breaks_the_chain(estate: Estate) -> None:
    """Whoever holds the key can sign another past, but the next run names the digest of the true one."""
    resealed(estate, 1, caller="arn:aws:iam::1:user/nobody")
    assert estate.chain() == [("chain-broken", estate.runs[1])]
    assert estate.runs[2].name in only(verify(estate.customer, estate.key)).message


def test_the_newest_run_signed_anew_is_not_what_the_head_names(estate: Estate) -> None:
    resealed(estate, 3, caller="arn:aws:iam::1:user/nobody")
    assert estate.chain() == [("chain-broken", estate.runs[3])]
    assert "the head of the chain" in only(verify(estate.customer, estate.key)).message


def test_the_signature_of_another_run(estate: Estate) -> None:
    shutil.copy(estate.runs[0] / "run.dsse.json", estate.runs[1] / "run.dsse.json")
    assert ("record-changed", estate.runs[1] / "run.json") in estate.chain()
    assert ("run-misplaced", estate.runs[1]) in estate.chain()


@pytest.mark.parametrize("record", [b"{}", b"[]", b"{", b'{"files": []}', b"[" * 100_000])
def test_a_signed_record_that_is_none(estate: Estate, record: bytes) -> None:
    claim = resealed(estate, 3)
    (estate.runs[3] / "run.json").write_bytes(record)
    digest = hashlib.sha256(record).hexdigest()
    sign(estate, estate.runs[3], dataclasses.replace(claim, link=dataclasses.replace(claim.link, digest=digest)))
    assert estate.bundle(3) == [("record-invalid", estate.runs[3] / "run.json")]


@pytest.mark.parametrize(
    "other",
    [
        {"customer": {"name": "beta"}},
        {"run_id": "20261124T080000Z-00000000"},
        {"sequence": 5},
        {"previous": None},
    ],
)
def test_a_signed_record_that_says_something_else(estate: Estate, other: dict[str, Any]) -> None:
    claim = resealed(estate, 3)
    path = estate.runs[3] / "run.json"
    path.write_bytes(encode(json.loads(path.read_bytes()) | other).encode())
    link = dataclasses.replace(claim.link, digest=hashlib.sha256(path.read_bytes()).hexdigest())
    sign(estate, estate.runs[3], dataclasses.replace(claim, link=link))
    assert estate.bundle(3) == [("record-invalid", path)]


@pytest.mark.parametrize(
    "statement",
    [
        {},
        {"predicate": None},
        {"predicate": {"previous": None}, "subject": []},
        {"predicate": {"previous": None, "customer": [], "run_id": [], "sequence": True}, "subject": [{"digest": 1}]},
    ],
)
def test_a_signed_statement_about_something_else(estate: Estate, statement: dict[str, Any]) -> None:
    path = estate.runs[1] / "run.dsse.json"
    path.write_bytes(estate.signing.sign(statement))
    assert estate.chain() == [("signature-invalid", path)]


def test_a_head_is_no_signature_of_a_run(estate: Estate) -> None:
    shutil.copy(estate.head, estate.runs[3] / "run.dsse.json")
    assert estate.chain() == [("signature-invalid", estate.runs[3] / "run.dsse.json")]


# --- The chain ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_a_removed_run(estate: Estate, number: int) -> None:
    shutil.rmtree(estate.runs[number])
    assert estate.chain() == [("run-missing", estate.runs[number])]
    assert estate.bundle((number + 1) % 4) == [("run-missing", estate.runs[number])]
    message = only(verify(estate.customer, estate.key)).message
    assert f"(number {number + 1}) is gone" in message
    assert (estate.runs[number + 1].name if number < 3 else "the head of the chain") in message


def test_two_removed_runs_next_to_each_other(estate: Estate) -> None:
    shutil.rmtree(estate.runs[1])
    shutil.rmtree(estate.runs[2])
    checked = verify(estate.customer, estate.key)
    assert found(checked) == sorted([("run-missing", estate.customer), ("run-missing", estate.runs[2])])
    assert any("the number 2 is gone" in problem.message for problem in checked.problems)


def test_all_runs_removed(estate: Estate) -> None:
    for folder in estate.runs:
        shutil.rmtree(folder)
    kinds = [kind for kind, _ in estate.chain()]
    assert kinds == ["run-missing"] * 4


def test_two_runs_that_changed_places(estate: Estate, tmp_path: Path) -> None:
    first, second = estate.runs[1], estate.runs[2]
    first.rename(tmp_path / "aside")
    second.rename(first)
    (tmp_path / "aside").rename(second)
    assert estate.chain() == [("run-misplaced", first), ("run-misplaced", second)]
    assert second.name.removeprefix("run=") in only(verify_bundle(first, estate.key)).message


def test_a_copy_under_another_name(estate: Estate) -> None:
    copy = estate.runs[1].with_name("run=20261124T090000Z-00000000")
    shutil.copytree(estate.runs[1], copy)
    assert estate.chain() == [("run-misplaced", copy)]


def test_a_copy_in_another_month(estate: Estate) -> None:
    copy = estate.customer / "month=2026-12" / estate.runs[1].name
    shutil.copytree(estate.runs[1], copy)
    assert estate.chain() == [("run-misplaced", copy)]


def test_a_run_of_another_customer(estate: Estate) -> None:
    foreign = sealed(estate.store, estate.signing, 7, "beta")
    copy = estate.customer / foreign.folder.parent.name / foreign.folder.name
    shutil.copytree(foreign.folder, copy, dirs_exist_ok=True)
    assert estate.chain() == [("run-misplaced", copy)]
    assert "of beta" in only(verify(estate.customer, estate.key)).message


def test_two_pasts_with_one_number(estate: Estate, tmp_path: Path) -> None:
    """The newest run hidden, an older head put back, a run made in its stead, and the hidden one put back."""
    before = Path(estate.runs[3])
    shutil.move(before, tmp_path / "hidden")
    claim = Claim(ClaimKind.HEAD, "acme", *links(estate.runs[2]))
    estate.head.write_bytes(estate.signing.sign(claim.statement()))
    instead = sealed(estate.store, estate.signing, 8)
    assert estate.chain() == []  # until the hidden run turns up
    shutil.move(tmp_path / "hidden", before)
    assert [kind for kind, _ in estate.chain()] == ["number-twice"]
    problem = only(verify(estate.customer, estate.key))
    assert "number 4" in problem.message
    assert {Path(problem.where).name, problem.message.split()[-1]} == {before.name, instead.folder.name}


def links(folder: Path) -> tuple[Link, Link]:
    data = (folder / "run.json").read_bytes()
    record = json.loads(data)
    link = Link(record["run_id"], record["sequence"], hashlib.sha256(data).hexdigest())
    return link, Link(**record["previous"])


def test_a_number_that_does_not_follow(estate: Estate) -> None:
    claim = resealed(estate, 3, sequence=7)
    estate.head.write_bytes(estate.signing.sign(dataclasses.replace(claim, kind=ClaimKind.HEAD).statement()))
    kinds = {kind for kind, _ in estate.chain()}
    assert kinds == {"chain-broken", "run-missing"}


def test_a_damaged_run_is_not_called_missing_as_well(estate: Estate) -> None:
    flip(estate.runs[1] / "run.json")
    flip(estate.runs[2] / "run.json")
    assert estate.chain() == [
        ("record-changed", estate.runs[1] / "run.json"),
        ("record-changed", estate.runs[2] / "run.json"),
    ]


def test_a_damaged_sibling_is_named_when_one_bundle_is_verified(estate: Estate) -> None:
    flip(estate.runs[2] / "run.json")
    flip(estate.runs[2] / FILES[0])
    assert estate.bundle(1) == [("record-changed", estate.runs[2] / "run.json")]


def test_an_incomplete_run(estate: Estate) -> None:
    folder = fill(estate.store, 9).folder
    assert estate.chain() == []
    assert found(verify(folder, estate.key)) == [("run-incomplete", folder)]
    assert "never sealed" in only(verify(folder, estate.key)).message
    assert "run --resume" in only(verify(folder, estate.key)).next_step
    beside = verify(estate.runs[0], estate.key)
    assert beside.ok
    assert beside.notes == (f"{folder.name} is incomplete, so it is no part of the chain.",)


def test_a_removed_head(estate: Estate) -> None:
    estate.head.unlink()
    assert estate.chain() == estate.bundle() == [("head-missing", estate.head)]


def test_a_customer_whose_first_run_is_incomplete_has_no_head_yet(estate: Estate) -> None:
    fill(estate.store, customer="beta")
    with pytest.raises(EvidenceError, match="no sealed run"):
        verify_chain(estate.store.customer_folder("beta"), estate.key)


def test_an_older_head_put_back(estate: Estate) -> None:
    claim = Claim(ClaimKind.HEAD, "acme", *links(estate.runs[1]))
    estate.head.write_bytes(estate.signing.sign(claim.statement()))
    assert estate.chain() == [("head-behind", estate.head)]
    assert "there is a run number 4" in only(verify(estate.customer, estate.key)).message


def test_any_changed_byte_of_the_head(estate: Estate) -> None:
    data = estate.head.read_bytes()
    for position in range(0, len(data), 11):
        estate.head.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        ((kind, place),) = estate.bundle()
        assert (kind in {"signature-invalid", "wrong-key"}, place) == (True, estate.head), position


def test_the_head_of_another_customer(estate: Estate) -> None:
    sealed(estate.store, estate.signing, customer="beta")
    shutil.copy(estate.store.customer_folder("beta") / "head.dsse.json", estate.head)
    assert estate.chain() == [("run-misplaced", estate.head)]


def test_the_public_key_in_a_file_is_the_one_that_signed(estate: Estate) -> None:
    assert verify(estate.customer, PublicKey.load(public_path(estate.signing.path))).ok
