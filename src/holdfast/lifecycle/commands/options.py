"""Options that several rooms' commands take: one row each, so that one thing is asked for in the same words."""

from typing import Final

from holdfast.lifecycle.commands.command import Option

REASON: Final = Option(name="reason", says="why, in a sentence that stays on record", required=True)
RELEASE: Final = Option(name="release", says="digest or alias of the release; the newest if left out", argument=True)
BEFORE: Final = Option(name="before", says="digest or alias of one release", argument=True, required=True)
AFTER: Final = Option(name="after", says="digest or alias of the other", argument=True, required=True)
