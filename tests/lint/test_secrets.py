"""Secrets are recognized, references to them and made-up ones are not, and nothing that is shown repeats one.

The secrets here are put together from parts: whole ones would alarm those who scan repositories.
"""

from __future__ import annotations

import random
import string
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finops_policy.lint.rules.secret import RULE
from finops_policy.lint.secrets import concealed
from finops_policy.lint.subject import Source
from finops_policy.marks import Diagnostic, Mark
from finops_policy.masking import masked, secrets
from finops_policy.sources import shown
from tests.lint.kit import linted

_CHARACTERS = random.Random(4)


def made(alphabet: str, length: int) -> str:
    return "".join(_CHARACTERS.choices(alphabet, k=length))


WORD = string.ascii_letters + string.digits
BASE32 = string.ascii_uppercase + "234567"
FORMS = (
    "password: {}",
    "MasterUserPassword: '{}'",
    "export DB_PASSWORD={}",
    "x: {{api-key: {}}}",
    '{{"client_secret": "{}"}}',
)
SECRETS = {
    "an AWS access key id": [kind + made(BASE32, 16) for kind in ("AKIA", "ASIA", "ABIA", "ACCA")],
    "an AWS secret access key": [
        f"{key}{made(WORD + '/+', 40)}"
        for key in ("aws_secret_access_key = ", "SecretAccessKey: '", '"AWS_SECRET": "', "secret-key=")
    ],
    "a Slack webhook": ["https://hooks.slack." + f"com/services/T{made(WORD, 8)}/B{made(WORD, 8)}/{made(WORD, 24)}"],
    "a Slack token": [
        "xox" + f"b-{made(string.digits, 12)}-{made(string.digits, 12)}-{made(WORD, 24)}",
        "xox" + f"p-{made(string.digits, 12)}-{made(WORD, 32)}",
    ],
    "a Teams webhook": [
        "https://acme.webhook." + f"office.com/webhookb2/{made('abcdef0123', 36)}@x/IncomingWebhook/{made(WORD, 32)}/y"
    ],
    "a GitHub token": [f"gh{kind}_{made(WORD, 36)}" for kind in "pousr"] + ["github_" + "pat_" + made(WORD + "_", 82)],
    "a GitLab token": [f"gl{kind}-{made(WORD, 20)}" for kind in ("pat", "dt", "rt", "ptt", "cbt")],
    "a private key": [
        f"-----BEGIN {kind}PRIVATE KEY-----\n{made(WORD, 64)}\n-----END {kind}PRIVATE KEY-----"
        for kind in ("", "RSA ", "OPENSSH ", "ENCRYPTED ")
    ],
    "a password in a URL": ["postgres://admin:" + "s3cr3tz" + "@db.example:5432/x"],
    "a password": [
        form.format(value)
        for form in FORMS
        for value in ("hunter2" + "hunter3", "Tr0ub4dor" + "&3", "3f2a9c1b-77ad-4abc-9def" + "-0123456789ab")
    ],
}
HARMLESS = [
    "AKIAIOSFODNN7EXAMPLE",
    "aws_secret_access_key: wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "AKIAXXXXXXXXXXXXXXXX",
    "AKIAABCDABCDABCDABCD",
    "gh" + "p_" + "0" * 36,
    "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX",
    "xoxb-xxxxxxxxxxxx-xxxxxxxxxxxx",
    "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqh\n-----END PUBLIC KEY-----",
    "-----BEGIN CERTIFICATE-----",
    "https://user:password@example.com/",
    "https://{user}:{password}@example.com/",
    "https://example.com:8443/a@b",
    "arn:aws:secretsmanager:us-east-1:111122223333:secret:prod/db-AbCdEf",
    "password: ${db_password_1}",
    "password: '{{ lookup(db1) }}'",
    "password: $DB_PASSWORD_2",
    "password: <your password 1>",
    "password: /prod/db/password-1",
    "password: ssm:/prod/db/Pass1word",
    "password: prod-db-password-2",
    "client_secret: arn:aws:secretsmanager:us-east-1:111122223333:secret:x",
    "api_key: AQICAHh" + "0123456789abcdefABCDEF",
    "api_key: changeme-1234",
    "password: absent",
    "password: 12345678",
    "password: correct-horse",
    "password_last_used: 2026-01-01T00:00:00Z",
    "MinimumPasswordLength: 14",
    "- type: check-password-policy\n  value: 1",
    "key: AccessKeyMetadata1",
    "3f2a9c1b77ad4abc9def0123456789ab3f2a9c1b",
]


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in SECRETS.items() for text in texts])
@pytest.mark.parametrize("before", ["", "# ", "      - "])
def test_a_secret_is_recognized_and_hidden(kind: str, text: str, before: str) -> None:
    [found] = secrets(f"{before}{text}\n")
    assert found.kind == kind
    start, end = found.hidden
    secret = f"{before}{text}"[start:end].strip()
    shown = masked(f"{before}{text}\n")
    assert len(secret) >= 7
    assert not any(part in shown for part in secret.split())
    assert len(shown) == len(f"{before}{text}\n")


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_secret_is_left_alone(text: str) -> None:
    assert list(secrets(text)) == []
    assert masked(text) == text


@given(st.lists(st.sampled_from([text for texts in SECRETS.values() for text in texts]) | st.text(max_size=20)))
def test_masking_keeps_every_place(parts: list[str]) -> None:
    text = "".join(parts)
    shown = masked(text)
    assert [len(line) for line in shown.split("\n")] == [len(line) for line in text.split("\n")]


def test_secrets_are_told_at_their_places_in_comments_too_and_never_repeated(tmp_path: Path) -> None:
    token, key, password = SECRETS["a Slack token"][0], SECRETS["an AWS access key id"][0], "Tr0ub4dor" + "&3"
    lines = (
        f"# {token}",
        "policies:",
        "  - name: a",
        f"    resource: ec2 # {key}, {key}",
        f"    x: {{pwd: {password}}}",
    )
    text = "".join(f"{line}\r\n" for line in lines)
    report = linted(tmp_path, text)
    found = [each.diagnostic for each in report.told if each.diagnostic.rule == RULE.id]
    assert [(each.mark.line, each.mark.column) for each in found] == [(1, 3), (4, 21), (4, 43), (5, 14)]
    for each in found:
        assert not any(secret in f"{each.message}{each.hint}" for secret in (token, key, password))


def test_messages_of_other_rules_do_not_quote_secrets(tmp_path: Path) -> None:
    """Short ones whole, long ones as :func:`shown` cuts them."""
    key, token, password = SECRETS["an AWS access key id"][0], SECRETS["a GitHub token"][-1], "Tr0ub4dor" + "&3"
    text = f"# {key} {token}\npassword: {password}\n"
    source = Source(tmp_path / "a.yaml", "a.yaml", "", text, None)
    quoting = [
        Diagnostic("schema", f"got the text {shown(value)}, not a number", Mark("a.yaml", 1, 3), f"Not {value}.")
        for value in (key, token, password)
    ]
    others = [
        Diagnostic("schema", "`password` is no key", Mark("a.yaml", 2, 1)),
        replace(quoting[0], mark=Mark("b.yaml")),
    ]
    found = list(concealed([*quoting, *others], [source]))
    assert [each.message for each in found[:3]] == [
        f"got the text `{before}***`, not a number" for before in ("AKIA", "github_pat_", "")
    ]
    assert not any(secret in each.hint for each in found[:3] for secret in (key, token, password))
    assert [each.mark for each in found[:3]] == [each.mark for each in quoting]
    assert found[3:] == others


def test_secrets_are_found_in_a_file_that_is_not_yaml(tmp_path: Path) -> None:
    report = linted(tmp_path, f"policies: [\n# {SECRETS['a GitLab token'][0]}")
    assert [each.diagnostic.mark.line for each in report.told if each.diagnostic.rule == RULE.id] == [2]


@pytest.mark.parametrize(
    "text",
    [
        "password: " * 100_000,
        "password: " + "a" * 1_000_000,
        "-----BEGIN PRIVATE KEY-----\n" * 30_000,
        "http://" * 140_000,
        "a" * 1_000_000,
        "https://hooks.slack.com/services/" + "a/" * 500_000,
        (SECRETS["an AWS access key id"][0] + "\n") * 40_000,
        "xoxb-" * 200_000,
        "xoxb-" + "1-" * 500_000,
        "gh" + "p_" * 500_000,
    ],
    ids=lambda text: text[:20].replace("\n", " "),
)
def test_hostile_text_takes_no_long_time(text: str) -> None:
    started = time.perf_counter()
    list(secrets(text))
    assert time.perf_counter() - started < 5
