"""The HTML report as bytes: what it says, and that nothing in it can load, run or mislead."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import time
from html.parser import HTMLParser
from typing import Any

import pytest

from finops_policy.formats import FORMATS, html
from finops_policy.library import library_root

from . import sample
from .golden import assert_golden

VOID = {"meta", "link", "input", "br"}


class Document(HTMLParser):
    """What a browser would make of it: elements with attributes, and the text a reader sees."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self.words: list[str] = []
        self.stack: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.stack.append(tag)
        if tag in self.raw:
            self.raw[tag].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in self.stack:
            while self.stack.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if self.stack and self.stack[-1] in self.raw:
            self.raw[self.stack[-1]][-1] += data
        elif data.strip():
            self.words.append(" ".join(data.split()))

    @property
    def text(self) -> str:
        return " ".join(self.words)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


def render(data: dict[str, Any]) -> str:
    out = io.BytesIO()
    FORMATS["html"].render(data, out)
    return out.getvalue().decode()


@pytest.fixture(scope="module")
def page() -> str:
    return render(sample.build())


@pytest.fixture(scope="module")
def document(page: str) -> Document:
    return Document(page)


def test_says_what_it_said_before(document: Document) -> None:
    assert_golden("report.txt", ("\n".join(document.words) + "\n").encode())


def test_same_data_give_the_same_bytes(page: str) -> None:
    assert render(sample.build()) == page


def test_policy_allows_exactly_our_style_and_script(document: Document) -> None:
    policy = next(each["content"] for each in document.all("meta") if "http-equiv" in each)
    directives = {name: rest for name, _, rest in (each.strip().partition(" ") for each in policy.split(";"))}
    block, script = document.raw["script"]
    assert directives["default-src"] == "'none'"
    assert directives["script-src"] == f"'{digest(script)}'"
    assert directives["style-src"] == f"'{digest(document.raw['style'][0])}'"
    assert "unsafe" not in policy
    assert json.loads(block)["findings"]


def digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


@pytest.mark.parametrize("build", [sample.build, sample.empty, sample.hostile], ids=["sample", "empty", "hostile"])
def test_nothing_loads_and_nothing_runs_inline(build: Any) -> None:
    document = Document(render(build()))
    assert [each.get("type", "script") for each in document.all("script")] == ["application/json", "script"]
    assert not document.all("img")
    for tag, attributes in document.elements:
        assert not [name for name in attributes if name.startswith("on") or name in ("style", "src", "srcset")], tag
        target = attributes.get("href", "#")
        if tag == "a" and not target.startswith("#"):
            assert target.startswith("https://")
            assert attributes["rel"] == "noopener noreferrer"
        elif tag != "a":
            assert target.startswith(("#", "data:"))


def test_every_link_inside_leads_somewhere(document: Document) -> None:
    anchors = {attributes["id"] for _, attributes in document.elements if "id" in attributes}
    links = {each["href"][1:] for each in document.all("a") if each["href"].startswith("#")}
    assert links <= anchors
    assert len([each for each in links if each.startswith("not-checked-")]) == len(sample.build()["not_checked"])


def test_incomplete_coverage_comes_before_every_other_number(document: Document) -> None:
    assert "Incomplete: 55 of 208 cells were not checked." in document.text
    before, _, after = document.text.partition("Incomplete: ")
    totals = sample.build()["totals"]
    for verdict, count in totals.items():
        assert f" {count} " not in before, verdict
        assert f" {count} " in after, verdict
    assert f"{totals['population']} = 444 compliant + 93 noncompliant + 2 waived + 4 unknown" in after


def test_one_cell_for_each_target_and_policy(document: Document) -> None:
    cells = [each for each in document.all("td") if each.get("class", "").startswith("cell is-")]
    assert len(cells) == 8 * 26
    assert sum(each["class"] == "cell is-failed" for each in cells) == 54
    assert all(each["title"] for each in cells)


def test_frameworks_never_show_a_lone_percentage(document: Document) -> None:
    assert "%" not in document.text.replace("{% raw %}", "")
    assert "This report supports an audit; it does not certify compliance." in document.text
    framework = sample.build()["frameworks"][0]
    for verdict, count in framework["verdicts"].items():
        assert f"{count} of {len(framework['controls'])} {verdict.replace('-', ' ')}" in document.text


def test_states_without_content_say_so() -> None:
    text = Document(render(sample.empty())).text
    for sentence in (
        "Complete: all 208 cells were checked or do not apply.",
        "No findings: nothing that was checked is noncompliant, waived or undecided.",
        "No waivers: no finding has been accepted.",
        "Everything was checked: no cell failed and none was skipped.",
        "The profile names no framework, so no control was judged.",
        "No finding has a price.",
        "none: this is the first run of its chain",
    ):
        assert sentence in text
    assert "Sandbox" not in text
    assert "Incomplete" not in text


def test_a_run_without_policies_renders() -> None:
    data = sample.empty()
    data["policies"] = []
    data["coverage"].update(policies=[], grid=[], cells=0, evaluated=0)
    data["totals"] = dict.fromkeys(data["totals"], 0)
    text = Document(render(data)).text
    assert "No policy ran" in text
    assert "No resource was judged." in text


def test_nothing_checked_is_no_saving_of_zero() -> None:
    data = sample.empty()
    for cell in data["coverage"]["grid"]:
        cell.update(dict.fromkeys(data["totals"], 0), status="failed", failure_kind="credentials")
    data["coverage"].update(evaluated=0, failed=208, complete=False)
    data["totals"] = dict.fromkeys(data["totals"], 0)
    for policy in data["policies"]:
        policy.update(dict.fromkeys(data["totals"], 0), failed_targets=8)
    text = Document(render(data)).text
    assert "Incomplete: 208 of" in text
    assert "USD" not in text
    assert "Monthly savings unknown" in text
    assert text.count("not checked ") > 20


def test_unknown_money_is_unknown_with_its_reason() -> None:
    data = sample.build()
    data["money"]["monthly_savings"] = None
    document = Document(render(data))
    assert "What mending the noncompliant ones would save is unknown." in document.text
    assert "6 could not be priced" in document.text
    assert "no price of ec2 in eu-west-1" in document.text
    rows = json.loads(document.raw["script"][0])["findings"]
    shown = {(row["savings"], row["note"]) for row in rows if row["monthly_savings"] is None}
    assert shown == {
        ("unknown", "no price of ec2 in eu-west-1"),
        ("unknown", "no price of ebs-snapshot in eu-west-1"),
        ("not counted", "not counted: waived"),
        ("unknown", "unknown: the resource could not be judged"),
        ("not estimated", "this policy claims no savings"),
    }


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (None, "unknown"),
        ("1234567.895", "USD 1,234,567.90"),
        ("0.00", "USD 0.00"),
        ("0.0040", "under USD 0.01"),
        ("0.01", "USD 0.01"),
        ("-12.5", "USD -12.50"),
    ],
)
def test_money(amount: str | None, shown: str) -> None:
    assert html.money(amount, "USD").replace(html.NBSP, " ") == shown


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain", "plain"),
        ("a\x00b\x1b[31m\r\x9b", r"a\x00b\x1b[31m\r\x9b"),
        ("\u202etxt\u202c\u2066x\u2069\u200f", r"\u202etxt\u202c\u2066x\u2069\u200f"),
        ("a\u2028b\ufeff\u200b", r"a\u2028b\ufeff\u200b"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\U000e0041"),
        ("שלום 👩\u200d💻\ttab\nline", "שלום 👩\u200d💻\ttab\nline"),
        ("x" * 1500, "x" * 1000 + " [500 more characters, whole in the JSON report]"),
    ],
)
def test_what_cannot_be_seen_is_shown_as_an_escape(raw: str, shown: str) -> None:
    assert html.visible(raw) == shown


def test_hostile_text_cannot_leave_its_block() -> None:
    page = render(sample.hostile())
    block = page.partition('id="findings-data">')[2].partition("</script>")[0]
    assert not re.search("[<>&\u2028\u2029]", block)
    assert json.loads(block)["findings"][0]["resource_id"].startswith("444455556666 </script><script>")
    assert not html._UNSEEN.search(page.replace("\n", ""))
    assert "{{7*7}}" in page
    assert "49" not in Document(page).text.partition("{{7*7}}")[2][:3]


def test_without_javascript_it_says_what_is_left_out() -> None:
    text = Document(render(sample.many(250))).text.replace(html.NBSP, " ")
    assert "The first 100 of 250 findings; the others are left out because JavaScript is off." in text
    assert text.count("arn:aws:s3:::") < 100


def test_ten_thousand_findings_take_under_two_seconds() -> None:
    data = sample.many(10_000)
    started = time.process_time()
    render(data)
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    "forbidden", ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "http"]
)
def test_our_script_builds_no_html_from_text(forbidden: str) -> None:
    script = library_root().joinpath("reports", "templates", "report.js").read_text(encoding="utf-8")
    assert forbidden not in script
