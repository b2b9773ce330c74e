"""The command `keepstep`: a group that loads a command only when it is asked for."""

from __future__ import annotations

import errno
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
    "campaign": ("keepstep.cli.campaign", "Run elections on an ensemble for long, under faults."),
    "replay": ("keepstep.cli.replay", "Do a saved run again, on the fake and on real servers."),
    "zookeeper": ("keepstep.cli.zookeeper", "Run ZooKeeper servers to tinker with, and faults."),
    "validate": ("keepstep.cli.validate", "Compare recorded runs with the specification."),
    "ledger": ("keepstep.cli.ledger", "Show which edges real servers have shown."),
    "contend": ("keepstep.cli.contend", "Contend for leadership, as one process."),
    "verify": ("keepstep.cli.verify", "Run the whole chain and show one table."),
}
"""Name of a command, its module (whose `command` it is) and its line in the help."""

INTERRUPTED = 130
UNHEARD = 141
_COULD_NOT_RUN = 2
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


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
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            # Whoever started us has closed it, so what we say is for nobody.
            setattr(sys, name, os.fdopen(_nowhere(), "w", encoding="utf-8"))
    sys.exit(_code_of(arguments))


def _code_of(arguments: list[str] | None) -> int:
    """Run a command; what went wrong becomes a sentence and an exit code."""
    try:
        code = _run(arguments)
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _interrupted()
    except click.ClickException as error:
        error.show()
    except InternalError:
        raise
    except KeepstepError as error:
        click.echo(f"keepstep: {error}", err=True)
    except BrokenPipeError:
        # Whoever read our output has gone; a traceback about it would help nobody. What the
        # command has found is not known, so the code is that of a program that SIGPIPE ends.
        _discard_output()
        return UNHEARD
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        # Nobody knows now what the command has found, so this is no verdict.
        _discard_output()
        click.echo(f"keepstep: the output could not be written: {error}", err=True)
    return _COULD_NOT_RUN


def _was_interrupt(error: BaseException | None) -> bool:
    """Whether an interrupt is the cause of an error."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__
    return error is not None


def _run(arguments: list[str] | None) -> object:
    """Run the command; what it wrote has left this process when it returns."""
    try:
        return group.main(arguments, prog_name="keepstep", standalone_mode=False)
    except SystemExit:
        # Commands never do this, and click only where our output is not read any more; its exit
        # code would be a verdict here.
        raise BrokenPipeError from None
    except Exception as error:
        # Python itself makes it another error if it comes in the middle of an import.
        if _was_interrupt(error):
            raise KeyboardInterrupt from error
        raise
    finally:
        sys.stdout.flush()


def _discard_output() -> None:
    """Write to nowhere what is still to be written, or the interpreter would try again."""
    os.dup2(_nowhere(), sys.stdout.fileno())


def _nowhere() -> int:
    """A file descriptor that takes what is written to it, and keeps nothing."""
    return os.open(os.devnull, os.O_WRONLY)


def _interrupted() -> int:
    click.echo("keepstep: interrupted; everything it started has ended", err=True)
    return INTERRUPTED
