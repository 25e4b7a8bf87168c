"""Two hundred targets on the fake AWS, by the command line: the parent's memory stays flat, nothing goes missing."""

from __future__ import annotations

from bench.simulation import MIB, simulate


def test_two_hundred_targets_cost_the_parent_no_memory_and_each_account_one_role() -> None:
    found = simulate(accounts=25, regions=8, instances=1, workers=2, policies=("ec2-required-tags", "ebs-gp2"))
    assert found.measured.code == 0, found.measured.err[-2000:]
    assert (found.targets, found.cells, found.failed) == (200, 400, 0)
    assert found.evaluations == 400
    assert len(found.assumed) == 25
    assert set(found.assumed.values()) == {1}
    first, middle, last = found.memory.values()
    assert first > 0
    assert max(middle, last) - first < 24 * MIB
