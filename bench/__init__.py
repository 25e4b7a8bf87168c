"""Benchmarks against the peers, on a fake AWS of our own. Not installed; ``python -m bench`` runs them."""
