"""The command line: the group of all commands, and what becomes of errors. A command translates options, calls one function, prints its
result.

What a command needs is imported where it runs, so that help and `solve` answer at once.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import sys
import sysconfig
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click

from dominoes.cli.dataset import build, export, preview, solve, verify
from dominoes.cli.demo import demo
from dominoes.cli.leaderboard import leaderboard
from dominoes.cli.llc import llc
from dominoes.cli.names import check_model, list_
from dominoes.cli.report import plot, report
from dominoes.cli.simplicity import simplicity
from dominoes.cli.studies import headlines, keep, reproduce
from dominoes.cli.sweep import sweep
from dominoes.cli.theory import compare, fit, toy
from dominoes.cli.train import train
from dominoes.errors import DominoesError, brief
from dominoes.runs.engines.allocator import keep_memory

# Commands that train in this process, which is then to be as fast as a worker.
_TRAINING = ("train", "demo", "check-model")


class _Ended(KeyboardInterrupt):
    """A signal asks the process to end."""

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


def _end(number: int, _: FrameType | None) -> None:
    raise _Ended(number)


# Where the code of this package and of libraries lies.
_LIBRARIES = tuple({str(Path(__file__).parents[1]), *(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib"))})

# How libraries say that memory, which threads and mapped files take too, is not to be had.
_NO_MEMORY = re.compile(
    r"can't allocate memory|cannot allocate memory|failed to map segment|failed to launch worker thread|can't start new thread"
    r"|unable to allocate|malloc of size|bad_alloc",
    re.IGNORECASE,
)


def _lacks_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM or bool(_NO_MEMORY.search(str(error)))


def _say_memory() -> NoReturn:
    click.echo("Error: this needs more memory than there is; ask for fewer dominoes or fewer runs, or free memory", err=True)
    sys.exit(2)


# Frames of compiled code name the source that it was built from, wherever that was.
_COMPILED = (".pyx", ".pxd", ".pxi")


def _file_of(frame: FrameType) -> str:
    """Where the code of a frame lies: of compiled code its module."""
    module = sys.modules.get(frame.f_globals.get("__name__", "")) if frame.f_code.co_filename.endswith(_COMPILED) else None
    return getattr(module, "__file__", None) or frame.f_code.co_filename


def _say_outside(error: BaseException) -> None:
    """End with one sentence where code that is neither this package's nor a library's has failed, or has ended the program."""
    walked = traceback.walk_tb(error.__traceback__)
    outside = [(frame, line) for frame, line in walked if not _file_of(frame).startswith((*_LIBRARIES, "<"))]
    if not outside:
        return
    what = (
        f"ends the program ({type(error).__name__})" if isinstance(error, SystemExit) else f"fails ({type(error).__name__}: {brief(error)})"
    )
    frame, line = outside[-1]
    where = f"{frame.f_code.co_filename}, line {line}, in {frame.f_code.co_name}"
    click.echo(f"Error: code from outside this package {what}: {where}; put it right, or leave it out", err=True)
    sys.exit(2)


class _Commands(click.Group):
    """Turns the errors that users can cause into one line and exit code 2, and Ctrl-C and signals into 128 and their number."""

    def main(self, args: Sequence[str] | None = None, *further: Any, **more: Any) -> Any:
        # Called from Python with arguments of its own, the process is somebody else's.
        if args is None:
            if sys.argv[1:2] and sys.argv[1] in _TRAINING:
                keep_memory()
            # As after Ctrl-C, nothing half-written stays; who ignores a signal, as under nohup, goes on.
            for number in (signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) is signal.SIG_DFL:
                    signal.signal(number, _end)
        return super().main(args, *further, **more)

    def invoke(self, ctx: click.Context) -> Any:
        # As workers have it (`engines.protocol.ENVIRONMENT`); it is read when CUDA starts, which is later than this.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        try:
            return super().invoke(ctx)
        except DominoesError as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(2)
        except BrokenPipeError:
            # Who read it has what it wanted, such as `head`: an end without a word, with the code that shells give to it.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(141)
        except OSError as error:
            if _lacks_memory(error):
                _say_memory()
            where = f"{error.filename}: " if error.filename else ""
            click.echo(f"Error: {where}{error.strerror or error}; check the path and its permissions", err=True)
            sys.exit(2)
        except SystemExit as error:
            _say_outside(error)
            raise
        except KeyboardInterrupt as error:
            click.echo("Interrupted. What is finished is kept; the same command goes on with the rest.", err=True)
            sys.exit(128 + (error.number if isinstance(error, _Ended) else signal.SIGINT))
        except Exception as error:
            if _lacks_memory(error):
                _say_memory()
            _say_outside(error)
            raise


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="dominoes")
def main() -> None:
    """MNIST-CIFAR dominoes: datasets with exact prevalence and reliability, and what networks learn of them when.

    A domino is a top half (an MNIST digit) above a bottom half (a CIFAR-10 picture), with one label.

    \b
    solve   -> how many dominoes of which kind    build -> a dataset folder
    train   -> learning curves (CSV)              plot  -> a figure of them
    compare -> does the pattern-learning model predict them?
    sweep   -> many such runs from one file       report -> a page about all of it
    """


_COMMANDS = (
    *(solve, build, verify, preview, export, train, simplicity, llc, toy, fit, compare, leaderboard),
    *(sweep, plot, report, list_, check_model, demo, headlines, reproduce),
)
sweep.add_command(keep)
for command in _COMMANDS:
    main.add_command(command)
