"""Cloud Custodian's own examples, and its own verdict on a file of policies: the truth that the linter is held against.

``custodian validate`` takes seconds a file where many resource types are loaded. :func:`verdict` asks the same code in
the same order, with one schema per resource type; :func:`stock_validate` is the real thing, in processes of its own.
"""

from __future__ import annotations

import copy
import json
import random
import re
import subprocess
import sys
import textwrap
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from c7n import commands, deprecated, schema
from c7n.config import Bag, Config
from c7n.policy import Policy, execution
from c7n.provider import clouds
from c7n.resources import load_resources
from c7n.resources.resource_map import ResourceMap
from c7n.structure import StructureParser
from jsonschema import Draft7Validator

from finops_policy.custodian.library import quiet

BENCH = Path(__file__).parents[2] / "bench" / "policies"
_BLOCK = re.compile(r"^( *)\.\. +code-block:: *yaml", re.MULTILINE)


# --- examples ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Example:
    """``origin`` is the class whose documentation shows it, or a file's name."""

    origin: str
    text: str


@cache
def examples() -> tuple[Example, ...]:
    """Every example of c7n's documentation that holds whole policies or whole filters or actions, and our own files."""
    load_all()
    found: dict[str, Example] = {}
    for resource, section, each in _classes():
        for block in _blocks(schema.ElementSchema.doc(each)):
            if text := _as_file(block, resource, section):
                found.setdefault(text, Example(f"{each.__module__}.{each.__name__}", text))
    for path in sorted(BENCH.glob("*.yml")):
        found[path.name] = Example(path.name, path.read_text())
    return tuple(found.values())


@cache
def load_all() -> None:
    quiet()
    load_resources(tuple(name for name in ResourceMap if name.startswith("aws.")))


def _classes() -> Iterator[tuple[str, str, Any]]:
    """Resource type, section and class of all that has documentation."""
    for name, manager in sorted(clouds["aws"].resources.items()):
        yield name, "", manager
        for section in ("filters", "actions"):
            for each in getattr(manager, f"{section[:-1]}_registry").values():
                yield name, section, each
    for each in execution.values():
        yield "ec2", "", each


def _blocks(text: str) -> Iterator[str]:
    for found in _BLOCK.finditer(text):
        lines = text[found.end() :].split("\n")[1:]
        end = next((i for i, line in enumerate(lines) if line.strip() and _indent(line) <= len(found[1])), len(lines))
        yield textwrap.dedent("\n".join(lines[:end])).strip("\n") + "\n"


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _as_file(block: str, resource: str, section: str) -> str:
    """The block as a file of policies; empty where it shows a part of one, or no YAML."""
    try:
        data = yaml.safe_load(block)
    except yaml.YAMLError:
        return ""
    if isinstance(data, dict) and "policies" in data:
        return block
    if not isinstance(data, list) or not all(isinstance(each, dict) for each in data):
        return ""
    if all("resource" in each for each in data):
        return f"policies:\n{textwrap.indent(block, '  ')}"
    if section and all("type" in each or {"or", "and", "not"} & each.keys() for each in data):
        head = f"policies:\n  - name: example\n    resource: {resource}\n    {section}:\n"
        return head + textwrap.indent(block, "      ")
    return ""


@cache
def valid() -> tuple[dict[str, Any], ...]:
    """The policies of all examples that c7n accepts, without anchors."""
    data = [yaml.safe_load(example.text) for example in examples() if not verdict(example.text)]
    return tuple(policy for each in json.loads(json.dumps(data, default=str)) for policy in each["policies"])


def crossed(chance: random.Random) -> dict[str, Any]:
    """A valid policy; at times with the filters and actions of another one of its resource type."""
    one = chance.choice(valid())
    if chance.random() < 0.8:
        return one
    other = chance.choice(_by_type()[_type_name(one)])
    both = {key: [*one.get(key, ()), *other.get(key, ())] for key in ("filters", "actions")}
    return one | {key: items for key, items in both.items() if items}


@cache
def _by_type() -> dict[str, list[dict[str, Any]]]:
    found = defaultdict(list)
    for policy in valid():
        found[_type_name(policy)].append(policy)
    return found


def _type_name(policy: dict[str, Any]) -> str:
    name: str = clouds["aws"].resources.get(policy["resource"].removeprefix("aws.")).type
    return name


def type_names() -> list[str]:
    """Every resource type of AWS, once."""
    load_all()
    return sorted(name for name, _ in clouds["aws"].resources.items())


# --- the verdict ------------------------------------------------------------------------------------------------------


def verdict(text: str) -> str:
    """Why ``custodian validate`` refuses a file; empty when it accepts. Like there, whatever is raised is a refusal."""
    load_all()
    text = text.replace("\r\n", "\n").replace("\r", "\n")  # as files are read
    try:
        data = yaml.load(text, Loader=commands.DuplicateKeyCheckLoader)
        StructureParser().validate(data)
        StructureParser().get_resource_types(data)
        if not isinstance(data.get("vars", {}), dict):
            return "schema: vars"
        for policy in data["policies"]:
            if said := _of_schema(policy):
                return said
        if schema.check_unique(data):
            return "duplicate names"
        for policy in copy.deepcopy(data)["policies"]:
            made = Policy(policy, Config.empty(dryrun=True, account_id="na", region="na"), Bag())
            made.validate()
            deprecated.report(made)
    except Exception as error:  # noqa: BLE001 - a crash of `custodian validate` is a refusal too
        return f"{type(error).__name__}: {error}"
    return ""


def _of_schema(policy: dict[str, Any]) -> str:
    """As ``c7n.schema.validate``: only the first error counts, and one of text in braces is forgiven."""
    error = next(_errors(policy), None)
    return "" if error is None or _in_braces(error) else f"schema: {error.message}"


def schema_accepts(policy: dict[str, Any]) -> bool:
    """Without leniency."""
    return bool(_validators()[policy["resource"]].is_valid(policy))


def forgiven(policy: dict[str, Any]) -> bool:
    """Whether c7n's schema accepts a policy only because it may have a variable where the first mistake is."""
    return [_in_braces(error) for error in _errors(policy)][:1] == [True]


def _errors(policy: dict[str, Any]) -> Iterator[Any]:
    resource = policy["resource"]
    validator = _validators()[resource if resource in _validators() else ""]
    return map(schema.specific_error, validator.iter_errors(policy))


def _in_braces(error: Any) -> bool:
    return bool(error.validator == "type" and schema.is_c7n_placeholder(error.instance))


@cache
def _validators() -> dict[str, Draft7Validator]:
    """What ``resource`` may say -> the schema of its policies; for what it may not, a schema that refuses all."""
    definitions = schema.generate()["definitions"]
    found = {"": Draft7Validator({"not": {}})}
    for name, each in definitions["resources"].items():
        if name.startswith("aws."):
            made = Draft7Validator({"$ref": f"#/definitions/resources/{name}/policy", "definitions": definitions})
            found |= dict.fromkeys(each["policy"]["allOf"][1]["properties"]["resource"]["enum"], made)
    return found


# --- the real thing ---------------------------------------------------------------------------------------------------

_REAL = """
import json, logging, os, sys
logging.disable(logging.CRITICAL)
from c7n import commands, deprecated
from c7n.config import Bag
for path in json.load(sys.stdin):
    child = os.fork()
    if not child:
        code = 0
        try:
            commands.validate(Bag(configs=[path], check_deprecations="yes"))
        except SystemExit as end:
            code = int(end.code or 0)
        except BaseException:
            code = 1
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def stock_validate(paths: Sequence[Path]) -> list[bool]:
    """Whether ``custodian validate`` accepts each file, asked in a process that has loaded no type before."""
    done = subprocess.run(
        [sys.executable, "-c", _REAL],
        input=json.dumps(list(map(str, paths))),
        capture_output=True,
        text=True,
        check=True,
    )
    codes = list(map(int, done.stdout.split()))
    assert len(codes) == len(paths)
    assert set(codes) <= {0, 1}
    return [code == 0 for code in codes]
