"""National ids: numbers that a state gives to a person, each a kind of its own with its country and its own checks.

Every one is validated by `python-stdnum`: check digits, and dates and regions where the number holds them. A *strong*
kind says so little by chance that one valid value in a text is enough; the others need the column's name, a word before
them, or a column of nothing else.
"""

import re
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any, Final


@dataclass(frozen=True, slots=True, kw_only=True)
class National:
    """One kind: the module of `stdnum` that checks it, the shape of its values, and whether that says enough."""

    module: str
    shape: str
    strong: bool = False

    @property
    def name(self) -> str:
        """The kind's name, such as `national-id-pl-pesel`."""
        return "national-id-" + self.module.replace("_", "").replace(".", "-")

    @property
    def country(self) -> str:
        """The country that gives it, ISO 3166-1."""
        return self.module.partition(".")[0].strip("_").upper()


_DAY: Final = r"(?:0[1-9]|[12][0-9]|3[01])"
_MONTH: Final = r"(?:0[1-9]|1[0-2])"

NATIONALS: Final = (
    National(
        module="it.codicefiscale",
        shape=r"[A-Z]{6}[0-9LMNP-V]{2}[ABCDEHLMPRST][0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{3}[A-Z]",
        strong=True,
    ),
    National(module="mx.curp", shape=rf"[A-Z]{{4}}[0-9]{{2}}{_MONTH}{_DAY}[HMX][A-Z]{{5}}[0-9A-Z][0-9]", strong=True),
    National(module="es.dni", shape=r"[0-9]{8}-?[A-HJ-NP-TV-Z]"),
    National(module="es.nie", shape=r"[XYZ]-?[0-9]{7}-?[A-HJ-NP-TV-Z]", strong=True),
    National(module="fi.hetu", shape=rf"{_DAY}{_MONTH}[0-9]{{2}}[-+A-FU-Y][0-9]{{3}}[0-9A-FHJ-NPR-Y]", strong=True),
    National(module="ie.pps", shape=r"[0-9]{7}[A-W][ABWTXZ]?"),
    National(module="in_.pan", shape=r"[A-Z]{3}[ABCFGHJLPT][A-Z][0-9]{4}[A-Z]"),
    National(module="my.nric", shape=rf"[0-9]{{2}}{_MONTH}{_DAY}-[0-9]{{2}}-[0-9]{{4}}", strong=True),
    National(module="br.cpf", shape=r"[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}|[0-9]{11}"),
    National(module="cl.rut", shape=r"[0-9]{1,2}\.[0-9]{3}\.[0-9]{3}-[0-9K]|[0-9]{7,8}-[0-9K]"),
    National(module="ar.cuit", shape=r"(?:20|23|24|27)-?[0-9]{8}-?[0-9]"),
    National(module="ch.ssn", shape=r"756\.[0-9]{4}\.[0-9]{4}\.[0-9]{2}|756[0-9]{10}"),
    National(module="kr.rrn", shape=rf"[0-9]{{2}}{_MONTH}{_DAY}-[0-9]{{7}}", strong=True),
    National(module="cn.ric", shape=rf"[1-9][0-9]{{5}}(?:19|20)[0-9]{{2}}{_MONTH}{_DAY}[0-9]{{3}}[0-9X]", strong=True),
    National(
        module="fr.nir",
        shape=r"[12] ?[0-9]{2} ?(?:0[1-9]|1[0-2]|[2-9][0-9]) ?(?:[0-9]{2}|2[AB]) ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}",
    ),
    National(module="se.personnummer", shape=rf"(?:(?:19|20)?[0-9]{{2}}{_MONTH}{_DAY}[-+]?[0-9]{{4}})"),
    National(module="dk.cpr", shape=rf"{_DAY}{_MONTH}[0-9]{{2}}-?[0-9]{{4}}"),
    National(module="no.fodselsnummer", shape=rf"{_DAY}{_MONTH}[0-9]{{2}} ?[0-9]{{5}}"),
    National(module="pl.pesel", shape=rf"[0-9]{{2}}(?:[02468][1-9]|[13579][012]){_DAY}[0-9]{{5}}"),
    National(module="ro.cnp", shape=rf"[1-9][0-9]{{2}}{_MONTH}{_DAY}[0-9]{{6}}"),
    National(module="bg.egn", shape=rf"[0-9]{{2}}(?:[024][1-9]|[135][012]){_DAY}[0-9]{{4}}"),
    National(module="ee.ik", shape=rf"[1-8][0-9]{{2}}{_MONTH}{_DAY}[0-9]{{4}}"),
    National(module="lt.asmens", shape=rf"[3-6][0-9]{{2}}{_MONTH}{_DAY}[0-9]{{4}}"),
    National(module="cz.rc", shape=rf"[0-9]{{2}}(?:[0257][1-9]|[1368][0-2]){_DAY}/?[0-9]{{3,4}}"),
    National(module="si.emso", shape=rf"{_DAY}{_MONTH}(?:9[0-9]{{2}}|0[0-9]{{2}})[0-9]{{6}}"),
    National(module="is_.kennitala", shape=rf"{_DAY}{_MONTH}[0-9]{{2}}-?[0-9]{{4}}"),
    National(module="gr.amka", shape=rf"{_DAY}{_MONTH}[0-9]{{7}}"),
    National(module="za.idnr", shape=rf"[0-9]{{2}}{_MONTH}{_DAY}[0-9]{{4}}[01][0-9]{{2}}"),
    National(module="be.nn", shape=r"[0-9]{2}\.[0-9]{2}\.[0-9]{2}-[0-9]{3}\.[0-9]{2}|[0-9]{11}"),
    National(module="pk.cnic", shape=r"[1-7][0-9]{4}-[0-9]{7}-[0-9]"),
    National(module="hr.oib", shape=r"[0-9]{11}"),
    National(module="tr.tckimlik", shape=r"[1-9][0-9]{10}"),
    National(module="de.idnr", shape=r"[1-9][0-9]{10}"),
    National(module="jp.in_", shape=r"[0-9]{12}"),
    National(module="in_.aadhaar", shape=r"[2-9][0-9]{3} ?[0-9]{4} ?[0-9]{4}"),
    National(module="th.pin", shape=r"[1-8](?:-[0-9]{4}-[0-9]{5}-[0-9]{2}-[0-9]|[0-9]{12})"),
    National(module="ua.rntrc", shape=r"[0-9]{10}"),
    National(module="gb.nhs", shape=r"[0-9]{3} ?[0-9]{3} ?[0-9]{4}"),
    National(module="at.vnr", shape=rf"[1-9][0-9]{{3}} ?{_DAY}{_MONTH}[0-9]{{2}}"),
    National(module="ca.sin", shape=r"[1-9][0-9]{2}[ -]?[0-9]{3}[ -]?[0-9]{3}"),
    National(module="nl.bsn", shape=r"[0-9]{9}"),
    National(module="pt.nif", shape=r"[1-3][0-9]{8}"),
    National(module="il.idnr", shape=r"[0-9]{9}"),
    National(module="au.tfn", shape=r"[0-9]{3} ?[0-9]{3} ?[0-9]{2,3}"),
    National(module="ec.ci", shape=r"(?:[01][0-9]|2[0-4]|30)[0-5][0-9]{7}"),
    National(module="do.cedula", shape=r"[0-9]{3}-[0-9]{7}-[0-9]"),
)
"""Every kind that has a check, most telling first."""

ANY: Final = "^(?:" + "|".join(kind.shape for kind in NATIONALS) + ")$"
"""What a whole value of any kind looks like, for Polars."""
SHAPE: Final = re.compile(
    r"(?<![\w.+-])(?:[0-9A-Z]{8,18}|[0-9]{2,7}[-+./A-FU-Y][0-9A-Z]{3,8}(?:[-./][0-9A-Z]{1,7}){0,3}"
    r"|[XYZ]-[0-9]{7}-[A-Z]|[0-9](?: ?[0-9]{2,6}){3,6}|[0-9]-[0-9]{4}-[0-9]{5}-[0-9]{2}-[0-9])(?![\w-]|\.[0-9])"
)
"""What in a text may be one of them."""
CANDIDATE: Final = r"^[0-9A-Z][0-9A-Z ./+-]{7,20}$"
"""What a whole value of a column may be, for Polars."""


@cache
def _checker(module: str) -> Any:
    return import_module(f"stdnum.{module}")


def is_valid(kind: National, text: str) -> bool:
    """Say whether a text that has a kind's shape passes its checks.

    >>> pesel = next(kind for kind in NATIONALS if kind.module == "pl.pesel")
    >>> is_valid(pesel, "44051401359"), is_valid(pesel, "44051401358")
    (True, False)
    """
    return len(set(text)) > 2 and bool(_checker(kind.module).is_valid(text))


_SHAPES: Final = tuple((kind, re.compile(kind.shape)) for kind in NATIONALS)


def kinds_of(text: str, *, strong_only: bool) -> tuple[National, ...]:
    """Return the kinds of which a text is a valid value; several, where their checks are alike."""
    return tuple(
        kind
        for kind, shape in _SHAPES
        if (kind.strong or not strong_only) and shape.fullmatch(text) and is_valid(kind, text)
    )
