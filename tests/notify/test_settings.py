"""``notifications`` of a customer.yaml: what fits, what does not, and where."""

from __future__ import annotations

import pytest
import yaml

from finops_policy import validation
from finops_policy.channels import Audience, ChannelType, Escalation, Notifications, Variable
from finops_policy.errors import InvalidFilesError
from finops_policy.model import Severity
from finops_policy.notify.registry import SENDERS
from finops_policy.reading import customer_of
from finops_policy.sources import parse

HEAD = """\
apiVersion: finops-policy/v1
kind: Customer
name: acme
title: Acme Health
regions: [us-east-1]
accounts: [{id: "111122223333", name: prod}]
"""
ALL = """\
notifications:
  owners:
    tag: Team
    domains: [Acme.Example]
    map: {"clinical-*": clinic@acme.example}
    contacts: {"111122223333": prod@acme.example}
    fallback: finops@acme.example
  channels:
    - {name: smtp, type: email-smtp, host: smtp.acme.example, port: 465, security: tls, from: f@acme.example,
       username: {env: SMTP_USER}, password: {env: SMTP_PASSWORD}}
    - {name: ses, type: email-ses, region: eu-west-1, from: f@acme.example, to: all, recipients: [a@acme.example]}
    - {name: slack, type: slack, url: {env: SLACK}, to: all, min_severity: high}
    - {name: teams, type: teams, url: {env: TEAMS}}
    - {name: sns, type: sns, topic_arn: "arn:aws-us-gov:sns:us-gov-west-1:111122223333:t.fifo"}
    - {name: mailer, type: sqs-mailer, queue_url: "https://sqs.eu-west-1.amazonaws.com/1/q", region: eu-west-1,
       template: own.html}
    - {name: jira, type: jira, url: "https://acme.atlassian.net", project: FIN, username: {env: U}, token: {env: T}}
    - {name: hook, type: webhook, url: "https://acme.example/hook", secret: {env: S}}
    - {name: hook-2, type: webhook, url: {env: HOOK}, secret: {env: S}}
  escalation:
    - {after_days: 30, severity: high, to: boss@acme.example, channel: smtp}
  repeat_days: 14
"""


def read(section: str) -> Notifications | None:
    document = parse((HEAD + section).encode(), "customer.yaml")
    assert validation.validate(document, "customer") == []
    return customer_of(document).notifications


def mistakes(channel: str, rest: str = "") -> list[str]:
    text = f"{HEAD}notifications:\n  channels:\n    - {channel}\n{rest}"
    document = parse(text.encode(), "customer.yaml")
    return [f"{each.mark.line} {each.message}" for each in validation.validate(document, "customer")]


def test_everything_that_fits_is_read() -> None:
    found = read(ALL)
    assert found is not None
    assert {each.type for each in found.channels} == set(ChannelType) == set(SENDERS)
    smtp, ses, slack, *_ = found.channels
    assert (smtp.to, smtp.min_severity, smtp.settings["password"]) == (
        Audience.OWNER,
        Severity.INFO,
        Variable("SMTP_PASSWORD"),
    )
    assert ses.recipients == ("a@acme.example",)
    assert (slack.to, slack.min_severity) == (Audience.ALL, Severity.HIGH)
    assert found.owners.domains == {"acme.example"}
    assert found.escalation == (Escalation(30, Severity.HIGH, "boss@acme.example", "smtp"),)
    assert found.repeat_days == 14
    for each in found.channels:
        assert SENDERS[each.type](each)


def test_without_the_section_nobody_is_told() -> None:
    assert read("") is None


@pytest.mark.parametrize(
    ("channel", "says"),
    [
        (
            "{name: x, type: slack, url: https://hooks.slack.com/services/T/B/x}",
            "`url` must be a mapping: got the text",
        ),
        ("{name: x, type: slack, url: {env: AWS_SECRET_ACCESS_KEY}}", "`env` does not have the right form"),
        ("{name: x, type: slack, url: {env: hook}}", "`env` does not have the right form"),
        ("{name: x, type: slack, url: {env: HOOK}, host: x}", "`host` is not a key of item 1 of `channels`"),
        ("{name: x, type: jira, url: https://x, project: FIN, username: {env: U}}", "`token` is missing"),
        ("{name: x, type: email-smtp, host: x, from: nobody}", "`from` must be an e-mail address"),
        ("{name: x, type: email-smtp, host: x, from: a@b.c, password: secret}", "`password` must be a mapping"),
        (
            "{name: x, type: sns, topic_arn: arn:aws:sqs:us-east-1:111122223333:q}",
            "`topic_arn` does not have the right",
        ),
        ("{name: x, type: webhook, url: ftp://x, secret: {env: S}}", "`url` does not have the right form"),
        ("{name: x, type: pager}", "`type` must be"),
        ("{type: slack, url: {env: HOOK}}", "`name` is missing"),
    ],
)
def test_what_does_not_fit_is_told_on_its_line(channel: str, says: str) -> None:
    (first, *_) = mistakes(channel)
    assert first.startswith("9 ")
    assert says in first


@pytest.mark.parametrize(
    ("channels", "rest", "says"),
    [
        (["{name: x, type: teams, url: {env: A}}"] * 2, "", "Channel x is listed twice."),
        (["{name: x, type: email-ses, region: us-east-1, from: a@b.example, to: all}"], "", "names nobody"),
        (
            ["{name: x, type: email-ses, region: us-east-1, from: a@b.example, recipients: [c@b.example]}"],
            "",
            "its recipients get nothing",
        ),
        (
            ["{name: mail, type: teams, url: {env: A}}"],
            "  escalation: [{after_days: 3, to: a@b.example, channel: mal}]\n",
            "There is no channel 'mal' to escalate through.",
        ),
    ],
)
def test_what_a_schema_cannot_say_is_told(channels: list[str], rest: str, says: str) -> None:
    with pytest.raises(InvalidFilesError) as told:
        read("notifications:\n  channels:\n" + "".join(f"    - {each}\n" for each in channels) + rest)
    (problem,) = told.value.diagnostics
    assert says in problem.message
    assert problem.mark.line >= 8
    assert problem.hint


def test_the_example_of_the_documentation_fits() -> None:
    from pathlib import Path

    text = (Path(__file__).parents[2] / "docs" / "notifications.md").read_text("utf-8")
    block = text.split("```yaml\n")[1].split("```")[0]
    assert yaml.safe_load(block).keys() == {"notifications"}
    assert read(block) is not None
