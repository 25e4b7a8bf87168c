"""Secrets in text, by the form that their issuers give them, and passwords beside a key that says so.

Made-up ones of documentation are left alone: those that say EXAMPLE, or repeat a few characters. Encoded or split
secrets are not seen.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

_PRIVATE_KEY: Final = "a private key"
_IN_URL: Final = "a password in a URL"
_FORMS: Final = {
    "an AWS access key id": (r"\b(?:AKIA|ASIA|ABIA|ACCA)([A-Z2-7]{16})\b", ("akia", "asia", "abia", "acca")),
    "an AWS secret access key": (
        r"(?i:secret[_-]?(?:access[_-]?)?key|aws[_-]?secret)[\"']?\s*[:=]\s*[\"']?([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])",
        ("secret",),
    ),
    "a Slack webhook": (
        r"https://hooks\.slack\.com/(?:services|workflows|triggers)/[\w/]{0,60}/(\w{12,200})",
        ("hooks.slack.com",),
    ),
    "a Slack token": (r"\bxox[abeoprs]-([\w-]{0,60}\d[\w-]{8,200})", ("xox",)),
    "a Teams webhook": (
        r"https://[\w-]{1,63}\.webhook\.office\.com/webhookb2/[\w@-]{1,100}/IncomingWebhook/(\w{16,200})",
        ("webhook.office.com",),
    ),
    "a GitHub token": (
        r"\b(?:gh[opsur]_|github_pat_)(\w{22,300})",
        ("gho_", "ghp_", "ghs_", "ghu_", "ghr_", "github_pat_"),
    ),
    "a GitLab token": (
        r"\bgl(?:pat|dt|rt|ptt|cbt)-([\w-]{20,300})",
        ("glpat-", "gldt-", "glrt-", "glptt-", "glcbt-"),
    ),
    _PRIVATE_KEY: (
        r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----((?:(?!-----)[\s\S]){0,20000})",
        ("private key",),
    ),
    _IN_URL: (r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@'\"]{1,100}:([^\s/@'\"]{3,100})@", ("://",)),
}
"""What it is -> its form, whose group is what makes it secret, and small letters without which it is not there."""
_BESIDE: Final = re.compile(
    r"(?:password|passwd|passphrase|pwd|api[_-]?key|auth[_-]?token|access[_-]?token|private[_-]?token"
    r"|client[_-]?secret)[\"']?\s*[:=]\s*(?:\"(?P<double>[^\"\s]{8,200})\"|'(?P<single>[^'\s]{8,200})'"
    r"|(?P<plain>[^\s\"'{}\[\],#|>&*!][^\s\"'{}\[\],]{7,200})(?=[\s,}]|$))",
    re.IGNORECASE,
)
_REFERENCE: Final = re.compile(
    r"[$%<{/]|arn:|AQ[EI]CAH|ENC\[|(aws-?)?(ssm|secretsmanager|vault|env|file|https?|op|sops|resolve)[:/]|.*(\$\{|\{\{)",
    re.IGNORECASE,
)
"""What only says where the secret is, and what KMS or sops have encrypted."""
_MADE_UP: Final = re.compile(
    r"example|sample|dummy|fake|placeholder|redacted|changeme|your[-_]|xxxx|\*\*\*|^(pass(word|wd)?|pwd|secret|token)$",
    re.IGNORECASE,
)
_NAME: Final = re.compile(r"(?:[a-z]+\d{0,4}|\d{1,4})(?:[._/:-](?:[a-z]+\d{0,4}|\d{1,4}))+")
"""Words and short numbers: what a secret is called."""


@dataclass(frozen=True, slots=True)
class Secret:
    """``start`` is where it begins to be recognized, ``hidden`` the part that nobody should see."""

    kind: str
    start: int
    hidden: tuple[int, int]


def secrets(text: str) -> Iterator[Secret]:
    """In the order of the text; of several that overlap, the first."""
    end = -1
    for secret in found_in(text):
        if secret.start >= end:
            end = secret.hidden[1]
            yield secret


def masked(text: str) -> str:
    """The text with asterisks for its secrets: as long as it was, line by line."""
    parts, done = [], 0
    for secret in found_in(text):
        start, end = secret.hidden
        parts += [text[done:start], re.sub(r"\S", "*", text[max(start, done) : end])]
        done = max(done, end)
    return "".join([*parts, text[done:]])


def masked_value(value: Any, key: str = "") -> Any:
    """Data with asterisks for the secrets in its texts; what a text is called decides with it."""
    if isinstance(value, str):
        head = f"{key}: "
        return masked(head + value)[len(head) :]
    if isinstance(value, Mapping):
        return {name: masked_value(item, str(name)) for name, item in value.items()}
    return [masked_value(item, key) for item in value] if isinstance(value, list | tuple) else value


def found_in(text: str) -> list[Secret]:
    """All of them, those that overlap too."""
    return sorted([*_by_form(text), *_by_key(text)], key=lambda each: (each.start, -each.hidden[1]))


def _by_form(text: str) -> Iterator[Secret]:
    small = text.lower()
    for kind, (form, hints) in _FORMS.items():
        for match in re.finditer(form, text) if any(hint in small for hint in hints) else ():
            value = match[1]
            if kind == _PRIVATE_KEY or not (_made_up(value) or (kind == _IN_URL and _REFERENCE.match(value))):
                yield Secret(kind, match.start(), match.span(1))


def _by_key(text: str) -> Iterator[Secret]:
    for match in _BESIDE.finditer(text):
        group = match.lastgroup or ""
        value = match[group]
        if _looks_random(value) and not _made_up(value) and not _REFERENCE.match(value):
            yield Secret("a password", match.start(group), match.span(group))


def _made_up(value: str) -> bool:
    return len(set(value)) < 5 or bool(_MADE_UP.search(value))


def _looks_random(value: str) -> bool:
    """Digits among letters, hardly any repetition, and no name."""
    if not re.search(r"\d", value) or not re.search(r"[A-Za-z]", value) or _NAME.fullmatch(value):
        return False
    shares = [count / len(value) for count in Counter(value).values()]
    return -sum(share * math.log2(share) for share in shares) >= 2.75
