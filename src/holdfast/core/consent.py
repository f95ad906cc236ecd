"""Consent: the newest signed word of a person by which a release may answer.

Online keys can be stolen; persons' keys sign by hand. So the order in which releases may follow one another is taken
from persons' words alone: whatever replaces a release must have been allowed by a word that is not older. Rolling back
to an earlier release needs a later word on that very release; such a word is put on record when a release is promoted
over it, and when a person rolls back.
"""

from datetime import datetime
from typing import Final

from holdfast.core.errors import NotVerified
from holdfast.core.passport import Dossier

RETURN: Final = "return"  # the `rule` of a word of action "rollback" that lets its subject answer again


def consent(dossier: Dossier, now: datetime) -> datetime | None:
    """Return when a person last said that the dossier's subject may answer; None where nobody did.

    A word counts if the root keys grant its person the role in which it was said. That it has run out changes nothing
    of its order; whether it still suffices is `decide`'s. One that does not say when it was said counts for nothing
    here: nobody could tell whether it is older than another.
    """
    said = [
        word.issued
        for word in (verified.value for verified in dossier.nodes[dossier.subject].authorizations)
        if (word.action == "approve" or (word.action, word.rule) == ("rollback", RETURN))
        and word.issued is not None
        and dossier.trust.granted(word.person, word.role, now) is not None
    ]
    return max(said, default=None)


def check_consent(dossier: Dossier, floor: datetime | None, now: datetime) -> datetime | None:
    """Return the consent to a dossier's subject, if it is not older than that to what it follows.

    Args:
        dossier: Everything verified about the release.
        floor: The newest consent to any release that has answered in its place; None where none ever had one.
        now: The present moment.

    Raises:
        NotVerified: The release is an older one, and nobody has recorded that it may come back.
    """
    given = consent(dossier, now)
    if floor is not None and (given is None or given < floor):
        raise NotVerified(
            "an older release would answer again without a recorded rollback",
            place=dossier.subject,
            expected=f"a person's word on it of {floor:%Y-%m-%d %H:%M:%S} UTC or later",
            remedy="Roll back with `holdfast rollback`, or promote it again.",
        )
    return given
