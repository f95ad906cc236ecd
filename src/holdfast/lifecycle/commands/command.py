"""What a command is: its words, its parameters, by whose authority it acts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

OptionKind: TypeAlias = Literal["text", "path", "int", "float", "flag"]
Authority: TypeAlias = Literal[
    "anyone who can read the workspace",
    "the stage keys",
    "the owner's key",
    "a person's own key",
    "the root key",
    "none",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One parameter of a command; `argument` makes it positional, `many` takes one value or more of it."""

    name: str
    says: str
    kind: OptionKind = "text"
    argument: bool = False
    many: bool = False
    required: bool = False
    default: str | int | float | bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Something a person can ask for: its words, what it does, and by what authority.

    `opens` says what it is handed: a workspace's control plane, only the project's folder, or nothing. Only what opens
    a workspace can be asked for over the network.
    """

    words: tuple[str, ...]
    does: str
    verb: str
    authority: Authority
    action: str  # what an access decision is about: area and verb, see `docs/reference/access.md`
    changes: bool = True  # False where nothing is written: the HTTP API answers it to GET
    opens: Literal["workspace", "folder", "nothing"] = "workspace"
    options: Sequence[Option] = ()
    example: str = ""  # one line that somebody could type, for the help; "" where the usage says enough


WHICH: Final = Option(name="model", says="name of the model; the project's own if left out", argument=True)
"""The model that a command is about."""
