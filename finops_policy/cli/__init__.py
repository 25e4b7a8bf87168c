"""The command line: one command a file, imported only when it is used, so that ``--version`` stays quick."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import rich_click as click

from finops_policy import __version__
from finops_policy.errors import ExitCode, FinopsPolicyError

if TYPE_CHECKING:
    from types import TracebackType

COMMANDS = (
    *("run", "report", "verify", "runs", "findings"),
    *("notify", "plan", "approve", "apply", "undo", "lint", "diff", "waiver", "compile", "explain", "test", "sandbox"),
    "completion",
)
"""In the order of ``--help``; each lives in the module ``<name>_command``, as ``command``."""


class Commands(click.RichGroup):
    """Imports a command's module on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"finops_policy.cli.{cmd_name}_command").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from finops_policy.errors import did_you_mean

        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            ctx.fail(f"There is no command {args[0]!r}. {did_you_mean(args[0], COMMANDS)}".strip())
        return super().resolve_command(ctx, args)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with: finops-policy run --customer acme --profile hipaa --sandbox",
)
@click.version_option(__version__, prog_name="finops-policy")
def cli() -> None:
    """Policy-as-code compliance for FinOps on Cloud Custodian.

    Exit codes: 0 clean, 1 error, 2 usage, 3 findings at or above --fail-on, 4 incomplete coverage, 130 interrupted.
    """


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line and answers with its exit code; every known error is a clear line on stderr."""
    try:
        result: Any = cli.main(args=arguments, prog_name="finops-policy", standalone_mode=False)
    except FinopsPolicyError as error:
        return _tell(error, arguments)
    except OSError as error:
        hint = "Check the disk, the permissions and where the output goes; -vv shows where it happened."
        return _tell(FinopsPolicyError(f"The operating system refused: {error}", hint=hint), arguments)
    except click.ClickException as error:
        error.show()
        return int(ExitCode.USAGE)
    except (click.Abort, KeyboardInterrupt):
        print("Interrupted. Nothing was sealed.", file=sys.stderr)  # noqa: T201
        return int(ExitCode.INTERRUPTED)
    return int(result) if isinstance(result, int) else int(ExitCode.CLEAN)


def _tell(error: FinopsPolicyError, arguments: list[str] | None) -> int:
    """Called while the error is being handled: -vv shows how it came about."""
    import traceback

    from finops_policy.cli.console import tell_error

    if "-vv" in (sys.argv[1:] if arguments is None else arguments):
        traceback.print_exc()
    tell_error(error)
    return int(error.exit_code)


def _tell_bug(_kind: type[BaseException], error: BaseException, _traceback: TracebackType | None) -> None:
    print(f"Bug in finops-policy: {error!r}. Run it again with -vv, and report what it says.", file=sys.stderr)  # noqa: T201


def entry_point() -> None:
    """The command line as a process. SIGTERM ends it as Ctrl-C does: with its workers and its sandbox."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if "-vv" not in sys.argv:
        sys.excepthook = _tell_bug
    code = main()
    if code == ExitCode.INTERRUPTED:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError):
                stream.flush()
        os._exit(code)  # a thread may hang in a call, and Python would wait for it
    sys.exit(code)
