"""The HTML report in a real browser. The fixture also holds every test to: no console message, no request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from finops_policy.formats import html

from . import sample
from .conftest import OpenReport

Data = dict[str, Any]


def row_count(page: Page) -> int:
    return page.locator("#findings-rows > tr:not(.detail)").count()


@pytest.mark.parametrize(
    ("build", "scheme"),
    [(sample.build, "light"), (sample.build, "dark"), (sample.empty, "dark")],
    ids=["sample-light", "sample-dark", "empty-dark"],
)
def test_is_accessible(open_report: OpenReport, build: Callable[[], Data], scheme: str) -> None:
    with open_report(build(), color_scheme=scheme) as opened:
        page = opened.page
        if page.locator(".opener").count():
            page.locator(".opener").first.click()
        page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
        violations = Axe().run(page).response["violations"]
        assert [(each["id"], each["nodes"][0]["html"]) for each in violations] == []


def test_hostile_values_stay_text(open_report: OpenReport) -> None:
    with open_report(sample.hostile()) as opened:
        page = opened.page
        for opener in page.locator(".opener").all()[:3]:
            opener.click()
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert page.evaluate("window.__pwned") is None
        assert page.locator("script").count() == 2
        assert page.locator("img").count() == 0
        assert page.title().startswith("Acme Health </script><script>window.__pwned=1</script>")
        assert r"\u202e\x00\x1b[31m{{7*7}}" in page.title()
        expect(page.locator(".detail").first).to_contain_text("</script><script>window.__pwned=1</script>")
        expect(page.locator("h1 bdi")).to_have_css("unicode-bidi", "isolate")


def test_finds_sorts_and_turns_pages_by_keyboard(open_report: OpenReport) -> None:
    with open_report(sample.build()) as opened:
        page = opened.page
        status = page.locator("#findings-status")
        expect(status).to_have_text("1–25 of 99 findings.")

        page.locator("#page-next").focus()
        page.keyboard.press("Enter")
        expect(status).to_have_text("26–50 of 99 findings.")
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Space")
        expect(status).to_have_text("1–25 of 99 findings.")
        page.keyboard.press("Space")
        expect(page.locator("#page-previous")).to_be_focused()
        expect(status).to_have_text("1–25 of 99 findings.")

        savings = page.locator("[data-sort=savings]")
        savings.focus()
        page.keyboard.press("Enter")
        expect(page.locator("[aria-sort=descending] button")).to_have_text("Savings a month")
        expect(page.locator(".where-savings").first).to_have_text("USD 1,249.64")
        page.keyboard.press("Enter")
        expect(page.locator("[aria-sort]")).to_have_count(1)
        expect(page.locator("[aria-sort=ascending] button")).to_be_focused()
        expect(page.locator(".where-savings").first).to_have_text("USD 0.58")

        page.locator("input[name=text]").focus()
        page.keyboard.type("HYPERLINK")
        expect(status).to_have_text("1–1 of 1 matching finding (99 in all).")
        page.keyboard.press("Tab")
        page.keyboard.type("lo")
        expect(status).to_have_text("No finding matches these filters (99 in all).")
        page.locator("button[type=reset]").press("Enter")
        expect(status).to_have_text("1–25 of 99 findings.")


def test_a_row_opens_to_its_facts_by_keyboard(open_report: OpenReport) -> None:
    with open_report(sample.build()) as opened:
        page = opened.page
        opener = page.locator(".opener").first
        opener.press("Enter")
        expect(opener).to_have_attribute("aria-expanded", "true")
        detail = page.locator(f"#{opener.get_attribute('aria-controls')}")
        for text in ("arn:aws:iam::444455556666:account", "CPUUtilization", "less-than", "=HYPERLINK(", "9,000 more"):
            expect(detail).to_contain_text(text)
        expect(detail).to_contain_text("not estimated: this policy claims no savings")
        expect(opener).to_be_focused()
        opener.press("Enter")
        expect(page.locator(".detail")).to_have_count(0)


def test_filters(open_report: OpenReport) -> None:
    wanted = {
        "severity": ("high", 8),
        "verdict": ("unknown", 4),
        "policy": ("ebs-unattached", 13),
        "region": ("eu-west-1", 45),
    }
    findings = sample.build()["findings"]
    with open_report(sample.build()) as opened:
        page = opened.page
        page.locator("#page-size").select_option("250")
        for field, (value, count) in wanted.items():
            page.locator(f"select[name={field}]").select_option(value)
            assert row_count(page) == count == sum(each[field] == value for each in findings)
            page.locator("button[type=reset]").click()
            expect(page.locator("#findings-status")).to_have_text("1–99 of 99 findings.")
        page.locator("select[name=verdict]").select_option("noncompliant")
        page.locator("select[name=account]").select_option("777788889999")
        both = [each for each in findings if each["verdict"] == "noncompliant" and each["account_id"] == "777788889999"]
        shown = page.locator("#findings-rows .opener").all_text_contents()
        assert shown == [html.visible(each["resource_id"]) for each in both]


def test_evidence_links_filter_the_findings(open_report: OpenReport) -> None:
    with open_report(sample.build()) as opened:
        page = opened.page
        page.locator(".evidence a", has_text="idle-resources/log-group-retention").first.press("Enter")
        expect(page.locator("select[name=policy]")).to_have_value("log-group-retention")
        assert row_count(page) == 6
        page.locator("#not-checked a[data-verdict]").click()
        expect(page.locator("select[name=policy]")).to_have_value("")
        assert row_count(page) == 4


def test_coverage_grid_is_one_tab_stop_with_arrow_keys(open_report: OpenReport) -> None:
    with open_report(sample.build()) as opened:
        page = opened.page
        assert page.locator("#grid [tabindex='0']").count() == 1
        page.locator("#grid [tabindex='0']").focus()
        expect(page.locator("#grid-readout")).to_have_text(
            "acme-prod, us-east-1, ec2-required-tags: 9 checked: 7 compliant, 2 noncompliant"
        )
        for key in ("ArrowDown", "ArrowDown", "ArrowDown", "ArrowRight", "ArrowUp"):
            page.keyboard.press(key)
        page.keyboard.press("Enter")
        expect(page.locator("select[name=account]")).to_have_value("444455556666")
        expect(page.locator("select[name=policy]")).to_have_value("ebs-required-tags")
        expect(page.locator("select[name=region]")).to_have_value("us-east-1")
        page.locator("#grid td.is-failed a").first.press("Enter")
        expect(page.locator(":target")).to_contain_text("acme-data")
        expect(page.locator(":target")).to_contain_text("What to do: Run again with --policy nat-gateway-idle")


@pytest.mark.parametrize("build", [sample.build, sample.hostile, sample.empty], ids=["sample", "hostile", "empty"])
def test_fits_a_phone(open_report: OpenReport, build: Callable[[], Data]) -> None:
    with open_report(build(), viewport={"width": 375, "height": 800}) as opened:
        page = opened.page
        for opener in page.locator(".opener").all()[:2]:
            opener.click()
        page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
        assert page.evaluate("document.documentElement.scrollWidth") == 375


def test_paper_shows_everything_open_and_restores_the_screen(open_report: OpenReport) -> None:
    with open_report(sample.build()) as opened:
        page = opened.page
        closed = page.locator("details:not([open])").count()
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert page.locator("details:not([open])").count() == 0
        assert row_count(page) == page.locator(".detail").count() == 99
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert page.locator("details:not([open])").count() == closed > 0
        assert row_count(page) == 25
        page.emulate_media(media="print")
        page.set_viewport_size({"width": 700, "height": 900})
        clipped = """() => [...document.querySelectorAll("main *")]
            .filter((each) => each.getBoundingClientRect().right > innerWidth + 1 && !each.closest(".vh, svg"))
            .map((each) => each.outerHTML.slice(0, 90))"""
        assert page.evaluate(clipped) == []


def test_without_javascript_a_plain_table_remains(open_report: OpenReport) -> None:
    with open_report(sample.many(250), java_script_enabled=False) as opened:
        page = opened.page
        expect(page.locator("#findings-app")).to_be_hidden()
        expect(page.locator("#findings table:not(.findings) tbody tr")).to_have_count(100)
        assert "The first 100 of 250\N{NO-BREAK SPACE}findings" in page.locator("#findings").inner_text()


def test_ten_thousand_findings_stay_usable(open_report: OpenReport) -> None:
    with open_report(sample.many(10_000)) as opened:
        page = opened.page
        expect(page.locator("#findings-status")).to_have_text("1–25 of 10,000 findings.")
        assert row_count(page) == 25
        took = page.evaluate(
            """() => {
                const started = performance.now();
                document.querySelector("[data-sort=resource]").click();
                const field = document.querySelector("input[name=text]");
                field.value = "i-000000000000027";
                field.dispatchEvent(new Event("input", { bubbles: true }));
                return performance.now() - started;
            }"""
        )
        assert took < 2000
        expect(page.locator("#findings-status")).to_contain_text("of 16 matching findings (10,000 in all)")


def test_an_empty_report_says_what_is_empty(open_report: OpenReport) -> None:
    with open_report(sample.empty()) as opened:
        expect(opened.page.locator(".empty")).to_have_count(6)
        expect(opened.page.locator("#findings")).to_contain_text("No findings")
        expect(opened.page.locator("#findings-app")).to_have_count(0)
