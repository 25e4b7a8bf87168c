"""Tags read and written by each service's own API, and by the Resource Groups Tagging API for the others.

A service's own API shows at once what was written; the Tagging API may lag behind, and leaves out what never had a tag.
EC2 does not tell a resource without tags from one that is gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from finops_policy.errors import FinopsPolicyError
from finops_policy.remediation.recipes import common
from finops_policy.remediation.recipes.common import as_list, described, tags_of, unless_gone
from finops_policy.remediation.recipes.recipe import Site, Subject

Tags = Mapping[str, str]


class Tagger(Protocol):
    """``read`` answers None where the resource is gone; ``write`` leaves other tags alone."""

    @property
    def permissions(self) -> tuple[str, ...]: ...

    def read(self, site: Site, subject: Subject) -> dict[str, str] | None: ...

    def write(self, site: Site, subject: Subject, tags: Tags) -> None: ...

    def remove(self, site: Site, subject: Subject, keys: Iterable[str]) -> None: ...


class Ec2:
    permissions = ("ec2:CreateTags", "ec2:DeleteTags", "ec2:DescribeTags")

    def read(self, site: Site, subject: Subject) -> dict[str, str] | None:
        wanted = [{"Name": "resource-id", "Values": [subject.resource_id]}]
        return tags_of({"Tags": described(site.client("ec2"), "describe_tags", "Tags", Filters=wanted)})

    def write(self, site: Site, subject: Subject, tags: Tags) -> None:
        site.client("ec2").create_tags(Resources=[subject.resource_id], Tags=as_list(tags))

    def remove(self, site: Site, subject: Subject, keys: Iterable[str]) -> None:
        site.client("ec2").delete_tags(Resources=[subject.resource_id], Tags=[{"Key": key} for key in keys])


@dataclass(frozen=True, slots=True)
class ByArn:
    """Services with one call each to list, add and take away the tags of an ARN (or, ``by_name``, of a name).

    ``many``: the argument is a list. ``member`` holds the tags in the answer to ``listing``, behind ``within`` if any.
    """

    service: str
    listing: str
    argument: str
    member: str
    add: str
    take: str
    keys: str
    permissions: tuple[str, ...]
    within: str = ""
    many: bool = False
    by_name: bool = False
    as_mapping: bool = False
    bare_keys: bool = True

    def read(self, site: Site, subject: Subject) -> dict[str, str] | None:
        answer = unless_gone(getattr(site.client(self.service), self.listing), **self._named(subject))
        if answer is None:
            return None
        if self.within:
            found = answer.get(self.within) or []
            return tags_of({"Tags": found[0].get(self.member) or []}) if found else None
        return tags_of({"Tags": answer.get(self.member) or []})

    def write(self, site: Site, subject: Subject, tags: Tags) -> None:
        wanted = dict(tags) if self.as_mapping else as_list(tags)
        member = "tags" if self.as_mapping and self.service == "logs" else "Tags"
        getattr(site.client(self.service), self.add)(**self._named(subject), **{member: wanted})

    def remove(self, site: Site, subject: Subject, keys: Iterable[str]) -> None:
        wanted = list(keys) if self.bare_keys else [{"Key": key} for key in keys]
        getattr(site.client(self.service), self.take)(**self._named(subject), **{self.keys: wanted})

    def _named(self, subject: Subject) -> dict[str, Any]:
        name = subject.resource_id if self.by_name else subject.arn.removesuffix(":*")
        return {self.argument: [name] if self.many else name}


class Bucket:
    """S3 has no way to change one tag: the whole set is read and written."""

    permissions = ("s3:GetBucketTagging", "s3:PutBucketTagging")

    def read(self, site: Site, subject: Subject) -> dict[str, str] | None:
        from botocore.exceptions import ClientError

        try:
            return tags_of({"Tags": site.client("s3").get_bucket_tagging(Bucket=subject.resource_id)["TagSet"]})
        except ClientError as error:
            if common.code_of(error) == "NoSuchTagSet":
                return {}
            if common.is_gone(error):
                return None
            raise

    def write(self, site: Site, subject: Subject, tags: Tags) -> None:
        self._put(site, subject, {**(self.read(site, subject) or {}), **tags})

    def remove(self, site: Site, subject: Subject, keys: Iterable[str]) -> None:
        gone = set(keys)
        now = self.read(site, subject) or {}
        self._put(site, subject, {key: value for key, value in now.items() if key not in gone})

    def _put(self, site: Site, subject: Subject, tags: Tags) -> None:
        client = site.client("s3")
        if tags:
            client.put_bucket_tagging(Bucket=subject.resource_id, Tagging={"TagSet": as_list(tags)})
        else:
            client.delete_bucket_tagging(Bucket=subject.resource_id)


class Group:
    """Auto Scaling groups, whose tags also say whether new instances get them: that stays as it is, or is no."""

    permissions = ("autoscaling:CreateOrUpdateTags", "autoscaling:DeleteTags", "autoscaling:DescribeTags")

    def read(self, site: Site, subject: Subject) -> dict[str, str] | None:
        return tags_of({"Tags": self.described(site, subject)})

    def write(self, site: Site, subject: Subject, tags: Tags) -> None:
        now = {each["Key"]: bool(each.get("PropagateAtLaunch")) for each in self.described(site, subject)}
        self.write_with(site, subject, tags, now)

    def write_with(self, site: Site, subject: Subject, tags: Tags, propagated: Mapping[str, bool]) -> None:
        """``propagated`` says of each key whether new instances get the tag."""
        wanted = [
            {**self._of(subject, key), "Value": value, "PropagateAtLaunch": propagated.get(key, False)}
            for key, value in tags.items()
        ]
        site.client("autoscaling").create_or_update_tags(Tags=wanted)

    def remove(self, site: Site, subject: Subject, keys: Iterable[str]) -> None:
        site.client("autoscaling").delete_tags(Tags=[self._of(subject, key) for key in keys])

    def described(self, site: Site, subject: Subject) -> list[dict[str, Any]]:
        wanted = [{"Name": "auto-scaling-group", "Values": [subject.resource_id]}]
        return described(site.client("autoscaling"), "describe_tags", "Tags", Filters=wanted)

    def _of(self, subject: Subject, key: str) -> dict[str, Any]:
        return {"ResourceId": subject.resource_id, "ResourceType": "auto-scaling-group", "Key": key}


class Universal:
    """The Resource Groups Tagging API. It answers with success and a list of what failed."""

    permissions = ("tag:GetResources", "tag:TagResources", "tag:UntagResources")

    def read(self, site: Site, subject: Subject) -> dict[str, str] | None:
        client = site.client("resourcegroupstaggingapi")
        found = client.get_resources(ResourceARNList=[subject.arn])["ResourceTagMappingList"]
        return tags_of(found[0]) if found else {}

    def write(self, site: Site, subject: Subject, tags: Tags) -> None:
        client = site.client("resourcegroupstaggingapi")
        self._whole(client.tag_resources(ResourceARNList=[subject.arn], Tags=dict(tags)))

    def remove(self, site: Site, subject: Subject, keys: Iterable[str]) -> None:
        client = site.client("resourcegroupstaggingapi")
        self._whole(client.untag_resources(ResourceARNList=[subject.arn], TagKeys=list(keys)))

    def _whole(self, answer: Mapping[str, Any]) -> None:
        for arn, failure in (answer.get("FailedResourcesMap") or {}).items():
            raise FinopsPolicyError(
                f"the tags of {arn} could not be changed: {failure.get('ErrorCode')}: {failure.get('ErrorMessage')}",
                hint="Allow the service's own tagging actions as well as tag:TagResources and tag:UntagResources.",
            )


def _rds() -> ByArn:
    permissions = ("rds:AddTagsToResource", "rds:ListTagsForResource", "rds:RemoveTagsFromResource")
    listing, add, take = "list_tags_for_resource", "add_tags_to_resource", "remove_tags_from_resource"
    return ByArn("rds", listing, "ResourceName", "TagList", add, take, "TagKeys", permissions)


EC2, UNIVERSAL, GROUP = Ec2(), Universal(), Group()
BALANCING = (
    "elasticloadbalancing:AddTags",
    "elasticloadbalancing:DescribeTags",
    "elasticloadbalancing:RemoveTags",
)
TAGGERS: Mapping[str, Tagger] = {
    "aws.ec2": EC2,
    "aws.ebs": EC2,
    "aws.network-addr": EC2,
    "aws.nat-gateway": EC2,
    "aws.ebs-snapshot": EC2,
    "aws.ami": EC2,
    "aws.rds": _rds(),
    "aws.rds-cluster": _rds(),
    "aws.rds-snapshot": _rds(),
    "aws.lambda": ByArn(
        "lambda",
        "list_tags",
        "Resource",
        "Tags",
        "tag_resource",
        "untag_resource",
        "TagKeys",
        ("lambda:ListTags", "lambda:TagResource", "lambda:UntagResource"),
        as_mapping=True,
    ),
    "aws.log-group": ByArn(
        "logs",
        "list_tags_for_resource",
        "resourceArn",
        "tags",
        "tag_resource",
        "untag_resource",
        "tagKeys",
        ("logs:ListTagsForResource", "logs:TagResource", "logs:UntagResource"),
        as_mapping=True,
    ),
    "aws.dynamodb-table": ByArn(
        "dynamodb",
        "list_tags_of_resource",
        "ResourceArn",
        "Tags",
        "tag_resource",
        "untag_resource",
        "TagKeys",
        ("dynamodb:ListTagsOfResource", "dynamodb:TagResource", "dynamodb:UntagResource"),
    ),
    "aws.elb": ByArn(
        "elb",
        "describe_tags",
        "LoadBalancerNames",
        "Tags",
        "add_tags",
        "remove_tags",
        "Tags",
        BALANCING,
        within="TagDescriptions",
        many=True,
        by_name=True,
        bare_keys=False,
    ),
    "aws.app-elb": ByArn(
        "elbv2",
        "describe_tags",
        "ResourceArns",
        "Tags",
        "add_tags",
        "remove_tags",
        "TagKeys",
        BALANCING,
        within="TagDescriptions",
        many=True,
    ),
    "aws.s3": Bucket(),
    "aws.asg": GROUP,
}
"""By resource type; for every other type the Tagging API serves."""


def tagger(resource_type: str) -> Tagger:
    return TAGGERS.get(resource_type, UNIVERSAL)
