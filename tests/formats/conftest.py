"""A real browser for the report: found on this machine, never downloaded."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from finops_policy.formats import FORMATS

MAC_BROWSERS = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
)
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-extensions")


@dataclass
class Opened:
    """A report in the browser, and everything it did that it should not do."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


OpenReport: TypeAlias = Callable[..., AbstractContextManager[Opened]]


def chromium() -> str | None:
    """A Chromium of this machine: FINOPS_POLICY_CHROMIUM, else one on the PATH, else a macOS application."""
    named = os.environ.get("FINOPS_POLICY_CHROMIUM")
    on_path = (shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome"))
    on_mac = (path for path in MAC_BROWSERS if Path(path).exists())
    return named or next(filter(None, on_path), None) or next(on_mac, None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    executable = chromium()
    if executable is None:
        reason = "no Chromium or Chrome on this machine; install one or name it in FINOPS_POLICY_CHROMIUM"
        if os.environ.get("FINOPS_POLICY_REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=executable, args=list(FLAGS))
        yield launched
        launched.close()


@pytest.fixture
def open_report(browser: Browser, tmp_path: Path) -> OpenReport:
    """Opens the report of ``data`` from a file, in a context with the options given, and listens to all it does."""

    @contextmanager
    def opened(data: dict[str, Any], **options: Any) -> Iterator[Opened]:
        path = tmp_path / "report.html"
        with path.open("wb") as out:
            FORMATS["html"].render(data, out)
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        result = Opened(context.new_page())
        page = result.page
        page.on("console", lambda message: result.complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: result.complaints.append(f"error: {error}"))
        context.on("request", lambda request: result.requests.append(request.url))
        page.goto(path.as_uri())
        yield result
        assert result.complaints == []
        assert result.requests == [path.as_uri()]
        context.close()

    return opened
