"""The linter: every mistake in the files people write, at its place."""
