"""Keys, and the signed envelope around a statement.

Signatures are ed25519 in a DSSE envelope, the form in-toto, SLSA and sigstore use, through securesystemslib. The
private key is a PKCS #8 PEM file that its owner alone can read; the public key lies beside it as ``<name>.pub`` and is
what an auditor needs. It is never part of a bundle: a bundle that brings its own key proves nothing.

securesystemslib is imported late, since it imports boto3 wherever that is installed.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finops_policy.errors import EvidenceError
from finops_policy.evidence.canonical import encode
from finops_policy.files import TEMPORARY_PREFIX, TEMPORARY_SUFFIX, failure, write_atomic

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
    from securesystemslib.dsse import Envelope
    from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]

PAYLOAD_TYPE = "application/vnd.in-toto+json"
KEY_VARIABLE = "FINOPS_POLICY_KEY"


def default_key_path() -> Path:
    """``$FINOPS_POLICY_KEY``, else ``finops-policy/signing.pem`` in the user's configuration folder (XDG)."""
    if named := os.environ.get(KEY_VARIABLE):
        return Path(named)
    configured = Path(os.environ.get("XDG_CONFIG_HOME", ""))
    try:
        base = configured if configured.is_absolute() else Path.home() / ".config"
    except RuntimeError as error:
        raise EvidenceError(
            "There is no home folder to keep the signing key in", hint=f"Name a file for it in ${KEY_VARIABLE}."
        ) from error
    return base / "finops-policy" / "signing.pem"


def public_path(private: Path) -> Path:
    """Where the public half of a signing key lies."""
    return private.with_name(private.name + ".pub")


@dataclass(frozen=True, slots=True)
class PublicKey:
    """The key that verifies. ``id`` is the SHA-256 of its DER form (SubjectPublicKeyInfo)."""

    id: str
    pem: bytes = field(repr=False)
    _key: SSlibKey = field(repr=False, compare=False)

    @classmethod
    def load(cls, path: Path) -> PublicKey:
        """Raises :class:`EvidenceError` when the file cannot be read or holds anything but an ed25519 public key."""
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        try:
            pem = path.read_bytes()
        except OSError as error:
            raise failure("read the public key", path, error) from error
        if b"PRIVATE KEY" in pem:
            raise EvidenceError(
                f"{path} is a private key",
                hint=f"Verify with the public key, {public_path(path)}; keep this one secret.",
            )
        try:
            key = load_pem_public_key(pem)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise EvidenceError(f"{path} is not a public key in PEM form", hint=_PUBLIC_HINT) from error
        if not isinstance(key, Ed25519PublicKey):
            raise EvidenceError(f"{path} is a public key, but not an ed25519 one", hint=_PUBLIC_HINT)
        return cls._of(key)

    @classmethod
    def _of(cls, key: Ed25519PublicKey) -> PublicKey:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
        from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]

        der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        key_id = hashlib.sha256(der).hexdigest()
        return cls(key_id, pem, SSlibKey.from_crypto(key, keyid=key_id))


_PUBLIC_HINT = "Use the .pub file that lies beside the signing key of whoever ran the policies."


@dataclass(frozen=True, slots=True)
class SigningKey:
    """The key that signs. It stays in its file and in this object, and is never printed."""

    path: Path
    public: PublicKey
    _private: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def load_or_create(cls, path: Path | None = None) -> tuple[SigningKey, bool]:
        """The key at ``path`` (default: :func:`default_key_path`), made on first use; the flag says whether it was.

        Raises :class:`EvidenceError` when the file cannot be read or written, when others can read it, or when it holds
        anything but an ed25519 private key without a password.
        """
        path = path or default_key_path()
        created = not _is_there(path) and _create(path)
        private = _load_private(path)
        key = cls(path, PublicKey._of(private.public_key()), private)
        _write_public(key, required=created)
        return key, created

    def sign(self, statement: Mapping[str, Any]) -> bytes:
        """An envelope file around a statement."""
        from securesystemslib.dsse import Envelope
        from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]

        envelope = Envelope(encode(statement).encode(), PAYLOAD_TYPE, {})
        envelope.sign(CryptoSigner(self._private, self.public._key))
        return _envelope_bytes(envelope)


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise failure("read the signing key", path, error) from error
    return True


def _create(path: Path) -> bool:
    """Make a key unless another process was first. The link makes it appear whole, and fails when the name is taken."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}{TEMPORARY_SUFFIX}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomic(temporary, pem, 0o600)
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            return False
        finally:
            temporary.unlink()
    except OSError as error:
        raise failure("write the signing key", path, error) from error
    return True


def _load_private(path: Path) -> Ed25519PrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
            pem = file.read()
    except OSError as error:
        raise failure("read the signing key", path, error) from error
    if mode & 0o077:
        raise EvidenceError(
            f"Others can read the signing key {path} (mode {mode:04o})",
            hint=f"Run `chmod 600 {shlex.quote(str(path))}`. If others may have read it, move it away.",
        )
    try:
        private = load_pem_private_key(pem, password=None)
    except TypeError as error:
        raise EvidenceError(f"The signing key {path} has a password", hint=_PRIVATE_HINT) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise EvidenceError(f"{path} is not a private key in PEM form", hint=_PRIVATE_HINT) from error
    if not isinstance(private, Ed25519PrivateKey):
        raise EvidenceError(f"{path} is a private key, but not an ed25519 one", hint=_PRIVATE_HINT)
    return private


_PRIVATE_HINT = "Make one with `openssl genpkey -algorithm ed25519`, or name a file that is not there yet: one is made."


def _write_public(key: SigningKey, *, required: bool) -> None:
    """A key mounted from a read-only secret store signs all the same, so only a new key insists on its public half."""
    path = public_path(key.path)
    try:
        if not _is_there(path):
            write_atomic(path, key.public.pem)
    except EvidenceError:
        if required:
            raise


@dataclass(frozen=True, slots=True)
class SignedStatement:
    """An envelope as read, believed only after :meth:`proven_by`. ``signer`` is the key id it names."""

    statement: Mapping[str, Any]
    signer: str
    _envelope: Envelope = field(repr=False)

    @classmethod
    def parse(cls, data: bytes) -> SignedStatement:
        """Raises :class:`ValueError` unless ``data`` is an envelope as :meth:`SigningKey.sign` writes it, to the byte.

        Comparing bytes leaves no room for changes that decode to the same thing, such as spare bits in base64.
        """
        from securesystemslib.dsse import Envelope

        try:
            envelope = Envelope.from_dict(json.loads(data))
            statement = json.loads(envelope.payload)
            (signer,) = envelope.signatures
            same = _envelope_bytes(envelope) == data and envelope.payload_type == PAYLOAD_TYPE
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError("it is not an envelope") from error
        if not same or not isinstance(statement, dict):
            raise ValueError("it is not an envelope as finops-policy writes it")
        return cls(statement, signer, envelope)

    def proven_by(self, key: PublicKey) -> bool:
        """Whether ``key`` made the signature over exactly this statement."""
        from securesystemslib.exceptions import UnverifiedSignatureError

        try:
            self._envelope.verify([key._key], threshold=1)
        except UnverifiedSignatureError:
            return False
        return True


def _envelope_bytes(envelope: Envelope) -> bytes:
    return encode(envelope.to_dict()).encode() + b"\n"
