"""One action of c7n's on one resource: the only place where something in AWS is changed through c7n.

c7n logs most failures of an action and goes on, so its silence proves nothing: calls that failed are asked of the
session, and what really happened is for the caller to read from AWS.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from finops_policy.custodian.account import Account
from finops_policy.failures import Failure, explain
from finops_policy.model import CompiledPolicy


def long_form(action: str | Mapping[str, Any]) -> dict[str, Any]:
    """``stop`` as ``{"type": "stop"}``."""
    return {"type": action} if isinstance(action, str) else dict(action)


def permissions(account: Account, policy: CompiledPolicy, action: Mapping[str, Any]) -> tuple[str, ...]:
    """IAM actions that c7n says an action needs, sorted. Raises what c7n raises on an action that it does not take."""
    [loaded] = _actions(account, policy, action)
    return tuple(sorted(loaded.get_permissions()))


def marked_and_due(
    account: Account, policy: CompiledPolicy, tag: str, op: str, resources: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """Those whose mark for ``op`` is due, as c7n's own ``marked-for-op`` says."""
    document = _bare(policy) | {"filters": [{"type": "marked-for-op", "tag": tag, "op": op}]}
    [due] = account.load(document).resource_manager.filters
    return list(due.process([dict(each) for each in resources]))


def act(
    account: Account, policy: CompiledPolicy, action: Mapping[str, Any], resource: Mapping[str, Any]
) -> Failure | None:
    """Lets c7n take an action on a resource, given as c7n describes it; answers with the first call that failed.

    No failure is no proof. Raises what c7n and botocore raise.
    """
    [loaded] = _actions(account, policy, action)
    before = account.failed_calls.count
    loaded.process([copy.deepcopy(dict(resource))])
    failed = account.failed_calls.first_since(before)
    return explain(failed) if failed else None


def _actions(account: Account, policy: CompiledPolicy, action: Mapping[str, Any]) -> Sequence[Any]:
    return account.load(_bare(policy) | {"actions": [dict(action)]}).resource_manager.actions  # type: ignore[no-any-return]


def _bare(policy: CompiledPolicy) -> dict[str, Any]:
    """Without filters: they were asked already, and metrics among them would be read again."""
    return {"name": policy.name, "resource": policy.resource}
