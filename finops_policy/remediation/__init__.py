"""From findings to proven acts: plan, approval, apply, undo. See docs/remediation.md."""
