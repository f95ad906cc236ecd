"""Keys that a project needs and nobody chooses: drawn when first asked for, sealed each under a data key of its own.

Nothing but an entry of the ledger says where such a key lies. Whoever destroys the data key makes final what was made
with the key; asked for again, another is drawn.
"""

from dataclasses import dataclass
from typing import Final

from holdfast.core.artifact import Digest
from holdfast.core.ledger import Draft
from holdfast.lifecycle.plant import Plant

BYTES: Final = 32  # of a key; the ciphers derive theirs from it


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where keys of one sort stand: the stream and kind of their entries, and the data key that this one lies under."""

    stream: str
    made: str
    under: str


def drawn_key(plant: Plant, project: str, place: Place, actor: str) -> bytes:
    """Return a project's key of a sort; it is drawn when it is first asked for, or after it was destroyed.

    Raises:
        Unavailable: The vault is locked.
    """
    found = recorded_key(plant, project, place)
    if found is not None and place.under in plant.data_keys():
        return plant.blobs.get(found)
    digest = plant.sealed(place.under).put(plant.entropy.token(BYTES))
    body = {"project": project, "key": digest}
    plant.ledger.append([Draft(kind=place.made, actor=actor, stream=place.stream, body=body)])
    return plant.blobs.get(digest)


def recorded_key(plant: Plant, project: str, place: Place) -> Digest | None:
    """Return where a project's newest key of a sort lies, readable still or not; None where none was drawn."""
    entries = plant.ledger.stream(place.stream)
    made = [entry for entry in entries if entry.kind == place.made and entry.body["project"] == project]
    return Digest(made[-1].body["key"]) if made else None
