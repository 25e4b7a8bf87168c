"""The estate behind the fake AWS: instances, volumes and their metrics, made of nothing but their names.

Every property of a resource is drawn from a digest of (seed, account, region, kind, number), and its id carries the
digest, so that a metric can be answered from the resource's id alone. Ages are whole days back from ``today``, in steps
that lie far from the thresholds of bench/policies: verdicts do not depend on the hour.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

REGIONS = (
    "us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1", "sa-east-1", "eu-central-1", "eu-west-1",
    "eu-west-2", "eu-west-3", "eu-north-1", "ap-south-1", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3",
    "ap-southeast-1", "ap-southeast-2",
)  # fmt: skip
AGES = (1, 4, 10, 20, 45, 75, 120, 200, 400, 800)
INSTANCE_TYPES = (
    "t3.micro", "t3.medium", "t3.large", "m5.large", "m5.xlarge", "m5.2xlarge", "c5.large", "c5.4xlarge", "r5.xlarge",
    "m4.large", "t2.small", "g4dn.xlarge",
)  # fmt: skip
INSTANCE_STATES = ((204, "running", 16), (243, "stopped", 80), (256, "terminated", 48))  # first byte below: state, code
VOLUME_TYPES = ("gp2", "gp2", "gp3", "gp3", "gp3", "io1", "st1", "standard")
OWNERS = ("web", "data", "platform", "billing", "search", "mobile")
SHAPES = (1.0, 0.55, 0.8, 0.7, 0.9, 0.6, 0.75, 0.85)
"""How a metric moves from datapoint to datapoint. Its peak comes first: however the window is cut, it is in it."""

Draws = bytes


def account_ids(count: int) -> list[str]:
    return [f"{110_000_000_001 + 7 * number}" for number in range(count)]


@dataclass(frozen=True)
class Estate:
    """``instances`` per account and region, and as many volumes. ``today`` is midnight UTC, counted back from."""

    instances: int
    seed: str = "1"
    today: dt.datetime = field(
        default_factory=lambda: dt.datetime.now(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    )

    @lru_cache(maxsize=32)  # noqa: B019 - one estate per process
    def page(self, kind: str, account: str, region: str, start: int, size: int) -> bytes:
        """Items ``start`` to ``start + size`` of a listing, as the XML between its outer tags."""
        return b"".join(self._items(kind, account, region)[start : start + size])

    @lru_cache(maxsize=4)  # noqa: B019 - one estate per process
    def _items(self, kind: str, account: str, region: str) -> Sequence[bytes]:
        render: Callable[[str, str, int], bytes] = {"instance": self._instance, "volume": self._volume}[kind]
        return [render(account, region, number) for number in range(self.instances)]

    def draws(self, account: str, region: str, kind: str, number: int) -> Draws:
        name = f"{self.seed}/{account}/{region}/{kind}/{number}"
        return hashlib.blake2b(name.encode(), digest_size=16).digest()

    def _ago(self, days: int) -> str:
        return (self.today - dt.timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%S.000Z")

    def _instance(self, account: str, region: str, number: int) -> bytes:
        draws = self.draws(account, region, "instance", number)
        volume = volume_id(self.draws(account, region, "volume", number))
        state, code = instance_state(draws)
        launched = AGES[draws[1] % len(AGES)]
        reason = f"User initiated ({self._ago(launched)[:10]} 09:00:00 GMT)" if draws[2] < 200 else ""
        zone = region + "abc"[draws[3] % 3]
        address = f"10.{draws[4]}.{draws[5]}.{draws[6]}"
        return _INSTANCE.format(
            account=account,
            reservation=draws.hex()[:17],
            id=instance_id(draws),
            state=state,
            code=code,
            reason=reason if state != "running" else "",
            type=INSTANCE_TYPES[draws[7] % len(INSTANCE_TYPES)],
            launched=self._ago(launched),
            zone=zone,
            address=address,
            dashed=address.replace(".", "-"),
            region=region,
            image=draws.hex()[3:20],
            volume=volume,
            monitoring="enabled" if draws[8] < 64 else "disabled",
            tokens="required" if draws[9] < 128 else "optional",
            optimized="true" if draws[10] < 128 else "false",
            public=f"<ipAddress>54.{draws[4]}.{draws[5]}.{draws[6]}</ipAddress>" if draws[11] < 77 else "",
            lifecycle="<instanceLifecycle>spot</instanceLifecycle>" if draws[12] < 13 else "",
            profile=_PROFILE.format(account=account, id=draws.hex()[5:22]) if draws[13] < 180 else "",
            tags=_tags(draws, "instance", number),
        ).encode()

    def _volume(self, account: str, region: str, number: int) -> bytes:
        draws = self.draws(account, region, "volume", number)
        instance = instance_id(self.draws(account, region, "instance", number))
        created = self._ago(AGES[draws[1] % len(AGES)])
        state = volume_state(draws)
        identity = volume_id(draws)
        attached = state == "in-use"
        return _VOLUME.format(
            id=identity,
            size=8 * (1 + draws[2] % 64),
            zone=region + "abc"[draws[3] % 3],
            state=state,
            created=created,
            type=VOLUME_TYPES[draws[4] % len(VOLUME_TYPES)],
            iops=3000 if draws[5] < 200 else 9000,
            encrypted="true" if draws[6] < 150 else "false",
            attachments=_ATTACHMENT.format(volume=identity, instance=instance, at=created) if attached else "",
            tags=_tags(draws, "volume", number),
        ).encode()


def instance_id(draws: Draws) -> str:
    return "i-" + draws.hex()[:17]


def volume_id(draws: Draws) -> str:
    return "vol-" + draws.hex()[:17]


def instance_state(draws: Draws) -> tuple[str, int]:
    return next((state, code) for below, state, code in INSTANCE_STATES if draws[0] < below)


def volume_state(draws: Draws) -> str:
    return "available" if draws[0] < 46 else "in-use"


def level(seed: str, resource_id: str, metric: str) -> float | None:
    """The peak average of a metric of a resource; None where CloudWatch has no datapoints.

    That is so for what does not run or is attached to nothing, and for one in fifty of the others.
    """
    kind, _, digits = resource_id.partition("-")
    if len(digits) != 17:
        return None
    first = bytes([int(digits[:2], 16)])
    if kind == "i" and instance_state(first)[0] != "running":
        return None
    if kind == "vol" and volume_state(first) == "available":
        return None
    if int(digits[2:4], 16) < 5:
        return None
    draws = hashlib.blake2b(f"{seed}/{resource_id}/{metric}".encode(), digest_size=8).digest()
    share = int.from_bytes(draws[1:4], "big") / 2**24
    if metric == "CPUUtilization":
        return 0.2 + 2.8 * share if draws[0] < 80 else 6 + 14 * share if draws[0] < 150 else 30 + 45 * share
    return 10 + 890 * share if draws[0] < 80 else 1e5 + 9e6 * share


def _tags(draws: Draws, kind: str, number: int) -> str:
    """Every resource has a name; of the tags that policies ask for, some are missing, empty or unheard of."""
    tags = {"Name": f"{kind}-{number}", "created-by": "terraform"}
    if draws[14] % 8:
        tags["owner"] = OWNERS[draws[14] % len(OWNERS)]
    if draws[14] >= 70:
        tags["cost-center"] = f"cc-{draws[14] % 12:03}" if draws[14] % 11 else ""
    if draws[15] % 5:
        tags["environment"] = ("prod", "staging", "dev", "sandbox", "Prod?")[draws[15] // 5 % 5]
    if kind == "instance" and draws[15] < 20:
        tags["aws:autoscaling:groupName"] = "workers"
    return "".join(f"<item><key>{key}</key><value>{value}</value></item>" for key, value in tags.items())


_PROFILE = (
    "<iamInstanceProfile><arn>arn:aws:iam::{account}:instance-profile/app</arn><id>AIPA{id}</id></iamInstanceProfile>"
)
_INSTANCE = (
    "<item><reservationId>r-{reservation}</reservationId><ownerId>{account}</ownerId><groupSet/><instancesSet><item>"
    "<instanceId>{id}</instanceId><imageId>ami-{image}</imageId>"
    "<instanceState><code>{code}</code><name>{state}</name></instanceState>"
    "<privateDnsName>ip-{dashed}.{region}.compute.internal</privateDnsName>"
    "<dnsName>ec2-{dashed}.{region}.compute.amazonaws.com</dnsName><reason>{reason}</reason><keyName>ops</keyName>"
    "<amiLaunchIndex>0</amiLaunchIndex><productCodes/><instanceType>{type}</instanceType>"
    "<launchTime>{launched}</launchTime>"
    "<placement><availabilityZone>{zone}</availabilityZone><groupName/><tenancy>default</tenancy></placement>"
    "<monitoring><state>{monitoring}</state></monitoring><subnetId>subnet-0a1b2c3d4e5f60718</subnetId>"
    "<vpcId>vpc-0a1b2c3d4e5f60718</vpcId><privateIpAddress>{address}</privateIpAddress>{public}"
    "<sourceDestCheck>true</sourceDestCheck>"
    "<groupSet><item><groupId>sg-0a1b2c3d4e5f60718</groupId><groupName>app</groupName></item></groupSet>"
    "<architecture>x86_64</architecture><rootDeviceType>ebs</rootDeviceType><rootDeviceName>/dev/xvda</rootDeviceName>"
    "<blockDeviceMapping><item><deviceName>/dev/xvda</deviceName><ebs><volumeId>{volume}</volumeId>"
    "<status>attached</status><attachTime>{launched}</attachTime><deleteOnTermination>true</deleteOnTermination></ebs>"
    "</item></blockDeviceMapping><virtualizationType>hvm</virtualizationType><clientToken>{reservation}</clientToken>"
    "<tagSet>{tags}</tagSet><hypervisor>xen</hypervisor><networkInterfaceSet><item>"
    "<networkInterfaceId>eni-{reservation}</networkInterfaceId><subnetId>subnet-0a1b2c3d4e5f60718</subnetId>"
    "<vpcId>vpc-0a1b2c3d4e5f60718</vpcId><description/><ownerId>{account}</ownerId><status>in-use</status>"
    "<macAddress>02:00:00:00:00:01</macAddress><privateIpAddress>{address}</privateIpAddress>"
    "<privateDnsName>ip-{dashed}.{region}.compute.internal</privateDnsName><sourceDestCheck>true</sourceDestCheck>"
    "<groupSet><item><groupId>sg-0a1b2c3d4e5f60718</groupId><groupName>app</groupName></item></groupSet>"
    "<attachment><attachmentId>eni-attach-{reservation}</attachmentId><deviceIndex>0</deviceIndex>"
    "<networkCardIndex>0</networkCardIndex><status>attached</status><attachTime>{launched}</attachTime>"
    "<deleteOnTermination>true</deleteOnTermination></attachment><privateIpAddressesSet><item>"
    "<privateIpAddress>{address}</privateIpAddress><privateDnsName>ip-{dashed}.{region}.compute.internal"
    "</privateDnsName><primary>true</primary></item></privateIpAddressesSet><ipv6AddressesSet/>"
    "<interfaceType>interface</interfaceType></item></networkInterfaceSet>{profile}{lifecycle}"
    "<ebsOptimized>{optimized}</ebsOptimized><enaSupport>true</enaSupport>"
    "<cpuOptions><coreCount>1</coreCount><threadsPerCore>2</threadsPerCore></cpuOptions>"
    "<capacityReservationSpecification><capacityReservationPreference>open</capacityReservationPreference>"
    "</capacityReservationSpecification><hibernationOptions><configured>false</configured></hibernationOptions>"
    "<metadataOptions><state>applied</state><httpTokens>{tokens}</httpTokens>"
    "<httpPutResponseHopLimit>1</httpPutResponseHopLimit><httpEndpoint>enabled</httpEndpoint>"
    "<httpProtocolIpv6>disabled</httpProtocolIpv6><instanceMetadataTags>disabled</instanceMetadataTags>"
    "</metadataOptions><enclaveOptions><enabled>false</enabled></enclaveOptions><bootMode>uefi-preferred</bootMode>"
    "<currentInstanceBootMode>uefi</currentInstanceBootMode><platformDetails>Linux/UNIX</platformDetails>"
    "<usageOperation>RunInstances</usageOperation><usageOperationUpdateTime>{launched}</usageOperationUpdateTime>"
    "<privateDnsNameOptions><hostnameType>ip-name</hostnameType><enableResourceNameDnsARecord>false"
    "</enableResourceNameDnsARecord><enableResourceNameDnsAAAARecord>false</enableResourceNameDnsAAAARecord>"
    "</privateDnsNameOptions><maintenanceOptions><autoRecovery>default</autoRecovery></maintenanceOptions>"
    "</item></instancesSet></item>"
)
_ATTACHMENT = (
    "<item><volumeId>{volume}</volumeId><instanceId>{instance}</instanceId><device>/dev/xvda</device>"
    "<status>attached</status><attachTime>{at}</attachTime><deleteOnTermination>true</deleteOnTermination></item>"
)
_VOLUME = (
    "<item><volumeId>{id}</volumeId><size>{size}</size><snapshotId/><availabilityZone>{zone}</availabilityZone>"
    "<status>{state}</status><createTime>{created}</createTime><attachmentSet>{attachments}</attachmentSet>"
    "<tagSet>{tags}</tagSet><volumeType>{type}</volumeType><iops>{iops}</iops><encrypted>{encrypted}</encrypted>"
    "<multiAttachEnabled>false</multiAttachEnabled></item>"
)
