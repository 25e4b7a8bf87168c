"""A plan as a page: everything an approver needs, whatever stands in it, in a real browser."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from finops_policy.formats.plan_html import PLAN_PAGE, action_words, none_found, plan_page
from finops_policy.model import Fact
from finops_policy.remediation.model import Held, Plan, PlannedPolicy, Requester, Step
from finops_policy.remediation.plan_file import plan_bytes
from finops_policy.remediation.recipes.recipe import Dependant, Dependants, Undo, Undoable
from tests.remediation.approval_kit import DESTRUCTIVE, ONE, THREE, TWO, item, plan

PWN = (
    "</style></script><script>window.__pwned=1</script><img src=x onerror=window.__pwned=1>"
    "\u202e{{7*7}}\x1b[31m\x00=1+1"
)
Opened = Callable[..., AbstractContextManager[Page]]


def full() -> Plan:
    waits = Held(
        "ec2-idle", "1" * 12, "us-east-1", "i-9", "arn:aws:ec2:us-east-1:1:instance/i-9", "waiver W-1 covers it"
    )
    free = item(THREE, money=None, resource_id="i-free", owner="")
    return plan(
        item(ONE),
        item(TWO, None, **DESTRUCTIVE),
        free,
        held=(waits, replace(waits, resource_id="i-10")),
        waived=3,
        unknown=2,
    )


def hostile() -> Plan:
    """Hostile text wherever text may come from outside."""
    step = Step(
        {"type": "stop", PWN: PWN}, {PWN: PWN, "tags": {PWN: PWN}}, Undo(Undoable.PARTLY, PWN, (PWN,), (PWN,)), (PWN,)
    )
    one = item(
        ONE,
        account_name=PWN,
        resource_id=PWN,
        arn=PWN,
        owner=PWN,
        facts=(Fact("value", PWN, PWN, "eq", PWN, True),),
        steps=(step,),
        dependants=Dependants((Dependant(PWN, PWN, PWN),), (PWN,)),
    )
    known = plan().policies["ec2-idle"]
    return plan(
        one,
        held=(Held("ec2-idle", "1" * 12, "us-east-1", PWN, PWN, PWN),),
        policies={"ec2-idle": PlannedPolicy(**{**_fields(known), "title": PWN})},
        requested_by=Requester(PWN, PWN),
    )


def _fields(known: PlannedPolicy) -> dict[str, Any]:
    return {name: getattr(known, name) for name in known.__slots__}


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Opened:
    """Opens a plan's page, and holds it to: no complaint of the browser's, no request but for the page."""

    @contextmanager
    def opened(of: Plan, title: str = "Acme", **options: Any) -> Iterator[Page]:
        path = tmp_path / PLAN_PAGE
        path.write_text(plan_page(of, title), "utf-8")
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        complaints: list[str] = []
        requests: list[str] = []
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        context.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        yield page
        assert complaints == []
        assert [each for each in requests if not each.startswith("data:")] == [path.as_uri()]
        context.close()

    return opened


def open_all(page: Page) -> None:
    page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")


def test_an_approver_reads_everything_that_the_plan_says(opened: Opened) -> None:
    made = full()
    with opened(made) as page:
        open_all(page)
        text = page.locator("body").inner_text().replace("\N{NO-BREAK SPACE}", " ").replace("\u200b", "")
    assert hashlib.sha256(plan_bytes(made)).hexdigest() in text
    assert "dana@acme.example" in text
    for each in made.items:
        for told in (each.id, each.policy, each.account_name, each.region, *(step.name for step in each.steps)):
            assert told in text
        for step in each.steps:
            for told in (*step.permissions, *step.undo.permissions, step.undo.how, *step.undo.lost, *step.before):
                assert told in text
    assert "CPUUtilization" in text
    assert "It cannot be launched any more." in text
    assert "Routes: denied." in text
    assert "no price of ec2/x9" in text
    assert "70.08" in text
    assert "and what 1 more save, which is unknown" in text
    assert "waiver W-1 covers it" in text
    assert "3 waived findings" in text
    assert "2 resources that could not be judged" in text
    assert "2 findings: waiver W-1 covers it" in text


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("build", [full, hostile], ids=["full", "hostile"])
def test_is_accessible(opened: Opened, build: Callable[[], Plan], scheme: str) -> None:
    with opened(build(), color_scheme=scheme) as page:
        open_all(page)
        violations = Axe().run(page).response["violations"]
        assert [(each["id"], each["nodes"][0]["html"]) for each in violations] == []


def test_hostile_text_stays_text(opened: Opened) -> None:
    with opened(hostile(), title=PWN) as page:
        open_all(page)
        assert page.evaluate("window.__pwned") is None
        assert page.locator("img").count() == 0
        assert page.locator("script").count() == 0
        text = page.locator("body").inner_text()
        assert "<script>window.__pwned=1</script>" in text
        assert "{{7*7}}" in text
        assert "\u202e" not in page.content()
        assert "\x1b" not in page.content()
        assert page.locator("article").count() == 1
        expect(page.locator("h1 bdi")).to_have_css("unicode-bidi", "isolate")


@pytest.mark.parametrize("build", [full, hostile], ids=["full", "hostile"])
def test_fits_a_telephone(opened: Opened, build: Callable[[], Plan]) -> None:
    with opened(build(), viewport={"width": 375, "height": 700}) as page:
        open_all(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 375


MODIFY = {"volume-type": "io2", "type": "modify", "size-percent": 900}


@pytest.mark.parametrize(
    ("action", "words"),
    [
        ({"type": "stop"}, "stop"),
        (MODIFY, "modify size-percent=900 volume-type=io2"),
        (dict(sorted(MODIFY.items())), "modify size-percent=900 volume-type=io2"),
        ({"type": "a", "b": "900", "c": "1e5", "d": "true", "e": True, "f": None, "g": 1.5, "h": "NaN"},
         'a b="900" c="1e5" d="true" e=true f=null g=1.5 h="NaN"'),
        ({"type": "a", "b": "x c=1", "d": "", "e": '"', "f": "2026-01-01", "g": "*/x.y:z@w"},
         'a b="x c=1" d="" e="\\"" f=2026-01-01 g=*/x.y:z@w'),
        ({"type": "a", "b": [{"d": "x", "c": [1]}, "y"]}, 'a b=[{"c":[1],"d":"x"},"y"]'),
        ({"type": "stop force=true", "a b": "c"}, '"stop force=true" "a b"=c'),
    ],
)  # fmt: skip
def test_an_action_is_told_whole_and_cannot_be_mistaken(action: dict[str, Any], words: str) -> None:
    assert action_words(action) == words


def test_the_page_shows_what_an_action_is_given(opened: Opened) -> None:
    steps = (replace(full().items[0].steps[0], action=MODIFY),)
    with opened(plan(item(ONE, resource_type="aws.ebs", steps=steps))) as page:
        for place in ("#items table", "article"):
            expect(page.locator(place)).to_contain_text("modify size-percent=900 volume-type=io2")
        expect(page.locator("article")).to_contain_text("not looked for: modify is taken to break nothing else")


def test_nothing_depends_on_it_is_said_where_somebody_looked() -> None:
    def said(resource_type: str, *names: str) -> str:
        steps = tuple(replace(full().items[0].steps[0], action={"type": each}) for each in names)
        return none_found(item(ONE, resource_type=resource_type, steps=steps))

    assert said("aws.ec2", "stop") == "nothing found"
    assert said("aws.ebs", "snapshot", "delete") == "nothing found"
    assert said("aws.ebs", "snapshot", "modify") == (
        "not looked for: snapshot and modify are taken to break nothing else"
    )
    assert said("aws.ec2", "mark-for-op") == "not looked for: mark-for-op is taken to break nothing else"
    assert said("aws.ec2", "stop", "explode") == "unknown: nobody knows what explode may break"


def test_a_page_says_of_each_item_whether_anybody_looked(opened: Opened) -> None:
    with opened(full()) as page:
        assert [page.locator(f"#item-{each}").get_by_text("nothing found").count() for each in (ONE, TWO, THREE)] == [
            1, 0, 1,
        ]  # fmt: skip


def test_a_link_leads_to_each_item(opened: Opened) -> None:
    with opened(full()) as page:
        links = [each.get_attribute("href") for each in page.locator("#items table a").all()]
        assert links == [f"#item-{each}" for each in (ONE, TWO, THREE)]
        for each in links:
            assert page.locator(str(each)).count() == 1


def test_a_plan_of_nothing_says_so(opened: Opened) -> None:
    made = plan()
    empty = replace(made, items=(), policies={})
    with opened(replace(empty, digest=hashlib.sha256(plan_bytes(empty)).hexdigest())) as page:
        expect(page.locator("#items")).to_contain_text("Nothing. Every finding is held")
        expect(page.locator("#held")).to_contain_text("No finding is held")


def test_a_sandboxs_plan_says_so(opened: Opened) -> None:
    with opened(plan(sandbox=True)) as page:
        expect(page.locator("body")).to_contain_text("Simulated accounts")
    with opened(plan()) as page:
        expect(page.locator("body")).not_to_contain_text("Simulated accounts")


def test_the_same_plan_is_the_same_page() -> None:
    assert plan_page(full(), "Acme") == plan_page(full(), "Acme")
