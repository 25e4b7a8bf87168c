"""The only importer of Cloud Custodian (c7n). c7n decides; this package asks, listens and explains.

``library``: resource types and schemas. ``account``: one target's resources and judgements. ``observe``: what each
filter read, and where it could not decide.
"""
