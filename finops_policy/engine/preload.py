"""Imported once by the fork server, so that every worker starts with c7n, botocore and DuckDB loaded."""

import boto3
import botocore.session
import duckdb
from c7n import policy, provider, resources

from finops_policy.engine import worker

__all__ = ["boto3", "botocore", "duckdb", "policy", "provider", "resources", "worker"]
