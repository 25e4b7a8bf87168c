"""The commands' side of remediation: plans that are kept, applied and taken back, each as evidence."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from finops_policy.customer import Customer
from finops_policy.errors import EvidenceError, UsageError, did_you_mean
from finops_policy.evidence.bundle import BundleWriter
from finops_policy.evidence.chain import locked, read_head
from finops_policy.evidence.layout import PLAN, RUN_RECORD, new_run_id
from finops_policy.evidence.signing import PublicKey, SigningKey
from finops_policy.evidence.store import LATEST, LocalStore, read_run
from finops_policy.evidence.verify import verify_bundle
from finops_policy.files import failure, make_folder
from finops_policy.project import Project
from finops_policy.remediation.applying import Applying, Consent, Orders, Told
from finops_policy.remediation.approval_files import APPROVALS, ATTEMPTS, read_envelopes, record_attempts
from finops_policy.remediation.approvals import Judged, judge_approvals
from finops_policy.remediation.deciding import attempts_recorded, open_plan
from finops_policy.remediation.journal import JOURNAL, Journal, read_journal
from finops_policy.remediation.model import Item, Outcome, Plan, Step
from finops_policy.remediation.plan_file import parse_plan, plan_bytes, read_plan, write_plan
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
    """A plan to apply, by whom. ``consent`` says why people do not let an item be acted on."""

    plan: Plan
    consent: Consent
    approved_by: Callable[[Item], tuple[str, ...]]
    approvals: tuple[str, ...]
    files: Mapping[str, bytes]


def keep_plan(plan: Plan, store: LocalStore) -> tuple[Plan, Path]:
    """Writes a plan into a folder of its own in the store."""
    folder = store.make_plans_folder(plan.customer) / plan.plan_id
    make_folder(folder)
    return write_plan(plan, folder), folder


def unattended(plan: Plan) -> Order:
    """A plan of what the profile's postures let be done without asking anybody."""
    return Order(plan, lambda _item: "", lambda _item: (AUTO,), (AUTO,), {})


def approved(path: Path, project: Project, key: SigningKey) -> Order:
    """The plan at ``path`` with its approvals; those that do not count are recorded beside it, and never count.

    Raises :class:`EvidenceError` when the plan or an approval cannot be read, which is recorded too.
    """
    folder = path if path.is_dir() else path.parent
    with attempts_recorded(folder):
        plan = open_plan(folder / PLAN, project.customer)
    desk = _Desk(folder, plan, project.customer, key.public)
    first = desk.judged()
    record_attempts(folder, plan, first.rejected, dt.datetime.now(dt.UTC))

    def consent(item: Item) -> str:
        each = desk.judged().items[item.id]
        if each.refused_by:
            return f"refused by {', '.join(map(str, each.refused_by))}: {each.refused_by[0].approval.comment}"
        return f"not approved: {' and '.join(each.missing)} must still approve" if each.missing else ""

    files = {f"{APPROVALS}/{name}": data for name, data in read_envelopes(folder)}
    attempts = folder / ATTEMPTS
    if attempts.exists():
        files[ATTEMPTS] = _read(attempts)
    return Order(plan, consent, lambda item: first.items[item.id].approved_by, tuple(map(str, first.given)), files)


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


@dataclass(frozen=True, slots=True)
class Hands:
    """What applying and undoing need, whatever the plan."""

    project: Project
    store: LocalStore
    key: SigningKey
    doors: Doors
    caller: str
    sandboxed: bool
    told: Told
    patience: Patience = field(default_factory=Patience)

    def orders(self, order: Order) -> Orders:
        """How a plan is applied for this customer. Raises :class:`UsageError` for a plan of the other world."""
        if order.plan.sandbox is not self.sandboxed:
            where = "for the sandbox" if order.plan.sandbox else "for AWS"
            hint = "Apply it with --sandbox." if order.plan.sandbox else "Apply it without --sandbox."
            raise UsageError(f"Plan {order.plan.plan_id} is {where}.", hint=hint)
        settings = self.project.customer.remediation
        withheld = self.project.profile.redacted_tags
        return Orders(order.plan, order.consent, settings.batches, settings.freeze, withheld, self.patience)


def apply(order: Order, hands: Hands, resume: str = "") -> Applied:
    """Applies a plan, and seals what was done. ``resume`` is the run id of a remediation that broke off, or empty.

    Whatever ends it early leaves a bundle that is not sealed, and a journal to go on from.
    """
    orders = hands.orders(order)
    people = People(order.approved_by, hands.caller, order.approvals)
    with _bundle(hands, order.plan, APPLY, resume) as (bundle, started):
        write_plan_copy(bundle, order.plan, order.files)
        with Journal(bundle.folder / JOURNAL) as journal:
            journal.write("resumed" if resume else "started", by=hands.caller)
            Applying(orders, hands.doors, journal, hands.told).run()
        return seal(bundle, hands.key, order.plan, journal.log, hands.project, people, APPLY, started)


def undo(applied: Path, hands: Hands, items: frozenset[str], resume: str = "") -> Applied:
    """Takes back what the sealed remediation at ``applied`` did, the last first, and seals what came of it. ``items``
    are ids; empty means all."""
    plan = parse_plan(_read(applied / PLAN), str(applied / PLAN))
    kind = Kind("undo", undoes=read_run(applied).data["run_id"], prefix=UNDO)
    chosen = replace(plan, items=tuple(each for each in reversed(plan.items) if not items or each.id in items))
    people = People(lambda _item: (), hands.caller, ())
    with _bundle(hands, plan, kind, resume) as (bundle, started):
        write_plan_copy(bundle, plan, {"undoes.json": _read(applied / RUN_RECORD)})
        with Journal(bundle.folder / JOURNAL) as journal:
            journal.write("resumed" if resume else "started", by=hands.caller)
            Undoing(chosen, read_journal(applied), hands.doors, journal, hands.told, hands.patience).run()
        return seal(bundle, hands.key, chosen, journal.log, hands.project, people, kind, started)


def find_applied(store: LocalStore, customer: str, run: str, key: SigningKey, items: Collection[str]) -> Path:
    """The folder of a sealed remediation that applied a plan: the one named, or with ``latest`` the newest.

    Raises :class:`EvidenceError` unless it is as it was sealed, and :class:`UsageError` for items that it has not.
    """
    if run == LATEST:
        sealed = [each for each in store.remediations(customer) if each.sealed]
        applied = [each for each in sealed if read_run(each.folder).data["kind"] == APPLY.name]
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
            bundle = store.create(customer, new_run_id(dt.datetime.now(dt.UTC)))
        try:
            with bundle.held():
                yield bundle, _started(bundle)
        except BaseException:
            verb = kind.name
            hands.told.said(f"Remediation {bundle.run_id} broke off. Finish it: {verb} with --resume {bundle.run_id}.")
            raise


def _started(bundle: BundleWriter) -> dt.datetime:
    return dt.datetime.strptime(bundle.run_id.partition("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=dt.UTC)


def _lock_folder(hands: Hands) -> Path:
    return hands.store.make_plans_folder(hands.project.customer.name)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise failure("read", path, error) from error
