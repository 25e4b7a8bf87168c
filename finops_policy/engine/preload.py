"""Imported once by the fork server, so that every worker starts with c7n, botocore and DuckDB loaded, and with the
resource types and service models of the run.

Workers are forked from it: what it has read is theirs, and costs nothing again. It reaches no network.
"""

import os

import boto3
import botocore.session
import duckdb
from c7n import policy, provider, resources

from finops_policy import aws
from finops_policy.custodian.library import load_types, manager_class
from finops_policy.engine import worker
from finops_policy.engine.pools import PRELOAD

__all__ = ["boto3", "botocore", "duckdb", "policy", "provider", "resources", "worker"]


def _load(types: list[str]) -> None:
    load_types(types)
    session = aws.session("us-east-1", aws.Credentials("preload", "preload", "preload"))
    services = {manager_class(each).resource_type.service for each in types} | {"cloudwatch"}
    for service in sorted(services & set(session.get_available_services())):
        session.client(service)


if named := os.environ.pop(PRELOAD, ""):
    _load(named.split(","))
