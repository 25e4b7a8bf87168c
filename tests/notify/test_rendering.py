"""Digests in words: hostile text stays text, and a customer's template that fails is replaced, and told."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finops_policy.notify import rendering
from finops_policy.notify.model import Texts
from finops_policy.notify.rendering import Templates, render, total_savings
from finops_policy.spelling import plain
from tests.notify.kit import HOSTILE, NOW, about, channel, digest, hostile_notice, notice, words

SLACK = channel("slack", url="$HOOK")


def with_own(**texts: str) -> Texts:
    names = {"subject": "subject.txt.j2", "text": "digest.txt.j2", "html": "digest.html.j2", "intro": "intro.txt.j2"}
    own = {names[part]: text for part, text in texts.items()}
    return render(digest(SLACK, hostile_notice(HOSTILE[2]), notice(2)), Templates(own), NOW)


@settings(deadline=None, max_examples=60)
@given(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=80)))
def test_hostile_text_stays_text(text: str) -> None:
    made = words(digest(SLACK, hostile_notice(text)))
    assert plain(made.subject) == made.subject
    for each in (made.text, made.intro):
        assert all(plain(line) == line for line in each.split("\n"))
    shown = plain(text)
    assert shown.rstrip() in made.text
    assert "<script" not in made.html
    assert made.html.count("<table") == 1


def test_a_template_in_a_tag_is_not_run() -> None:
    made = words(digest(SLACK, hostile_notice("{{7*7}}")))
    assert "{{7*7}}" in made.text
    assert "{{7*7}}" in made.html
    assert "49" not in made.text


def test_what_is_unknown_is_said() -> None:
    made = words(digest(SLACK, notice(1, savings=None), notice(2, savings=None)))
    assert made.text.count("saves an unknown amount") == 2
    assert "2 of them could not be priced: unknown, not zero." in made.text
    assert "Mending them saves" not in made.text
    assert "2 of 8 cells failed or were skipped, and 1 resources could not be judged" in made.text
    both = words(digest(SLACK, notice(1), notice(2, savings=None, at_least=True)))
    assert "Mending them saves at least USD 70.08 a month" in both.text
    assert "there for at least 3 days" in both.text


def test_what_claims_no_savings_says_nothing_of_money() -> None:
    made = words(digest(SLACK, notice(1, savings=None, priced=False), run=about(unchecked=0, unknown=0)))
    assert "USD" not in made.text
    assert "unknown" not in made.text
    assert "Not everything" not in made.text


def test_two_findings_on_one_resource_count_once() -> None:
    same = notice(1)
    due = digest(SLACK, same, replace(same, policy="ec2-oversized", savings=Decimal(100)), notice(2)).due
    assert total_savings(due) == (Decimal("170.08"), 0)
    assert total_savings(digest(SLACK, notice(1, savings=None)).due) == (None, 1)


def test_so_many_are_shown_and_the_rest_counted() -> None:
    made = words(digest(SLACK, *map(notice, range(250))))
    assert made.text.count("MEDIUM:") == made.html.count("<td>medium</td>") == 200
    assert "And 50 more: `finops-policy report --customer acme --run 20261124T080000Z-3f2a9c1b`" in made.text


def test_a_customer_may_write_templates() -> None:
    made = with_own(subject="{{ count }} for {{ digest.recipient }}", html="<b>{{ findings[0].title }}</b>")
    assert made.subject == "2 for ann@acme.example"
    assert made.html == "<b>{{7*7}} {% raw %} {# x #} ${7*7}</b>"
    assert made.notes == ()
    assert "Acme Health: 2 findings" in made.text


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{{ nothing.there }}", "'nothing' is undefined"),
        ("{{ count }", "line 1"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ ().__class__.__base__.__subclasses__() }}", "unsafe"),
        ("{{ cycler.__init__.__globals__.os.environ }}", "unsafe"),
        ("{% include '/etc/passwd' %}", "no loader"),
        ("{{ findings.append(1) }}", "unsafe"),
        ("{% for a in range(999999999) %}{% endfor %}", "Range too big"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{% for a in range(90000) %}{{ 'x' * 1000 }}{% endfor %}", "longer than"),
        ("{{ 'x' * 9999999999 }}", "too much memory"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "RecursionError"),
    ],
)
def test_a_template_that_fails_is_replaced_and_told(template: str, why: str) -> None:
    made = with_own(text=template)
    assert "Acme Health: 2 findings" in made.text
    (note,) = made.notes
    assert note.startswith("The template digest.txt.j2 failed, so the built-in one was used: ")
    assert why in note


def test_a_template_that_never_ends_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "_SECONDS", 1)
    begun = time.monotonic()
    endless = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    made = with_own(text=endless, subject="{{ count }} fine")
    assert time.monotonic() - begun < 8
    assert made.subject == "2 fine"
    assert made.notes == (
        "The template digest.txt.j2 failed, so the built-in one was used: it took longer than 1 seconds",
    )


def test_a_template_sees_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOK", "s3cr3t")
    monkeypatch.setattr(rendering, "_built_in", lambda name: "x")
    seen = []
    monkeypatch.setattr(
        rendering.subprocess,
        "run",
        lambda *args, **settings: seen.append(settings["env"]) or (_ for _ in ()).throw(OSError),
    )
    with_own(text="{{ count }}")
    assert seen == [{}]
    assert os.environ["HOOK"] == "s3cr3t"


def test_templates_are_found_by_name_and_others_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "customers" / "acme" / "templates"
    folder.mkdir(parents=True)
    (folder / "subject.txt.j2").write_text("{{ count }}")
    (folder / "digest.txt.jinja").write_text("x")
    (folder / "digest.html.j2").write_text("x" * 200_001)
    found = Templates.of(tmp_path, "acme")
    assert found.own == {"subject.txt.j2": "{{ count }}"}
    html, other = found.notes
    assert "longer than 200,000 bytes" in html
    assert "digest.txt.jinja is not used: templates are digest.html.j2," in other
    assert Templates.of(tmp_path, "other") == Templates()
