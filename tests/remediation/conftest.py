"""Fixtures of the recipes' and the engine's tests."""

from __future__ import annotations

from tests.remediation.engine_kit import before_moto, house
from tests.remediation.recipe_kit import moto_url, stage

__all__ = ["before_moto", "house", "moto_url", "stage"]
