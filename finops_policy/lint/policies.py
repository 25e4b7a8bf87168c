"""Every policy of the files read, in Cloud Custodian's form."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from finops_policy.errors import InvalidFilesError
from finops_policy.lint.files import label
from finops_policy.lint.subject import PLAIN, LintedPolicy, Source
from finops_policy.marks import PLACEHOLDER
from finops_policy.sources import Document, read

if TYPE_CHECKING:
    from finops_policy.custodian.knowledge import Knowledge
    from finops_policy.model import Pack

PACK: Final = "pack.yaml"


def policies_of(sources: Iterable[Source], fitting: Mapping[str, bool], knowledge: Knowledge) -> list[LintedPolicy]:
    """``fitting``: label -> whether the file fits its schema; of ours only those that do are policies of a pack."""
    sources = list(sources)
    found = [policy for source in sources if source.kind == PLAIN for policy in _plain(source, knowledge)]
    folders: dict[Path, list[Source]] = defaultdict(list)
    for source in sources:
        if source.kind in ("pack", "policy") and source.document and fitting[source.label]:
            folders[source.path.absolute().parent].append(source)
    for folder, members in folders.items():
        found += _of_folder(folder, members, knowledge)
    return found


def is_open(policy: LintedPolicy) -> bool:
    """Whether a value of a policy is a parameter that its pack does not have, or that has no pack."""
    return policy.written is not None and _has_placeholder(policy.document)


def _plain(source: Source, knowledge: Knowledge) -> Iterator[LintedPolicy]:
    if source.document is None:
        return
    data = source.document.data
    items = data.get("policies") if isinstance(data, dict) else None
    for index, item in enumerate(items if isinstance(items, list) else ()):
        if isinstance(item, dict):
            type_ = _type(item.get("resource"), knowledge)
            yield LintedPolicy(source, source.document, ("policies", index), item, type_)


def _type(resource: Any, knowledge: Knowledge) -> Any:
    return knowledge.type_of(resource) if isinstance(resource, str) else None


def _of_folder(folder: Path, members: list[Source], knowledge: Knowledge) -> Iterator[LintedPolicy]:
    from finops_policy.reading import pack_of

    written = [(each, each.document) for each in members if each.kind == "policy" and each.document]
    if not written:
        return
    head = next((each.document for each in members if each.kind == "pack"), None) or _head(folder / PACK)
    pack = pack_of(head, [document for _, document in written]) if head else None
    for source, document in written:
        yield _of_pack(source, document, pack, knowledge)


def _head(path: Path) -> Document | None:
    """The pack of policies that are linted without it; None where it cannot be read."""
    from finops_policy.validation import validate

    with suppress(InvalidFilesError):
        document = read(path, label(path))
        return None if validate(document, "pack") else document
    return None


def _of_pack(source: Source, file: Document, pack: Pack | None, knowledge: Knowledge) -> LintedPolicy:
    from finops_policy.reading import policy_of

    policy = policy_of(file)
    defaults = {name: each.default for name, each in pack.parameters.items()} if pack else {}
    document: dict[str, Any] = {
        "name": policy.name,
        "resource": policy.resource,
        "filters": _with(defaults, [*policy.scope, *policy.violation]),
    }
    if policy.remediation:
        document["actions"] = _with(defaults, policy.remediation["actions"])
    return LintedPolicy(source, file, (), document, _type(policy.resource, knowledge), policy, pack)


def _with(defaults: Mapping[str, Any], value: Any) -> Any:
    """The value with each parameter's default in its place; what is no parameter stays as it is."""
    if isinstance(value, Mapping):
        return {key: _with(defaults, item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with(defaults, item) for item in value]
    if isinstance(value, str) and (match := PLACEHOLDER.fullmatch(value)) and match[1] in defaults:
        found = defaults[match[1]]
        return list(found) if isinstance(found, tuple) else found
    return value


def _has_placeholder(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_placeholder, value.values()))
    if isinstance(value, list):
        return any(map(_has_placeholder, value))
    return isinstance(value, str) and PLACEHOLDER.fullmatch(value) is not None
