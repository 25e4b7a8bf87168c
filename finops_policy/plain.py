"""Plain Cloud Custodian policy files as a project, without a pack, a profile or a customer of ours.

A file becomes a pack. All resources of a policy's type are its population, and its whole filter list is the violation.
Actions are checked by c7n with the rest and then set aside in ``metadata``: what is compiled has none to run. Variables
are expanded by c7n when a policy is loaded for a target; see ``custodian.loading``.

Accounts whose variables make a difference to some policy get a variant of the compiled set.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from finops_policy import sources
from finops_policy.catalog import NAME
from finops_policy.compiler import DEFAULT, CompiledSet, lock_of
from finops_policy.custodian.loading import CARRIED, distinct, faults
from finops_policy.customer import Account, Customer
from finops_policy.digests import digest
from finops_policy.errors import InvalidFilesError, UsageError, did_you_mean
from finops_policy.failures import known_regions
from finops_policy.marks import Diagnostic, Mark
from finops_policy.model import CompiledPolicy, Pack, Policy, Profile, Severity
from finops_policy.plain_accounts import (
    Listed,
    choose,
    comma_expand,
    meant,
    misspelt_regions,
    partition_of,
    read_accounts,
    regions_of,
)
from finops_policy.project import Project, select_policies
from finops_policy.sources import Document
from finops_policy.validation import validate

PROFILE: Final = "custodian"
VERSION: Final = "0.0.0"
OWN_ACCOUNT: Final = "the caller's own account"
SUFFIXES: Final = (".yaml", ".yml", ".json")
_ACCOUNT: Final = re.compile(r"\baccount\b")


@dataclass(frozen=True, slots=True)
class Choice:
    """What the user asked for, as c7n-org takes it: commas separate too. Empty means all. Policies are globs."""

    accounts: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Written:
    """A policy as written: its file, its place in it, and the document that c7n will be given."""

    file: Document
    index: int
    pack: str
    document: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.document["name"])

    def mark(self, *steps: str | int) -> Mark:
        return self.file.mark("policies", self.index, *steps)

    def key_mark(self, *steps: str | int) -> Mark:
        return self.file.key_mark("policies", self.index, *steps)


def load(paths: Sequence[Path], accounts_file: Path | None, choice: Choice, customer: str) -> Project:
    """Reads, compiles, and checks with c7n what was chosen. Without an accounts file ``choice.regions`` must not be
    empty, and the project's one account is nobody's until :func:`in_account` says whose.

    The compiled set is of all accounts and policies, whatever was chosen: so a run can be resumed without the choice.

    Raises :class:`InvalidFilesError` with every problem of the files, and :class:`UsageError`.
    """
    if not NAME.fullmatch(customer):
        raise UsageError(
            f"{customer!r} cannot name a customer.",
            hint="Use small letters, digits and single hyphens, beginning with a letter.",
        )
    files = _read(paths)
    policies = [policy for pack, file in files.items() for policy in _policies(pack, file)]
    if not policies:
        raise UsageError("The files hold no policy.", hint="Cloud Custodian's policies are listed under `policies:`.")
    listed, chosen, accounts_digest, mark = _accounts(accounts_file, choice)
    contexts = _contexts(policies, listed)
    compiled = CompiledSet(customer, PROFILE, _variants(policies, contexts), {}, ())
    names = select_policies(compiled, comma_expand(choice.policies))
    looked_at = [contexts[each.account.id] for each in chosen]
    _refuse([*_duplicates(policies), *_severities(policies), *_faults(policies, looked_at, names)])
    accounts = tuple(each.account for each in chosen)
    tenant = Customer(
        name=customer,
        title=customer,
        profile=PROFILE,
        partition=partition_of(accounts),
        role=None,
        accounts=accounts,
        settings={},
        digest=accounts_digest,
        mark=mark,
    )
    packs = {pack: _pack(pack, file, [each for each in policies if each.pack == pack]) for pack, file in files.items()}
    profile = _profile(packs)
    lock = lock_of(profile, tenant, list(packs.values()), (), compiled.variants)
    return Project(
        customer=tenant,
        profile=profile,
        packs=packs,
        frameworks=(),
        compiled=replace(compiled, lock=lock),
        waivers=(),
        malformed=(),
    )


def in_account(project: Project, account_id: str) -> Project:
    """The project with its one account being this one: the caller's own."""
    [account] = project.customer.accounts
    return replace(project, customer=replace(project.customer, accounts=(replace(account, id=account_id),)))


def acting(project: Project) -> int:
    """How many policies have actions, none of which will run."""
    return sum("actions" in _carried(policy.document) for policy in project.compiled.policies())


def _carried(document: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = document["metadata"][CARRIED]
    return found


# --- files ------------------------------------------------------------------------------------------------------------


def _read(paths: Sequence[Path]) -> dict[str, Document]:
    """Pack name -> file, in the order given; a folder stands for the policy files in it, as for Cloud Custodian."""
    found: dict[str, Document] = {}
    problems: list[Diagnostic] = []
    labels: dict[Path, str] = {}
    for each in paths:
        for path, label in _files(each):
            labels.setdefault(path, label)
    for path, label in labels.items():
        try:
            file = sources.read(path, str(path))
        except InvalidFilesError as error:
            problems += error.diagnostics
            continue
        if wrong := validate(file, "custodian-policies"):
            problems += [_foreign(file, each) for each in wrong]
            continue
        name = _slug(label)
        candidates = (name, *(f"{name}-{number}" for number in range(2, len(found) + 3)))
        found[next(each for each in candidates if each not in found)] = file
    _refuse(problems)
    return found


def _files(path: Path) -> Iterator[tuple[Path, str]]:
    """The files a path stands for, and what to name their packs after."""
    if not path.is_dir():
        yield path, path.stem
        return
    for each in sorted(path.rglob("*")):
        within = each.relative_to(path)
        if each.suffix in SUFFIXES and each.is_file() and not any(part.startswith(".") for part in within.parts):
            yield each, "-".join(within.with_suffix("").parts)


def _foreign(file: Document, problem: Diagnostic) -> Diagnostic:
    """A resource of another cloud fits the form of none of AWS: say what is the matter."""
    policies = file.data.get("policies") if isinstance(file.data, dict) else None
    for index, raw in enumerate(policies if isinstance(policies, list) else ()):
        if isinstance(raw, dict) and problem.mark == file.mark("policies", index, "resource"):
            resource = raw.get("resource")
            if isinstance(resource, str) and "." in resource and not resource.startswith("aws."):
                message = f"{sources.shown(resource)} is no resource type of AWS, and finops-policy reads AWS only."
                return replace(problem, rule="cloud", message=message, hint="Keep `custodian` for it.")
    return problem


def _slug(label: str) -> str:
    """A pack's name, as our schemas have it, from a file's."""
    words = re.findall(r"[a-z0-9]+", label.casefold())
    slug = "-".join(words)[:40].rstrip("-")
    return slug if NAME.fullmatch(slug) else f"file-{slug}".rstrip("-")


def _policies(pack: str, file: Document) -> list[_Written]:
    found = []
    for index, raw in enumerate(file.data["policies"]):
        resource = raw["resource"] if raw["resource"].startswith("aws.") else f"aws.{raw['resource']}"
        found.append(_Written(file, index, pack, {**raw, "resource": resource}))
    return found


def _accounts(path: Path | None, choice: Choice) -> tuple[tuple[Listed, ...], tuple[Listed, ...], str, Mark]:
    """All accounts, those chosen, and the digest and the place of where they are written."""
    names, tags, regions = map(comma_expand, (choice.accounts, choice.tags, choice.regions))
    for region in regions:
        if hint := meant(region, known_regions()):
            raise UsageError(f"There is no region {region!r}.", hint=hint)
    if path is not None:
        file = read_accounts(path)
        _refuse(misspelt_regions(file, known_regions()))
        return file.listed, choose(file, names, tags, regions), file.digest, file.mark
    mark = Mark("--region")
    own = (Listed(Account("", OWN_ACCOUNT, regions_of(regions), {}, mark), (), {}, {}),)
    return own, own, digest({}), mark


# --- problems ---------------------------------------------------------------------------------------------------------


def _refuse(problems: Iterable[Diagnostic]) -> None:
    if found := sorted(dict.fromkeys(problems), key=lambda problem: problem.mark):
        raise InvalidFilesError(found)


def _duplicates(policies: Iterable[_Written]) -> Iterator[Diagnostic]:
    first: dict[str, _Written] = {}
    for policy in policies:
        if policy.name in first:
            message = f"Policy name {policy.name!r} is used twice."
            hint = "Rename one: names tell findings apart."
            yield Diagnostic("duplicate", message, policy.mark("name"), hint, (first[policy.name].mark("name"),))
        first.setdefault(policy.name, policy)


def _severities(policies: Iterable[_Written]) -> Iterator[Diagnostic]:
    for policy in policies:
        said = policy.document.get("metadata", {}).get("severity", Severity.MEDIUM)
        if not isinstance(said, str) or said.casefold() not in list(Severity):
            hint = did_you_mean(str(said).casefold(), list(Severity))
            message = f"{sources.shown(str(said))} is no severity."
            yield Diagnostic("severity", message, policy.mark("metadata", "severity"), hint)


def _faults(
    policies: Sequence[_Written], contexts: Iterable[Sequence[str]], names: Collection[str]
) -> Iterator[Diagnostic]:
    """What c7n has against each of the policies named, with each set of variables that makes a difference to it."""
    for policy, found in zip(policies, zip(*contexts, strict=True), strict=True):
        if policy.name not in names:
            continue
        contexts = (json.loads(each) for each in dict.fromkeys(found))
        written = policy.document.get("metadata", {})
        for document in distinct({**policy.document, "metadata": {**written, CARRIED: each}} for each in contexts):
            for fault in faults(document):
                said = f"Cloud Custodian refuses it: {fault.sentence}" if fault.rule == "c7n" else fault.sentence
                mark = policy.key_mark(*fault.steps) if fault.of_key else policy.mark(*fault.steps)
                yield Diagnostic(fault.rule, said, mark, fault.hint)


# --- compiling --------------------------------------------------------------------------------------------------------


def _contexts(policies: Sequence[_Written], listed: Sequence[Listed]) -> dict[str, tuple[str, ...]]:
    """Account id -> for each policy the part of the account that it can tell, as JSON: variables it may name, and the
    account where its conditions look at it."""
    names = {name for each in listed for name in each.variables}
    texts = [json.dumps(policy.document, ensure_ascii=False) for policy in policies]
    named = [sorted(name for name in names if f"{{{name}" in text) for text in texts]
    looks = [bool(_ACCOUNT.search(json.dumps(policy.document.get("conditions", ())))) for policy in policies]

    def told(each: Listed, number: int) -> str:
        if not named[number] and not looks[number]:
            return "{}"
        carried: dict[str, Any] = {}
        if variables := {name: each.variables[name] for name in named[number] if name in each.variables}:
            carried["vars"] = variables
        if looks[number] and each.shown:
            carried["account"] = each.shown
        return json.dumps(carried, sort_keys=True)

    return {each.account.id: tuple(told(each, number) for number in range(len(policies))) for each in listed}


def _variants(
    policies: Sequence[_Written], contexts: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[CompiledPolicy, ...]]:
    """The set that most accounts share, and one for each account that differs. Policies are shared between them."""
    made: dict[tuple[int, str], CompiledPolicy] = {}

    def compiled(context: Sequence[str]) -> tuple[CompiledPolicy, ...]:
        for number, (policy, carried) in enumerate(zip(policies, context, strict=True)):
            if (number, carried) not in made:
                made[number, carried] = _compile(policy, json.loads(carried))
        return tuple(made[pair] for pair in enumerate(context))

    [(usual, _)] = Counter(contexts.values()).most_common(1)
    own = {account_id: compiled(context) for account_id, context in contexts.items() if context != usual}
    return {DEFAULT: compiled(usual), **own}


def _compile(policy: _Written, carried: Mapping[str, Any]) -> CompiledPolicy:
    written = {key: value for key, value in policy.document.items() if key != "actions"}
    if actions := policy.document.get("actions"):
        carried = {**carried, "actions": actions}
    title, rationale = _words(policy.document)
    severity = _severity(policy.document)
    metadata = {
        **written.get("metadata", {}),
        "pack": policy.pack,
        "pack_version": VERSION,
        "title": title,
        "rationale": rationale,
        "severity": severity.value,
        "scope_length": 0,
        CARRIED: carried,
    }
    document = {**written, "metadata": metadata}
    return CompiledPolicy(
        name=policy.name,
        pack=policy.pack,
        pack_version=VERSION,
        title=title,
        rationale=rationale,
        resource=document["resource"],
        severity=severity,
        scope_length=0,
        savings_method="",
        document=document,
    )


def _words(document: Mapping[str, Any]) -> tuple[str, str]:
    """A title and a rationale out of what Cloud Custodian has for people to read."""
    metadata = document.get("metadata", {})
    said = [metadata.get("title"), *(document.get(key) for key in ("title", "description", "comments", "comment"))]
    texts = [each.strip() for each in said if isinstance(each, str) and each.strip()]
    title = texts[0].splitlines()[0] if texts else str(document["name"])
    rationale = next((text for text in texts if text != title), "")
    return title, rationale


def _severity(document: Mapping[str, Any]) -> Severity:
    """``metadata.severity``, whatever its case; medium where there is none."""
    said = str(document.get("metadata", {}).get("severity", "")).casefold()
    return Severity(said) if said in list(Severity) else Severity.MEDIUM


def _pack(name: str, file: Document, policies: Iterable[_Written]) -> Pack:
    return Pack(
        name=name,
        version=VERSION,
        title=file.path,
        owner="",
        parameters={},
        policies={each.name: _policy(each) for each in policies},
        digest=digest(file.data),
        mark=file.mark(),
    )


def _policy(policy: _Written) -> Policy:
    title, rationale = _words(policy.document)
    return Policy(
        name=policy.name,
        title=title,
        resource=policy.document["resource"],
        severity=_severity(policy.document),
        rationale=rationale,
        scope=(),
        violation=tuple(policy.document.get("filters") or ()),
        remediation={},
        savings_method="",
        mark=policy.mark(),
    )


def _profile(packs: Mapping[str, Pack]) -> Profile:
    return Profile(
        name=PROFILE,
        version=VERSION,
        title="Cloud Custodian policies",
        packs=(),
        settings={},
        frameworks={},
        framework_marks={},
        redacted_tags=(),
        retention_years=0,
        retention_source="",
        digest=digest({name: pack.digest for name, pack in packs.items()}),
        mark=Mark("--policies"),
    )
