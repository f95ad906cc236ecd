"""Writes `patients.csv`: the breast-cancer data of scikit-learn as a registry of three clinics might really export it.

The 569 patients of the Wisconsin Diagnostic Breast Cancer data set keep their measurements. Around them is what such a
file has in real life: literal NULLs, a timestamp format per clinic, rows exported twice, ids given twice, values that
cannot be, a column of contact addresses, and free text in which people left telephone numbers. All of it is drawn from
one seed, so that the file has the same bytes each time. Addresses and numbers are from ranges reserved for fiction.

    python make_data.py            writes patients.csv beside this file
"""

import csv
import io
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from sklearn.datasets import load_breast_cancer

SEED: Final = 569
NAME: Final = "patients.csv"
START: Final = datetime(2024, 1, 1, 8, tzinfo=UTC)
CLINICS: Final = ("north", "south", "west")
AGE_BANDS: Final = ("under-50", "50-and-over")

Row = dict[str, str]


def measurement(name: str) -> str:
    """Return a measurement's short name: `mean radius` is `mean_radius`, `radius error` is `radius_se`."""
    words = name.split()
    return "_".join([*words[:-1], "se"] if words[-1] == "error" else words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mess:
    """How many rows each kind of disorder adds to the patients, or changes among them.

    Those above the line are added beside an untouched row of the same patient; those below change a patient's own row.
    """

    copies: int = 8  # the same row again
    slips: int = 4  # a decimal point in the wrong place: out of range
    commas: int = 2  # 17,99 for 17.99
    missing: int = 3  # NULL where a value is required
    unknown: int = 1  # a diagnosis that is none
    ambiguous: int = 2  # 03/04/2024 in an export of all clinics
    nonsense: int = 1  # a date that is none
    ragged: int = 1  # one field too many
    undecodable: int = 1  # an umlaut in another encoding
    conflicts: int = 3  # an id with two different rows: neither can be believed
    nulls: int = 9  # NULL or N/A where a value may be missing
    chatty: int = 28  # a telephone number or an address in the notes


MESS: Final = Mess()


@dataclass(slots=True)
class Registry:
    """The rows of an export in the making; `random` is the only source of chance."""

    random: random.Random
    rows: list[Row] = field(default_factory=list)
    extra: list[Row] = field(default_factory=list)

    def again(self, count: int, change: Callable[[Row], None]) -> None:
        """Export some patients once more, changed."""
        for row in self.random.sample(self.rows, count):
            another = dict(row)
            change(another)
            self.extra.append(another)


def patients(chance: random.Random) -> list[Row]:
    """Return the 569 patients as clean rows. Clinic and age band are independent of the diagnosis by construction."""
    data = load_breast_cancer()
    names = [measurement(name) for name in data.feature_names]
    diagnoses = [str(data.target_names[target]) for target in data.target]
    bands = _independent(diagnoses, AGE_BANDS, chance)
    clinics = _independent(diagnoses, CLINICS, chance)
    rows = []
    for number, values in enumerate(data.data):
        person = f"patient{number + 1:03}"
        rows.append(
            {
                "patient_id": f"wdbc-{number + 1:04}",
                "visited_at": _stamp(clinics[number], chance),
                "clinic": clinics[number],
                "age_band": bands[number],
                "contact_email": f"{person}@{chance.choice(('example.org', 'example.net'))}",
                "notes": chance.choice(("", "routine", "second opinion asked", "sample 2 of 2", "referred by GP")),
                **{name: repr(float(value)) for name, value in zip(names, values, strict=True)},
                "diagnosis": diagnoses[number],
            }
        )
    return rows


def _independent(diagnoses: list[str], groups: tuple[str, ...], chance: random.Random) -> list[str]:
    """Return a group for each patient, in equal parts of each diagnosis."""
    drawn = [""] * len(diagnoses)
    for diagnosis in sorted(set(diagnoses)):
        members = [number for number, found in enumerate(diagnoses) if found == diagnosis]
        chance.shuffle(members)
        for turn, number in enumerate(members):
            drawn[number] = groups[turn % len(groups)]
    return drawn


def _stamp(clinic: str, chance: random.Random) -> str:
    """Return a visit as the clinic writes it. South writes day/month, west month/day, both on days that tell which."""
    moment = START + timedelta(days=chance.randrange(366), minutes=15 * chance.randrange(40))
    if clinic == "north":
        return moment.strftime("%Y-%m-%dT%H:%M:%S+01:00")
    moment = moment.replace(day=chance.randrange(13, 29))
    return moment.strftime("%d/%m/%Y %H:%M" if clinic == "south" else "%m/%d/%Y %H:%M")


def _set(column: str, value: str) -> Callable[[Row], None]:
    return lambda row: row.update({column: value})


def _slip(row: Row) -> None:
    row["mean_smoothness"] = repr(float(row["mean_smoothness"]) * 100)


def _comma(row: Row) -> None:
    row["mean_radius"] = row["mean_radius"].replace(".", ",")


def disturb(registry: Registry, mess: Mess) -> None:
    """Add every kind of disorder that can be said in a row of values."""
    chance = registry.random
    for row in chance.sample(registry.rows, mess.nulls):
        row["worst_concavity"] = chance.choice(("NULL", "N/A"))
    for turn, row in enumerate(chance.sample(registry.rows, mess.chatty)):
        number = f"{chance.randrange(100, 200):04}"
        row["notes"] = f"call +1 202-555-{number}" if turn % 2 else f"write to relative{number}@example.org"
    registry.again(mess.copies, lambda _: None)
    registry.again(mess.slips, _slip)
    registry.again(mess.commas, _comma)
    registry.again(mess.missing, _set("mean_texture", "NULL"))
    registry.again(mess.unknown, _set("diagnosis", "pending"))
    registry.again(mess.ambiguous, _set("visited_at", "03/04/2024 09:30"))
    registry.again(mess.nonsense, _set("visited_at", "31/02/2024 10:00"))
    registry.again(mess.conflicts, lambda row: row.update(mean_area=repr(float(row["mean_area"]) + 7.5)))


def export(seed: int = SEED, mess: Mess = MESS) -> bytes:
    """Return the file's bytes: equal for equal seeds."""
    registry = Registry(random.Random(seed))  # noqa: S311 - disorder for an example, not a secret
    registry.rows = patients(registry.random)
    disturb(registry, mess)
    broken = registry.random.sample(registry.rows, mess.ragged + mess.undecodable)
    order = registry.rows + registry.extra
    registry.random.shuffle(order)
    lines = [_line(row) for row in order]
    lines += [_line(row).replace(b"\r\n", b",\r\n") for row in broken[: mess.ragged]]
    lines += [
        _line(row | {"notes": "Praxis Dr. M?ller"}).replace(b"M?ller", b"M\xfcller") for row in broken[mess.ragged :]
    ]
    header = dict(zip(order[0], order[0], strict=True))
    return b"".join([_line(header), *lines])


def _line(row: Row) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out).writerow(row.values())
    return out.getvalue().encode()


def write(folder: Path) -> Path:
    """Write the file into a folder and return its path."""
    path = folder / NAME
    path.write_bytes(export())
    return path


if __name__ == "__main__":
    print(write(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent))
