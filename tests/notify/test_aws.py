"""SES, SNS and SQS against moto's server, and what is put into the queue against the real c7n-mailer."""

from __future__ import annotations

import base64
import email
import email.policy
import json
import os
import subprocess
import threading
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from aiosmtpd.controller import Controller
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.ses.models import ses_backends
from werkzeug.serving import make_server

from finops_policy.notify.model import RefusedError, TryAgainError
from finops_policy.notify.registry import SENDERS
from finops_policy.notify.senders.sns import MOST_BYTES
from tests.notify.kit import HOSTILE, NOW, channel, digest, hostile_notice, notice, words
from tests.notify.test_mail import Anywhere, Inbox

REGION = "us-east-1"
ROOT = Path(__file__).parents[2]
MAILER = ROOT / ".venv-mailer" / "bin" / "python"
REQUIRED = bool(os.environ.get("FINOPS_POLICY_REQUIRE_MAILER"))
SENDER = "finops@acme.example"
TOPIC = f"arn:aws:sns:{REGION}:123456789012:findings"


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(5)


@pytest.fixture(autouse=True)
def _aws(moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL": moto,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_MAX_ATTEMPTS": "1",
    }.items():
        monkeypatch.setenv(name, value)


def client(service: str) -> Any:
    return boto3.client(service, region_name=REGION)


def sent(kind: str, *notices: Any, recipient: str = "ann@acme.example", **settings: Any) -> tuple[str, Any]:
    of = channel(kind, **settings)
    made = digest(of, *notices, recipient=recipient)
    sender = SENDERS[of.type](of)
    parcel = sender.pack(made, words(made), NOW)
    return sender.send(parcel), parcel


def queue(name: str, **attributes: str) -> str:
    made: str = client("sqs").create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    return made


def received(url: str) -> list[dict[str, Any]]:
    answer = client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"])
    found: list[dict[str, Any]] = answer.get("Messages", [])
    return found


# --- SES --------------------------------------------------------------------------------------------------------------


def test_ses_sends_the_message_as_it_is() -> None:
    with pytest.raises(RefusedError, match="Did not have authority to send from email"):
        sent("email-ses", region=REGION, **{"from": SENDER})
    client("ses").verify_email_identity(EmailAddress=SENDER)
    receipt, parcel = sent("email-ses", notice(7), region=REGION, **{"from": SENDER})
    assert receipt
    (taken,) = ses_backends["123456789012"][REGION].sent_messages
    message = email.message_from_string(taken.raw_data, policy=email.policy.default)
    assert set(taken.destinations) == {"ann@acme.example"}  # moto counts the header too
    assert (message["From"], message["To"], message["Subject"]) == (SENDER, "ann@acme.example", parcel.body["Subject"])
    assert "instance/i-0007" in message.get_body(("plain",)).get_content()


# --- SNS --------------------------------------------------------------------------------------------------------------


def subscribed(name: str, **attributes: str) -> tuple[str, str]:
    fifo = {"FifoQueue": "true"} if name.endswith(".fifo") else {}
    topic = client("sns").create_topic(Name=name, Attributes={"FifoTopic": "true"} if fifo else {})["TopicArn"]
    url = queue(name, **fifo)
    arn = client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    return topic, url


def test_sns_publishes_text_with_attributes() -> None:
    topic, url = subscribed("findings")
    receipt, _ = sent("sns", notice(1), topic_arn=topic)
    (message,) = received(url)
    body = json.loads(message["Body"])
    assert body["MessageId"] == receipt
    assert body["Subject"] == "[Acme Health] 1 finding, USD 70.08 a month"
    assert "instance/i-0001" in body["Message"]
    assert {name: each["Value"] for name, each in body["MessageAttributes"].items()} == {
        "customer": "acme",
        "kind": "owner",
        "severity": "medium",
        "digest": "0123456789abcdef" * 2,
    }


def test_a_fifo_topic_takes_a_digest_once() -> None:
    topic, url = subscribed("findings.fifo")
    sent("sns", notice(1), topic_arn=topic)
    sent("sns", notice(1), topic_arn=topic)
    assert len(received(url)) == 1


def test_sns_is_sent_what_it_takes() -> None:
    topic, url = subscribed("long")
    _, parcel = sent("sns", *(hostile_notice("Ä" * 500) for _ in range(250)), topic_arn=topic)
    assert len(parcel.body["Message"].encode()) <= MOST_BYTES
    assert parcel.body["Message"].endswith("[cut: the receiver takes no more]\n")
    assert len(received(url)) == 1
    _, parcel = sent("sns", topic_arn=topic)
    assert parcel.body["Subject"].isascii()
    assert len(parcel.body["Subject"]) <= 100


def test_a_topic_that_is_not_there_is_final() -> None:
    with pytest.raises(RefusedError, match="NotFound"):
        sent("sns", topic_arn=TOPIC.replace("findings", "gone"))


def test_aws_that_does_not_answer_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(TryAgainError, match="Could not connect"):
        sent("sns", topic_arn=TOPIC)


# --- SQS and the mailer -----------------------------------------------------------------------------------------------


def test_a_message_is_as_custodian_sends_it() -> None:
    url = queue("mailer")
    sent("sqs-mailer", notice(1), notice(2), queue_url=url, region=REGION)
    (message,) = received(url)
    assert message["MessageAttributes"]["mtype"]["StringValue"] == "maidmsg/1.0"
    body = json.loads(zlib.decompress(base64.b64decode(message["Body"])))
    assert {"event", "account_id", "account", "partition", "region", "version", "execution_id"} <= body.keys()
    assert body["action"]["to"] == ["ann@acme.example"]
    assert [each["resource"].rpartition("/")[2] for each in body["resources"]] == ["i-0001", "i-0002"]
    assert not any("Tags" in each for each in body["resources"])


def test_a_fifo_queue_takes_a_digest_once() -> None:
    url = queue("mailer.fifo", FifoQueue="true")
    sent("sqs-mailer", queue_url=url, region=REGION)
    sent("sqs-mailer", queue_url=url, region=REGION)
    assert len(received(url)) == 1


def test_a_message_keeps_to_256_kib_and_counts_the_rest() -> None:
    url = queue("large")
    noise = [hostile_notice(base64.b64encode(os.urandom(360)).decode()) for _ in range(400)]
    _, parcel = sent("sqs-mailer", *noise, queue_url=url, region=REGION)
    body = json.loads(zlib.decompress(base64.b64decode(parcel.body["MessageBody"])))
    assert len(parcel.body["MessageBody"]) <= 262_144
    assert 0 < parcel.left_out == body["action"]["left_out"] == 400 - len(body["resources"])
    assert len(received(url)) == 1


@pytest.fixture(scope="module")
def smtp() -> Iterator[tuple[Inbox, int]]:
    inbox = Inbox()
    controller: Controller = Anywhere(inbox, hostname="127.0.0.1", port=0, server_hostname="localhost")
    controller.start()
    yield inbox, controller.port
    controller.stop()


def mailed(url: str, moto: str, smtp: tuple[Inbox, int], own: Path | None = None) -> str:
    """What the mailer says while it empties the queue."""
    if not MAILER.exists():
        if REQUIRED:
            pytest.fail(f"there is no {MAILER}: make .venv-mailer/.installed")
        pytest.skip("c7n-mailer is not installed in .venv-mailer: make .venv-mailer/.installed")
    config = {
        "queue_url": url,
        "region": REGION,
        "endpoint_url": moto,
        "from_address": "custodian@acme.example",
        "smtp_server": "127.0.0.1",
        "smtp_port": smtp[1],
        "smtp_ssl": False,
        "contact_tags": ["Owner"],
        "own": [str(own)] if own else [],
    }
    smtp[0].mails.clear()
    command = [str(MAILER), str(Path(__file__).with_name("mailer_main.py")), json.dumps(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert received(url) == []
    return done.stderr


def test_the_real_mailer_delivers_it(moto: str, smtp: tuple[Inbox, int]) -> None:
    url = queue("real")
    sent("sqs-mailer", notice(1), queue_url=url, region=REGION, **{"from": SENDER})
    mailed(url, moto, smtp)
    (envelope,) = smtp[0].mails
    message = smtp[0].message()
    assert (envelope.mail_from, envelope.rcpt_tos) == (SENDER, ["ann@acme.example"])
    assert message["Subject"] == "[Acme Health] 1 finding, USD 70.08 a month"
    assert "instance/i-0001" in message.get_content()


@pytest.mark.parametrize("template", ["default", "default.html", "own", "own.html"])
def test_the_real_mailer_runs_nothing_of_a_name(
    moto: str, smtp: tuple[Inbox, int], template: str, tmp_path: Path
) -> None:
    """It renders subjects as templates, and escapes nothing in HTML."""
    url = queue(f"hostile-{template.replace('.', '-')}")
    (tmp_path / "own.j2").write_text("{{ action.text }}")
    (tmp_path / "own.html.j2").write_text("<pre>{{ action.text }}</pre>{{ resources[0].owner }}")
    settings = {"queue_url": url, "region": REGION, "template": template}
    of = channel("sqs-mailer", **settings)
    made = digest(of, *map(hostile_notice, HOSTILE))
    made = replace(made, about=replace(made.about, customer_title="{{ 7*7 }} {{ action.__class__ }} <b>"))
    sender = SENDERS[of.type](of)
    sender.send(sender.pack(made, words(made), NOW))
    mailed(url, moto, smtp, tmp_path)
    message = smtp[0].message()
    assert message["Subject"].startswith("[{{ 7*7 }} {{ action.__class__ }} <b>] 8 findings")
    assert message["To"] == "ann@acme.example"
    assert set(message.keys()) == {"Content-Type", "MIME-Version", "Content-Transfer-Encoding", "Subject", "From", "To"}
    content = message.get_content()
    assert "{{7*7}}" in content
    if template.endswith("html"):
        assert "<script>" not in content
        assert "<at>" not in content
        assert "&lt;script&gt;" in content
