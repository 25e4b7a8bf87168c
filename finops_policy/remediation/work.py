"""The commands' side of remediation: plans that are kept, applied and taken back, each as evidence."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from finops_policy.customer import Customer
from finops_policy.errors import EvidenceError, UsageError, did_you_mean
from finops_policy.evidence.bundle import BundleWriter
from finops_policy.evidence.canonical import encode
from finops_policy.evidence.chain import locked, read_head
from finops_policy.evidence.layout import PLAN, RUN_RECORD, new_run_id
from finops_policy.evidence.signing import PublicKey, SigningKey
from finops_policy.evidence.store import LATEST, LocalStore, read_run
from finops_policy.evidence.verify import verify_bundle
from finops_policy.files import failure, make_folder
from finops_policy.project import Project
from finops_policy.remediation import limits
from finops_policy.remediation.applying import Applying, Consent, Orders, Told
from finops_policy.remediation.approval_files import APPROVALS, ATTEMPTS, read_envelopes, record_attempts
from finops_policy.remediation.approvals import Judged, Rejected, judge_approvals
from finops_policy.remediation.deciding import attempts_recorded, open_plan
from finops_policy.remediation.history import History
from finops_policy.remediation.journal import JOURNAL, Journal, Log, read_journal
from finops_policy.remediation.model import Item, Outcome, Plan, Step
from finops_policy.remediation.plan_file import parse_plan, plan_bytes, read_plan, write_plan
from finops_policy.remediation.planning import VALID, populations
from finops_policy.remediation.recording import APPLY, Applied, Kind, People, seal, write_plan_copy
from finops_policy.remediation.stepping import UNDO, Patience
from finops_policy.remediation.undoing import TOUCHED, Undoing
from finops_policy.remediation.visiting import Doors

LATELY = 5.0
"""Seconds for which what was read of approvals holds."""
AUTO = "auto"
"""Stands for an approver where the profile's posture asks nobody."""


@dataclass(frozen=True, slots=True)
class Order:
    """A plan to apply. ``consent`` says why people do not let an item be acted on, ``approved_by`` who agreed to it;
    ``files`` are name -> bytes for the evidence, as they are when they are asked for; ``rejected`` approvals do not
    count."""

    plan: Plan
    consent: Consent
    approved_by: Callable[[Item], tuple[str, ...]]
    approvals: Callable[[], tuple[str, ...]]
    files: Callable[[], Mapping[str, bytes]]
    rejected: tuple[Rejected, ...] = ()
    unattended: bool = False


def keep_plan(plan: Plan, store: LocalStore) -> tuple[Plan, Path]:
    """Writes a plan into a folder of its own in the store."""
    folder = store.make_plans_folder(plan.customer) / plan.plan_id
    make_folder(folder)
    return write_plan(plan, folder), folder


def unattended(plan: Plan) -> Order:
    """A plan of what the profile's postures let be done without asking anybody."""
    return Order(plan, lambda _item: "", lambda _item: (AUTO,), lambda: (AUTO,), dict, unattended=True)


def approved(path: Path, project: Project, key: SigningKey) -> Order:
    """The plan at ``path`` with its approvals; those that do not count are recorded beside it, and never count.

    Raises :class:`EvidenceError` when the plan or an approval cannot be read, which is recorded too.
    """
    folder = path if path.is_dir() else path.parent
    with attempts_recorded(folder):
        plan = open_plan(folder / PLAN, project.customer)
    desk = _Desk(folder, plan, project.customer, key.public)
    rejected = desk.judged().rejected
    record_attempts(folder, plan, rejected, dt.datetime.now(dt.UTC))

    def files() -> dict[str, bytes]:
        """Whoever verifies needs the people, their keys and the rules as well."""
        found = {f"{APPROVALS}/{name}": data for name, data in read_envelopes(folder)}
        people = {"approvers": project.customer.approvers, "approval": project.customer.approval}
        found["approvers.json"] = (encode(jsonable(people), indent=2) + "\n").encode()
        attempts = folder / ATTEMPTS
        return {**found, ATTEMPTS: _read(attempts)} if attempts.exists() else found

    return Order(
        plan,
        desk.objection,
        lambda item: desk.judged().items[item.id].approved_by,
        lambda: tuple(map(str, desk.judged().given)),
        files,
        rejected,
    )


def jsonable(value: Any) -> Any:
    """Dataclasses as mappings, without the places where they were written."""
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: jsonable(getattr(value, each.name)) for each in fields(value) if each.name != "mark"}
    if isinstance(value, Mapping):
        return {key: jsonable(item) for key, item in value.items()}
    return [jsonable(each) for each in value] if isinstance(value, tuple | list | set | frozenset) else value


class _Desk:
    """The approvals of a plan, read anew every few seconds: one may expire, or somebody refuse, while it is applied."""

    def __init__(self, folder: Path, plan: Plan, customer: Customer, attesting: PublicKey) -> None:
        self._folder = folder
        self._plan = plan
        self._customer = customer
        self._attesting = attesting
        self._since = -LATELY
        self._judged: Judged | None = None

    def judged(self) -> Judged:
        if self._judged is None or time.monotonic() - self._since > LATELY:
            now = dt.datetime.now(dt.UTC)
            envelopes = read_envelopes(self._folder)
            self._judged = judge_approvals(self._plan, envelopes, self._customer, now, self._attesting)
            self._since = time.monotonic()
        return self._judged

    def objection(self, item: Item) -> str:
        """Why people do not let an item be acted on now."""
        try:
            each = self.judged().items[item.id]
        except EvidenceError as error:
            return f"its approvals cannot be read: {error.message}"
        if each.refused_by:
            return f"refused by {', '.join(map(str, each.refused_by))}: {each.refused_by[0].approval.comment}"
        return f"not approved: {' and '.join(each.missing)} must still approve" if each.missing else ""


@dataclass(frozen=True, slots=True)
class Hands:
    """What applying and undoing need, whatever the plan. ``targets`` are account id and region of all that the customer
    has now; None only where nobody has looked."""

    project: Project
    store: LocalStore
    key: SigningKey
    doors: Doors
    caller: str
    sandboxed: bool
    told: Told
    patience: Patience = field(default_factory=Patience)
    targets: frozenset[tuple[str, str]] | None = None

    def orders(self, order: Order) -> Orders:
        """How a plan is applied for this customer. Raises what :meth:`check` does."""
        plan, settings = order.plan, self.project.customer.remediation
        self.check(plan)
        return Orders(
            plan,
            order.consent,
            self._objections(plan),
            settings.batches,
            settings.freeze,
            self.project.profile.redacted_tags,
            lambda item: {"by": self.caller, "approved_by": order.approved_by(item)},
            self.patience,
        )

    def check(self, plan: Plan) -> None:
        """Raises :class:`UsageError` for a plan of another world or profile, and :class:`EvidenceError` for one that is
        valid for longer than plans are."""
        self.check_world(plan)
        if plan.profile != self.project.profile.name:
            hint = f"Add --profile {plan.profile}, or make a new plan."
            raise UsageError(f"Plan {plan.plan_id} is of the profile {plan.profile}.", hint=hint)
        if plan.valid_until > plan.created_at + VALID:
            raise EvidenceError(f"Plan {plan.plan_id} says that it is valid for too long", hint="Make a new plan.")

    def check_world(self, plan: Plan) -> None:
        if plan.sandbox is not self.sandboxed:
            where = "for the sandbox" if plan.sandbox else "for AWS"
            hint = "Do it with --sandbox." if plan.sandbox else "Do it without --sandbox."
            raise UsageError(f"Plan {plan.plan_id} is {where}.", hint=hint)

    def _objections(self, plan: Plan) -> dict[str, str]:
        found = limits.over_caps(self.project, plan.items, self._populations(plan))
        for item in plan.items:
            if self.targets is not None and (item.account_id, item.region) not in self.targets:
                found[item.id] = f"{item.account_id}/{item.region} is not the customer's, or not any more"
        for item_id, last in History.read(self.store, plan.customer).last.items():
            if last.plan_digest == plan.digest and last.outcome in (Outcome.DONE, Outcome.UNDONE):
                found[item_id] = f"{last.outcome} already, by run {last.run_id}: make a new plan"
        return found

    def _populations(self, plan: Plan) -> Mapping[str, int]:
        """As the run says that was planned from; what the plan says of them somebody may have written."""
        for run in self.store.runs(plan.customer):
            if run.run_id == plan.run_id and run.sealed and read_run(run.folder).digest == plan.run_digest:
                return populations(run.folder)
        return {}


def apply(order: Order, hands: Hands, resume: str = "") -> Applied:
    """Applies a plan, and seals what was done. ``resume`` is the run id of a remediation that broke off, or empty.

    Whatever ends it early leaves a bundle that is not sealed, and a journal to go on from.
    """
    hands.check(order.plan)
    with _bundle(hands, order.plan, APPLY, resume) as (bundle, started):
        write_plan_copy(bundle, order.plan, order.files())
        with Journal(bundle.folder / JOURNAL) as journal:
            if resume:
                _same_kind(journal.log, APPLY, bundle.run_id)
                order = unattended(order.plan) if journal.log.unattended else order
            orders = hands.orders(order)
            _begin(journal, hands, APPLY, resume, order.unattended)
            Applying(orders, hands.doors, journal, hands.told).run()
        write_plan_copy(bundle, order.plan, order.files())
        people = People(order.approved_by, hands.caller, order.approvals())
        return seal(bundle, hands.key, order.plan, journal.log, hands.project, people, APPLY, started)


def undo(applied: Path, hands: Hands, items: frozenset[str], resume: str = "") -> Applied:
    """Takes back what the sealed remediation at ``applied`` did, the last first, and seals what came of it. ``items``
    are ids; empty means all. Freeze windows and approvals do not hold it up: it is the way back."""
    plan = parse_plan(_read(applied / PLAN), str(applied / PLAN))
    hands.check_world(plan)
    kind = Kind("undo", undoes=read_run(applied).data["run_id"], prefix=UNDO)
    chosen = replace(plan, items=tuple(each for each in reversed(plan.items) if not items or each.id in items))
    people = People(lambda _item: (), hands.caller, ())
    with _bundle(hands, plan, kind, resume) as (bundle, started):
        write_plan_copy(bundle, plan, {"undoes.json": _read(applied / RUN_RECORD)})
        later = History.read(hands.store, plan.customer).since(kind.undoes)
        with Journal(bundle.folder / JOURNAL) as journal:
            if resume:
                _same_kind(journal.log, kind, bundle.run_id)
            _begin(journal, hands, kind, resume, False)
            Undoing(
                chosen,
                read_journal(applied),
                hands.doors,
                journal,
                hands.told,
                hands.patience,
                hands.caller,
                hands.project.profile.redacted_tags,
                later,
            ).run()
        return seal(bundle, hands.key, chosen, journal.log, hands.project, people, kind, started)


def _begin(journal: Journal, hands: Hands, kind: Kind, resume: str, unattended: bool) -> None:
    event = "resumed" if resume and journal.log.kind else "started"
    journal.write(event, by=hands.caller, kind=kind.name, undoes=kind.undoes, unattended=unattended)


def _same_kind(log: Log, kind: Kind, run_id: str) -> None:
    if log.kind and (log.kind, log.undoes) != (kind.name, kind.undoes):
        what = f"undo {log.undoes}" if log.undoes else log.kind
        raise EvidenceError(f"Remediation {run_id} was begun by `{what}`", hint="Go on with it by the same command.")


def find_applied(store: LocalStore, customer: str, run: str, key: SigningKey, items: Collection[str]) -> Path:
    """The folder of a sealed remediation that applied a plan: the one named, or with ``latest`` the newest.

    Raises :class:`EvidenceError` unless it is as it was sealed, and :class:`UsageError` for items that it has not.
    """
    if run == LATEST:
        sealed = [each for each in store.remediations(customer) if each.sealed]
        applied = [each for each in sealed if _acted(read_run(each.folder).data)]
        run = applied[-1].run_id if applied else run
    folder = store.find(customer, run, remediation=True)
    if read_run(folder).data["kind"] != APPLY.name:
        raise UsageError(f"Run {run} took something back: there is nothing to undo.", hint="Make a new plan instead.")
    checked = verify_bundle(folder, key.public)
    if not checked.ok:
        raise EvidenceError(
            f"The evidence of {run} is not as it was sealed: {checked.problems[0].message}",
            hint="Nothing is undone by values that somebody may have changed. Run `finops-policy verify`.",
        )
    known = {item.id for item in read_plan(folder).items}
    for each in items:
        if each not in known:
            raise UsageError(f"Run {run} has no item {each!r}.", hint=did_you_mean(each, known))
    return folder


def _acted(record: Mapping[str, Any]) -> bool:
    """Whether a remediation applied a plan, and did something."""
    return record["kind"] == APPLY.name and any(record["counts"][each] for each in ("done", "failed", "unverified"))


def undoable(applied: Path, items: frozenset[str]) -> list[tuple[Item, Step, Outcome]]:
    """What was done by the remediation at ``applied``, the last first: each step says how it would be taken back."""
    plan, log = read_plan(applied), read_journal(applied)
    return [
        (item, item.steps[number], outcome)
        for item in reversed(plan.items)
        for number in reversed(range(len(item.steps)))
        if (outcome := log.step(item.id, number).outcome) in TOUCHED and outcome and (not items or item.id in items)
    ]


@contextmanager
def _bundle(hands: Hands, plan: Plan, kind: Kind, resume: str) -> Iterator[tuple[BundleWriter, dt.datetime]]:
    """The bundle of a remediation, new or reopened, held by this process, and when it was begun."""
    customer, store = plan.customer, hands.store
    read_head(store.customer_folder(customer), hands.key.public)
    with locked(_lock_folder(hands), busy=f"Another remediation of {customer} is under way"):
        if resume:
            bundle = store.reopen(customer, resume, remediation=True)
            begun = _read(bundle.folder / PLAN)
            if begun != plan_bytes(plan):
                message = f"Remediation {bundle.run_id} was begun with another plan"
                raise EvidenceError(message, hint="Name the plan that it was begun with.")
        else:
            _refuse_unfinished(store, customer)
            bundle = store.create(customer, new_run_id(dt.datetime.now(dt.UTC)))
        try:
            with bundle.held():
                yield bundle, _started(bundle)
        except BaseException:
            what = f"undo {kind.undoes}" if kind.undoes else f"apply {plan.plan_id}"
            hands.told.said(f"Remediation {bundle.run_id} broke off. {_resuming(what, customer, bundle.run_id)}")
            raise


def _resuming(what: str, customer: str, run_id: str) -> str:
    return f"Go on: finops-policy {what} --customer {customer} --execute --resume {run_id}"


def _refuse_unfinished(store: LocalStore, customer: str) -> None:
    """What was done and not sealed must become evidence before anything else is done."""
    for run in store.remediations(customer):
        if not run.sealed and (run.folder / JOURNAL).exists():
            log = read_journal(run.folder, torn=True)
            if any(step.before is not None for step in log.steps.values()):
                what = f"undo {log.undoes}" if log.undoes else f"apply {read_plan(run.folder).plan_id}"
                raise EvidenceError(
                    f"Remediation {run.run_id} of {customer} broke off, and what it did is no evidence yet",
                    hint=f"{_resuming(what, customer, run.run_id)}",
                )


def _started(bundle: BundleWriter) -> dt.datetime:
    return dt.datetime.strptime(bundle.run_id.partition("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=dt.UTC)


def _lock_folder(hands: Hands) -> Path:
    return hands.store.make_plans_folder(hands.project.customer.name)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise failure("read", path, error) from error
