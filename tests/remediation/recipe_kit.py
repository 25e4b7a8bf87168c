"""Acting through c7n's own action classes, and watching it, on a moto server in this process.

Tests ask for the fixture ``stage``, which ``conftest.py`` beside this file brings in.

The server speaks HTTP as AWS does, and as it lives in this process, tests may break its backends
(``monkeypatch.setattr(moto...)``) to see what a recipe says of that. It is emptied before every test.
"""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from finops_policy import aws
from finops_policy.custodian.account import Account, Described, described
from finops_policy.model import Target
from finops_policy.redaction import WITHHELD
from finops_policy.remediation.recipes.recipe import Recipe, Seen, Site, State, Subject

ACCOUNT, REGION = "123456789012", "us-east-1"
TARGET = Target(ACCOUNT, REGION, "test")
ITEM = "item-1"


@pytest.fixture(scope="module")
def moto_url() -> Iterator[str]:
    """A moto server in a thread of this process, on a free port of loopback."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
        from werkzeug.serving import make_server

        class Handler(MotoRequestHandler):  # type: ignore[misc]
            disable_nagle_algorithm = True

            def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
                """Nobody's news."""

        application = DomainDispatcherApplication(create_backend_app)
        server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Handler)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def stage(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """An empty account of AWS, and the way to act in it."""
    environment = {
        "AWS_ENDPOINT_URL": moto_url,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
        "NO_PROXY": "*",
        "no_proxy": "*",
        "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    request = urllib.request.Request(f"{moto_url}/moto-api/reset", method="POST")
    urllib.request.urlopen(request).close()
    calls = aws.Calls()
    return Stage(Site(TARGET, "aws", aws.session(REGION, calls=calls)), calls)


@dataclass(frozen=True)
class Stage:
    """A target on the moto server. ``calls.by_operation`` counts what was sent."""

    site: Site
    calls: aws.Calls

    def client(self, service: str) -> Any:
        return self.site.client(service)

    def found(self, resource_type: str) -> list[Described]:
        """All resources of a type as they are now, as c7n describes them."""
        account = Account(TARGET, "aws", self.site.session)
        manager = account.load({"name": "kit", "resource": resource_type}).resource_manager
        return described(manager, manager.resources(), "aws")

    def resource(self, resource_type: str, resource_id: str) -> dict[str, Any]:
        """One resource as c7n describes it now."""
        [found] = [each for each in self.found(resource_type) if each.id == resource_id]
        return dict(found.resource)

    def subject(self, resource_type: str, resource_id: str, item_id: str = ITEM) -> Subject:
        [found] = [each for each in self.found(resource_type) if each.id == resource_id]
        return Subject(resource_type, resource_id, found.arn, item_id)

    def act(
        self,
        resource_type: str,
        resource: Mapping[str, Any],
        action: Mapping[str, Any],
        filters: Sequence[Any] = (),
    ) -> None:
        """Takes a c7n action on one resource through c7n's own class, and believes nothing that it answers."""
        document = {"name": "kit", "resource": resource_type, "filters": list(filters), "actions": [dict(action)]}
        loaded = Account(TARGET, "aws", self.site.session).load(document)
        [loaded_action] = loaded.resource_manager.actions
        loaded_action.process([dict(resource)])


def as_stored(value: Mapping[str, Any]) -> dict[str, Any]:
    """What a plan file gives back: only JSON comes through, and it is the same again."""
    read = json.loads(json.dumps(value, sort_keys=True))
    assert read == value
    return dict(read)


def compared(before: Mapping[str, Any]) -> dict[str, Any]:
    """What plan and apply compare: keys with an underscore in front are not."""
    return {key: value for key, value in before.items() if not key.startswith("_")}


def redacted(before: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """``before`` as a plan stores it under a profile that withholds these tags."""
    tags = {key: WITHHELD if key in keys else value for key, value in before["tags"].items()}
    return {**before, "tags": tags}


def check_through(
    recipe: Recipe,
    stage: Stage,
    resource_type: str,
    resource_id: str,
    action: Mapping[str, Any],
    filters: Sequence[Any] = (),
) -> tuple[dict[str, Any], Subject, Seen]:
    """Reads twice what was before (it must be the same), sees that nothing was done yet, acts through c7n, and sees it
    done: (before, subject, what was seen)."""
    subject = stage.subject(resource_type, resource_id)
    resource = stage.resource(resource_type, resource_id)
    before = as_stored(recipe.before(stage.site, subject, resource, action))
    again = recipe.before(stage.site, subject, stage.resource(resource_type, resource_id), action)
    assert compared(again) == compared(before)
    assert recipe.seen(stage.site, subject, action, before).state is State.NOT_REACHED
    stage.act(resource_type, resource, action, filters)
    seen = recipe.seen(stage.site, subject, action, before)
    assert seen.state is State.REACHED, seen
    return before, subject, Seen(seen.state, seen.says, as_stored(seen.after), as_stored(seen.made))


def check_undo(
    recipe: Recipe,
    stage: Stage,
    subject: Subject,
    action: Mapping[str, Any],
    before: Mapping[str, Any],
    made: Mapping[str, Any],
) -> dict[str, Any]:
    """Undoes twice, as after a crash, and sees it undone after each: everything that was made."""
    assert recipe.undone(stage.site, subject, action, before, made).state is State.NOT_REACHED
    first = as_stored(recipe.undo(stage.site, subject, action, before, made))
    assert recipe.undone(stage.site, subject, action, before, {**made, **first}).state is State.REACHED
    assert recipe.undo(stage.site, subject, action, before, made) == first
    assert recipe.undone(stage.site, subject, action, before, {**made, **first}).state is State.REACHED
    return first
