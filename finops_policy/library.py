"""Where the built-in library lives: policies, schemas, report templates and the example customer.

A wheel carries them under ``finops_policy/_library``; in a checkout they stand at the top level, for people to edit.
"""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable


def library_root() -> Traversable:
    """The folder whose children are ``policies``, ``schemas``, ``reports`` and ``customers``."""
    package = files("finops_policy")
    packaged = package.joinpath("_library")
    if packaged.joinpath("schemas").is_dir():
        return packaged
    return package.joinpath("..")
