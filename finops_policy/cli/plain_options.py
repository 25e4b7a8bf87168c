"""The options of ``run`` for plain Cloud Custodian files, and the project they make."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click

from finops_policy.errors import UsageError

if TYPE_CHECKING:
    from finops_policy.engine.run import Selection
    from finops_policy.plain import Choice
    from finops_policy.project import Project

Command = TypeVar("Command", bound=Callable[..., Any])


def options(command: Command) -> Command:
    """``--policies``, ``--accounts`` and ``--tags``. The first is eager: ``--customer`` may be left out with it."""
    for option in (
        click.option("--tags", multiple=True, metavar="KEY:VALUE", help="Only accounts of --accounts with this tag."),
        click.option(
            "--accounts",
            "accounts_file",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="Accounts file of c7n-org, for --policies. Default: the caller's own account.",
        ),
        click.option(
            "--policies",
            "policy_files",
            type=click.Path(path_type=Path, exists=True),
            multiple=True,
            is_eager=True,
            metavar="FILE",
            help="Cloud Custodian policy file, or a folder of them, in the place of a profile; may be repeated.",
        ),
    ):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user gave of these options, and of those that mean something else with them."""

    policy_files: tuple[Path, ...]
    accounts_file: Path | None
    tags: tuple[str, ...]
    accounts: tuple[str, ...]
    regions: tuple[str, ...]
    policies: tuple[str, ...]
    resume: str

    @property
    def plain(self) -> bool:
        return bool(self.policy_files)

    def check(self, profile: str | None) -> None:
        """Raises :class:`UsageError` for options that do not go together."""
        if not self.plain:
            for given, option in ((self.accounts_file, "--accounts"), (self.tags, "--tags")):
                if given:
                    raise UsageError(f"{option} needs --policies.", hint="A customer's accounts are in customer.yaml.")
        elif profile is not None:
            raise UsageError(
                "--policies and --profile exclude each other.", hint="Plain policy files are their own profile."
            )
        elif self.accounts_file is None and (self.tags or self.accounts):
            option = "--tags" if self.tags else "--account"
            raise UsageError(f"{option} needs --accounts with --policies.", hint="It chooses among a file's accounts.")

    def project(self, customer: str | None, store: Path, sandbox: bool) -> Project:
        """Raises what :func:`finops_policy.plain.load` raises, and ``EvidenceError`` for what cannot be resumed."""
        from finops_policy.plain import PROFILE, load

        name = PROFILE if customer is None else customer
        choice = self._begun(name, store, sandbox) if self.resume else self._choice()
        return load(self.policy_files, self.accounts_file, choice, name)

    def _choice(self) -> Choice:
        from finops_policy.plain import Choice

        regions = self.regions
        if self.accounts_file is None and not regions:
            region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
            if not region:
                raise UsageError("No region was given.", hint="Give --region or --accounts, or set AWS_REGION.")
            regions = (region,)
        return Choice(self.accounts, self.tags, regions, self.policies)

    def _begun(self, customer: str, store: Path, sandbox: bool) -> Choice:
        """What a run that broke off was begun with, as its bundle has it."""
        from finops_policy.engine.record import begun
        from finops_policy.evidence.store import LocalStore
        from finops_policy.plain import Choice

        scope = begun(LocalStore(store).reopen(customer, self.resume), {}, sandboxed=sandbox)
        accounts = {target.account_id: None for target in scope.targets} if self.accounts_file else {}
        regions = {target.region: None for target in scope.targets}
        return Choice(tuple(accounts), (), tuple(regions), tuple(map(escape, sorted(scope.policies))))

    def selection(self, project: Project) -> Selection:
        """What was chosen: the project has no other accounts, and they have the regions asked for."""
        from finops_policy.engine.run import Selection
        from finops_policy.plain_accounts import ALL, comma_expand

        accounts = tuple(each.id for each in project.customer.accounts) if self.accounts or self.tags else ()
        regions, policies = map(comma_expand, (self.regions, self.policies))
        return Selection(accounts, () if ALL in regions else regions, policies)


def in_own_account(project: Project) -> Project:
    """The project in the account that the credentials of the environment are of. Asks AWS."""
    from finops_policy import aws
    from finops_policy.plain import in_account

    return in_account(project, aws.caller(project.customer.home_region).account_id)


def note(project: Project) -> str:
    """What becomes of the policies' actions; empty where none has any."""
    from finops_policy.plain import acting

    count = acting(project)
    what = f"{count:,} policies have" if count != 1 else "1 policy has"
    return f"{what} actions: they were checked and not run. A run only reads." if count else ""
