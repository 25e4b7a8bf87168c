"""``finops-policy completion``: tab completion for the user's shell."""

from __future__ import annotations

import rich_click as click
from click.shell_completion import get_completion_class

from finops_policy.errors import UsageError


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the script that teaches SHELL to complete commands, options and names.

    \b
    Examples:
      source <(finops-policy completion bash)
      finops-policy completion fish > ~/.config/fish/completions/finops-policy.fish
    """
    from finops_policy.cli import cli

    complete = get_completion_class(shell)
    if complete is None:
        raise UsageError(f"There is no completion for {shell}.")
    click.echo(complete(cli, {}, "finops-policy", "_FINOPS_POLICY_COMPLETE").source())
