"""Every resource of the sandbox's accounts that an action could meet: what is read of it is JSON, twice the same."""

from __future__ import annotations

from collections import Counter

import pytest

from finops_policy import aws
from finops_policy.custodian.account import Account, described
from finops_policy.model import Target
from finops_policy.remediation.recipes import (
    addresses,
    asg,
    balancers,
    ebs,
    ec2,
    ec2_image,
    ec2_terminate,
    gateways,
    tags,
)
from finops_policy.remediation.recipes.recipe import Recipe, Site, State, Subject, Undoable
from finops_policy.sandbox.process import Sandbox
from tests.remediation.recipe_kit import as_stored, compared

OWN: dict[tuple[str, str], Recipe] = {
    key: recipe
    for module in (addresses, asg, balancers, ebs, ec2, ec2_image, ec2_terminate, gateways)
    for key, recipe in module.RECIPES.items()
}
TAGGED = ["aws.rds", "aws.lambda", "aws.s3", "aws.log-group", "aws.dynamodb-table", "aws.ebs-snapshot", "aws.ami"]
ACTIONS = {"resize": {"default": "t3.nano"}, "modify": {"volume-type": "st1"}, "tag": {"tags": {"Owner": "x"}}}


@pytest.mark.parametrize("account_id", ["111122223333", "444455556666", "777788889999"])
def test_what_is_read_of_the_estate(in_sandbox: Sandbox, account_id: str) -> None:
    base = aws.session("us-east-1").client("sts")
    keys = base.assume_role(
        RoleArn=f"arn:aws:iam::{account_id}:role/finops-policy-reader", RoleSessionName="test", ExternalId="acme-7f3c"
    )["Credentials"]
    credentials = aws.Credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])
    target = Target(account_id, "us-east-1")
    site = Site(target, "aws", aws.session("us-east-1", credentials))
    account = Account(target, "aws", site.session)
    met: Counter[str] = Counter()
    types = sorted({resource_type for resource_type, _ in OWN} | set(TAGGED))
    for resource_type in types:
        manager = account.load({"name": "estate", "resource": resource_type}).resource_manager
        recipes = {name: recipe for (kind, name), recipe in OWN.items() if kind == resource_type}
        recipes["tag"] = tags.RECIPES["*", "tag"]
        for found in described(manager, manager.resources(), "aws"):
            subject = Subject(resource_type, found.id, found.arn, "item")
            for name, recipe in recipes.items():
                action = {"type": name, **ACTIONS.get(name, {})}
                before = as_stored(recipe.before(site, subject, found.resource, action))
                again = recipe.before(site, subject, found.resource, action)
                assert compared(again) == compared(before)
                undo = recipe.undo_of(before, action)
                assert undo.how
                assert bool(undo.permissions) is (
                    undo.possible is not Undoable.NO and name not in ("snapshot", "backup-image")
                )
                assert recipe.dependants(site, subject, found.resource).unknown == ()
                if name not in ("stop", "terminate", "detach", "tag"):
                    assert recipe.seen(site, subject, action, before).state is State.NOT_REACHED, (subject, name)
                met[resource_type] += 1
    assert met["aws.ec2"]
    assert met["aws.ebs"]
