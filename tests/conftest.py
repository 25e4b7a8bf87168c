"""What every test shares: nothing may leave this machine, no AWS settings or signing key of the user, one sandbox."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from finops_policy.sandbox.egress import forbid_egress
from finops_policy.sandbox.process import Sandbox, sandbox

KEPT = ("FINOPS_POLICY_REQUIRE_BROWSER", "FINOPS_POLICY_CHROMIUM")


def pytest_configure() -> None:
    forbid_egress()


@pytest.fixture(autouse=True)
def _isolated(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("AWS_", "FINOPS_POLICY_")) and name not in KEPT:
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.getbasetemp() / "config"))


@pytest.fixture(scope="session")
def sandbox_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox that tests only read from. It changes no environment: see ``Sandbox.apply``."""
    with sandbox(tmp_path_factory.mktemp("sandbox")) as running:
        yield running


@pytest.fixture
def in_sandbox(sandbox_server: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """The same, with this process's environment leading to it."""
    environ = dict(os.environ)
    sandbox_server.apply(environ)
    for name in [*os.environ, *environ]:
        if name not in environ:
            monkeypatch.delenv(name, raising=False)
        elif os.environ.get(name) != environ[name]:
            monkeypatch.setenv(name, environ[name])
    return sandbox_server
