"""What is offered over HTTP: a route for each command that opens a workspace, and the reasons where something is not.

A path names a file of the server, which no caller may choose. So an option of that kind is taken as content, given as
content, or left out; each such option has a row in `PATHS`. One without a row is left out where it is optional, and its
command is not offered where it is required: whoever adds a command must decide.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from holdfast.faces.http.lists import LISTS
from holdfast.faces.http.pages import Listed
from holdfast.lifecycle import COMMANDS, Command, Option

PREFIX: Final = "/v1"

How = Literal["content in", "content out", "left out"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PathRule:
    """What becomes of an option that names a file."""

    words: tuple[str, ...]
    option: str
    how: How
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Withheld:
    """A command that is not offered, and why."""

    words: tuple[str, ...]
    why: str


def _rules(how: How, why: str, *named: str) -> tuple[PathRule, ...]:
    """Rules of one kind, from `words of the command --option`."""
    split = (each.partition(" --") for each in named)
    return tuple(PathRule(words=tuple(words.split()), option=option, how=how, why=why) for words, _, option in split)


def _withheld(why: str, *named: str) -> tuple[Withheld, ...]:
    return tuple(Withheld(words=tuple(words.split()), why=why) for words in named)


PATHS: Final = (
    *_rules("left out", "the answer is JSON; a page is made where it is read", "why --html"),
    *_rules(
        "left out",
        "who asks a server must not let it judge itself",
        "verify --checkpoint",
        "ledger verify --checkpoint",
    ),
    *_rules("content out", "the note is in the answer", "ledger checkpoint --out"),
    *_rules("content out", "the bill is in the answer", "bom export --out"),
    *_rules(
        "left out", "a record lies where its reader is; packages are asked about by name and range", "bom impact --file"
    ),
    *_rules(
        "content in",
        "the file's text is in the request",
        "bom take --file",
        "policy accept --file",
        "access accept --file",
        "access provider --file",
        "source push --file",
        "ab outcome --file",
    ),
    *_rules(
        "left out",
        "who asks is known by what the request presents",
        "access request --credential",
        "access approve --credential",
        "access reject --credential",
        "feature get --credential",
    ),
    *_rules(
        "left out",
        "a release is asked about; files of whoever asks are judged where they lie",
        "dependencies scan --bom",
        "dependencies scan --lock",
        "dependencies scan --sarif-file",
    ),
    *_rules("left out", "over the network it is the text `signed`", "source push --submission"),
    *_rules("left out", "the rules in force are asked; others are tried where they are written", "access check --file"),
    *_rules(
        "left out",
        "callers do not choose which of the server's files are looked through",
        "registry sprawl --under",
        "registry repair --backup",
    ),
    *_rules(
        "left out",
        "files are written where their reader is; the answer says the same",
        "data diff --out",
        "rollback --into",
        "compliance --out",
        "routine weekly --out",
        "routine monthly --out",
        "routine quarterly --out",
    ),
)

WITHHELD: Final = (
    *_withheld("whoever may ask for it has a credential already", "access bootstrap"),
    *_withheld("it answers a token that was printed on the server's own terminal", "access claim"),
    *_withheld("it reads a credential from a file of whoever asks", "access token"),
    *_withheld("it is for whoever sits at the command line", "login", "logout"),
    *_withheld(
        "a person signs with a key of her own, which no server holds",
        "approve",
        "reject",
        "waive",
        "plan signoff",
        "dependencies accept",
    ),
    *_withheld(
        "root keys sign it, where they are kept",
        "person add",
        "person remove",
        "grant",
        "revoke-grant",
        "trust propose",
        "trust apply",
        "repository propose",
        "repository sign",
        "repository apply",
        "access trust-domain",
        "gateway enrol",
        "gateway remove",
    ),
    *_withheld(
        "private keys are moved and ended where they lie",
        "key rotate",
        "key compromise",
        "key resign",
        "key custody",
        "key destroy",
        "key rewrap",
        "cert issue",
        "cert renew",
    ),
    *_withheld(
        "what comes from outside is taken in where its files lie", "intake model", "intake data", "intake code", "adopt"
    ),
    *_withheld(
        "a person signs with a key of her own, which no server holds", "intake record", "intake waive", "intake admit"
    ),
    *_withheld("it writes files, which belong where their reader is", "intake fetch"),
    *_withheld("a copy of the gateway is started and broken on its own machine", "drill gameday"),
    *_withheld("rows are screened where they lie, and parted where their reader is", "data screen", "data rehearse"),
    *_withheld("rows of all versions are read where they lie", "data creep"),
    *_withheld("labels are read where they lie, and written where their reader is", "labels agree", "labels consensus"),
    *_withheld("a secret is given where it is known, never in a request that others may log", "secret put"),
    *_withheld(
        "it writes files, which belong where their reader is",
        "data export",
        "data checkout",
        "data synthesise",
        "data unmerge",
        "backup",
        "registry download",
        "registry sign",
        "attestations export",
        "events export",
        "pack make",
        "ledger tiles",
    ),
    *_withheld(
        "the files of a witness are carried by whoever asks it", "ledger ask-witness", "ledger take-cosignature"
    ),
    *_withheld("who runs the machine says how much of it a workspace may take", "quota set"),
    *_withheld("it judges a file of whoever asks, which needs no server", "cert verify"),
    *_withheld("whose rows are to be erased is told where the rows lie", "data affected", "data erase-rows"),
    *_withheld("a server tells nobody where a caller says", "data events"),
    *_withheld("it judges a folder of whoever asks, where that folder lies", "batch verify", "data verify"),
    *_withheld(
        "it reads a file of whoever asks, which may be larger than a request", "image scan", "dependencies prove"
    ),
    *_withheld("advisories are carried in where the files of the workspace lie", "advisories make", "advisories take"),
)

JOBS: Final = (("run",), ("watch",), ("data", "commit"))
"""Commands that may take longer than a request: they are answered 202, and a worker carries them out."""

ENDLESS: Final = (("watch", "every"),)
"""Options that would make a job endless."""


PARTS: Final = ("last", "before")
"""Options by which a command reads only part of a list: `limit` and `cursor` stand for them over HTTP."""

PUBLIC: Final = ("/healthz", "/readyz")
"""All that is answered without a credential. What gateways fetch is not here: a digest grants nothing."""

EXAMPLES: Final[Mapping[str, Any]] = {
    "model": "breast-cancer",
    "release": "sha256:6b1f",
    "reason": "It is better than the one before.",
    "alias": "breast-cancer@production",
    "client": "ward-7",
    "days": 30,
    "last": 20,
    "about": "policy",
    "job": "0123456789abcdef01234567",
}
"""What the API's description shows for an option of this name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One route: the command, its method and path, and the options that a caller may give."""

    command: Command
    options: tuple[Option, ...]
    content_in: str = ""  # the option whose file's content comes with the request
    content_out: str = ""  # the option whose file's content goes with the answer

    @property
    def path(self) -> str:
        """The route's path."""
        return "/".join((PREFIX, *self.command.words))

    @property
    def method(self) -> str:
        """GET where nothing is written."""
        return "POST" if self.command.changes else "GET"

    @property
    def name(self) -> str:
        """The operation's id."""
        return "_".join(word.replace("-", "_") for word in self.command.words)

    @property
    def is_job(self) -> bool:
        """Say whether a worker carries it out."""
        return self.command.words in JOBS

    @property
    def lists(self) -> tuple[Listed, ...]:
        """The lists of its answer, which come in pages."""
        return LISTS.get(self.command.words, ())

    @property
    def in_parts(self) -> bool:
        """Say whether the command itself reads only part of its list."""
        return any(each.order == "newest" for each in self.lists)


def offers(commands: tuple[Command, ...] = COMMANDS) -> tuple[Offer, ...]:
    """Return what is offered, in the order of the table."""
    found = (_offer(command) for command in commands if command.opens == "workspace")
    return tuple(offer for offer in found if offer is not None)


def _offer(command: Command) -> Offer | None:
    if any(each.words == command.words for each in WITHHELD):
        return None
    kept, ways = [], {"content in": "", "content out": ""}
    for option in command.options:
        if (command.words[-1], option.name) in ENDLESS:
            continue
        if option.kind != "path":
            kept.append(option)
            continue
        how = next((r.how for r in PATHS if (r.words, r.option) == (command.words, option.name)), "left out")
        if how == "left out":
            if option.required:
                return None
            continue
        ways[how] = option.name
    return Offer(command=command, options=tuple(kept), content_in=ways["content in"], content_out=ways["content out"])


def resource_of(options: Mapping[str, Any]) -> str:
    """Return what an access decision is about, from the options of a call: `kind/name`."""
    alias = str(options.get("alias") or "").partition("@")[0]
    if named := options.get("model") or alias:
        return f"model/{named}"
    if named := options.get("release"):
        return f"release/{named}"
    return "workspace/"
