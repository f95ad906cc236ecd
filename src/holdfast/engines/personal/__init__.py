"""Personal data in columns and text: patterns → checks → context → arbitration of overlaps, over distinct values.

Decides what is an e-mail address, a telephone number, a payment card, an IBAN, an IP or web address, a US social
security number, a national id, a day of birth or a secret, and masks it in what people read. Plain numbers, ids,
moments, versions and hashes are none of these. Names and addresses have no shape that a pattern could know: columns
with those must be declared `personal`, or a recogniser must be lent that knows them (port `Recogniser`). Leaves to
`ingest` what happens to what is found.

`scan` is loaded when it is first used: it reads columns, by Polars, which a gateway that reads texts does not have.
"""

from typing import TYPE_CHECKING

from holdfast.core.dlp import Entity
from holdfast.core.lazy import first_used
from holdfast.engines.personal.entities import Hit, Span
from holdfast.engines.personal.stretches import SHOWN, redact, spans
from holdfast.engines.personal.text import find

if TYPE_CHECKING:
    from holdfast.engines.personal.columns import scan

__all__ = ["SHOWN", "Entity", "Hit", "Span", "find", "redact", "scan", "spans"]

__getattr__ = first_used(__name__, {"scan": "columns"}, globals())
