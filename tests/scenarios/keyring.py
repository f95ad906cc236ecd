"""What scenarios of keys and trust work with: a workspace without a project, and persons with folders of their own."""

from dataclasses import dataclass
from pathlib import Path

from holdfast import app
from holdfast.adapters.keys import FileKeys
from holdfast.adapters.person_folder import open_person
from holdfast.core.artifact import digest_bytes
from holdfast.core.ledger import Draft, Entry
from holdfast.core.passport import AUTHORIZED
from holdfast.core.seal import AUTHORIZATION, Authorization, seal
from holdfast.lifecycle.plant import Plant


@dataclass(frozen=True)
class Person:
    """Somebody with a folder of keys."""

    name: str
    folder: Path

    @property
    def public(self) -> Path:
        return self.folder / "public.json"

    def keys(self) -> FileKeys:
        return open_person(self.folder, app.person_secret(self.folder, None))


def person(tmp_path: Path, name: str, *, root_holder: bool = False, folder: str = "") -> Person:
    """Somebody who has just made keys."""
    place = tmp_path / (folder or name)
    app.person_new(name=name, out=place, root_holder=root_holder)
    return Person(name, place)


def approve(plant: Plant, subject: str, who: Person, *, role: str) -> None:
    """Put a person's own signed approval on record."""
    word = Authorization(
        person=who.name,
        role=role,
        action="approve",
        subject=subject,
        until=plant.clock.now().replace(year=plant.clock.now().year + 1),
        reason="Looked at it.",
    )
    envelope = plant.blobs.put(seal(word, AUTHORIZATION, [who.keys().signer("person")]))
    body = {"action": "approve", "person": who.name, "envelope": envelope}
    plant.ledger.append([Draft(kind=AUTHORIZED, actor=who.name, stream=subject, body=body)])


def changed(plant: Plant) -> list[Entry]:
    """The changes of the trust on record."""
    return [entry for entry in plant.ledger.stream("trust") if entry.kind == "trust.changed"]


SUBJECT = digest_bytes(b"a release")
