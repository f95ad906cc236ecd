"""Plan: what is known before and beside the work; every answer is read from evidence and the ledger."""

from typing import Final

from holdfast.lifecycle.commands.command import Command, Option
from holdfast.lifecycle.commands.options import REASON

_READER: Final = "anyone who can read the workspace"


def _report(words: tuple[str, ...], does: str, name: str) -> Command:
    """Return the row of a report: it reads, and changes nothing."""
    return Command(
        words=words,
        does=does,
        verb=f"holdfast.lifecycle.{name}",
        authority=_READER,
        action="plan.read",
        changes=False,
    )


COMMANDS: Final = (
    Command(
        words=("inventory",),
        does="list every model, here and elsewhere, and report what answers calls without being on the list",
        verb="holdfast.app:inventory",
        authority=_READER,
        action="plan.read",
        changes=False,
        opens="folder",  # it looks into other folders and asks servers: nobody may have that done from afar
        options=(
            Option(name="under", says="also every workspace in the folders below this one", kind="path"),
            Option(name="probe", says="addresses of servers to ask what they answer for, separated by commas"),
            Option(name="key-file", says="file with an API key to present to them", kind="path"),
        ),
    ),
    _report(
        ("plan", "models"),
        "list every model of this workspace, and what answers in it without being on the list",
        "planning_models:models",
    ),
    _report(
        ("posture",),
        "say for each of seven layers what is in force and what it emits, with the fact behind it",
        "planning:posture",
    ),
    _report(
        ("kickoff",),
        "walk through the seven days of a new project; each outcome is checked live",
        "planning:kickoff",
    ),
    Command(
        words=("plan", "intake"),
        does="ask the data whether learning is needed, whether they are the right ones, and what success would be",
        verb="holdfast.lifecycle.planning:intake",
        authority="the stage keys",
        action="pipeline.run",
    ),
    _report(("plan", "budget"), "show how much of each declared limit the newest model uses", "planning:budget"),
    _report(
        ("plan", "sensitivity"),
        "say how sensitive each column, the data set and the model are",
        "planning:sensitivity",
    ),
    _report(
        ("plan", "maturity"),
        "say how mature this installation is by what it practises, and name what is missing",
        "planning:maturity",
    ),
    _report(
        ("plan", "properties"),
        "say which control and which test backs each of seven security properties",
        "planning:properties",
    ),
    _report(
        ("plan", "landscape"),
        "show five categories of threats, and which of them no control works against now",
        "planning:landscape",
    ),
    _report(
        ("plan", "threats"),
        "show the threat model, what is wrong with it, and which threats are held off now",
        "planning_threats:threats",
    ),
    Command(
        words=("plan", "review"),
        does="put on record that the threat model was reviewed; its tickets are closed",
        verb="holdfast.lifecycle.planning_threats:review",
        authority="the owner's key",
        action="plan.write",
        options=(REASON,),
    ),
    Command(
        words=("plan", "tickets"),
        does="open tickets for what makes a review of the threat model due, and close what was settled",
        verb="holdfast.lifecycle.planning_threats:tickets",
        authority="the stage keys",
        action="plan.write",
    ),
    Command(
        words=("plan", "signoff"),
        does="sign that the security of the newest release was reviewed at a stage: design, pipeline or runtime",
        verb="holdfast.lifecycle.planning_records:signoff",
        authority="a person's own key",
        action="registry.approve",
        options=(
            Option(name="stage", says="design, pipeline or runtime", argument=True, required=True),
            REASON,
            Option(name="role", says="the role in which the word is given", default="owner"),
        ),
    ),
    Command(
        words=("plan", "tabletop"),
        does="walk through the playbook signal by signal, and put on record that it was done",
        verb="holdfast.lifecycle.planning_records:tabletop",
        authority="the owner's key",
        action="plan.write",
        options=(REASON,),
    ),
)
