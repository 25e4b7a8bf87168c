"""``python -m finops_policy`` is the command line."""

from finops_policy.cli import entry_point

if __name__ == "__main__":
    entry_point()
