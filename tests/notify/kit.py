"""What the tests of notifications share: sealed runs, customers, digests, and a server that does as it is told."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from finops_policy.channels import Audience, Channel, ChannelType, Notifications, Owners, Variable
from finops_policy.customer import Customer
from finops_policy.evidence.layout import new_run_id
from finops_policy.evidence.parquet import write_coverage, write_evaluations
from finops_policy.evidence.signing import SigningKey
from finops_policy.evidence.store import LocalStore
from finops_policy.marks import Mark
from finops_policy.model import Coverage, Evaluation, Severity, Status, Target, Verdict
from finops_policy.notify.model import About, Digest, Due, Kind, Notice, Owner, Texts, Why
from finops_policy.notify.rendering import Templates, render
from finops_policy.notify.sending import Patience
from tests.unit import builders, evidence_kit

NOW = dt.datetime(2026, 11, 24, 8, tzinfo=dt.UTC)
PROD = "111122223333"
TARGET = Target(PROD, "us-east-1", "acme-prod")
HOSTILE = (
    "<script>alert(1)</script>",
    "<!channel> <!here> @here @channel <@U123>",
    "{{7*7}} {% raw %} {# x #} ${7*7}",
    "a\r\nBcc: evil@evil.example\r\n\r\nbody",
    "\x1b]0;owned\x07 \u202eevil\u202c \x00",
    "[click](https://evil.example) *bold* _it_ `code` ~no~",
    "<at>everyone</at>",
    "=cmd|' /C calc'!A0",
)

# --- Findings and digests ---------------------------------------------------------------------------------------------


def channel(kind: str, name: str = "", to: str = "owner", min_severity: str = "info", **settings: Any) -> Channel:
    made = {key: Variable(value[1:]) if str(value).startswith("$") else value for key, value in settings.items()}
    mark = Mark("customer.yaml", 1, 1)
    return Channel(name or kind, ChannelType(kind), Audience(to), Severity(min_severity), made, mark)


def notice(number: int = 1, **changes: Any) -> Notice:
    made = Notice(
        fingerprint=f"{number:012x}",
        policy="ec2-idle",
        title="Running EC2 instances do work",
        severity=Severity.MEDIUM,
        account_id=PROD,
        account_name="acme-prod",
        region="us-east-1",
        resource_type="aws.ec2",
        resource_id=f"i-{number:04}",
        arn=f"arn:aws:ec2:us-east-1:{PROD}:instance/i-{number:04}",
        owner=Owner("ann@acme.example", "owner tag", "ann@acme.example"),
        savings=Decimal("70.08"),
        priced=True,
        since=NOW - dt.timedelta(days=3),
    )
    return replace(made, **changes)


def about(**changes: Any) -> About:
    made = About(
        customer="acme",
        customer_title="Acme Health",
        run_id="20261124T080000Z-3f2a9c1b",
        started_at=NOW,
        sandbox=False,
        profile="hipaa",
        currency="USD",
        cells=8,
        unchecked=2,
        unknown=1,
    )
    return replace(made, **changes)


def digest(
    of: Channel,
    *notices: Notice,
    recipient: str = "ann@acme.example",
    kind: Kind = Kind.OWNER,
    run: About | None = None,
) -> Digest:
    due = tuple(Due(each, Why.NEW, False) for each in notices or (notice(),))
    return Digest("0123456789abcdef" * 2, of, kind, recipient, due, run or about())


def words(of: Digest) -> Texts:
    return render(of, Templates(), NOW)


def hostile_notice(text: str) -> Notice:
    """Every text of it that comes from outside is hostile."""
    return notice(
        title=text,
        account_name=text,
        resource_id=text,
        arn=text,
        region=text,
        owner=Owner("ann@acme.example", "", text),
    )


# --- Sealed runs ------------------------------------------------------------------------------------------------------


def customer(settings: Notifications | None, name: str = "acme") -> Customer:
    return replace(builders.customer(), name=name, notifications=settings)


def settings(*channels: Channel, **changes: Any) -> Notifications:
    owners = changes.pop("owners", Owners(fallback="finops@acme.example", domains=frozenset({"acme.example"})))
    return Notifications(channels=channels, owners=owners, **changes)


def finding(number: int = 1, owner: str = "ann@acme.example", **changes: Any) -> Evaluation:
    return evidence_kit.evaluation(number, tags={"Owner": owner} if owner else {}, **changes)


def cell(policy: str = "ec2-idle", status: Status = Status.EVALUATED, target: Target = TARGET) -> Coverage:
    return Coverage(target.account_id, target.region, policy, status, population=9, compliant=9)


def policy(name: str = "ec2-idle", posture: str = "notify") -> dict[str, Any]:
    metadata = {
        "pack": "idle-resources",
        "pack_version": "1.0.0",
        "title": f"Title of {name}",
        "rationale": "Because.",
        "severity": "medium",
        "scope_length": 0,
        "posture": posture,
        "digest": evidence_kit.SHA,
    }
    return {"name": name, "resource": "aws.ec2", "metadata": metadata, "filters": [{"State.Name": "running"}]}


@dataclass
class Store:
    """A customer's store. ``run`` seals one more run in it."""

    root: Path
    key: SigningKey
    sandbox: bool = False

    @property
    def folder(self) -> Path:
        return LocalStore(self.root).customer_folder("acme")

    def run(
        self,
        day: float,
        evaluations: Sequence[Evaluation],
        *,
        cells: Sequence[Coverage] | None = None,
        policies: Sequence[dict[str, Any]] | None = None,
        accounts: dict[str, Sequence[dict[str, Any]]] | None = None,
        targets: Sequence[Target] = (TARGET,),
    ) -> Path:
        """``day`` counts from NOW."""
        started = NOW + dt.timedelta(days=day)
        writer = LocalStore(self.root).create("acme", new_run_id(started))
        writer.write("compiled/policies.yaml", yaml.safe_dump({"policies": list(policies or [policy()])}).encode())
        for account_id, own in (accounts or {}).items():
            writer.write(f"compiled/accounts/{account_id}.yaml", yaml.safe_dump({"policies": list(own)}).encode())
        writer.write("compiled/prices.json", json.dumps([{"currency": "USD"}]).encode())
        for target in targets:
            here = [
                each for each in evaluations if (each.account_id, each.region) == (target.account_id, target.region)
            ]
            write_evaluations(writer.part("evaluations", target), writer.run_id, "acme", here)
            there = cells if cells is not None else [cell(target=target)]
            write_coverage(
                writer.part("coverage", target),
                writer.run_id,
                [each for each in there if (each.account_id, each.region) == (target.account_id, target.region)],
            )
        record = evidence_kit.record() | {
            "started_at": started,
            "finished_at": started + dt.timedelta(seconds=20),
            "sandbox": self.sandbox,
        }
        writer.seal(record, self.key)
        return writer.folder


def compliant(number: int = 1, **changes: Any) -> Evaluation:
    return finding(number, verdict=Verdict.COMPLIANT, **changes)


# --- Patience ---------------------------------------------------------------------------------------------------------


@dataclass
class Clock:
    """A clock that only waiting moves."""

    now: dt.datetime = NOW
    waits: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += dt.timedelta(seconds=seconds)

    def patience(self, **changes: Any) -> Patience:
        return Patience(sleep=self.sleep, now=lambda: self.now, **changes)


def at(day: float, **changes: Any) -> Patience:
    """A minute after the run of that day."""
    return Clock(NOW + dt.timedelta(days=day, minutes=1)).patience(**changes)


# --- Receivers --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Posted:
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Answer = tuple[int, dict[str, str], bytes]
Script = Callable[[Posted], Answer | Callable[[BaseHTTPRequestHandler], None]]


class Receiver:
    """An HTTP server that answers as ``script`` says, and keeps what it was sent. A script may take the connection."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.server = server
        self.posted: list[Posted] = []
        self.script: Script = lambda _posted: (200, {}, b"ok")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/services/T0/B0/s3cr3t-path"

    def answers(self, *answers: Answer) -> None:
        """One after the other; the last one stays."""
        left = list(answers)
        self.script = lambda _posted: left.pop(0) if len(left) > 1 else left[0]


@contextlib.contextmanager
def receiver(context: Any = None) -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            posted = Posted(self.path, {key.lower(): value for key, value in self.headers.items()}, body)
            made.posted.append(posted)
            answer = made.script(posted)
            if callable(answer):
                answer(self)
                self.close_connection = True
                return
            status, headers, said = answer
            self.send_response(status)
            for name, value in {"Content-Length": str(len(said)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    made = Receiver(server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


# --- Certificates -----------------------------------------------------------------------------------------------------


def certificate(folder: Path, name: str = "ca") -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 and localhost that vouches for itself, and its key, as PEM files."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / f"{name}.pem", folder / f"{name}.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    paths[1].write_bytes(key.private_bytes(pem, form, plain))
    return paths
