"""YAML as finops-policy writes it: the same data gives the same bytes."""

from __future__ import annotations

from typing import Any

import yaml


def dump_yaml(data: Any) -> bytes:
    """YAML in one fixed layout: insertion order, UTF-8, no aliases, no wrapping."""
    text = yaml.dump(data, Dumper=_PlainDumper, sort_keys=False, allow_unicode=True, width=4096)
    return str(text).encode()


class _PlainDumper(yaml.SafeDumper):
    """Writes shared values twice rather than as aliases, which people cannot read."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
