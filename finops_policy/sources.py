"""YAML files people write, read with the place of every value.

The reader is PyYAML's ``CSafeLoader``, YAML 1.1 as Cloud Custodian reads it, so that a file means the same to both.
What it would let through silently is refused here: duplicate keys, keys that are not text, NaN and infinity, alias
bombs, several documents. Timestamps stay text: dates are checked by the schemas, and JSON has none.

Limits: :data:`MAX_BYTES` of file, :data:`MAX_DEPTH` levels of nesting, :data:`MAX_NODES` values and
:data:`MAX_CHARACTERS` of text once every alias and merge key is expanded. libyaml composes nodes by recursion in C,
where too deep a file would end the process: the loader counts levels while libyaml descends.
"""

from __future__ import annotations

import codecs
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias

import yaml
from yaml import CSafeLoader
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from finops_policy.errors import InvalidFilesError
from finops_policy.marks import Diagnostic, Mark
from finops_policy.yaml_words import BREAK, Places, syntax_problem

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

Steps: TypeAlias = tuple[str | int, ...]
"""The way to a value: mapping keys and list indexes from the root, which is ``()``."""

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 100
MAX_NODES: Final = 100_000
MAX_CHARACTERS: Final = 4 * MAX_BYTES
ODD: Final = frozenset({"control-character", "duplicate-key", "non-string-key", "not-a-number", "yaml-tag"})
"""Rules whose problems leave the rest of a file readable."""
MAX_NUMBER: Final = 100
"""Longest number as written. Python refuses to print integers over 4300 digits; no setting comes near either."""

_TAG: Final = "tag:yaml.org,2002:"
_MERGE: Final = _TAG + "merge"
_TIMESTAMP: Final = _TAG + "timestamp"
_UNSAFE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
"""What YAML forbids, and what it skips or takes for a line break unseen (U+FEFF, U+0085, U+2028, U+2029)."""

_FOREIGN_BOMS: Final = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


@dataclass(frozen=True, slots=True)
class Document:
    """A file's data and where each part of it stands. ``data`` is made of dict, list, str, int, float, bool and None.

    What an alias or a merge key brings in is a copy of its own, marked where it was written: that is where to mend it.
    ``timestamps`` lead to the texts that YAML takes for dates. ``problems`` are those of a file read all the same.
    """

    path: str
    data: Any
    marks: Mapping[Steps, Mark] = field(repr=False)
    key_marks: Mapping[Steps, Mark] = field(repr=False)
    timestamps: tuple[Steps, ...] = ()
    problems: tuple[Diagnostic, ...] = ()

    def mark(self, *steps: str | int) -> Mark:
        """Where the value stands, or the nearest thing around it that exists."""
        while steps and steps not in self.marks:
            steps = steps[:-1]
        return self.marks[steps]

    def key_mark(self, *steps: str | int) -> Mark:
        """Where the key of the value stands; like :meth:`mark` for what has no key."""
        return self.key_marks.get(steps) or self.mark(*steps)


def shown(text: str, limit: int = 60) -> str:
    """Text of a file as messages quote it: short, on one line, invisible characters escaped."""
    short = text if len(text) <= limit else text[: limit - 3] + "..."
    return f"`{short if short.isprintable() else repr(short)[1:-1]}`"


def read(source: Traversable | Path, path: str) -> Document:
    """Parse a file; ``path`` is its name in marks. Raises InvalidFilesError; never reads more than the limit."""
    return parse(read_bytes(source, path), path)


def read_bytes(source: Traversable | Path, path: str) -> bytes:
    """A file's bytes, of one that is too large a byte more than the limit. Raises InvalidFilesError."""
    try:
        if source.is_dir():
            _refuse("file-unreadable", "this is a folder, not a file", Mark(path))
        if not source.is_file():  # opening a pipe or a device could wait for ever
            _refuse("file-unreadable", "no regular file is there", Mark(path), "Check the path and permissions.")
        with source.open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        _refuse("file-unreadable", f"the file cannot be read: {reason}", Mark(path), "Check the path and permissions.")


def parse(raw: bytes, path: str, *, lenient: bool = False) -> Document:
    """Parse the bytes of a file; ``path`` is its name in marks. Raises InvalidFilesError with all problems found.

    With ``lenient`` a file whose values are odd (:data:`ODD`), or has keys twice, is read as far as it can be.
    """
    text, problems = _decode(raw, path)
    if problems and not lenient:
        raise InvalidFilesError(problems)
    if tag := re.search(r"^%TAG\b", text, re.MULTILINE):  # libyaml needs quadratic time for many
        _refuse("yaml-tag", "%TAG lines are not supported", _place(text, tag.start(), path), "Remove the line.")
    loader = _Loader(text, path)
    try:
        root = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        raise InvalidFilesError([syntax_problem(error, text, path)]) from error
    except yaml.reader.ReaderError as error:  # one of the characters that are told already
        raise InvalidFilesError(problems) from error
    finally:
        loader.dispose()
    builder = _Builder(loader)
    data = builder.build(root, ()) if root else None
    problems = sorted([*problems, *builder.problems], key=lambda problem: problem.mark)
    if data is None and not problems:
        _refuse("empty-file", "the file holds nothing but comments", Mark(path), "Write it, or remove the file.")
    if problems and not (lenient and all(problem.rule in ODD for problem in problems)):
        raise InvalidFilesError(problems)
    return Document(path, data, builder.marks, builder.key_marks, tuple(builder.timestamps), tuple(problems))


def _refuse(rule: str, message: str, mark: Mark, hint: str = "", related: tuple[Mark, ...] = ()) -> NoReturn:
    raise InvalidFilesError([Diagnostic(rule, message, mark, hint, related)])


def _place(text: str, index: int, path: str) -> Mark:
    lines = BREAK.split(text[:index])
    return Mark(path, len(lines), len(lines[-1]) + 1)


def _decode(raw: bytes, path: str) -> tuple[str, list[Diagnostic]]:
    if len(raw) > MAX_BYTES:
        _refuse("file-too-large", "the file is larger than 1 MiB", Mark(path), "Split it into several files.")
    for bom, encoding in _FOREIGN_BOMS.items():
        if raw.startswith(bom):
            _refuse("encoding", f"the file is {encoding}", Mark(path, 1, 1), "Save the file as UTF-8.")
    raw = raw.removeprefix(codecs.BOM_UTF8)
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode()
        message = f"the byte 0x{raw[error.start]:02X} is not UTF-8"
        _refuse("encoding", message, _place(before, len(before), path), "Save the file as UTF-8.")
    problems = []
    if unsafe := _UNSAFE.search(text):
        hint = "Remove it; if the editor shows text here, save the file as UTF-8."
        mark = _place(text, unsafe.start(), path)
        problems.append(Diagnostic("control-character", _name(unsafe.group()), mark, hint))
    return text, problems


def _name(character: str) -> str:
    code, name = ord(character), unicodedata.name(character, "NUL" if character == "\0" else "control character")
    return f"the invisible character U+{code:04X} ({name}) is not allowed"


def _too_deep(mark: Mark) -> NoReturn:
    _refuse("nesting-depth", f"nested more than {MAX_DEPTH} levels deep", mark, "Flatten the lists and mappings.")


def _too_many(mark: Mark) -> NoReturn:
    _refuse("file-too-large", f"more than {MAX_NODES:,} values", mark, "Split the file into several.")


class _Loader(CSafeLoader):
    """CSafeLoader that counts levels and values: libyaml's composer calls these two hooks around each node."""

    def __init__(self, text: str, path: str) -> None:
        super().__init__(text)
        self.place, self.level, self.count = Places(text, path), 0, 0

    def descend_resolver(self, current_node: Node | None, current_index: Any) -> None:
        self.level += 1
        self.count += 1
        if current_node is not None and self.level > MAX_DEPTH + 1:
            _too_deep(self.place(current_node.start_mark))
        if current_node is not None and self.count > MAX_NODES:
            _too_many(self.place(current_node.start_mark))

    def ascend_resolver(self) -> None:
        self.level -= 1


class _Builder:
    """Plain data and marks out of composed nodes, which aliases make a graph. Gathers problems, stops at bombs."""

    def __init__(self, loader: _Loader) -> None:
        self._place = loader.place
        self.marks: dict[Steps, Mark] = {}
        self.key_marks: dict[Steps, Mark] = {}
        self.problems: dict[Diagnostic, None] = {}  # a set that keeps order: an aliased mistake is reported once
        self.timestamps: list[Steps] = []
        self._scalars = {
            _TAG + "str": lambda node: node.value,
            _TIMESTAMP: lambda node: node.value,
            _TAG + "null": lambda node: None,
            _TAG + "bool": loader.construct_yaml_bool,
            _TAG + "int": loader.construct_yaml_int,
            _TAG + "float": loader.construct_yaml_float,
        }
        self._pairs: dict[int, dict[str, tuple[Node, Node]]] = {}
        self._open: set[int] = set()
        self._nodes = self._characters = 0

    def build(self, node: Node, steps: Steps) -> Any:
        """The node's data; recursion ends at MAX_DEPTH."""
        mark = self.marks[steps] = self._place(node.start_mark)
        self._spend(1, 0, mark)
        if isinstance(node, ScalarNode):
            if node.tag == _TIMESTAMP:
                self.timestamps.append(steps)
            return self._scalar(node, mark)
        if len(steps) >= MAX_DEPTH:
            _too_deep(mark)
        if node.tag != _TAG + ("map" if isinstance(node, MappingNode) else "seq"):
            self._wrong_tag(node, mark)
        pairs = self._mapping(node, len(steps)) if isinstance(node, MappingNode) else None
        self._enter(node)
        data: Any
        if pairs is not None:
            data = {}
            for key, (key_node, value) in pairs.items():
                self.key_marks[*steps, key] = self._place(key_node.start_mark)
                self._spend(0, len(key), mark)
                data[key] = self.build(value, (*steps, key))
        else:
            data = [self.build(item, (*steps, index)) for index, item in enumerate(node.value)]
        self._open.remove(id(node))
        return data

    def _enter(self, node: Node) -> None:
        if id(node) in self._open:
            mark = self._place(node.start_mark)
            _refuse("yaml-alias", "the anchor here holds an alias of itself", mark, "Remove the alias.")
        self._open.add(id(node))

    def _mapping(self, node: MappingNode, depth: int) -> dict[str, tuple[Node, Node]]:
        """Keys, with their nodes and their values', of a mapping and of what it merges; worked out once per mapping."""
        self._enter(node)
        if id(node) not in self._pairs:
            self._pairs[id(node)] = self._merge(node, depth)
        self._open.remove(id(node))
        return self._pairs[id(node)]

    def _merge(self, node: MappingNode, depth: int) -> dict[str, tuple[Node, Node]]:
        """As PyYAML does: merged keys come first, the mapping's own win. Recurses over merges of merges."""
        if depth > MAX_DEPTH:
            _too_deep(self._place(node.start_mark))
        own: dict[str, tuple[Node, Node]] = {}
        merged: dict[str, tuple[Node, Node]] = {}
        merge_node: Node | None = None
        for key_node, value in node.value:
            mark = self._place(key_node.start_mark)
            if key_node.tag == _MERGE:
                if merge_node is not None:
                    hint = "Merge several mappings with `<<: [*one, *two]`."
                    self._problem("duplicate-key", "`<<` appears twice", mark, hint, merge_node)
                merge_node = key_node
                for source in self._sources(value):
                    pairs = self._mapping(source, depth + 1)
                    self._spend(len(pairs), 0, mark)
                    merged.update(pairs)
                continue
            key = self._key(key_node, mark)
            if key in own:
                hint = "Remove one of the two, or rename it; YAML would silently keep the last one."
                self._problem("duplicate-key", f"the key {shown(key)} appears twice", mark, hint, own[key][0])
            elif key is not None:
                own[key] = (key_node, value)
        return merged | own

    def _sources(self, value: Node) -> Sequence[MappingNode]:
        """The mappings a merge key names, the strongest last: in a list the first one wins."""
        nodes = list(reversed(value.value)) if isinstance(value, SequenceNode) else [value]
        mappings = [node for node in nodes if isinstance(node, MappingNode)]
        if len(mappings) < len(nodes):
            hint = "Write `<<: *anchor` or `<<: [*one, *two]`, or put `<<` in quotes."
            self._problem("merge-key", "`<<` merges mappings only", self._place(value.start_mark), hint)
        return mappings

    def _key(self, node: Node, mark: Mark) -> str | None:
        if not isinstance(node, ScalarNode):
            hint = "Use plain text as key; put `${name}` and text that begins with `{` or `[` in quotes."
            self._problem("non-string-key", "a list or mapping cannot be a key", mark, hint)
            return None
        data = node.value if node.tag == _TAG + "value" else self._scalar(node, mark)
        if isinstance(data, str) and node.tag != _TIMESTAMP:
            return data
        if node.tag in self._scalars:
            kind = "date" if node.tag == _TIMESTAMP else node.tag.removeprefix(_TAG)
            message = f"the key {shown(node.value)} is read as {kind}, not as text" if node.value else "a key is empty"
            self._problem("non-string-key", message, mark, "Put the key in quotes.")
            return str(node.value)
        return None

    def _scalar(self, node: ScalarNode, mark: Mark) -> Any:
        self._spend(0, len(node.value), mark)
        if node.style == '"' and (unsafe := _UNSAFE.search(node.value)):
            self._problem("control-character", _name(unsafe.group()), mark, "Remove the escape.")
        construct = self._scalars.get(node.tag)
        if construct is None:
            return self._wrong_tag(node, mark)
        number = node.tag in (_TAG + "int", _TAG + "float")
        if number and len(node.value) > MAX_NUMBER:
            message = f"a number of {len(node.value):,} characters is too long"
            return self._problem("not-a-number", message, mark, "Put it in quotes if it is text.")
        try:
            data = construct(node)
        except (ValueError, KeyError, IndexError):
            message = f"{shown(node.value)} is no {node.tag.removeprefix(_TAG)}"
            rule = "not-a-number" if number else "yaml-tag"
            return self._problem(rule, message, mark, "Put it in quotes if it is text, and remove any tag before it.")
        if isinstance(data, float) and not math.isfinite(data):
            message = f"{shown(node.value)} is not a number that can be compared or stored"
            return self._problem("not-a-number", message, mark, "Write a finite number, or text in quotes.")
        return data

    def _wrong_tag(self, node: Node, mark: Mark) -> None:
        if node.tag in (_MERGE, _TAG + "value"):
            self._problem("yaml-tag", f"`{node.value}` has a meaning of its own in YAML", mark, "Put it in quotes.")
            return
        tag = shown(node.tag.replace(_TAG, "!!"))
        hint = "Remove the tag; put text that begins with `!` in quotes."
        self._problem("yaml-tag", f"the tag {tag} is not allowed here", mark, hint)

    def _problem(self, rule: str, message: str, mark: Mark, hint: str, other: Node | None = None) -> None:
        related = (self._place(other.start_mark),) if other is not None else ()
        self.problems[Diagnostic(rule, message, mark, hint, related)] = None

    def _spend(self, nodes: int, characters: int, mark: Mark) -> None:
        """Count what is expanded. The loader has counted what is written: only aliases and merges go beyond here."""
        self._nodes += nodes
        self._characters += characters
        if self._nodes > MAX_NODES or self._characters > MAX_CHARACTERS:
            message = f"aliases expand to more than {MAX_NODES:,} values or {MAX_CHARACTERS:,} characters"
            _refuse("yaml-alias", message, mark, "Use fewer aliases, or aliases of smaller parts.")
