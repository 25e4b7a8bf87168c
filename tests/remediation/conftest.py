"""Fixtures of the recipes' tests."""

from __future__ import annotations

from tests.remediation.recipe_kit import moto_url, stage

__all__ = ["moto_url", "stage"]
