"""PURE: packs + profile + customer -> plain Cloud Custodian policies, a lock, and where every value came from.

The same input gives the same bytes on any machine: nothing here reads a clock, an environment, a network or c7n. What
the policies are called, how long the scope is, and what a finding is worth rides in ``metadata``, so that a compiled
file alone is enough to run from (:func:`load_policies`). Filters at the end leave out what is waived.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from finops_policy.customer import Customer
from finops_policy.digests import digest
from finops_policy.errors import InvalidFilesError, did_you_mean
from finops_policy.marks import PLACEHOLDER, Diagnostic, Mark
from finops_policy.model import (
    WAIVERS,
    CompiledPolicy,
    Framework,
    Pack,
    Parameter,
    ParameterValue,
    Policy,
    Profile,
    Setting,
    Settings,
    Severity,
    Waiver,
)
from finops_policy.placeholders import placeholder_problems
from finops_policy.validation import check_value
from finops_policy.waiver_filters import ArnKey, uncompiled, with_waivers
from finops_policy.writing import dump_yaml

LOCK_NAME = "finops-policy.lock"
HEAD = b"policies:\n"
PLAIN = "finops-policy"
"""In the metadata of a plain policy (``custodian.loading``), whose own keys say nothing of ours."""
DEFAULT = ""
"""Key of the policies of every account without settings of its own."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a parameter's value came from: ``layer`` is pack, profile, customer or account."""

    account_id: str
    pack: str
    parameter: str
    value: ParameterValue
    layer: str
    mark: Mark


@dataclass(frozen=True, slots=True)
class CompiledSet:
    """What runs: policies per account (``variants``, :data:`DEFAULT` for the rest), the lock, and the origins."""

    customer: str
    profile: str
    variants: Mapping[str, tuple[CompiledPolicy, ...]]
    lock: Mapping[str, Any]
    origins: tuple[Origin, ...]
    uncompiled: tuple[Diagnostic, ...] = ()
    """Waivers that stock Cloud Custodian cannot be told of; a run honours them all the same."""

    def policies(self, account_id: str = DEFAULT) -> tuple[CompiledPolicy, ...]:
        return self.variants.get(account_id, self.variants[DEFAULT])

    def files(self) -> dict[str, bytes]:
        """Relative path -> bytes of everything compiled: the policies as c7n YAML, and the lock."""
        unique = {id(each): each for policies in self.variants.values() for each in policies}
        items = {key: dump_yaml([each.document]) for key, each in unique.items()}  # slow, and variants share most
        files = {
            policies_path(key): b"".join([HEAD, *(items[id(one)] for one in each)])
            for key, each in self.variants.items()
        }
        return {**files, LOCK_NAME: dump_yaml(self.lock)}


def policies_path(account_id: str) -> str:
    return f"accounts/{account_id}.yaml" if account_id else "policies.yaml"


def compile_set(
    profile: Profile,
    customer: Customer,
    packs: Mapping[str, Pack],
    frameworks: Sequence[Framework],
    waivers: Sequence[Waiver] = (),
    arn_keys: Mapping[str, ArnKey] = MappingProxyType({}),
) -> CompiledSet:
    """Compiles everything, or raises :class:`InvalidFilesError` with every problem found.

    ``waivers`` are those that apply, now or later, and ``arn_keys`` the keys of their resource types' ARNs, by type.
    The lock is of what is judged: waivers are not in it.

    ``packs`` are all known packs, by name: a name that is not among them is reported with the nearest known one.
    ``frameworks`` are those of the profile that exist; the others are reported.
    """
    problems = [
        *_pack_problems(profile, packs),
        *_framework_problems(profile, frameworks, packs),
        *_setting_problems("profile", profile.settings, profile, packs),
        *_setting_problems("customer", customer.settings, profile, packs),
    ]
    for account in customer.accounts:
        problems += _setting_problems("account", account.settings, profile, packs)
        problems += _final_problems([profile.settings, customer.settings, account.settings])
    chosen = [packs[choice.name] for choice in profile.packs if choice.name in packs]
    problems += _name_clashes(chosen)
    for pack in chosen:
        problems += parameter_problems(pack)
    if problems:
        raise InvalidFilesError(list(dict.fromkeys(problems)))

    variants: dict[str, tuple[CompiledPolicy, ...]] = {}
    origins: list[Origin] = []
    own = [each for each in customer.accounts if any(each.settings.values())]
    for account_id, settings in [(DEFAULT, {}), *((each.id, each.settings) for each in own)]:
        resolved = [_resolve(pack, account_id, settings, profile, customer) for pack in chosen]
        origins += [origin for each in resolved for origin in each.values()]
        variants[account_id] = tuple(
            _compile_policy(policy, pack, _posture(profile, pack, policy), values)
            for pack, values in zip(chosen, resolved, strict=True)
            for policy in pack.policies.values()
        )
    return CompiledSet(
        customer=customer.name,
        profile=profile.name,
        variants={
            account_id: tuple(with_waivers(policy, waivers, arn_keys.get(policy.resource)) for policy in policies)
            for account_id, policies in variants.items()
        },
        lock=lock_of(profile, customer, chosen, frameworks, variants),
        origins=tuple(origins),
        uncompiled=tuple(uncompiled(variants[DEFAULT], waivers, arn_keys)),
    )


def dump_policies(policies: Iterable[CompiledPolicy]) -> bytes:
    return b"".join([HEAD, *(dump_yaml([policy.document]) for policy in policies)])


def load_policies(documents: Iterable[Mapping[str, Any]]) -> tuple[CompiledPolicy, ...]:
    """The compiled policies back from their c7n documents."""
    return tuple(_from_document(document) for document in documents)


def in_range(version: str, versions: str) -> bool:
    """Whether a SemVer version is in a PEP 440 range; a range that is none, or empty, contains nothing."""
    try:
        range_ = SpecifierSet(versions)
    except InvalidSpecifier:
        return False
    return len(range_) > 0 and range_.contains(version)


# --- problems ---------------------------------------------------------------------------------------------------------


def _pack_problems(profile: Profile, packs: Mapping[str, Pack]) -> Iterator[Diagnostic]:
    for choice in profile.packs:
        if choice.name not in packs:
            message = f"Profile {profile.name} names a pack {choice.name!r} that does not exist."
            yield Diagnostic("unknown-pack", message, choice.mark, did_you_mean(choice.name, packs))
        else:
            pack = packs[choice.name]
            yield from _version_problems("Pack", pack, choice.versions, choice.mark)
            for policy in choice.postures.keys() - pack.policies.keys():
                message = f"Pack {pack.name} has no policy {policy!r} to give a posture to."
                hint = did_you_mean(policy, pack.policies)
                yield Diagnostic("unknown-policy", message, choice.posture_marks[policy], hint, (pack.mark,))


def _version_problems(kind: str, found: Pack | Framework, versions: str, mark: Mark) -> Iterator[Diagnostic]:
    if not in_range(found.version, versions):
        yield Diagnostic(
            "version-range",
            f"{kind} {found.name} is at {found.version}, which {versions!r} does not accept.",
            mark,
            "Write a range such as '~=1.0' that the version is in, or use another version.",
            (found.mark,),
        )


def _framework_problems(
    profile: Profile, frameworks: Sequence[Framework], packs: Mapping[str, Pack]
) -> Iterator[Diagnostic]:
    existing = {framework.name: framework for framework in frameworks}
    for name, versions in profile.frameworks.items():
        mark = profile.framework_marks[name]
        if name in existing:
            yield from _version_problems("Framework", existing[name], versions, mark)
        else:
            message = f"Profile {profile.name} names a framework {name!r} that does not exist."
            yield Diagnostic("unknown-framework", message, mark, f"Correct the name, or write frameworks/{name}.yaml.")
    known = {f"{pack.name}/{policy}" for pack in packs.values() for policy in pack.policies}
    for framework in frameworks:
        for control in framework.controls:
            for mapping in control.mappings:
                if mapping.policy not in known:
                    message = f"Control {control.id} names a policy {mapping.policy!r} that does not exist."
                    pack = packs.get(mapping.policy.partition("/")[0])
                    related = (pack.mark,) if pack else ()
                    hint = did_you_mean(mapping.policy, known)
                    yield Diagnostic("unknown-policy", message, mapping.mark, hint, related)


def _setting_problems(
    layer: str, settings: Settings, profile: Profile, packs: Mapping[str, Pack]
) -> Iterator[Diagnostic]:
    chosen = {choice.name for choice in profile.packs}
    for pack_name, values in settings.items():
        for name, setting in values.items():
            if pack_name not in packs:
                message = f"The {layer} sets a parameter of pack {pack_name!r}, which does not exist."
                yield Diagnostic("unknown-pack", message, setting.mark, did_you_mean(pack_name, packs))
            elif pack_name not in chosen:
                message = f"The {layer} sets a parameter of pack {pack_name}, which profile {profile.name} leaves out."
                hint = "Remove it, or add the pack to the profile."
                yield Diagnostic("unused-parameter", message, setting.mark, hint, (profile.mark,))
            elif name not in packs[pack_name].parameters:
                message = f"Pack {pack_name} has no parameter {name!r}."
                hint = did_you_mean(name, packs[pack_name].parameters)
                yield Diagnostic("unknown-parameter", message, setting.mark, hint, (packs[pack_name].mark,))
            else:
                parameter = packs[pack_name].parameters[name]
                yield from _type_problems(parameter, setting.value, setting.mark, f"{pack_name}.{name}")


def _type_problems(parameter: Parameter, value: ParameterValue, mark: Mark, label: str) -> Iterator[Diagnostic]:
    if sentence := check_value(parameter.schema, value):
        related = () if mark == parameter.mark else (parameter.mark,)
        yield Diagnostic("parameter-type", f"{label}: {sentence}", mark, parameter.description, related)


def _final_problems(layers: Sequence[Settings]) -> Iterator[Diagnostic]:
    locked: dict[tuple[str, str], Setting] = {}
    for layer in layers:
        for pack, values in layer.items():
            for name, setting in values.items():
                if (first := locked.get((pack, name))) is not None:
                    yield Diagnostic(
                        "final-parameter",
                        f"{pack}.{name} is final ({first.value!r}) and cannot be changed to {setting.value!r}.",
                        setting.mark,
                        "Remove this value, or ask the profile's owner to drop `final: true`.",
                        (first.mark,),
                    )
                elif setting.final:
                    locked[pack, name] = setting


def _name_clashes(packs: Iterable[Pack]) -> Iterator[Diagnostic]:
    first: dict[str, Policy] = {}
    for pack in packs:
        for policy in pack.policies.values():
            if policy.name in first:
                message = f"Policy name {policy.name!r} is used by two packs of this profile."
                hint = "Rename one: compiled policies share one namespace."
                yield Diagnostic("duplicate", message, policy.mark, hint, (first[policy.name].mark,))
            first.setdefault(policy.name, policy)


def parameter_problems(pack: Pack) -> Iterator[Diagnostic]:
    """What is wrong with a pack's parameters, and with the places that they are used in."""
    used: set[str] = set()
    for policy in pack.policies.values():
        for section, filters in (("scope", policy.scope), ("violation", policy.violation)):
            yield from placeholder_problems(pack, policy, filters, (section,), used)
        yield from placeholder_problems(pack, policy, policy.remediation, ("remediation",), used)
    for parameter in pack.parameters.values():
        yield from _type_problems(parameter, parameter.default, parameter.mark, f"Default of {parameter.name}")
        if parameter.name not in used:
            message = f"No policy of pack {pack.name} uses parameter {parameter.name!r}."
            hint = f"Use it as ${{{parameter.name}}}, or remove it."
            yield Diagnostic("unused-parameter", message, parameter.mark, hint)


# --- compiling --------------------------------------------------------------------------------------------------------


def _resolve(
    pack: Pack, account_id: str, account_settings: Settings, profile: Profile, customer: Customer
) -> dict[str, Origin]:
    """Parameter name -> its value and origin; later layers win."""
    layers = (("profile", profile.settings), ("customer", customer.settings), ("account", account_settings))
    resolved = {}
    for parameter in pack.parameters.values():
        origin = Origin(account_id, pack.name, parameter.name, parameter.default, "pack", parameter.mark)
        for layer, settings in layers:
            setting = settings.get(pack.name, {}).get(parameter.name)
            if setting is not None:
                origin = Origin(account_id, pack.name, parameter.name, setting.value, layer, setting.mark)
        resolved[parameter.name] = origin
    return resolved


def _posture(profile: Profile, pack: Pack, policy: Policy) -> str:
    return next(choice.posture_of(policy.name).value for choice in profile.packs if choice.name == pack.name)


def _compile_policy(policy: Policy, pack: Pack, posture: str, values: Mapping[str, Origin]) -> CompiledPolicy:
    metadata: dict[str, Any] = {
        "pack": pack.name,
        "pack_version": pack.version,
        "title": policy.title,
        "rationale": policy.rationale,
        "severity": policy.severity.value,
        "scope_length": len(policy.scope),
        "posture": posture,
    }
    if policy.savings_method:
        metadata["savings_method"] = policy.savings_method
    if policy.remediation:
        metadata["remediation"] = _substitute(policy.remediation, values)
    document = {
        "name": policy.name,
        "resource": policy.resource,
        "description": policy.title,
        "metadata": metadata,
        "filters": _substitute([*policy.scope, *policy.violation], values),
    }
    metadata["digest"] = digest(document)
    return _from_document(document)


def _from_document(document: Mapping[str, Any]) -> CompiledPolicy:
    metadata = document["metadata"]
    return CompiledPolicy(
        name=document["name"],
        pack=metadata["pack"],
        pack_version=metadata["pack_version"],
        title=metadata["title"],
        rationale=metadata["rationale"],
        resource=document["resource"],
        severity=Severity(metadata["severity"]),
        scope_length=metadata["scope_length"],
        savings_method=metadata.get("savings_method", ""),
        document=document,
        waiver_length=0 if PLAIN in metadata else metadata.get(WAIVERS, 0),
    )


def _substitute(value: Any, values: Mapping[str, Origin]) -> Any:
    if isinstance(value, Mapping):
        return {key: _substitute(item, values) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_substitute(item, values) for item in value]
    if isinstance(value, str) and (match := PLACEHOLDER.fullmatch(value)):
        found = values[match[1]].value
        return list(found) if isinstance(found, tuple) else found
    return value


def lock_of(
    profile: Profile,
    customer: Customer,
    packs: Sequence[Pack],
    frameworks: Sequence[Framework],
    variants: Mapping[str, Sequence[CompiledPolicy]],
) -> dict[str, Any]:
    return {
        "apiVersion": "finops-policy/v1",
        "kind": "Lock",
        "customer": {"name": customer.name, "title": customer.title, "digest": customer.digest},
        "profile": {
            "name": profile.name,
            "version": profile.version,
            "title": profile.title,
            "digest": profile.digest,
            "retention": {"years": profile.retention_years, "source": profile.retention_source},
        },
        "packs": [{"name": pack.name, "version": pack.version, "digest": pack.digest} for pack in packs],
        "frameworks": [
            {"name": framework.name, "version": framework.version, "digest": framework.digest}
            for framework in sorted(frameworks, key=lambda each: each.name)
        ],
        "policies": {
            policies_path(account): digest([policy.document for policy in policies])
            for account, policies in variants.items()
        },
    }
