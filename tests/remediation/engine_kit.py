"""A small customer with an account on the moto server, and what it takes to plan, apply and undo there.

Its four policies cover what can be taken back (stop, set-concurrency, retention) and what cannot (snapshot and delete,
in two steps). All calls go through a proxy, which counts them and answers, when told to, as AWS does on a bad day.
"""

from __future__ import annotations

import datetime as dt
import io
import json
import os
import urllib.request
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from finops_policy import aws
from finops_policy.catalog import Catalog
from finops_policy.evidence.layout import new_run_id
from finops_policy.evidence.parquet import read_actions, write_coverage, write_evaluations
from finops_policy.evidence.signing import SigningKey
from finops_policy.evidence.store import LocalStore
from finops_policy.evidence.verify import verify_bundle
from finops_policy.model import Coverage, Status, Target, Verdict
from finops_policy.money import Price
from finops_policy.project import Project, load
from finops_policy.remediation import work
from finops_policy.remediation.applying import Told
from finops_policy.remediation.journal import Log, read_journal
from finops_policy.remediation.model import Item, Outcome, Plan
from finops_policy.remediation.planning import APPROVABLE, UNATTENDED, actionable, make_plan
from finops_policy.remediation.recording import Applied
from finops_policy.remediation.stepping import Patience
from finops_policy.remediation.visiting import Doors
from tests.engine.faults import Proxy, proxy
from tests.unit.evidence_kit import NOW, evaluation, record

ACCOUNT, REGION = "123456789012", "us-east-1"
HERE = Target(ACCOUNT, REGION, "one")
CALLER = aws.Identity(ACCOUNT, "arn:aws:iam::123456789012:user/runner")
READS = ("Describe", "List", "Get", "Head", "Batch", "Lookup", "AssumeRole")
"""How the names of calls begin that change nothing."""
IDLE = [{"Key": "idle", "Value": "yes"}]
AT_ONCE = Patience(seconds=20.0, pause=0.0, looks=2, sleep=lambda _seconds: None)

POLICIES: Mapping[str, Mapping[str, Any]] = {
    "stop-idle": {
        "resource": "aws.ec2",
        "scope": [{"State.Name": "running"}],
        "violation": [{"tag:idle": "yes"}],
        "remediation": {"actions": ["stop"], "destructive": False, "grace_days": 10},
        "savings": {"method": "on_demand_hours"},
    },
    "drop-volumes": {
        "resource": "aws.ebs",
        "scope": [{"tag:idle": "present"}],
        "violation": [{"tag:idle": "yes"}],
        "remediation": {
            "actions": [{"type": "snapshot", "copy-volume-tags": True}, "delete"],
            "destructive": True,
            "grace_days": 10,
        },
        "savings": {"method": "volume_storage"},
    },
    "cap-functions": {
        "resource": "aws.lambda",
        "scope": [],
        "violation": [{"tag:idle": "yes"}],
        "remediation": {"actions": [{"type": "set-concurrency", "value": 0}], "destructive": False, "grace_days": 10},
    },
    "keep-logs": {
        "resource": "aws.log-group",
        "scope": [],
        "violation": [{"retentionInDays": "absent"}],
        "remediation": {"actions": [{"type": "retention", "days": 30}], "destructive": False, "grace_days": 10},
    },
}


@dataclass(frozen=True)
class Thing:
    """A resource that a policy finds."""

    policy: str
    id: str
    region: str = REGION


class Listening(Told):
    """Keeps what is told."""

    def __init__(self) -> None:
        self.sentences: list[str] = []
        self.ends: list[tuple[str, Outcome, str]] = []

    def said(self, text: str) -> None:
        self.sentences.append(text)

    def ended(self, item: Item, outcome: Outcome, reason: str) -> None:
        self.ends.append((item.resource_id, outcome, reason))


@dataclass
class House:
    """The customer ``house``, its workspace and its evidence. ``proxy`` stands before its account."""

    folder: Path
    proxy: Proxy
    heard: Listening = field(default_factory=Listening)
    sessions: dict[str, Any] = field(default_factory=dict)
    loaded: Project | None = None

    # --- the workspace ---

    def write(
        self,
        posture: str = "approve",
        *,
        postures: Mapping[str, str] | None = None,
        policies: Mapping[str, Mapping[str, Any]] | None = None,
        remediation: Mapping[str, Any] | None = None,
        waivers: Sequence[Mapping[str, Any]] = (),
        redacted: Sequence[str] = (),
        regions: Sequence[str] = (REGION,),
        **customer: Any,
    ) -> House:
        """Writes the workspace; whatever is not said is as the constants above have it."""
        self.loaded = None
        head = {"apiVersion": "finops-policy/v1"}
        pack = self.folder / "packs" / "house-pack"
        pack.mkdir(parents=True, exist_ok=True)
        _yaml(
            pack / "pack.yaml",
            head | {"kind": "Pack", "name": "house-pack", "version": "1.0.0", "title": "House", "owner": "finops"},
        )
        for path in pack.glob("*-*.yaml"):
            path.unlink()
        for name, each in (POLICIES if policies is None else policies).items():
            about = {"kind": "Policy", "name": name, "title": f"Title of {name}", "severity": "medium"}
            _yaml(pack / f"{name}.yaml", head | about | {"rationale": "It costs money and serves nobody."} | each)
        chosen = {"version": "~=1.0", "posture": posture} | ({"postures": postures} if postures else {})
        profile = {"kind": "Profile", "name": "house", "version": "1.0.0", "title": "House", "frameworks": {}}
        profile |= {"packs": {"house-pack": chosen}, "retention": {"years": 1, "source": "Own decision"}}
        profile |= {"redaction": {"tag_keys": list(redacted)}} if redacted else {}
        _yaml(self.folder / "profiles" / "house.yaml", head | profile)
        about = {"kind": "Customer", "name": "house", "title": "House", "profile": "house", "regions": list(regions)}
        about |= {"accounts": [{"id": ACCOUNT, "name": "one"}], "remediation": {"batches": {"wait_seconds": 0}}}
        about |= {"remediation": {"batches": {"wait_seconds": 0}, **(remediation or {})}, **customer}
        home = self.folder / "customers" / "house"
        _yaml(home / "customer.yaml", head | about)
        _yaml(home / "waivers.yaml", head | {"kind": "Waivers", "waivers": list(waivers)})
        return self

    @property
    def project(self) -> Project:
        """The workspace as it was written last."""
        if self.loaded is None:
            self.loaded = load(Catalog(self.folder), "house", None)
        return self.loaded

    @property
    def store(self) -> LocalStore:
        return LocalStore(self.folder / "evidence")

    @property
    def key(self) -> SigningKey:
        return SigningKey.load_or_create(self.folder / "signing.pem")[0]

    # --- the account ---

    def client(self, service: str, region: str = REGION) -> Any:
        if region not in self.sessions:
            self.sessions[region] = aws.session(region)
        return self.sessions[region].client(service)

    def instance(self, region: str = REGION, tags: Sequence[Mapping[str, str]] = IDLE, **more: Any) -> Thing:
        specified = [{"ResourceType": "instance", "Tags": list(tags)}]
        asked = {"ImageId": "ami-12c6146b", "MinCount": 1, "MaxCount": 1, "InstanceType": "m5.large", **more}
        made = self.client("ec2", region).run_instances(**asked, TagSpecifications=specified)
        return Thing("stop-idle", made["Instances"][0]["InstanceId"], region)

    def behind_a_balancer(self, thing: Thing) -> None:
        """Makes something depend on an instance."""
        client, vpc = self.client("elbv2"), self.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
        [group] = client.create_target_group(Name="web", Protocol="HTTP", Port=80, VpcId=vpc)["TargetGroups"]
        client.register_targets(TargetGroupArn=group["TargetGroupArn"], Targets=[{"Id": thing.id}])

    def volume(self, region: str = REGION, tags: Sequence[Mapping[str, str]] = IDLE) -> Thing:
        specified = [{"ResourceType": "volume", "Tags": list(tags)}]
        made = self.client("ec2", region).create_volume(
            AvailabilityZone=f"{region}a", Size=10, VolumeType="gp3", TagSpecifications=specified
        )
        return Thing("drop-volumes", made["VolumeId"], region)

    def function(self, name: str = "report") -> Thing:
        role = f"arn:aws:iam::{ACCOUNT}:role/r"
        iam = self.client("iam")
        if not iam.list_roles()["Roles"]:
            role = iam.create_role(RoleName="r", AssumeRolePolicyDocument='{"Statement": []}')["Role"]["Arn"]
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as archive:
            archive.writestr("a.py", "def h(event, context): return 1")
        self.client("lambda").create_function(
            FunctionName=name,
            Runtime="python3.11",
            Role=role,
            Handler="a.h",
            Code={"ZipFile": code.getvalue()},
            Tags={"idle": "yes"},
        )
        return Thing("cap-functions", name)

    def logs(self, name: str = "/app/log") -> Thing:
        self.client("logs").create_log_group(logGroupName=name)
        return Thing("keep-logs", name)

    def state(self, thing: Thing) -> Any:
        """What the account says of a resource, without the program: its state, or what the action sets."""
        if thing.policy == "stop-idle":
            found = self.client("ec2", thing.region).describe_instances(InstanceIds=[thing.id])
            return found["Reservations"][0]["Instances"][0]["State"]["Name"]
        if thing.policy == "drop-volumes":
            volumes = self.client("ec2", thing.region).describe_volumes()["Volumes"]
            return next((each["State"] for each in volumes if each["VolumeId"] == thing.id), "gone")
        if thing.policy == "cap-functions":
            found = self.client("lambda").get_function_concurrency(FunctionName=thing.id)
            return found.get("ReservedConcurrentExecutions")
        [found] = self.client("logs").describe_log_groups(logGroupNamePrefix=thing.id)["logGroups"]
        return found.get("retentionInDays")

    def snapshots(self) -> list[str]:
        found = self.client("ec2").describe_snapshots(OwnerIds=["self"])["Snapshots"]
        return sorted(each["SnapshotId"] for each in found)

    def tags(self, thing: Thing) -> dict[str, str]:
        by_id = [{"Name": "resource-id", "Values": [thing.id]}]
        found = self.client("ec2", thing.region).describe_tags(Filters=by_id)["Tags"]
        return {each["Key"]: each["Value"] for each in found}

    def tag(self, thing: Thing, **tags: str) -> None:
        pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
        self.client("ec2", thing.region).create_tags(Resources=[thing.id], Tags=pairs)

    def mark(self, thing: Thing, value: str) -> None:
        """Writes a policy's mark by hand."""
        pairs = [{"Key": f"finops-policy:{thing.policy}", "Value": value}]
        self.client("ec2", thing.region).create_tags(Resources=[thing.id], Tags=pairs)

    @property
    def changing(self) -> Counter[str]:
        """The calls that change something, since the proxy was cleared last."""
        return changing(self.proxy.calls)

    # --- the program ---

    def judged(self, *things: Thing, population: int = 100, verdicts: Mapping[str, Verdict] | None = None) -> Path:
        """A sealed run that found these. ``population`` is what each policy judged, and ``verdicts`` by id what it said
        of those that it did not find noncompliant."""
        writer = self.store.create("house", new_run_id(NOW))
        targets = sorted({Target(ACCOUNT, each.region, "one") for each in things} | {HERE}, key=str)
        for target in targets:
            mine = [each for each in things if each.region == target.region]
            rows = [
                evaluation(
                    policy=each.policy,
                    account_id=ACCOUNT,
                    region=each.region,
                    resource_id=each.id,
                    arn=f"arn:aws:x:{each.region}:{ACCOUNT}:{each.id}",
                    verdict=(verdicts or {}).get(each.id, Verdict.NONCOMPLIANT),
                )
                for each in mine
            ]
            write_evaluations(writer.part("evaluations", target), writer.run_id, "house", rows)
            cells = [
                Coverage(ACCOUNT, target.region, name, Status.EVALUATED, population=population, compliant=population)
                for name in sorted({each.policy for each in mine})
            ]
            write_coverage(writer.part("coverage", target), writer.run_id, cells)
        listed = [{"account_id": each.account_id, "account_name": "one", "region": each.region} for each in targets]
        known = {**record("house"), "targets": listed, "sandbox": False}
        return writer.seal(known, self.key).folder

    def doors(self, project: Project | None = None) -> Doors:
        return Doors(project or self.project, prices(), CALLER)

    def plan(self, *things: Thing, unattended: bool = False, run: Path | None = None, **judged: Any) -> Plan:
        """Plans what a run found, and keeps the plan in the store. The proxy counts from nothing afterwards."""
        project = self.project
        made = make_plan(
            project,
            run or self.judged(*things, **judged),
            self.doors(project),
            CALLER,
            email="dana@house.example",
            policies=actionable(project, UNATTENDED if unattended else APPROVABLE),
            unattended=unattended,
            said=self.heard.said,
        )
        kept, _ = work.keep_plan(made, self.store)
        self.proxy.clear(self.proxy.decide)
        return kept

    def hands(self, patience: Patience = AT_ONCE) -> work.Hands:
        project = self.project
        return work.Hands(project, self.store, self.key, self.doors(project), CALLER.arn, False, self.heard, patience)

    def apply(self, plan: Plan, *, resume: str = "", **order: Any) -> Applied:
        return work.apply(order_of(plan, **order), self.hands(), resume)

    def undo(self, applied: Applied, *items: str, resume: str = "") -> Applied:
        hands = self.hands()
        folder = work.find_applied(self.store, "house", applied.run_id, hands.key, items)
        return work.undo(folder, hands, frozenset(items), resume)

    def outcomes(self, applied: Applied) -> dict[str, Outcome]:
        return {item.resource_id: outcome for item, outcome, _ in applied.outcomes}

    def reasons(self, applied: Applied) -> dict[str, str]:
        return {item.resource_id: reason for item, _, reason in applied.outcomes}

    def rows(self, applied: Applied) -> list[dict[str, Any]]:
        """What evidence keeps, of a bundle that stands the test."""
        checked = verify_bundle(applied.folder, self.key.public)
        assert checked.ok, checked.problems
        return read_actions(applied.folder)

    def journal(self, applied: Applied) -> Log:
        return read_journal(applied.folder)

    def broken_off(self) -> str:
        """The run id of the one remediation that is not sealed."""
        [run_id] = [each.run_id for each in self.store.remediations("house") if not each.sealed]
        return run_id


@cache
def prices() -> tuple[Price, ...]:
    return Catalog(Path("/nowhere")).prices()


def order_of(plan: Plan, refuse: str = "", approved_by: tuple[str, ...] = ("sam@house.example (engineering)",)) -> Any:
    """Consent to all of a plan, or a refusal of all of it."""
    return work.Order(plan, lambda _item: refuse, lambda _item: approved_by, lambda: approved_by, dict)


def held(plan: Plan) -> dict[str, str]:
    """Resource id -> why it is not planned."""
    return {each.resource_id: each.reason for each in plan.held}


def planned(plan: Plan) -> dict[str, list[str]]:
    """Resource id -> its steps."""
    return {each.resource_id: [step.name for step in each.steps] for each in plan.items}


def changing(calls: Mapping[str, int]) -> Counter[str]:
    return Counter(
        {action: count for action, count in calls.items() if not action.partition(":")[2].startswith(READS) and count}
    )


def waiver(policy: str, resource: str, **changes: Any) -> dict[str, Any]:
    made = {
        "id": "W-1",
        "policy": policy,
        "resource": resource,
        "reason": "It is kept for a reason that somebody wrote down.",
        "owner": "platform@house.example",
        "requested_by": "dana@house.example",
        "approved_by": "sam@house.example",
        "ticket": "FIN-1",
        "created": day(-10),
        "expires": day(30),
    }
    return made | changes


def day(after: int) -> str:
    """An ISO date, so many days after today (UTC)."""
    return (dt.datetime.now(dt.UTC).date() + dt.timedelta(days=after)).isoformat()


def _yaml(path: Path, document: Mapping[str, Any]) -> None:
    """JSON is YAML."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1))


def environment(url: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
        "NO_PROXY": "*",
        "no_proxy": "*",
        "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",
    }


def post(url: str) -> None:
    urllib.request.urlopen(urllib.request.Request(url, method="POST")).close()


@pytest.fixture(scope="module")
def before_moto(moto_url: str) -> Iterator[Proxy]:
    with proxy(moto_url) as made:
        yield made


@pytest.fixture
def house(before_moto: Proxy, moto_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """An empty account, and the workspace as :meth:`House.write` writes it unless told otherwise."""
    post(f"{moto_url}/moto-api/reset")
    before_moto.clear(lambda _call: None)
    for name, value in environment(before_moto.url).items():
        monkeypatch.setenv(name, value)
    yield House(tmp_path, before_moto).write()
    before_moto.released.set()
