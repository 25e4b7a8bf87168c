"""Keys, and the signed envelope around a statement."""

from __future__ import annotations

import base64
import hashlib
import json
import multiprocessing
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_public_key,
)

from finops_policy.errors import EvidenceError
from finops_policy.evidence.signing import (
    PAYLOAD_TYPE,
    PublicKey,
    SignedStatement,
    SigningKey,
    default_key_path,
    public_path,
)

STATEMENT = {"_type": "https://in-toto.io/Statement/v1", "text": "ü\u2028"}


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return SigningKey.load_or_create(tmp_path / "signing.pem")[0]


# --- Keys -----------------------------------------------------------------------------------------------------------


def test_a_key_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "made" / "on" / "use" / "signing.pem"
    key, created = SigningKey.load_or_create(path)
    again, created_again = SigningKey.load_or_create(path)
    assert (created, created_again) == (True, False)
    assert key.public == again.public
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert sorted(each.name for each in path.parent.iterdir()) == ["signing.pem", "signing.pem.pub"]


def test_the_public_key_lies_beside_it(key: SigningKey) -> None:
    public = PublicKey.load(public_path(key.path))
    assert public == key.public
    der = load_pem_public_key(public.pem).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert public.id == hashlib.sha256(der).hexdigest()
    assert public_path(key.path).stat().st_mode & 0o044


def test_secrets_are_not_shown(key: SigningKey) -> None:
    assert "private" not in repr(key).lower()


def test_openssl_can_read_it(key: SigningKey) -> None:
    shown = subprocess.run(
        ["openssl", "pkey", "-in", key.path, "-pubout"], capture_output=True, check=True, timeout=30
    ).stdout
    assert shown == key.public.pem


def test_where_the_key_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("FINOPS_POLICY_KEY", "")
    assert default_key_path() == tmp_path / ".config" / "finops-policy" / "signing.pem"
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative/is/ignored")
    assert default_key_path() == tmp_path / ".config" / "finops-policy" / "signing.pem"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    assert default_key_path() == tmp_path / "xdg" / "finops-policy" / "signing.pem"
    monkeypatch.setenv("FINOPS_POLICY_KEY", str(tmp_path / "key"))
    assert SigningKey.load_or_create()[0].path == tmp_path / "key"


def test_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("FINOPS_POLICY_KEY", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(EvidenceError, match="no home folder") as caught:
        default_key_path()
    assert "FINOPS_POLICY_KEY" in caught.value.hint


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_that_others_can_read_is_refused(key: SigningKey, mode: int) -> None:
    key.path.chmod(mode)
    with pytest.raises(EvidenceError, match=f"mode 0{mode:o}") as caught:
        SigningKey.load_or_create(key.path)
    assert f"chmod 600 {key.path}" in caught.value.hint


def test_a_lost_public_key_comes_back(key: SigningKey) -> None:
    public_path(key.path).unlink()
    SigningKey.load_or_create(key.path)
    assert PublicKey.load(public_path(key.path)) == key.public


def test_a_key_whose_public_half_cannot_be_written_signs_all_the_same(key: SigningKey) -> None:
    blocked = key.path.with_name("k" * 255)  # no room for the suffix in a file name
    key.path.rename(blocked)
    assert SigningKey.load_or_create(blocked)[0].public == key.public
    with pytest.raises(EvidenceError, match="File name too long"):
        SigningKey.load_or_create(key.path.with_name("n" * 255))


def private_pem(kind: str) -> bytes:
    ours, other = ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())
    match kind:
        case "locked":
            return ours.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
        case "other":
            return other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        case "public":
            return ours.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return b"\x00garbage"


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("locked", "has a password"),
        ("other", "not an ed25519 one"),
        ("public", "not a private key"),
        ("garbage", "not a private key"),
    ],
)
def test_files_that_are_no_signing_key(tmp_path: Path, kind: str, message: str) -> None:
    path = tmp_path / "key"
    path.write_bytes(private_pem(kind))
    path.chmod(0o600)
    with pytest.raises(EvidenceError, match=message) as caught:
        SigningKey.load_or_create(path)
    assert "openssl genpkey" in caught.value.hint
    assert path.read_bytes()


def test_files_that_are_no_public_key(tmp_path: Path, key: SigningKey) -> None:
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    (tmp_path / "ec").write_bytes(other.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    (tmp_path / "garbage").write_bytes(b"\xff")
    for path, message in [
        (key.path, "is a private key"),
        (tmp_path / "ec", "not an ed25519 one"),
        (tmp_path / "garbage", "not a public key"),
        (tmp_path / "absent", "No such file"),
        (tmp_path, "Is a directory"),
    ]:
        with pytest.raises(EvidenceError, match=message) as caught:
            PublicKey.load(path)
        assert caught.value.hint


@pytest.mark.parametrize("where", ["file/key", "dangling"])
def test_where_no_key_can_be_made(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(EvidenceError, match="signing key"):
        SigningKey.load_or_create(tmp_path / where)


def make(path: Path, barrier: Any, made: Any) -> None:
    barrier.wait(60)
    key, created = SigningKey.load_or_create(path)
    made.put((key.public.id, created))


def test_two_processes_make_one_key(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, made = context.Barrier(2), context.Queue()
    processes = [context.Process(target=make, args=(tmp_path / "key", barrier, made)) for _ in range(2)]
    for process in processes:
        process.start()
    results = [made.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(60)
    assert len({key_id for key_id, _ in results}) == 1
    assert sorted(created for _, created in results) == [False, True]
    assert PublicKey.load(tmp_path / "key.pub").id == results[0][0]


# --- Envelopes ------------------------------------------------------------------------------------------------------


def test_an_envelope_is_dsse(key: SigningKey) -> None:
    """Checked against the DSSE specification by hand, not with the library that wrote it."""
    envelope = json.loads(key.sign(STATEMENT))
    (signature,) = envelope["signatures"]
    payload = base64.b64decode(envelope["payload"])
    assert json.loads(payload) == STATEMENT
    assert envelope["payloadType"] == PAYLOAD_TYPE
    assert signature["keyid"] == key.public.id
    signed = b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)
    public = load_pem_public_key(key.public.pem)
    assert isinstance(public, ed25519.Ed25519PublicKey)
    public.verify(base64.b64decode(signature["sig"]), signed)


def test_a_statement_comes_back_proven(key: SigningKey, tmp_path: Path) -> None:
    signed = SignedStatement.parse(key.sign(STATEMENT))
    other, _ = SigningKey.load_or_create(tmp_path / "other.pem")
    assert signed.statement == STATEMENT
    assert signed.signer == key.public.id
    assert signed.proven_by(key.public)
    assert not signed.proven_by(other.public)


def believed(data: bytes, key: PublicKey) -> bool:
    try:
        return SignedStatement.parse(data).proven_by(key)
    except ValueError:
        return False


def test_no_bit_of_an_envelope_can_change(key: SigningKey) -> None:
    data = key.sign(STATEMENT)
    for position in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[position] ^= 1 << bit
            assert not believed(bytes(changed), key.public), (position, bit)


def test_nothing_can_be_added_or_cut(key: SigningKey) -> None:
    data = key.sign(STATEMENT)
    envelope = json.loads(data)
    signature = envelope["signatures"][0]
    spaced = {"indent": 1}, {"separators": (", ", ": ")}
    for changed in [
        b"",
        b"null",
        b"[" * 100_000,
        data[:-1],
        data + b"\n",
        *[json.dumps(envelope, **style).encode() + b"\n" for style in spaced],
        json.dumps(envelope | {"more": 1}, sort_keys=True, separators=(",", ":")).encode() + b"\n",
        json.dumps(envelope | {"signatures": []}, sort_keys=True, separators=(",", ":")).encode() + b"\n",
        json.dumps(envelope | {"signatures": [signature | {"keyid": 1}]}, separators=(",", ":")).encode() + b"\n",
        json.dumps(envelope | {"signatures": [signature, signature]}, separators=(",", ":")).encode() + b"\n",
    ]:
        assert not believed(changed, key.public), changed[:200]


def test_a_payload_of_another_type_is_refused(key: SigningKey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finops_policy.evidence.signing.PAYLOAD_TYPE", "text/plain")
    data = key.sign(STATEMENT)
    assert believed(data, key.public)
    monkeypatch.undo()
    assert not believed(data, key.public)
