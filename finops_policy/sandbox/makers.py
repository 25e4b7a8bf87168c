"""How each kind of resource comes into moto's backends, with a creation date in the past.

The backends are used directly, in the server's own process: no API lets a caller choose a creation date, and it takes a
second instead of ten. Dates in moto are naive UTC; where it holds them otherwise, the maker shows it. What a backend's
methods are called and take is moto's own affair: this is written for moto 5.2.
"""

from __future__ import annotations

import base64
import datetime as dt
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from moto.awslambda.models import lambda_backends
from moto.dynamodb.models import dynamodb_backends
from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.models.amis import Ami
from moto.ec2.models.elastic_ip_addresses import ElasticAddress
from moto.ec2.utils import random_ami_id
from moto.elb.models import elb_backends
from moto.elbv2.models import elbv2_backends
from moto.iam.models import iam_backends
from moto.logs.models import logs_backends
from moto.moto_api._internal import mock_random
from moto.rds.models import rds_backends
from moto.s3.models import s3_backends

from finops_policy.sandbox.estate import Item

_LAMBDA_TRUST = json.dumps(
    {"Statement": {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}}
)
_ISO_MILLISECONDS = "%Y-%m-%dT%H:%M:%S.000Z"


@dataclass(frozen=True, slots=True)
class Place:
    """One account and region, the moment the sandbox starts (naive UTC), and the ids of what was made there so far."""

    account: str
    region: str
    now: dt.datetime
    ids: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def ec2(self) -> EC2Backend:
        return ec2_backends[self.account][self.region]

    @property
    def zone(self) -> str:
        return f"{self.region}a"

    def ago(self, days: float) -> dt.datetime:
        return self.now - dt.timedelta(days=days)

    def subnets(self) -> list[str]:
        default = self.ec2.get_default_subnets()
        return [default[zone].id for zone in sorted(default)[:2]]

    def security_group(self) -> str:
        group = self.ec2.get_default_security_group(self.ec2.default_vpc.id)
        if group is None:
            raise LookupError(f"moto made no default security group in {self.account}/{self.region}")
        return str(group.id)


def _named(item: Item) -> dict[str, str]:
    return {"Name": item.name, **item.tags}


def _pairs(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def _ami(place: Place, item: Item, *, owner: str = "self") -> str:
    """``owner: amazon`` is a public image of AWS, which nobody's inventory lists as their own."""
    amazon = owner == "amazon"
    created, tags = place.ago(item.age), {} if amazon else _named(item)
    image = Ami(
        place.ec2,
        random_ami_id(),
        name=item.name,
        description=f"{item.name}, built by the image pipeline",
        owner_id="137112412989" if amazon else place.account,
        owner_alias="amazon" if amazon else None,
        public=amazon,
        virtualization_type="hvm",
        architecture="x86_64",
        hypervisor="xen",
        root_device_type="ebs",
        creation_date=created,
        region_name=place.zone,
        tags=tags,
    )
    image.ebs_snapshot.start_time = created
    image.ebs_snapshot.add_tags(tags)
    if amazon:  # moto does not filter snapshots by owner
        del place.ec2.snapshots[image.ebs_snapshot.id]
    place.ec2.amis[image.id] = image
    return image.id


def _ec2(
    place: Place,
    item: Item,
    *,
    type: str,  # noqa: A002 - the estate's own word
    image: str = "al2023-ami-2023.5",
    disk: int = 30,
    disk_type: str = "gp3",
    bare_disk: bool = False,
    stopped: float | None = None,
    stopped_reason: str = "User initiated ({:%Y-%m-%d %H:%M:%S} GMT)",
) -> str:
    """An instance with its root volume. ``stopped`` is in days; ``bare_disk`` leaves the volume without tags."""
    tags = _named(item)
    reservation = place.ec2.run_instances(
        place.ids["ami", image],
        1,
        None,
        [],
        instance_type=type,
        is_instance_type_default=False,
        region_name=place.region,
        subnet_id=place.subnets()[0],
        security_group_ids=[place.security_group()],
        block_device_mappings=[
            {
                "DeviceName": "/dev/xvda",
                "Ebs": {"VolumeSize": disk, "VolumeType": disk_type, "DeleteOnTermination": True},
            }
        ],
        tags={"instance": tags, "volume": {} if bare_disk else tags},
    )
    instance, created = reservation.instances[0], place.ago(item.age)
    instance.launch_time = created
    for _, device in instance.get_block_device_mapping:
        _date_volume(place, device.volume_id, created)
    if stopped is not None:
        instance.stop()
        instance._reason = stopped_reason.format(place.ago(stopped))
    return instance.id


def _date_volume(place: Place, volume_id: str, created: dt.datetime) -> None:
    volume = place.ec2.get_volume(volume_id)
    volume.create_time = created
    for attachment in volume.attachments:
        attachment.attach_time = created
        attachment.instance.block_device_mapping[attachment.device].attach_time = created


def _ebs(
    place: Place,
    item: Item,
    *,
    size: int,
    type: str = "gp3",  # noqa: A002 - the estate's own word
    iops: int | None = None,
    host: str = "",
    device: str = "/dev/sdf",
) -> str:
    volume = place.ec2.create_volume(size=size, zone_name=place.zone, volume_type=type, iops=iops)
    volume.add_tags(_named(item))
    if host:
        place.ec2.attach_volume(volume.id, place.ids["ec2", host], device)
    _date_volume(place, volume.id, place.ago(item.age))
    return volume.id


def _ebs_snapshot(place: Place, item: Item, *, size: int) -> str:
    """A snapshot whose volume is long gone."""
    volume = place.ec2.create_volume(size=size, zone_name=place.zone, volume_type="gp3")
    snapshot = place.ec2.create_snapshot(volume.id, item.name)
    place.ec2.delete_volume(volume.id)
    snapshot.start_time = place.ago(item.age)
    snapshot.add_tags(_named(item))
    return snapshot.id


def _address(place: Place, tags: dict[str, str]) -> ElasticAddress:
    """An elastic address out of 198.18.0.0/15, which belongs to nobody; moto would give one of loopback."""
    public = f"198.18.{mock_random.randrange(256)}.{mock_random.randrange(1, 255)}"
    return place.ec2.allocate_address(domain="vpc", address=public, tags=tags)


def _network_addr(place: Place, item: Item, *, host: str = "") -> str:
    address = _address(place, _named(item))
    if host:
        instance = place.ec2.get_instance(place.ids["ec2", host])
        place.ec2.associate_address(instance=instance, allocation_id=address.allocation_id)
    return str(address.allocation_id)


def _nat_gateway(place: Place, item: Item) -> str:
    """A gateway in the default subnet, with an address of its own."""
    address = _address(place, {**item.tags, "Name": f"{item.name}-address"})
    gateway = place.ec2.create_nat_gateway(place.subnets()[0], str(address.allocation_id), tags=_named(item))
    gateway._created_at = place.ago(item.age)
    return gateway.id


def _app_elb(place: Place, item: Item, *, scheme: str = "internal") -> str:
    balancer = elbv2_backends[place.account][place.region].create_load_balancer(
        item.name, [place.security_group()], place.subnets(), scheme=scheme, tags=_pairs(item.tags)
    )
    balancer.activate()
    balancer.created_time = place.ago(item.age).strftime(_ISO_MILLISECONDS)
    return balancer.arn.partition(":loadbalancer/")[2]


def _elb(place: Place, item: Item, *, hosts: tuple[str, ...] = ()) -> str:
    backend = elb_backends[place.account][place.region]
    port = {"Protocol": "HTTP", "LoadBalancerPort": 80, "InstancePort": 8080}
    balancer = backend.create_load_balancer(
        item.name, [place.zone], [port], scheme="internal", security_groups=[place.security_group()]
    )
    for key, value in item.tags.items():
        balancer.add_tag(key, value)
    if hosts:
        backend.register_instances(item.name, [place.ids["ec2", name] for name in hosts])
    balancer.created_time = place.ago(item.age).replace(tzinfo=dt.UTC)
    return item.name


def _rds(
    place: Place,
    item: Item,
    *,
    type: str,  # noqa: A002 - the estate's own word
    engine: str = "postgres",
    version: str = "16.4",
    storage: int = 100,
    storage_type: str = "gp3",
    multi_az: bool = False,
) -> str:
    database = rds_backends[place.account][place.region].create_db_instance(
        {
            "db_instance_identifier": item.name,
            "db_instance_class": type,
            "engine": engine,
            "engine_version": version,
            "allocated_storage": storage,
            "storage_type": storage_type,
            "storage_encrypted": True,
            "multi_az": multi_az,
            "master_username": "clinical",
            "tags": _pairs(item.tags),
        }
    )
    database.instance_create_time = place.ago(item.age)
    return item.name


def _s3(place: Place, item: Item) -> str:
    backend = s3_backends[place.account]["aws"]
    bucket = backend.create_bucket(item.name, place.region)
    bucket.creation_date = place.ago(item.age).replace(tzinfo=dt.UTC)
    backend.put_bucket_tagging(item.name, dict(item.tags))
    return item.name


def _lambda(place: Place, item: Item, *, runtime: str = "python3.12", memory: int = 256, description: str = "") -> str:
    function = lambda_backends[place.account][place.region].create_function(
        {
            "FunctionName": item.name,
            "Description": description,
            "Runtime": runtime,
            "Role": _lambda_role(place.account),
            "Handler": "main.handler",
            "MemorySize": memory,
            "Timeout": 30,
            "Code": {"ZipFile": _package()},
            "Tags": dict(item.tags),
        }
    )
    function.last_modified = place.ago(item.age).strftime("%Y-%m-%dT%H:%M:%S.000+0000")
    return item.name


def _lambda_role(account: str) -> str:
    """The execution role that the account's functions share."""
    iam = iam_backends[account]["aws"]
    found = [role for role in iam.get_roles() if role.name == "lambda-execution"]
    role = found[0] if found else iam.create_role("lambda-execution", _LAMBDA_TRUST, "/", None, "", [], "3600")
    return role.arn


def _package() -> str:
    """A code package; the date inside is fixed, so that its checksum is too."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("main.py"), "def handler(event, context):\n    return event\n")
    return base64.b64encode(buffer.getvalue()).decode()


def _dynamodb_table(place: Place, item: Item, *, provisioned: tuple[int, int] | None = None) -> str:
    """``provisioned`` is (read, write) capacity units; without it the table is billed per request."""
    throughput = None
    if provisioned:
        throughput = {"ReadCapacityUnits": provisioned[0], "WriteCapacityUnits": provisioned[1]}
    table = dynamodb_backends[place.account][place.region].create_table(
        item.name,
        schema=[{"AttributeName": "id", "KeyType": "HASH"}],
        attr=[{"AttributeName": "id", "AttributeType": "S"}],
        throughput=throughput,
        billing_mode="PROVISIONED" if provisioned else "PAY_PER_REQUEST",
        global_indexes=None,
        indexes=None,
        streams=None,
        sse_specification=None,
        tags=_pairs(item.tags),
        deletion_protection_enabled=False,
        warm_throughput=None,
    )
    table.created_at = place.ago(item.age)
    return item.name


def _log_group(place: Place, item: Item, *, retention: int | None = None, gib: float = 0) -> str:
    """``retention`` is in days, none means for ever; ``gib`` is what it holds."""
    backend = logs_backends[place.account][place.region]
    group = backend.create_log_group(item.name, dict(item.tags), RetentionInDays=retention)
    group.creation_time = place.ago(item.age)
    group.create_log_stream("main")
    group.streams["main"].stored_bytes = int(gib * 2**30)
    return item.name


@dataclass(frozen=True, slots=True)
class Kind:
    """How to make a resource of one Cloud Custodian type, and the CloudWatch namespace and dimension of its metrics."""

    make: Callable[..., str]
    namespace: str = ""
    dimension: str = ""


KINDS: Mapping[str, Kind] = {
    "ami": Kind(_ami),
    "ec2": Kind(_ec2, "AWS/EC2", "InstanceId"),
    "ebs": Kind(_ebs, "AWS/EBS", "VolumeId"),
    "ebs-snapshot": Kind(_ebs_snapshot),
    "network-addr": Kind(_network_addr),
    "nat-gateway": Kind(_nat_gateway, "AWS/NATGateway", "NatGatewayId"),
    "app-elb": Kind(_app_elb, "AWS/ApplicationELB", "LoadBalancer"),
    "elb": Kind(_elb, "AWS/ELB", "LoadBalancerName"),
    "rds": Kind(_rds, "AWS/RDS", "DBInstanceIdentifier"),
    "s3": Kind(_s3),
    "lambda": Kind(_lambda, "AWS/Lambda", "FunctionName"),
    "dynamodb-table": Kind(_dynamodb_table, "AWS/DynamoDB", "TableName"),
    "log-group": Kind(_log_group),
}
