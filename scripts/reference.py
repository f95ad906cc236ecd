"""Writes the reference pages that follow from code: commands, errors, controls, guards, actions. `make docs` runs it.

python scripts/reference.py           writes docs/reference/{commands,errors,controls,routes}.md and parts of others
python scripts/reference.py --check   exits 1 if a page is not what the code says
"""

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from holdfast.core import errors
from holdfast.core.actions import ACTIONS
from holdfast.core.authorship import AUTHORSHIP
from holdfast.core.errors import HoldfastError
from holdfast.faces.cli import build
from holdfast.faces.http.offers import PATHS, PUBLIC, WITHHELD, offers
from holdfast.ingest.vetting import VETTING
from holdfast.lifecycle import OUTSIDE, ROOMS, STAGES, Command
from holdfast.lifecycle.custody import CUSTODY
from holdfast.lifecycle.lineage import LINEAGE
from holdfast.lifecycle.probes import DRILL
from holdfast.lifecycle.readiness import READINESS
from holdfast.registry import LIFECYCLE
from holdfast.registry.proofs import GATES
from holdfast.release.foreign import MODEL_CONTROLS
from holdfast.release.foreign.code import CODE
from holdfast.release.foreign.lineage import LINEAGE as FOREIGN_LINEAGE
from holdfast.release.foreign.origin import ORIGIN
from holdfast.respond.gameday import GAMEDAY
from holdfast.rollout import CONTROLS as ROLLOUT
from holdfast.serve.guards import GUARDS
from holdfast.watch import CONTROLS as WATCH

PAGES = Path(__file__).parents[1] / "docs" / "reference"
STATES = ("<!-- states: made by scripts/reference.py -->", "<!-- /states -->")
LISTED = ("<!-- actions: made by scripts/reference.py -->", "<!-- /actions -->")
MADE = "<!-- made by scripts/reference.py; change the code, then run `make docs` -->"


def commands() -> Iterator[str]:
    """The page of commands: each with its help as the terminal shows it."""
    yield from ("# Commands", "", MADE, "")
    yield "Every command takes `--json` and answers with one JSON document, also when it fails. Exit codes:"
    yield "0 done · 1 refused by policy · 2 usage · 3 bad input · 4 not verified · 5 something is missing here ·"
    yield "6 somebody was faster · 7 a stage failed · 70 a defect. Shell completion:"
    yield '`eval "$(_HOLDFAST_COMPLETE=bash_source holdfast)"` (also `zsh_source`, `fish_source`).'
    root = build()
    for title, found in ROOMS:
        yield from ("", f"## {title}")
        for command in found:
            yield from _command(root, command)


def _command(root: click.Group, command: Command) -> Iterator[str]:
    """One command with its help."""
    found: click.Command = root
    for word in command.words:
        found = found.commands[word] if isinstance(found, click.Group) else found
    words = " ".join(("holdfast", *command.words))
    context = click.Context(
        found, info_name=words, max_content_width=100, terminal_width=100, help_option_names=["-h", "--help"]
    )
    yield from ("", f"### `{words}`", "", "```text", found.get_help(context).strip(), "```")


def tree(kind: type[HoldfastError]) -> Iterator[type[HoldfastError]]:
    """An error class and everything below it."""
    yield kind
    for below in kind.__subclasses__():
        if below.__module__ == errors.__name__:
            yield from tree(below)


def error_codes() -> Iterator[str]:
    """The page of error codes."""
    yield from ("# Errors", "", MADE, "")
    yield "One message each: code, place, what was found, what was expected, and what to do. The code is stable."
    yield from ("", "| code | name | exit | HTTP | meaning | what to do |", "| --- | --- | --- | --- | --- | --- |")
    for kind in sorted(tree(HoldfastError), key=lambda each: each.code):
        meaning = (inspect.getdoc(kind) or "").partition("\n")[0]
        row = (
            f"`{kind.code}`",
            kind.__name__,
            str(kind.exit_code),
            str(kind.http_status),
            meaning,
            kind.default_remedy,
        )
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
    yield ""
    yield "The gateway refuses with codes of its own, HF241 and up, in the header `x-holdfast-code`:"
    yield "[gateway](gateway.md)."


def controls() -> Iterator[str]:
    """The page of controls and guards."""
    yield from ("# Controls and guards", "", MADE, "")
    yield "A control measures one artifact and leaves evidence, sealed by the key of its stage. A policy bounds what it"
    yield "measures."
    yield from ("", "| stage | control | about |", "| --- | --- | --- |")
    about = {control: (stage.name, stage.about) for stage in (*STAGES, *OUTSIDE) for control in stage.leaves}
    for name, (stage, subject) in about.items():
        yield f"| {stage} | `{name}` | {subject} |"
    yield f"| registry | `{GATES}` | release |"
    yield f"| keys | `{CUSTODY.name}` | release |"
    yield from (f"| watch | `{control.name}` | release |" for control in WATCH)
    yield from (f"| rollout | `{control.name}` | release |" for control in ROLLOUT)
    yield f"| run | `{AUTHORSHIP}` | model |"
    yield from (f"| ready | `{name}` | {'features' if name == LINEAGE.name else 'release'} |" for name in READINESS)
    foreign = (*MODEL_CONTROLS, VETTING, CODE, ORIGIN, FOREIGN_LINEAGE)
    yield from (f"| from outside | `{control.name}` | foreign |" for control in foreign)
    yield from (f"| drill | `{control.name}` | release |" for control in (DRILL, GAMEDAY))
    yield from ("", "Guards stand before the model, in the order of the signed route table:", "")
    yield from (f"- `{kind.name}`" for kind in GUARDS)


def registry() -> str:
    """The page of the registry, with the diagram of its states as the table says it."""
    return _between("registry.md", STATES, f"```mermaid\n{LIFECYCLE.diagram()}\n```")


def access() -> str:
    """The page of access, with the table of actions that the Cedar schema is made from."""
    rows = (f"| `{action.name}` | {action.sort} | {action.does} |" for action in ACTIONS)
    head = ("| action | sort | lets somebody |", "| --- | --- | --- |")
    return _between("access.md", LISTED, "\n".join((*head, *rows)))


def _between(page: str, marks: tuple[str, str], made: str) -> str:
    """Return a page with what stands between two marks made anew."""
    head, opening, rest = (PAGES / page).read_text(encoding="utf-8").partition(marks[0])
    _, closing, tail = rest.partition(marks[1])
    return f"{head}{opening}\n\n{made}\n\n{closing}{tail}"


def routes() -> Iterator[str]:
    """The page of the API's routes, with what is not offered and why."""
    yield from ("# Routes", "", MADE, "")
    yield "The control plane's API, made from the table of commands; [how to ask](api.md)."
    yield from ("", "| | route | what | action |", "| --- | --- | --- | --- |")
    for offer in offers():
        does = f"{offer.command.does}{' (a job)' if offer.is_job else ''}"
        yield f"| {offer.method} | `{offer.path}` | {does} | `{offer.command.action}` |"
    yield "| GET | `/v1/jobs/{job}` | as `/v1/job/show`, by a path of its own | `jobs.read` |"
    yield "| GET | `/v1/resolve/{alias}` | as `/v1/resolve`, answered as quickly as possible | `registry.read` |"
    yield from ("", f"Public, without a credential: {', '.join(f'`{path}`' for path in PUBLIC)}; nothing else.")
    yield from ("", "Not offered:", "")
    yield from (f"- `{' '.join(each.words)}`: {each.why}." for each in WITHHELD)
    yield "- what opens no workspace: it is about the machine it runs on."
    yield from ("", "Options that name a file:", "")
    yield from (f"- `{' '.join(each.words)} --{each.option}`: {each.how}; {each.why}." for each in PATHS)


def pages() -> dict[str, str]:
    """Every page by name."""
    made = {"commands.md": commands(), "errors.md": error_codes(), "controls.md": controls(), "routes.md": routes()}
    whole = {name: "\n".join(lines) + "\n" for name, lines in made.items()}
    return whole | {"registry.md": registry(), "access.md": access()}


def main() -> int:
    """Write the pages, or check them."""
    wrong = []
    for name, text in pages().items():
        path = PAGES / name
        if "--check" not in sys.argv:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            wrong.append(name)
    for name in wrong:
        sys.stderr.write(f"docs/reference/{name} is not what the code says: run `make docs`\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
