"""What moto lacks and the sandbox needs, put in where moto would have it.

- STS lets anyone assume any role, existing or not. Here a role must exist in its account and the external id must match
  its trust policy, else the answer is the AccessDenied that AWS gives; so one account of the estate cannot be entered.
- Budgets has no DescribeBudgetNotificationsForAccount, which Cloud Custodian calls as soon as an account has a budget.
- DynamoDB tables without secondary indexes have empty lists of them, where AWS has none; a filter for ``absent`` minds.
- EC2 DescribeRegions names every region; here only those enabled in the account, as AWS does without AllRegions.
- EC2 does not filter snapshots by owner, so the images of AWS that the estate names keep no snapshot (``makers.py``).

What stays missing answers HTTP 500 with a page of HTML, as moto does (compute-optimizer, service quotas, ...).
"""

from __future__ import annotations

import json
from typing import Any
from xml.sax.saxutils import escape

from moto.budgets.responses import BudgetsResponse
from moto.dynamodb.models.table import Table
from moto.ec2.models.availability_zones_and_regions import Region, RegionsAndZonesBackend
from moto.iam.exceptions import NotFoundException
from moto.iam.models import Role, iam_backends
from moto.sts.responses import TokenResponse
from moto.utilities.utils import get_partition

from finops_policy.roles import ALWAYS_ENABLED
from finops_policy.sandbox.organization import OPTED_IN

_DENIED = """<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <Error>
    <Type>Sender</Type>
    <Code>AccessDenied</Code>
    <Message>{message}</Message>
  </Error>
  <RequestId></RequestId>
</ErrorResponse>
"""


def fill_gaps() -> None:
    """Patch moto's classes in this process."""
    assume_any_role = TokenResponse.assume_role

    def assume_role(self: TokenResponse) -> Any:
        arn, external_id = self._get_param("RoleArn"), self._get_param("ExternalId")
        if _may_assume(arn, external_id):
            return assume_any_role(self)
        _, caller, _ = self.backend.get_caller_identity(self.get_access_key(), self.region)
        message = f"User: {caller} is not authorized to perform: sts:AssumeRole on resource: {arn}"
        return _DENIED.format(message=escape(message)), {"status": 403, "Content-Type": "text/xml"}

    def describe_budget_notifications_for_account(self: BudgetsResponse) -> str:
        budgets = self.backend.budgets[self._get_param("AccountId")]
        found = [
            {"BudgetName": name, "Notifications": list(budget.get_notifications())} for name, budget in budgets.items()
        ]
        return json.dumps({"BudgetNotificationsForAccount": found})

    describe_table = Table.describe

    def describe(self: Table, base_key: str = "TableDescription") -> dict[str, Any]:
        described = describe_table(self, base_key)
        for indexes in ("GlobalSecondaryIndexes", "LocalSecondaryIndexes"):
            if not described[base_key][indexes]:
                del described[base_key][indexes]
        return described

    def describe_regions(self: RegionsAndZonesBackend, region_names: list[str] | None = None) -> list[Region]:
        opted_in = OPTED_IN.get(self.account_id, ())  # type: ignore[attr-defined]
        return [
            each
            for each in self.regions
            if (ALWAYS_ENABLED.fullmatch(each.name) or each.name in opted_in)
            and get_partition(each.name) == self.partition  # type: ignore[attr-defined]
            and (not region_names or each.name in region_names)
        ]

    RegionsAndZonesBackend.describe_regions = describe_regions  # type: ignore[method-assign]
    Table.describe = describe  # type: ignore[method-assign]
    TokenResponse.assume_role = assume_role  # type: ignore[method-assign]
    BudgetsResponse.describe_budget_notifications_for_account = (  # type: ignore[attr-defined]
        describe_budget_notifications_for_account
    )


def _may_assume(arn: str, external_id: str | None) -> bool:
    """As AWS judges it, for trust policies as the estate has them: one statement, an account, an external id."""
    role = _role(arn)
    if role is None:
        return False
    statement = json.loads(role.assume_role_policy_document)["Statement"]
    wanted = statement.get("Condition", {}).get("StringEquals", {}).get("sts:ExternalId")
    return "AWS" in statement["Principal"] and wanted == external_id


def _role(arn: str) -> Role | None:
    account_id = arn.split(":")[4]
    if account_id not in iam_backends:  # asking for it would make the account
        return None
    try:
        return iam_backends[account_id]["aws"].get_role_by_arn(arn)
    except NotFoundException:
        return None
