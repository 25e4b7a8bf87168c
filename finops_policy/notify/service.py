"""From a sealed run to people told: what is due, in words, sent, recorded; a channel that fails never stops the others.

Each digest is recorded when it has been tried, before the next is. What was not delivered is due the next time. A
channel that does not answer :data:`ENOUGH` digests in a row is down: its other digests are recorded as skipped, since
trying each of them for minutes would hold up everybody else.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from finops_policy.channels import ADDRESSED, Channel, Notifications
from finops_policy.customer import Customer
from finops_policy.errors import FinopsPolicyError, UsageError, did_you_mean
from finops_policy.evidence.layout import stands_in
from finops_policy.notify import due
from finops_policy.notify.history import series_of
from finops_policy.notify.journal import Journal
from finops_policy.notify.model import Delivery, Digest, Notice, Parcel, RefusedError, Report, Result
from finops_policy.notify.owners import required_tag
from finops_policy.notify.registry import SENDERS
from finops_policy.notify.rendering import Templates, render
from finops_policy.notify.sending import Outcome, Patience, deliver, secrets_of
from finops_policy.notify.source import Found, read_found

Progress = Callable[[Delivery], None]
ENOUGH: Final = 3
_NOBODY: Final = "nobody's address is known"


def notify(
    customer: Customer,
    run: Path,
    *,
    workspace: Path = Path(),
    owner_tag: str = "",
    channels: Sequence[str] = (),
    dry_run: bool = False,
    sandbox: bool = False,
    patience: Patience | None = None,
    progress: Progress = lambda _delivery: None,
) -> Report:
    """Tells the owners of what the sealed run in the folder ``run`` of a store found, and remembers it in the store.

    ``owner_tag`` is the tag that names owners where the customer's notifications name none; ``channels`` narrows to
    channels of these names. A dry run sends and writes nothing: its deliveries are skipped, with previews. Findings of
    the sandbox are made up, and are only sent with ``sandbox``. ``progress`` hears of each delivery as it ends.

    Raises :class:`UsageError` where the customer has no notifications or no such channel, or the run is the sandbox's
    or another customer's, and :class:`EvidenceError` where the store cannot be read or written. A channel that fails
    raises nothing.
    """
    settings = _settings(customer, channels)
    patience = patience or Patience()
    folder = stands_in(run.absolute())
    if folder is None:
        raise UsageError(f"{run} is no run of a store.", hint="Name a run that `finops-policy runs list` shows.")
    found = read_found(run)
    if found.about.customer != customer.name:
        raise UsageError(f"{run} is a run of {found.about.customer}, not of {customer.name}.")
    if found.about.sandbox and not sandbox and not dry_run:
        hint = "Add --sandbox, which reaches this machine alone, or --dry-run."
        raise UsageError(f"Run {found.about.run_id} was made in the sandbox: its findings are made up.", hint=hint)
    templates, notes = _templates(workspace, customer.name)
    notices, said = _notices(found, settings, folder, owner_tag or required_tag(customer.settings))
    work = _Work(settings, templates, patience, dry_run, progress)
    journal = Journal(folder)
    if dry_run:
        return work.done(found, notices, journal, [*notes, *said])
    with journal.held():
        return work.done(found, notices, journal, [*notes, *said])


def _settings(customer: Customer, names: Sequence[str]) -> Notifications:
    settings = customer.notifications
    if settings is None:
        hint = "Add `notifications:` to its customer.yaml; docs/notifications.md has an example."
        raise UsageError(f"{customer.name} has no notifications.", hint=hint)
    known = [each.name for each in settings.channels]
    for name in names:
        if name not in known:
            raise UsageError(f"{customer.name} has no channel {name!r}.", hint=did_you_mean(name, known))
    return replace(settings, channels=tuple(each for each in settings.channels if not names or each.name in names))


def _templates(workspace: Path, customer: str) -> tuple[Templates, list[str]]:
    """Templates that cannot be read stop nobody from being told."""
    try:
        found = Templates.of(workspace, customer)
    except FinopsPolicyError as error:
        return Templates(), [f"{error.message}. The built-in templates were used."]
    return found, list(found.notes)


def _notices(found: Found, settings: Notifications, folder: Path, owner_tag: str) -> tuple[list[Notice], list[str]]:
    tag = settings.owners.tag or owner_tag
    fresh = list(found.notices(settings.owners, tag, {}))
    keys = {
        each.fingerprint: (each.policy, each.account_id, each.region, each.arn or each.resource_id) for each in fresh
    }
    about = found.about
    series, notes = series_of(folder, about.run_id, about.started_at, about.sandbox, keys)
    return [
        replace(each, since=series[each.fingerprint].since, at_least=series[each.fingerprint].at_least)
        for each in fresh
    ], notes


class _Work:
    """One pass over all digests."""

    def __init__(
        self, settings: Notifications, templates: Templates, patience: Patience, dry_run: bool, progress: Progress
    ) -> None:
        self._settings, self._templates = settings, templates
        self._patience, self._dry_run, self._progress = patience, dry_run, progress
        self._previews: dict[str, str] = {}
        self._silent = Counter[str]()

    def done(self, found: Found, notices: Sequence[Notice], journal: Journal, notes: list[str]) -> Report:
        now, about = self._patience.now(), found.about
        memory = journal.read()
        if memory.unread:
            lines = "1 line" if memory.unread == 1 else f"{memory.unread} lines"
            notes.append(f"{lines} of {journal.path} cannot be read: what they say was told may be told again.")
        deliveries = []
        for digest in due.digests(notices, self._settings, memory, about, now):
            delivery = self._delivered(digest, now)
            if not self._dry_run:
                journal.append(delivery, digest, about.run_id, self._patience.now())
            deliveries.append(delivery)
            self._progress(delivery)
        return Report(about.customer, about.run_id, now, self._dry_run, tuple(deliveries), tuple(notes), self._previews)

    def _delivered(self, digest: Digest, now: dt.datetime) -> Delivery:
        delivery = Delivery(
            digest_id=digest.id,
            channel=digest.channel.name,
            type=digest.channel.type.value,
            kind=digest.kind.value,
            recipient=digest.recipient,
            findings=len(digest.due),
            result=Result.SKIPPED if self._dry_run else Result.FAILED,
        )
        if digest.channel.type in ADDRESSED and not digest.recipient:
            return replace(delivery, result=Result.SKIPPED, reason=f"{_NOBODY}: {'; '.join(_routes(digest))}")
        if self._silent[digest.channel.name] >= ENOUGH:
            why = f"the channel did not answer {ENOUGH} times in a row"
            return replace(delivery, result=Result.SKIPPED, reason=why)
        texts = render(digest, self._templates, now)
        delivery = replace(delivery, notes=texts.notes)
        try:
            sender = SENDERS[digest.channel.type](digest.channel)
            parcel = sender.pack(digest, texts, now)
        except RefusedError as error:
            return replace(delivery, result=Result.FAILED, reason=str(error))
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            reason = f"it could not be put into the channel's form: {type(error).__name__}: {error}"
            return replace(delivery, result=Result.FAILED, reason=reason)
        delivery = replace(delivery, left_out=parcel.left_out)
        if self._dry_run:
            self._previews[digest.id] = parcel.shown
            return replace(delivery, reason="dry run")
        ended = self._sent(digest.channel, sender.send, parcel)
        return replace(
            delivery, result=ended.result, reason=ended.reason, receipt=ended.receipt, attempts=ended.attempts
        )

    def _sent(self, channel: Channel, send: Callable[[Parcel], str], parcel: Parcel) -> Outcome:
        ended = deliver(lambda: send(parcel), self._patience, secrets_of(channel))
        self._silent[channel.name] = self._silent[channel.name] + 1 if ended.given_up else 0
        return ended


def _routes(digest: Digest) -> Iterator[str]:
    yield from sorted({each.notice.owner.route for each in digest.due})
