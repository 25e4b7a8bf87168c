"""Policy-as-code compliance engine for FinOps on Cloud Custodian."""

__version__ = "0.1.0"
