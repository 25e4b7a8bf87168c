"""What is wrong with a policy, before anybody has said where its file is."""

from __future__ import annotations

from dataclasses import dataclass

Steps = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """``steps`` lead to it from the policy's root; the key is wrong when ``of_key``, otherwise the value."""

    steps: Steps
    rule: str
    sentence: str
    hint: str
    of_key: bool = False
