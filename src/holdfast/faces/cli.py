"""The command line, made from `lifecycle.COMMANDS`: one click command a row, so that what one face can do, all can.

Exit codes are those of `core.errors`: 0 done, 1 refused by policy, 2 usage, 3 bad input, 4 not verified, 5 something is
missing here, 6 somebody was faster, 7 a stage failed, 70 a defect.
"""

import io
import json
import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import click

from holdfast import __version__
from holdfast.core.errors import HoldfastError, Unavailable, UsageError, in_words
from holdfast.lifecycle import COMMANDS, ROOMS, Command, Option

_TYPES: Final[dict[str, Any]] = {
    "text": str,
    "path": click.Path(path_type=Path),
    "int": int,
    "float": float,
    "flag": bool,
}
_INTERRUPTED: Final = 130  # what shells report for a process that ctrl-C ended


def main() -> None:
    """Run the command line and exit with the documented code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that cannot show a character gets its number
            stream.reconfigure(errors="backslashreplace")
    code = invoke(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output has gone: `holdfast log | head` is no failure
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def invoke(arguments: list[str]) -> int:
    """Run one command line and return its exit code; an error is one message, never a traceback.

    It goes to standard error in words, or to standard output as the one document where JSON was asked for.
    """
    as_json = "--json" in arguments
    try:
        result = build().main(args=arguments, prog_name="holdfast", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 0
    except click.ClickException as error:
        return _complain(UsageError(error.format_message()), as_json=as_json)
    except (click.Abort, KeyboardInterrupt):
        return _INTERRUPTED
    except HoldfastError as error:
        return _complain(error, as_json=as_json)
    except BrokenPipeError:
        return 0  # see `main`
    except OSError as error:
        found = Unavailable(error.strerror or in_words(error), place=str(error.filename or ""))
        return _complain(found, as_json=as_json)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is ours, and a traceback is no message
        return _complain(HoldfastError(in_words(error), place=_place(error.__traceback__)), as_json=as_json)
    return result if isinstance(result, int) else 0


def _place(trace: TracebackType | None) -> str:
    """Return the innermost line of this package that a defect came through, for whoever reports it."""
    package, found = Path(__file__).resolve().parents[1], ""
    while trace is not None:
        file = Path(trace.tb_frame.f_code.co_filename)
        if file.is_relative_to(package):
            found = f"{file.relative_to(package.parent).as_posix()}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found


def _complain(error: HoldfastError, *, as_json: bool) -> int:
    if as_json:
        click.echo(json.dumps({"error": error.document()}, ensure_ascii=False))
    else:
        from holdfast.faces.render import complain

        complain(error)
    return error.exit_code


def build() -> click.Group:
    """Return the whole command line."""
    root = _Root(
        "holdfast",
        help="Carry a model from raw rows to production, every step leaving signed evidence.",
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    root.params.append(click.Option(["--version"], is_flag=True, is_eager=True, expose_value=False, callback=_version))
    for command in COMMANDS:
        group: click.Group = root
        for word in command.words[:-1]:
            found = group.commands.get(word)
            if not isinstance(found, click.Group):
                found = click.Group(word)
                group.add_command(found)
            group = found
        group.add_command(_command(command))
    for named in root.commands.values():
        if isinstance(named, click.Group):
            named.short_help = ", ".join(named.commands)
    return root


class _Root(click.Group):
    """The first page of the help: the commands by what they are for."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section for each room; a word that several rooms use stands in the first."""
        del ctx  # every command is shown, whoever asks
        left = dict(self.commands)
        for title, commands in ROOMS:
            named = [left.pop(command.words[0], None) for command in commands]
            rows = [(each.name or "", each.get_short_help_str(limit=200)) for each in named if each is not None]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


def _version(context: click.Context, _parameter: click.Parameter, value: object) -> None:
    if value:
        click.echo(f"holdfast {__version__}")
        context.exit()


def _command(command: Command) -> click.Command:
    parameters = [_parameter(option) for option in command.options]
    parameters.append(click.Option(["--json", "as_json"], is_flag=True, help="answer with one JSON document"))
    if command.opens != "nothing":
        root = click.Path(path_type=Path, file_okay=False, exists=True)
        parameters.append(
            click.Option(["-C", "--root", "root"], type=root, default=Path(), help="the project's folder")
        )
    return click.Command(
        command.words[-1],
        params=parameters,
        callback=_callback(command),
        help=f"{command.does[0].upper()}{command.does[1:]}.\n\nAuthority: {command.authority}.",
        epilog=f"\b\nExample:\n  {command.example}" if command.example else None,
        short_help=command.does,
    )


def _parameter(option: Option) -> click.Parameter:
    kind = _TYPES[option.kind]
    # A default of None would satisfy click where a value is required.
    given: dict[str, Any] = {} if option.required else {"default": option.default}
    if option.argument:
        nargs = -1 if option.many else 1
        return click.Argument(
            [option.name.replace("-", "_")], type=kind, required=option.required, nargs=nargs, **given
        )
    if option.kind == "flag":
        return click.Option([f"--{option.name}"], is_flag=True, default=bool(option.default), help=option.says)
    shown = option.default is not None
    return click.Option(
        [f"--{option.name}"], type=kind, required=option.required, help=option.says, show_default=shown, **given
    )


def _callback(command: Command) -> Callable[..., int]:
    def run(*, as_json: bool, root: Path | None = None, **options: Any) -> int:
        from holdfast.faces.screen import Screen

        module, _, name = command.verb.partition(":")
        verb = getattr(import_module(module), name)
        with Screen(quiet=as_json) as screen:
            if command.opens == "workspace":
                from holdfast.app import open_plant

                with open_plant(root or Path(), tell=screen.tell) as plant:
                    reply = verb(plant, **options)
            elif command.opens == "folder":
                reply = verb(root or Path(), tell=screen.tell, **options)
            else:
                reply = verb(tell=screen.tell, **options)
        from holdfast.faces.render import show  # once there is something to show: a server runs for long before

        return show(reply, as_json=as_json)

    return run
