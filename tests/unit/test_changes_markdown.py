"""Changes as Markdown: text stays text, whatever it holds, and a comment stays as short as GitHub takes it."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from finops_policy.changes.impact import Hit, Impact, PolicyImpact, Unknown
from finops_policy.changes.markdown import LIMIT, code, render
from finops_policy.changes.model import Change, Comparison, Effect, Kind, Section, Side, VersionStep
from finops_policy.marks import Mark
from finops_policy.money import Money
from finops_policy.savings import add_up

HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[click](https://evil.example)",
    "![x](https://evil.example/x.png)",
    "https://evil.example www.evil.example a@evil.example",
    "@octo-org/security #1 octo/repo#2 GH-3",
    "`` ` ``` ````",
    "`",
    "a | b \\| c || d",
    "|`|<b>|",
    "</code></details></table>",
    "line\nbreak\r\n## heading",
    "\x1b[31mred\x07\u202eevil\u2066",
    "**bold** _it_ ~~no~~ $x$ :tada:",
    "&lt;b&gt; &#64;team",
    " ",
    "",
    "<!-- comment",
    "---\n| a | b |\n|---|---|",
    "{{7*7}} =cmd()",
    "\ud800 \U0001f600",
)
ALLOWED = {"h2", "h3", "h4", "p", "strong", "code", "table", "thead", "tbody", "tr", "th", "td", "ul", "li",
           "blockquote", "details", "summary"}  # fmt: skip
BASE, HEAD = Side("main", "0" * 40), Side("", "")


class Seen(HTMLParser):
    """The tags of rendered Markdown, the text outside of code, and the cells of each row of a table."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.prose = ""
        self.code: list[str] = []
        self.rows: list[int] = []
        self._within = 0
        self.feed(MarkdownIt("commonmark", {"html": True}).enable("table").render(text))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert not [name for name, _ in attrs if name != "style"], (tag, attrs)
        if tag == "code":
            self._within += 1
            self.code.append("")
        if tag == "tr":
            self.rows.append(0)
        if tag in ("td", "th"):
            self.rows[-1] += 1

    def handle_endtag(self, tag: str) -> None:
        self._within -= tag == "code"

    def handle_data(self, data: str) -> None:
        if self._within:
            self.code[-1] += data
        else:
            self.prose += data


def change(**fields: Any) -> Change:
    made = Change(Section.PLAIN, "ec2.yml", "policy p", "filters[0].value", Kind.CHANGED, 5, 9, Effect.TIGHTENS,
                  "a higher upper limit: more resources match", Mark("ec2.yml", 3, 5))  # fmt: skip
    return replace(made, **fields)


def of(*changes: Change, **fields: Any) -> Comparison:
    return replace(Comparison(BASE, HEAD, changes, (), ()), **fields)


def hit(**fields: Any) -> Hit:
    money = Money("USD", "volume_storage", Decimal("8.0000"), Decimal("8.0000"), "a price list")
    made = Hit("111122223333", "us-east-1", "aws.ebs", "vol-1", "arn:aws:ec2:::volume/vol-1", "compliant",
               "noncompliant", "", money)  # fmt: skip
    return replace(made, **fields)


def impact(*policies: PolicyImpact, **fields: Any) -> Impact:
    nothing = add_up([])
    made = Impact("20261124T080000Z-3f2a9c1b", "2026-11-24T08:00:05Z", "acme", "hipaa", sandbox=False,
                  policies=policies, hit=nothing, released=nothing, currency="USD", notes=())  # fmt: skip
    return replace(made, **fields)


def judged(**fields: Any) -> PolicyImpact:
    return replace(PolicyImpact("idle-resources", "ebs-unattached", "aws.ebs", "volume_storage", "changed"), **fields)


def everywhere(text: str) -> str:
    """The text in every place that takes text from files or from AWS."""
    rows = [change(owner=text, item=f"policy {text}", field=text, old=text, new={text: [text]})]
    steps = (VersionStep("idle", "1.0.0", "1.0.1", "major", "patch", enough=False, reasons=(text,)),)
    unknown = Unknown("111122223333", "us-east-1", text, text, text)
    policy = judged(hit=[hit(resource_id=text, arn=""), hit(arn=text)], unknown=[unknown], policy=text)
    side = Side(text, "0" * 40)
    return render(
        of(*rows, base=side, versions=steps, problems=(text,)),
        impact(policy, notes=(text,), customer=text, profile=text),
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text_everywhere(text: str) -> None:
    seen = Seen(everywhere(text))
    assert seen.tags <= ALLOWED
    for sign in ("@", "evil", "script", "http", "#1", "tada", "onerror", "team"):
        assert sign not in seen.prose, seen.prose
    assert set(seen.rows) <= {5, 7}, "no cell of a table was split or joined"


@settings(max_examples=400)
@given(st.text(st.characters(exclude_categories=[])), st.booleans())
def test_any_text_is_one_piece_of_code(text: str, table: bool) -> None:
    made = code(text, 10_000)
    assert not [each for each in made if unicodedata.category(each) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
    seen = Seen(f"| a | b |\n|---|---|\n| {made} | x |\n" if table else f"before {made} after")
    assert seen.tags <= ALLOWED
    assert len(seen.code) == 1
    if table:
        assert seen.rows == [2, 2]
    spelled = "".join(_spelled(each) for each in text)
    if spelled.strip():
        assert seen.code[0].split() == spelled.split()


def _spelled(character: str) -> str:
    if unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
        return character
    return f"\\u{ord(character):04x}" if ord(character) > 0xFF else f"\\x{ord(character):02x}"


def test_long_values_are_cut_and_say_so() -> None:
    assert code("x" * 500) == f"`{'x' * 117}...`"


# --- what is said -----------------------------------------------------------------------------------------------------


def test_the_headline_counts_things_by_their_effect() -> None:
    changes = [change(), change(item="policy q", effect=Effect.LOOSENS), change(item="policy r", effect=Effect.NEUTRAL),
               change(item="policy s"), change(item="policy s", effect=Effect.LOOSENS)]  # fmt: skip
    text = render(of(*changes), None)
    assert text.startswith("## Policy changes: `main (000000000000)` → the working tree\n")
    assert "5 changes of 4 things: **1 tighten**, **1 loosen**, **1 unclear**, 1 without effect" in text
    assert render(of(), None).splitlines()[2].startswith("**No change**")


def test_what_came_and_went_is_said() -> None:
    came = change(section=Section.PACK, owner="idle", item="policy p", field="", kind=Kind.ADDED, old=None, new="Title")
    text = render(of(came), None)
    assert "### Pack `idle`" in text
    assert "| policy `p` **added** | - | `Title` | tightens |" in text


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (
            VersionStep("idle", "1.0.0", "1.0.0", "minor", "none", False, ("x",)),
            "**Version `1.0.0` stays:** minor is needed",
        ),
        (
            VersionStep("idle", "1.0.0", "1.0.1", "major", "patch", False, ("x",)),
            "is too small:** major is needed (`x`)",
        ),
        (VersionStep("idle", "1.0.0", "0.9.0", "major", "down", False, ("x",)), "goes down"),
        (
            VersionStep("idle", "1.0.0", "2.0.0", "major", "major", True, ("x",)),
            "Version `1.0.0` → `2.0.0`: major, and",
        ),
    ],
)
def test_versions(step: VersionStep, expected: str) -> None:
    text = render(of(versions=(step,)), None)
    assert expected in text
    assert ("must be raised further" in text) is not step.enough


def test_few_rows_are_open_and_many_are_folded() -> None:
    assert "<details>" not in render(of(*[change(field=str(number)) for number in range(12)]), None)
    folded = render(of(*[change(field=str(number)) for number in range(13)]), None)
    assert "<details><summary>13 changes</summary>\n\n|" in folded
    assert folded.count("<details>") == folded.count("</details>") == 1


def test_impact_is_told_with_money_and_what_is_not_known() -> None:
    unpriced = Money("", "next_size_down", reason="how much of the cost it saves was not recorded")
    policy = judged(hit=[hit(), hit(resource_id="vol-2", arn="", money=unpriced)], unchecked=2, same=7,
                    unknown=[Unknown("1", "r", "vol-3", "", "x was not recorded")],
                    notes=["The scope may be wider."])  # fmt: skip
    text = render(of(change()), impact(policy, sandbox=True))
    assert "**2 resources newly hit**" in text
    assert "**1 answer unknown**" in text
    assert "of the sandbox" in text
    assert "| `ebs-unattached` | changed | 2 | 0 | 1 | 7 | 2 |" in text
    assert "| `vol-2` | `111122223333` `us-east-1` | compliant | noncompliant | unknown |" in text
    assert "| 8.00 USD |" in text
    assert "- 1: `x was not recorded`" in text
    assert "> `ebs-unattached`: The scope may be wider." in text
    assert "No policy of the customer judges otherwise" in render(of(), impact())


# --- size -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wide", [1, 10_000])
def test_a_comment_fits_github_and_says_what_was_cut(wide: int) -> None:
    changes = [
        change(owner=f"file{number % 40:02}.yml", item=f"policy p{number}", old="|`" * wide) for number in range(3000)
    ]
    changes.sort(key=lambda each: each.owner)
    hits = [hit(resource_id=f"vol-{number}", arn="") for number in range(3000)]
    unknown = [Unknown("1", "r", "x", "", f"reason {number}") for number in range(500)]
    policies = [judged(policy=f"p{number}", hit=hits, unknown=unknown) for number in range(20)]
    text = render(of(*changes, problems=tuple("x" * 500 for _ in range(500))), impact(*policies))
    assert len(text) <= LIMIT
    assert len(text) > LIMIT * 0.9, "what fits is there"
    assert text.rstrip().endswith("`finops-policy diff --format json` has everything.")
    assert "**Cut:** " in text
    assert text.count("<details>") == text.count("</details>")
    assert Seen(text).tags <= ALLOWED


def test_nothing_is_cut_where_everything_fits() -> None:
    assert "**Cut:**" not in render(of(*[change(field=str(number)) for number in range(200)]), None)
