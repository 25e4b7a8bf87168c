"""Making bundles, sealing them into a chain, and finding them again."""

from __future__ import annotations

import datetime as dt
import errno
import json
import multiprocessing
import os
import re
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from jsonschema import Draft202012Validator

from finops_policy.errors import EvidenceError, UsageError
from finops_policy.evidence.canonical import encode
from finops_policy.evidence.chain import newest, read_head
from finops_policy.evidence.layout import RUN_ID, measure, new_run_id, run_folders
from finops_policy.evidence.parquet import read_coverage, read_evaluations
from finops_policy.evidence.signing import SigningKey
from finops_policy.evidence.store import LocalStore, read_run
from finops_policy.evidence.verify import verify
from finops_policy.files import write_atomic
from finops_policy.library import library_root
from finops_policy.model import Target
from tests.unit.evidence_kit import (
    NOW,
    SHA,
    TARGETS,
    evaluation,
    files_of,
    fill,
    largest_file,
    record,
    sealed,
    unprivileged,
)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return SigningKey.load_or_create(tmp_path_factory.mktemp("key") / "signing.pem")[0]


# --- Names ----------------------------------------------------------------------------------------------------------


def test_run_ids_sort_by_time_and_do_not_repeat() -> None:
    elsewhere = dt.timezone(dt.timedelta(hours=-8))
    moments = [NOW + dt.timedelta(seconds=n) for n in range(20)]
    ids = [new_run_id(moment.astimezone(elsewhere)) for moment in moments]
    assert ids == sorted(ids)
    assert ids[0].startswith("20261124T080000Z-")
    assert all(RUN_ID.fullmatch(each) for each in ids)
    assert len({new_run_id(NOW) for _ in range(1000)}) == 1000
    with pytest.raises(ValueError, match="zone"):
        new_run_id(dt.datetime(2026, 11, 24))  # noqa: DTZ001


@pytest.mark.parametrize("name", ["../x", "..", ".", "", "/etc", "a/b", "Acme", "a b", "a--b", "a-", "1a", "ä", "a\n"])
def test_a_customer_name_that_could_lead_out_is_refused(store: LocalStore, name: str) -> None:
    for refuse in (
        lambda: store.create(name, new_run_id(NOW)),
        lambda: store.runs(name),
        lambda: store.find(name, "latest"),
    ):
        with pytest.raises(UsageError, match="not a customer name"):
            refuse()
    assert not store.root.exists()


@pytest.mark.parametrize("run_id", ["latest", "../../x", "20261324T080000Z-00000000", "20261124T080000Z-0000000g", ""])
def test_a_run_id_that_is_none_is_refused(store: LocalStore, run_id: str) -> None:
    with pytest.raises(UsageError, match="not a run id"):
        store.create("acme", run_id)


@pytest.mark.parametrize(
    "target", [Target("../etc", "us-east-1"), Target("111122223333", "../x"), Target("111122223333", "us-east-1\n")]
)
def test_a_target_that_could_lead_out_is_refused(store: LocalStore, target: Target) -> None:
    with pytest.raises(EvidenceError, match="not an account and a region"):
        store.create("acme", new_run_id(NOW)).part("evaluations", target)


@pytest.mark.parametrize(
    "name", ["../x", "/etc/x", "", "a/../../x", ".hidden", "a/.x.tmp", "run.json", "run.dsse.json", "events.jsonl"]
)
def test_a_file_name_that_is_none_is_refused(store: LocalStore, name: str) -> None:
    with pytest.raises(EvidenceError, match="no name for a file"):
        store.create("acme", new_run_id(NOW)).write(name, b"")


# --- A bundle -------------------------------------------------------------------------------------------------------


def test_where_things_lie(store: LocalStore, key: SigningKey) -> None:
    run = sealed(store, key)
    assert run.folder == store.root / "customer=acme" / "month=2026-11" / f"run={run.link.run_id}"
    assert files_of(run.folder) == [
        "compiled/acme-prod.yml",
        "coverage/111122223333_us-east-1.parquet",
        "coverage/444455556666_eu-west-1.parquet",
        "evaluations/111122223333_us-east-1.parquet",
        "evaluations/444455556666_eu-west-1.parquet",
        "events.jsonl",
        "run.dsse.json",
        "run.json",
    ]
    assert list(read_evaluations(run.folder)) == [evaluation(1), evaluation(2)] * 2
    assert len(read_coverage(run.folder)) == 4


def test_folders_are_for_their_owner(store: LocalStore, key: SigningKey) -> None:
    sealed(store, key)
    folders = [store.root, *(path for path in store.root.rglob("*") if path.is_dir())]
    assert {folder.stat().st_mode & 0o777 for folder in folders} == {0o700}


def test_the_record(store: LocalStore, key: SigningKey) -> None:
    run = sealed(store, key)
    found = read_run(run.folder)
    assert found.digest == run.link.digest == measure(run.folder / "run.json")["sha256"]
    assert (run.folder / "run.json").read_bytes() == encode(found.data, indent=2).encode() + b"\n"
    assert found.data["schema"] == "finops-policy/run/v1"
    assert (found.data["run_id"], found.data["sequence"], found.data["previous"]) == (run.link.run_id, 1, None)
    assert found.data["signed_by"] == key.public.id == run.signed_by
    assert found.data["started_at"] == "2026-11-24T08:00:00Z"
    assert sorted(found.data["files"]) == [each for each in files_of(run.folder) if not each.startswith("run.")]
    text = library_root().joinpath("schemas", "run.schema.json").read_text("utf-8")
    validator = Draft202012Validator(json.loads(text), format_checker=Draft202012Validator.FORMAT_CHECKER)
    validator.validate(found.data)


def test_events(store: LocalStore) -> None:
    writer = store.create("acme", new_run_id(NOW))
    writer.event("started", caller="x")
    writer.event("target done", target=TARGETS[0].region, took=dt.timedelta(seconds=2), at="never", event="fake")
    first, second = (json.loads(line) for line in (writer.folder / "events.jsonl").read_text().splitlines())
    assert (first["event"], first["caller"]) == ("started", "x")
    assert (second["event"], second["target"], second["took"]) == ("target done", "us-east-1", "0:00:02")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", second["at"])


def test_a_full_disk_leaves_no_half_event(store: LocalStore) -> None:
    writer = store.create("acme", new_run_id(NOW))
    writer.event("first")
    path = writer.folder / "events.jsonl"
    before = path.read_bytes()
    with largest_file(len(before) + 40), pytest.raises(EvidenceError, match=r"events\.jsonl: (File too|No space)"):
        writer.event("second", text="x" * 200)
    assert path.read_bytes() == before


def test_sealed_evidence_does_not_change(store: LocalStore, key: SigningKey) -> None:
    writer = fill(store)
    writer.seal(record(), key)
    for change in (
        lambda: writer.event("late"),
        lambda: writer.write("compiled/late.yml", b""),
        lambda: writer.part("evaluations", TARGETS[0]),
        lambda: writer.seal(record(), key),
    ):
        with pytest.raises(EvidenceError, match="is sealed"):
            change()
    assert verify(writer.folder, key.public).ok


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"caller": "nobody"}, r"\$\.caller"),
        ({"lock_digest": "abc"}, r"\$\.lock_digest"),
        ({"surplus": 1}, "surplus"),
        ({"targets": []}, r"\$\.targets"),
        ({"customer": {"name": "beta", "title": "Beta", "digest": SHA}}, "the bundle is acme's"),
    ],
)
def test_a_record_that_is_wrong_seals_nothing(
    store: LocalStore, key: SigningKey, change: dict[str, Any], message: str
) -> None:
    writer = fill(store)
    before = files_of(store.root)
    with pytest.raises(EvidenceError, match=message):
        writer.seal(record() | change, key)
    assert files_of(store.root) == before


def test_a_link_is_not_sealed(store: LocalStore, key: SigningKey, tmp_path: Path) -> None:
    writer = fill(store)
    (writer.folder / "compiled" / "link.yml").symlink_to(tmp_path)
    with pytest.raises(EvidenceError, match=r"link\.yml is not a plain file"):
        writer.seal(record(), key)


def test_a_file_that_cannot_be_read_is_not_sealed(key: SigningKey) -> None:
    with tempfile.TemporaryDirectory() as name:
        writer = fill(LocalStore(Path(name)))
        path = writer.folder / "compiled" / "acme-prod.yml"
        with unprivileged(Path(name)):
            path.chmod(0)
            with pytest.raises(EvidenceError, match=f"Cannot read {path}: Permission denied"):
                writer.seal(record(), key)
            path.chmod(0o600)


def test_what_a_killed_worker_left_is_swept_away(store: LocalStore, key: SigningKey) -> None:
    writer = fill(store)
    scratch = writer.folder / "evaluations" / ".abc.tmp"
    scratch.mkdir()
    (scratch / "rows.ndjson").write_bytes(b"{")
    (writer.folder / ".def.tmp").write_bytes(b"")
    run = writer.seal(record(), key)
    assert not any(".tmp" in name for name in files_of(run.folder))
    assert verify(run.folder, key.public).ok


# --- The chain ------------------------------------------------------------------------------------------------------


def test_runs_form_a_chain(store: LocalStore, key: SigningKey) -> None:
    runs = [sealed(store, key, day) for day in (0, 1, 10)]
    assert [run.link.sequence for run in runs] == [1, 2, 3]
    assert [run.previous for run in runs] == [None, runs[0].link, runs[1].link]
    assert [run.folder.parent.name for run in runs] == ["month=2026-11", "month=2026-11", "month=2026-12"]
    head = read_head(store.customer_folder("acme"), key.public)
    assert head is not None
    assert head.link == runs[-1].link
    assert json.loads((runs[1].folder / "run.json").read_bytes())["previous"] == {
        "run_id": runs[0].link.run_id,
        "sequence": 1,
        "digest": runs[0].link.digest,
    }


def test_customers_have_chains_of_their_own(store: LocalStore, key: SigningKey) -> None:
    assert [sealed(store, key, customer=name).link.sequence for name in ("acme", "beta")] == [1, 1]


def test_the_seal_is_an_in_toto_statement(store: LocalStore, key: SigningKey) -> None:
    import base64

    run = sealed(store, key)
    envelope = json.loads((run.folder / "run.dsse.json").read_bytes())
    assert json.loads(base64.b64decode(envelope["payload"])) == {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "run.json", "digest": {"sha256": run.link.digest}}],
        "predicateType": "https://finops-policy.dev/run/v1",
        "predicate": {"customer": "acme", "run_id": run.link.run_id, "sequence": 1, "previous": None},
    }


def seal_at_once(root: Path, key_path: Path, day: int, barrier: Any, results: Any) -> None:
    writer = fill(LocalStore(root), day)
    key, _ = SigningKey.load_or_create(key_path)
    barrier.wait(60)
    results.put(writer.seal(record(), key).link.sequence)


def test_processes_that_seal_at_once_all_succeed(store: LocalStore, key: SigningKey) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(3), context.Queue()
    processes = [
        context.Process(target=seal_at_once, args=(store.root, key.path, day, barrier, results)) for day in range(3)
    ]
    for process in processes:
        process.start()
    assert sorted(results.get(timeout=100) for _ in processes) == [1, 2, 3]
    for process in processes:
        process.join(60)
    checked = verify(store.customer_folder("acme"), key.public)
    assert checked.problems == ()
    assert checked.newest is not None
    assert checked.newest.sequence == 3


def test_another_key_does_not_continue_a_chain(store: LocalStore, key: SigningKey, tmp_path: Path) -> None:
    sealed(store, key)
    other, _ = SigningKey.load_or_create(tmp_path / "other.pem")
    with pytest.raises(EvidenceError, match=key.public.id) as caught:
        sealed(store, other, 1)
    assert "FINOPS_POLICY_KEY" in caught.value.hint
    with pytest.raises(EvidenceError, match=key.public.id):
        read_head(store.customer_folder("acme"), other.public)
    assert [run.sealed for run in store.runs("acme")] == [True, False]


def test_a_run_that_is_gone_leaves_a_gap_for_ever(store: LocalStore, key: SigningKey) -> None:
    """Sealing after somebody removed the newest run must not paper over it."""
    sealed(store, key)
    shutil.rmtree(sealed(store, key, 1).folder)
    assert sealed(store, key, 2).link.sequence == 3
    problems = verify(store.customer_folder("acme"), key.public).problems
    assert [problem.kind for problem in problems] == ["run-missing"]


def test_a_chain_whose_head_is_gone_is_not_continued(store: LocalStore, key: SigningKey) -> None:
    sealed(store, key)
    sealed(store, key, 1)
    (store.customer_folder("acme") / "head.dsse.json").unlink()
    with pytest.raises(EvidenceError, match=r"head\.dsse\.json is missing") as caught:
        sealed(store, key, 2)
    assert "verify" in caught.value.hint


@pytest.mark.parametrize("how", ["damaged", "forged", "another customer's"])
def test_a_chain_whose_head_is_not_to_be_believed_is_not_continued(
    store: LocalStore, key: SigningKey, how: str
) -> None:
    sealed(store, key)
    head = store.customer_folder("acme") / "head.dsse.json"
    match how:
        case "damaged":
            head.write_bytes(head.read_bytes()[:-2])
        case "forged":
            envelope = json.loads(head.read_bytes())
            envelope["signatures"][0]["sig"] = "A" * 86 + "=="
            head.write_bytes(encode(envelope).encode() + b"\n")
        case _:
            sealed(store, key, customer="beta")
            shutil.copy(store.customer_folder("beta") / "head.dsse.json", head)
    with pytest.raises(EvidenceError, match=r"head\.dsse\.json (is|has been)"):
        sealed(store, key, 1)


def test_a_planted_run_does_not_join_the_chain(store: LocalStore, key: SigningKey, tmp_path: Path) -> None:
    """Neither one that another key signed, nor one of another customer, nor a copy under another name."""
    first = sealed(store, key)
    forger, _ = SigningKey.load_or_create(tmp_path / "forger.pem")
    elsewhere = LocalStore(tmp_path / "elsewhere")
    for day in range(3):
        forged = sealed(elsewhere, forger, day)
        foreign = sealed(store, key, day, "beta")
    month = first.folder.parent
    shutil.copytree(forged.folder, month / forged.folder.name)
    shutil.copytree(foreign.folder, month / foreign.folder.name)
    (month / "run=20261130T000000Z-00000000").mkdir()
    (month / "run=20261130T000000Z-00000000" / "run.json").write_bytes(b"{}")
    assert newest(store.customer_folder("acme"), key.public) == first.link


def test_a_head_that_is_no_file(store: LocalStore, key: SigningKey) -> None:
    sealed(store, key)
    head = store.customer_folder("acme") / "head.dsse.json"
    head.unlink()
    head.mkdir()
    with pytest.raises(EvidenceError, match=r"head\.dsse\.json: Is a directory"):
        sealed(store, key, 1)


def test_a_file_system_without_locks(store: LocalStore, key: SigningKey, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    writer = fill(store)
    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(EvidenceError, match=r"Cannot lock .*customer=acme: No locks available"):
        writer.seal(record(), key)
    assert not store.runs("acme")[0].sealed


# --- Crashes --------------------------------------------------------------------------------------------------------


def die_before(name: str, root: Path, key_path: Path) -> None:
    """Be killed, as by a power failure, just before the file ``name`` would be written."""

    def write_or_die(path: Path, data: bytes, mode: int = 0o644) -> None:
        if path.name == name:
            os.kill(os.getpid(), signal.SIGKILL)
        write_atomic(path, data, mode)

    writer = fill(LocalStore(root), 1)
    with mock.patch("finops_policy.evidence.bundle.write_atomic", write_or_die):
        writer.seal(record(), SigningKey.load_or_create(key_path)[0])


def killed_before(name: str, store: LocalStore, key: SigningKey) -> None:
    process = multiprocessing.get_context("spawn").Process(target=die_before, args=(name, store.root, key.path))
    process.start()
    process.join(100)
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize("name", ["run.dsse.json", "run.json"])
def test_a_crash_before_the_record_leaves_an_incomplete_run_that_the_next_one_passes_over(
    store: LocalStore, key: SigningKey, name: str
) -> None:
    first = sealed(store, key)
    killed_before(name, store, key)
    crashed = store.runs("acme")[-1]
    assert not crashed.sealed
    assert store.find("acme", "latest") == first.folder
    assert [problem.kind for problem in verify(crashed.folder, key.public).problems] == ["run-incomplete"]
    assert verify(first.folder, key.public).ok

    later = sealed(store, key, 2)
    assert later.previous == first.link
    chain = verify(store.customer_folder("acme"), key.public)
    assert chain.ok
    assert chain.notes == (f"{crashed.folder.name} is incomplete, so it is no part of the chain.",)


def test_a_crash_before_the_head_is_mended_by_the_next_seal(store: LocalStore, key: SigningKey) -> None:
    sealed(store, key)
    killed_before("head.dsse.json", store, key)
    crashed = store.runs("acme")[-1]
    assert crashed.sealed
    (problem,) = verify(crashed.folder, key.public).problems
    assert problem.kind == "head-behind"
    assert "the next run mends this" in problem.next_step
    assert sealed(store, key, 2).link.sequence == 3
    assert verify(store.customer_folder("acme"), key.public).problems == ()


def test_a_crash_before_the_very_first_head(store: LocalStore, key: SigningKey) -> None:
    killed_before("head.dsse.json", store, key)
    assert [each.kind for each in verify(store.customer_folder("acme"), key.public).problems] == ["head-missing"]
    assert sealed(store, key, 2).link.sequence == 2
    assert verify(store.customer_folder("acme"), key.public).problems == ()


def test_a_full_disk_seals_nothing(store: LocalStore, key: SigningKey) -> None:
    writer = fill(store)
    with largest_file(100), pytest.raises(EvidenceError, match=r"run\.dsse\.json: File too large"):
        writer.seal(record(), key)
    assert [run.sealed for run in store.runs("acme")] == [False]
    assert not any(name.endswith(".tmp") for name in files_of(store.root))
    assert writer.seal(record(), key).link.sequence == 1


# --- Finding --------------------------------------------------------------------------------------------------------


def test_runs_are_listed_oldest_first(store: LocalStore, key: SigningKey) -> None:
    late, early = sealed(store, key, 9), sealed(store, key, 0)
    incomplete = fill(store, 12)
    assert [(run.run_id, run.sealed) for run in store.runs("acme")] == [
        (early.link.run_id, True),
        (late.link.run_id, True),
        (incomplete.run_id, False),
    ]
    assert store.find("acme", "latest") == late.folder
    assert store.find("acme", early.link.run_id) == early.folder
    assert run_folders(store.customer_folder("acme"))[-1] == incomplete.folder
    assert store.runs("beta") == []


def test_a_name_that_is_not_there(store: LocalStore, key: SigningKey) -> None:
    run = sealed(store, key)
    typo = run.link.run_id[:-1] + ("0" if run.link.run_id[-1] != "0" else "1")
    with pytest.raises(UsageError, match=typo) as caught:
        store.find("acme", typo)
    assert caught.value.hint == f"Did you mean {run.link.run_id}?"
    with pytest.raises(UsageError, match="no run of 'acmee'") as caught:
        store.find("acmee", "latest")
    assert caught.value.hint == "Did you mean acme?"
    with pytest.raises(UsageError, match="no run 'x'"):
        store.find("acme", "x")


def test_an_incomplete_run_is_no_evidence_yet(store: LocalStore) -> None:
    writer = store.create("acme", new_run_id(NOW))
    for name in (writer.run_id, "latest"):
        with pytest.raises(EvidenceError, match="incomplete") as caught:
            store.find("acme", name)
        assert "run --resume" in caught.value.hint


def test_one_run_one_folder(store: LocalStore) -> None:
    writer = store.create("acme", new_run_id(NOW))
    with pytest.raises(EvidenceError, match="File exists"):
        store.create("acme", writer.run_id)


def test_a_store_that_is_not_there(store: LocalStore) -> None:
    for look in (lambda: store.runs("acme"), lambda: store.find("acme", "latest")):
        with pytest.raises(EvidenceError, match=f"no evidence store at {store.root}") as caught:
            look()
        assert caught.value.hint


def test_a_store_that_is_a_file(store: LocalStore) -> None:
    store.root.write_bytes(b"")
    with pytest.raises(EvidenceError, match="Not a directory"):
        store.runs("acme")
    with pytest.raises(EvidenceError, match="Cannot make the evidence store"):
        store.create("acme", new_run_id(NOW))
    below = LocalStore(store.root / "below")
    with pytest.raises(EvidenceError, match="Not a directory"):
        below.create("acme", new_run_id(NOW))


def test_a_store_that_cannot_be_written_or_read() -> None:
    with tempfile.TemporaryDirectory() as name, unprivileged(Path(name)):
        root = Path(name)
        root.chmod(0o500)
        with pytest.raises(EvidenceError, match="Permission denied") as caught:
            LocalStore(root).create("acme", new_run_id(NOW))
        assert "permissions" in caught.value.hint
        root.chmod(0)
        with pytest.raises(EvidenceError, match="Permission denied"):
            LocalStore(root).runs("acme")
        root.chmod(0o700)


def test_a_run_that_cannot_be_read() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = fill(LocalStore(Path(name))).folder
        with unprivileged(Path(name)):
            folder.chmod(0)
            with pytest.raises(EvidenceError, match=f"Cannot read {folder}: Permission denied"):
                LocalStore(Path(name)).runs("acme")
            folder.chmod(0o700)


@pytest.mark.parametrize("content", [b"{", b"[]", b"[" * 100_000, b"\xff"])
def test_a_record_that_is_none(store: LocalStore, key: SigningKey, content: bytes) -> None:
    folder = sealed(store, key).folder
    (folder / "run.json").write_bytes(content)
    with pytest.raises(EvidenceError, match=r"run\.json is not"):
        read_run(folder)
    (folder / "run.json").unlink()
    with pytest.raises(EvidenceError, match="No such file"):
        read_run(folder)
