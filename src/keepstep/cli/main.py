"""The command `keepstep`: a group that loads a command only when it is asked for."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

import click

from keepstep import __version__
from keepstep.errors import InternalError, KeepstepError

if TYPE_CHECKING:
    from types import FrameType

__all__ = ["COMMANDS", "LazyGroup", "main"]

COMMANDS = {
    "doctor": ("keepstep.cli.doctor", "Show the tools: found or not, version, source, cure."),
    "check": ("keepstep.cli.check", "Run the models of the manifest with TLC and Apalache."),
    "derive": ("keepstep.cli.derive", "Derive the role classes from their TLA+ modules."),
    "conform": ("keepstep.cli.conform", "Compare the shipped classes with the specification."),
    "mutate": ("keepstep.cli.mutate", "Break classes and deriver on purpose; each must be caught."),
    "suite": ("keepstep.cli.suite", "Run the shells against a real ZooKeeper under faults."),
    "contend": ("keepstep.cli.contend", "Contend for leadership, as one process."),
    "verify": ("keepstep.cli.verify", "Run the whole chain and show one table."),
}
"""Name of a command, its module (whose `command` it is) and its line in the help."""

INTERRUPTED = 130


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used, not to list them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the chain."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module and return its `command`."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(COMMANDS[cmd_name][0])
        command = module.command
        if not isinstance(command, click.Command):
            raise InternalError(f"{module.__name__}.command is no command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="keepstep")
def group() -> None:
    """State machines derived from a checked TLA+ specification, run on real ZooKeeper.

    Exit codes: 0 everything as expected; 1 something differs; 2 could not run, or bad
    input; 3 nothing differs, but something is weaker than wanted and no fresh locked
    verdict stands in for it.
    """


def _on_termination(number: int, frame: FrameType | None) -> NoReturn:
    """Turn SIGTERM and SIGHUP into the interrupt that every command cleans up after."""
    del number, frame
    raise KeyboardInterrupt


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run `keepstep` and end the process with the exit code of the command."""
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) is signal.SIG_DFL:
            signal.signal(getattr(signal, name), _on_termination)
    try:
        code = group.main(arguments, prog_name="keepstep", standalone_mode=False)
    except click.exceptions.Exit as ended:
        code = ended.exit_code
    except click.Abort:
        code = _interrupted()
    except KeyboardInterrupt:
        code = _interrupted()
    except click.ClickException as error:
        error.show()
        code = 2
    except InternalError:
        raise
    except KeepstepError as error:
        click.echo(f"keepstep: {error}", err=True)
        code = 2
    except BrokenPipeError:
        # Whoever read our output has gone; a traceback about it would help nobody.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code if isinstance(code, int) else 0)


def _interrupted() -> int:
    click.echo("keepstep: interrupted; everything it started has ended", err=True)
    return INTERRUPTED
