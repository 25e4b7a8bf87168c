"""Runs a compiled set over targets. ``worker`` judges one target; ``fanout`` hands targets to processes and seals."""
