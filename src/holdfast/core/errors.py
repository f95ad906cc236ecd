"""The one tree of errors: what can go wrong, where, what was expected, and what to do about it.

::

    HoldfastError
    ├── UsageError            the command line asked for something that does not exist        exit 2
    ├── InvalidInput          a file, value or document from outside is not acceptable        exit 3
    │   ├── InvalidProject    holdfast.toml
    │   ├── InvalidData       a table, its columns or its rows
    │   ├── InvalidRecipe     the training code or what it returned
    │   └── InvalidRequest    one call to the gateway or to the control plane
    │       ├── TooLarge          longer, deeper or more than is read
    │       ├── NotJson           of another media type, charset or encoding
    │       └── NoSuchMethod      the route answers another method
    ├── NotFound              a name or digest nobody knows                                    exit 3
    ├── Refused               allowed to ask, not allowed to have                              exit 1
    │   ├── PolicyDenied      decide() said no; the reasons are attached
    │   ├── Unauthenticated   nobody is known to have asked
    │   ├── TooMany           asked too often in too short a time
    │   ├── QuotaExceeded     the workspace has used up what it may take of the machine
    │   └── IntakeClosed      a project's questions are not answered by evidence
    ├── NotVerified           bytes, a signature or a chain do not check out                   exit 4
    │   └── LedgerBroken      the ledger's history does not fit its hashes
    ├── Conflict              somebody else was faster; nothing was changed                    exit 6
    ├── Unavailable           something the operator must provide is missing                   exit 5
    │   ├── SandboxUnavailable
    │   └── MissingExtra      an optional part of the installation
    └── StageFailed           a stage ran and did not produce what it must                     exit 7

Each class has a stable code, an HTTP status, an exit code and a remedy. Libraries raise; only ``faces`` prints and
exits.
"""

import re
from typing import ClassVar


class HoldfastError(Exception):
    """Something an operator can act on: one message with code, place, expectation and remedy.

    Args:
        message: What was found, in one sentence without a final stop.
        place: Where: a file with line or column, a digest, a ledger position, a request part.
        expected: What would have been acceptable.
        remedy: What to do now; the class's own remedy where a call has nothing better to say.
    """

    code: ClassVar[str] = "HF000"
    http_status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 70
    default_remedy: ClassVar[str] = "This is a defect in Holdfast: please report it with the output of `holdfast log`."

    def __init__(self, message: str, *, place: str = "", expected: str = "", remedy: str = "") -> None:
        """Keep the four parts; `str()` joins them into one line."""
        super().__init__(message)
        self.message = message
        self.place = place
        self.expected = expected
        self.remedy = remedy or self.default_remedy

    def __str__(self) -> str:
        """Return code, place, message, expectation and remedy as one line."""
        return f"{self.fault}. {self.remedy}"

    @property
    def fault(self) -> str:
        """Code, place, message and expectation, without the remedy: for what stays on record as the reason."""
        where = f"{self.place}: " if self.place else ""
        wanted = f"; expected {self.expected}" if self.expected else ""
        return f"{self.code} {where}{self.message}{wanted}"

    def public(self) -> dict[str, str]:
        """Return what a caller from outside may see: the code and the message, never the place."""
        return {"code": self.code, "error": self.message}

    def document(self) -> dict[str, str]:
        """Return everything, for an operator who asked for JSON."""
        parts = {"code": self.code, "error": self.message, "place": self.place}
        return parts | {"expected": self.expected, "remedy": self.remedy}


class UsageError(HoldfastError):
    """The command line asked for something that does not exist."""

    code = "HF100"
    http_status = 400
    exit_code = 2
    default_remedy = "Run the command with --help."


class InvalidInput(HoldfastError):
    """A file, value or document from outside is not acceptable."""

    code = "HF200"
    http_status = 422
    exit_code = 3
    default_remedy = "Correct the input and run the command again; nothing was changed."


class InvalidProject(InvalidInput):
    """The project file says something that cannot be."""

    code = "HF210"
    default_remedy = "Correct holdfast.toml; docs/reference/project.md lists every key."


class InvalidData(InvalidInput):
    """A table cannot be read, or lacks what the project declares."""

    code = "HF220"
    default_remedy = "Correct the file or its declaration under [data]; the data set of the last run is untouched."


class InvalidRecipe(InvalidInput):
    """The training code cannot be used, or returned something that cannot be a model."""

    code = "HF230"
    default_remedy = "Correct the recipe; docs/reference/recipe.md shows its contract."


class InvalidRequest(InvalidInput):
    """One call to the gateway or to the control plane is malformed."""

    code = "HF240"
    http_status = 400
    default_remedy = "Correct the request; GET /v2/models/{name} and GET /v1/openapi.json describe the inputs."


class TooLarge(InvalidRequest):
    """A request is longer, deeper or has more parts than is read."""

    code = "HF251"
    http_status = 413
    default_remedy = "Send less; docs/reference/api.md lists the limits."


class NotJson(InvalidRequest):
    """A request's content is of a type, charset or encoding that is not taken."""

    code = "HF252"
    http_status = 415
    default_remedy = "Send application/json in UTF-8, not compressed."


class NoSuchMethod(InvalidRequest):
    """The route is there and answers another method."""

    code = "HF253"
    http_status = 405
    default_remedy = "GET what only reads, POST what changes; GET /v1/openapi.json lists both."


class NotFound(HoldfastError):
    """A name or digest that nobody here knows."""

    code = "HF300"
    http_status = 404
    exit_code = 3
    default_remedy = "List what exists with `holdfast log`."


class Refused(HoldfastError):
    """The request was understood, and the answer is no."""

    code = "HF400"
    http_status = 403
    exit_code = 1
    default_remedy = "Ask the owner named in the project file."


class PolicyDenied(Refused):
    """A policy refused an action; `reasons` holds every reason in words."""

    code = "HF410"
    default_remedy = "Meet each condition, or have the policy's quorum change it; then ask again."

    def __init__(self, message: str, *, reasons: tuple[str, ...], place: str = "") -> None:
        """Keep the reasons beside the message."""
        super().__init__(message, place=place)
        self.reasons = reasons

    def document(self) -> dict[str, str]:
        """Return the parts with the reasons joined."""
        return super().document() | {"reasons": "; ".join(self.reasons)}


class Unauthenticated(Refused):
    """Nothing valid says who asks; what was wrong with it is on record, not in the answer."""

    code = "HF420"
    http_status = 401
    default_remedy = "Present an unexpired token or API key; `holdfast access token` makes a token from a key."


class TooMany(Refused):
    """Somebody asked too often in too short a time."""

    code = "HF430"
    http_status = 429
    default_remedy = "Wait as long as Retry-After says, and ask more slowly."


class QuotaExceeded(Refused):
    """The workspace has used up what it may take of the machine it shares."""

    code = "HF440"
    http_status = 429
    default_remedy = "Let something go, or ask whoever runs the machine for more."


class IntakeClosed(Refused):
    """A project's intake has questions that no evidence answers."""

    code = "HF450"
    default_remedy = "Answer each question with evidence; docs/how-to/preparing-an-intake.md shows how."


class NotVerified(HoldfastError):
    """Bytes, a signature or a chain of evidence do not check out."""

    code = "HF500"
    http_status = 403
    exit_code = 4
    default_remedy = "Treat it as tampering until shown otherwise; `holdfast verify` lists what still holds."


class LedgerBroken(NotVerified):
    """The ledger's history does not fit its hashes; `place` names the first bad entry."""

    code = "HF510"
    default_remedy = "Stop writing, keep the files as evidence, and restore from a copy that matches a checkpoint."


class Conflict(HoldfastError):
    """Somebody else changed the same thing first; nothing was written."""

    code = "HF600"
    http_status = 409
    exit_code = 6
    default_remedy = "Look at the new state and try again."


class Unavailable(HoldfastError):
    """Something the operator must provide is missing or does not answer."""

    code = "HF700"
    http_status = 503
    exit_code = 5
    default_remedy = "Provide it and run the command again."


class SandboxUnavailable(Unavailable):
    """The sandbox tier that the policy asks for cannot be had on this machine."""

    code = "HF710"
    default_remedy = "docs/sandbox.md says what each tier needs; `holdfast sandbox` says what this machine offers."


class MissingExtra(Unavailable):
    """An optional part of the installation is needed for this."""

    code = "HF720"
    default_remedy = "Install the named extra with pip."


class StageFailed(HoldfastError):
    """A stage ran and did not produce what it must; what it left is recorded as failed."""

    code = "HF800"
    exit_code = 7
    default_remedy = "Read the reason above, correct it, and run `holdfast run` again: finished stages are kept."


def without_values(error: BaseException) -> str:
    r"""Return the first line of what a reader of tables says, without what it quotes of the table: it may be personal.

    >>> without_values(ValueError("could not parse `Ada` as dtype `i64` in ['Ada', 'Bo']\nhint"))
    'could not parse `…` in […]'
    """
    said = re.sub(r"\[.*\]", "[…]", re.sub(r"`.*`", "`…`", str(error), flags=re.DOTALL), flags=re.DOTALL)
    return said.strip().partition("\n")[0][:200] or type(error).__name__


def in_words(error: BaseException) -> str:
    """Return an exception's type and message, even of one whose message cannot be had; of ours, without the remedy.

    What to do depends on the command that failed, and the words are read under others.
    """
    try:
        return f"{type(error).__name__}: {error.fault if isinstance(error, HoldfastError) else error}"
    except Exception:  # noqa: BLE001 - the exception's own code raised
        return type(error).__name__
