"""Functions: reserved concurrency, delete.

A deleted function does not come back: AWS keeps no copy of its code, and a plan is no place for code and settings that
may hold secrets.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from finops_policy.errors import FinopsPolicyError
from finops_policy.remediation.recipes import common
from finops_policy.remediation.recipes.common import GONE, described, unless_gone
from finops_policy.remediation.recipes.recipe import (
    Dependant,
    Dependants,
    Recipe,
    Seen,
    Site,
    State,
    Subject,
    Undo,
    Undoable,
)

Values = Mapping[str, Any]

REFUSED = (
    "calls that AWS refuses meanwhile: it keeps asynchronous events for six hours at most, and records of streams as "
    "long as the stream does"
)


class SetConcurrency:
    """Reserved concurrency. ``reserved`` is None where the function shares the account's; 0 stops it."""

    def before(self, site: Site, subject: Subject, resource: Values, action: Values) -> dict[str, Any]:
        answer = site.client("lambda").get_function_concurrency(FunctionName=subject.resource_id)
        return {"reserved": answer.get("ReservedConcurrentExecutions"), "wanted": _wanted(resource, action)}

    def undo_of(self, before: Values, action: Values) -> Undo:
        if before["reserved"] is None:
            how, permission = "delete the reservation, as there was none", "lambda:DeleteFunctionConcurrency"
        else:
            how = f"reserve {before['reserved']} again; AWS refuses that when it leaves others fewer than 100"
            permission = "lambda:PutFunctionConcurrency"
        if before["reserved"] == 0:
            how = "reserve 0 again, which stops the function"
        lost = (REFUSED,) if before["wanted"] == 0 else ()
        return Undo(Undoable.YES, how, lost, tuple(sorted((permission, "lambda:GetFunctionConcurrency"))))

    def dependants(self, site: Site, subject: Subject, resource: Values) -> Dependants:
        return callers(site, subject, resource)

    def seen(self, site: Site, subject: Subject, action: Values, before: Values) -> Seen:
        return self._reached(site, subject, before["wanted"])

    def undo(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> dict[str, Any]:
        client, name = site.client("lambda"), subject.resource_id
        if before["reserved"] is None:
            client.delete_function_concurrency(FunctionName=name)
        else:
            client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=before["reserved"])
        return {}

    def undone(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> Seen:
        return self._reached(site, subject, before["reserved"])

    def _reached(self, site: Site, subject: Subject, wanted: int | None) -> Seen:
        answer = unless_gone(site.client("lambda").get_function_concurrency, FunctionName=subject.resource_id)
        if answer is None:
            return Seen(State.UNKNOWN, "the function does not exist any more")
        after = {"reserved": answer.get("ReservedConcurrentExecutions")}
        if after["reserved"] == wanted:
            return Seen(State.REACHED, "", after)
        return Seen(State.NOT_REACHED, f"it reserves {_words(after['reserved'])}, not {_words(wanted)}", after)


def _words(reserved: int | None) -> str:
    return "nothing" if reserved is None else str(reserved)


def _wanted(resource: Values, action: Values) -> int | None:
    """What c7n sets: a number, or None for no reservation. With ``expr`` the value is read from the resource."""
    value = action["value"]
    if action.get("expr") and value is not None:
        import jmespath  # type: ignore[import-untyped]

        value = jmespath.search(str(value), dict(resource))
    try:
        return None if value is None else int(value)
    except (TypeError, ValueError):
        raise FinopsPolicyError(
            f"{value!r} is no concurrency for {resource['FunctionName']}",
            hint="Let the action's value be a number, or an expression that finds one.",
        ) from None


class Delete:
    """Gone for good. ``before`` knows the code by its digest, so that another version is not deleted by mistake."""

    def before(self, site: Site, subject: Subject, resource: Values, action: Values) -> dict[str, Any]:
        return {
            "code": resource.get("CodeSha256"),
            "package": resource.get("PackageType"),
            "runtime": resource.get("Runtime"),
            "handler": resource.get("Handler"),
            "role": resource.get("Role"),
            "memory": resource.get("MemorySize"),
            "timeout": resource.get("Timeout"),
            "tags": common.tags_of(resource),
        }

    def undo_of(self, before: Values, action: Values) -> Undo:
        return Undo(
            Undoable.NO,
            "AWS keeps no copy of the code, and neither does the plan: deploy it anew from its source",
            ("code, versions, aliases and environment variables", "its triggers and its resource policy"),
        )

    def dependants(self, site: Site, subject: Subject, resource: Values) -> Dependants:
        return callers(site, subject, resource)

    def seen(self, site: Site, subject: Subject, action: Values, before: Values) -> Seen:
        return Seen(State.NOT_REACHED, "it is still there") if self._there(site, subject) else GONE

    def undo(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> dict[str, Any]:
        raise FinopsPolicyError(
            f"{subject.resource_id} cannot be brought back: nobody kept its code",
            hint="Deploy it anew from its source.",
        )

    def undone(self, site: Site, subject: Subject, action: Values, before: Values, made: Values) -> Seen:
        if self._there(site, subject):
            return Seen(State.UNKNOWN, "a function of that name is there; whether it is the same nobody knows")
        return Seen(State.NOT_REACHED, "nothing brings it back")

    def _there(self, site: Site, subject: Subject) -> bool:
        client = site.client("lambda")
        return unless_gone(client.get_function_configuration, FunctionName=subject.resource_id) is not None


# --- who calls it -----------------------------------------------------------------------------------------------------


def callers(site: Site, subject: Subject, resource: Values) -> Dependants:
    """Queues and streams that AWS reads for the function, its URL, and whom its policy lets call it. Roles that may
    call it by their own policies do not show here, nor do the URLs of its aliases."""
    inquiry = common.Inquiry()
    inquiry.ask("event sources", lambda: _event_sources(site, subject))
    inquiry.ask("function URLs", lambda: _urls(site, subject))
    inquiry.ask("callers that its policy names", lambda: _allowed(site, subject))
    inquiry.ask("stacks", lambda: common.stack_of(resource))
    return inquiry.answer()


def _event_sources(site: Site, subject: Subject) -> Iterator[Dependant]:
    client, name = site.client("lambda"), subject.resource_id
    for each in described(client, "list_event_source_mappings", "EventSourceMappings", FunctionName=name):
        source = str(each.get("EventSourceArn") or each.get("UUID", ""))
        yield Dependant(
            "event-source",
            source,
            f"its events wait, or expire, while the function does not run; the mapping is {_state(each)}",
        )


def _state(mapping: Values) -> str:
    return str(mapping.get("State", "unknown")).lower()


def _urls(site: Site, subject: Subject) -> Iterator[Dependant]:
    answer = unless_gone(site.client("lambda").get_function_url_config, FunctionName=subject.resource_id)
    if answer is not None:
        yield Dependant("function-url", answer["FunctionUrl"], "calls of that address would fail")


def _allowed(site: Site, subject: Subject) -> Iterator[Dependant]:
    answer = unless_gone(site.client("lambda").get_policy, FunctionName=subject.resource_id)
    if answer is None:
        return
    for statement in json.loads(answer["Policy"]).get("Statement", []):
        if statement.get("Effect") != "Allow":
            continue
        principal = statement.get("Principal", "")
        who = common.joined(sorted(_principals(principal)))
        sources = sorted(
            str(value)
            for tests in (statement.get("Condition") or {}).values()
            for key, value in tests.items()
            if key.lower() == "aws:sourcearn"
        )
        yield Dependant("caller", ", ".join(sources) or who, f"the function's policy lets {who} call it")


def _principals(principal: Any) -> list[str]:
    if isinstance(principal, Mapping):
        values = [each if isinstance(each, list) else [each] for each in principal.values()]
        return [str(each) for part in values for each in part]
    return [str(principal)]


RECIPES: Mapping[tuple[str, str], Recipe] = {
    ("aws.lambda", "set-concurrency"): SetConcurrency(),
    ("aws.lambda", "delete"): Delete(),
}
