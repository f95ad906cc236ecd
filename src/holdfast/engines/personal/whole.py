"""Whole values: columns of nothing but addresses, numbers or dates, told by Polars and numpy over all values at once.

Each function takes the distinct values of a column and says which of them are what, as a mask. Only what these leave,
text with something in it, is read value by value.
"""

from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np
import polars as pl

from holdfast.engines.checksums import is_card, is_iban, is_ip
from holdfast.engines.personal import births, phones, text

Mask: TypeAlias = pl.Series

PLAIN: Final = (  # what no detector needs to look at: words, numbers, hashes, UUIDs, moments
    r"^(?:[^0-9@]*|[+-]?[0-9]*\.[0-9]*(?:[eE][+-]?[0-9]+)?(?:[,; ]{1,2}[+-]?[0-9]+\.[0-9]+)*|[+-]?[0-9]{1,6}"
    r"|[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
    r"|[0-9a-f]{40,128}|[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]+(?:Z|[+-][0-9:]{5})?"
    r"|[A-Za-z_]*[a-zA-Z][0-9]{1,6})$"
)
_ONE_WORD: Final = r"^[0-9A-Za-z_+/=~-]*$"  # one word without dots and colons: a hash, a key, an order number
IN_WORD: Final = (
    r"(?:[0-9]{1,3}\.){3}[0-9]|[=:;,|>\[{(][^0-9+(]{0,2}[+(]?[0-9](?:[^0-9A-Za-z]{0,2}[0-9]){6}"
    r"|[0-9a-fA-F]:[0-9a-fA-F:]{2}"
)
IN_TEXT: Final = (
    r"[0-9](?:[ ().\-/]{0,3}[0-9]){6}|(?:[0-9]{1,3}\.){3}[0-9]|[0-9a-fA-F]{0,4}:[0-9a-fA-F]{0,4}:[0-9a-fA-F:]+"
    r"|[A-Z]{2}[0-9]{2}[ 0-9A-Z]{8}|[0-9][-/.][0-9]{1,2}[-/.][0-9]|[A-Za-z]{3,9}\.?,? [0-9]{1,2},? [0-9]{4}"
    r"|[0-9](?:st|nd|rd|th)?\.? [A-Za-z]{3,9}\.?,? [0-9]{4}|[A-Z0-9]{9}"
)
NUMERIC: Final = r"^[+(]?[0-9+(][0-9 ().\-/+]*(?:[ ,;]{0,2}(?:x|X|ext\.?|#) ?[0-9]{1,6})?$"
_EMAIL: Final = r"^[^\s@<>()\[\],;:\"/\\=]+@(?:[A-Za-z0-9][A-Za-z0-9-]*\.)+[A-Za-z]{2,24}$"
_URL: Final = r"^(?:(?:https?|ftp)://|www\.)[^\s/?#:@]+(?::[0-9]{1,5})?(?:[/?#][^\s@]*)?$"
_IP4: Final = r"^[0-9]{1,6}(?:\.[0-9]{1,6}){3}$"
_OCTET: Final = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IP4_RIGHT: Final = rf"^{_OCTET}(?:\.{_OCTET}){{3}}$"
_IP4_NOBODYS: Final = r"^(?:0|127|22[4-9]|2[3-5][0-9])\."  # this network, loopback, multicast, reserved
_IP4_LARGE: Final = r"(?:^|\.)(?:3[2-9]|[4-9][0-9]|[12][0-9]{2})(?:\.|$)"  # as `checksums` has it
_IP4_TWO: Final = r"(?:^|\.)[12][0-9]{2}(?:\.|$)|(?:^|\.)[0-9]{2,3}\.(?:.*\.)?[0-9]{2,3}(?:\.|$)"
_IP6: Final = r"^[0-9a-fA-F]{0,4}(?::[0-9a-fA-F]{0,4}){2,7}$"
_IBAN: Final = r"^[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,30}$"
_SSN: Final = rf"^{text.SSN}$"
_CARD: Final = rf"^{text.CARD}$"
_DATE_LENGTH: Final = (6, 24)  # bytes
_OLD_CARD: Final = r"^4(?:[ -]?[0-9]){12}$"
_DATE: Final = rf"^(?:{births.WHOLE})$"


def has(texts: pl.Series, pattern: str) -> Mask:
    """Return which texts hold a pattern."""
    return texts.str.contains(pattern)


def is_email(texts: pl.Series) -> Mask:
    """Return which texts are e-mail addresses."""
    return has(texts, _EMAIL)


def is_url(texts: pl.Series) -> Mask:
    """Return which texts are addresses of the web."""
    return has(texts, _URL)


def linked(texts: pl.Series) -> Mask:
    """Return which texts may hold an address of the web."""
    return texts.str.contains("://", literal=True) | texts.str.contains("www.", literal=True)


def is_token(texts: pl.Series) -> Mask:
    """Return which texts are one word of letters, digits and few signs."""
    return has(texts, _ONE_WORD)


def is_date(texts: pl.Series) -> Mask:
    """Return which texts are days, without a time."""
    some = texts.str.len_bytes().is_between(_DATE_LENGTH[0], _DATE_LENGTH[1])
    return has(texts, _DATE) if some.any() else some


def addresses(texts: pl.Series, *, named: bool) -> tuple[Mask, Mask]:
    """Return which texts have the shape of an IP address, and which are one."""
    four, six = has(texts, _IP4), has(texts, _IP6)
    valid = four & has(texts, _IP4_RIGHT) & ~has(texts, _IP4_NOBODYS) if four.any() else four
    if valid.any() and not named:
        valid = valid & has(texts, _IP4_LARGE) & has(texts, _IP4_TWO)
    return four | six, valid | _each(texts, six, is_ip)


def ibans(texts: pl.Series) -> tuple[Mask, Mask]:
    """Return which texts have the shape of an IBAN, and which are one."""
    shaped = has(texts, _IBAN)
    return shaped, _each(texts, shaped, is_iban)


def cards(texts: pl.Series, *, named: bool) -> tuple[Mask, Mask]:
    """Return which texts have the shape of a card number, and which are one; the check digits are reckoned together."""
    shaped = has(texts, _CARD)
    places = shaped.arg_true()
    found = texts.gather(places).str.replace_all(r"[ -]", "")
    number = found.cast(pl.UInt64, strict=False).fill_null(0).to_numpy()
    likely = places.filter(pl.Series(luhn(number)))
    valid = _each(texts, _mask(likely, len(texts)), lambda found: is_card(found, named=named))
    old = texts.str.contains(_OLD_CARD)  # as many other numbers have: cards only beside others
    return shaped, valid if named or (valid & ~old).any() else valid & ~old


def security_numbers(texts: pl.Series) -> tuple[Mask, Mask]:
    """Return which texts have the shape of a US social security number, and which can have been issued."""
    shaped = has(texts, _SSN)
    wrong = has(texts, r"^(?:000|666|9[0-9]{2})-|-00-|-0000$")
    return shaped, shaped & ~wrong


def telephones(texts: pl.Series) -> dict[str, Mask]:
    """Return which texts are of which class of `phones.sureness`, and which are grouped like one but are none."""
    strong, medium, weak, bare = (
        has(texts, f"^(?:{pattern})$") for pattern in (phones.STRONG, phones.MEDIUM, phones.WEAK, phones.BARE)
    )
    if not (strong | medium | weak | bare).any():
        return {"strong": strong, "medium": strong, "weak": strong, "bare": strong}
    places = (strong | medium | weak | bare).arg_true()
    digits = texts.gather(places).str.replace(r"[xXe#].*$", "").str.count_matches(r"[0-9]")
    enough = _mask(places.filter(digits.is_between(phones.MIN_DIGITS, phones.MAX_DIGITS)), len(texts))
    right = enough & ~has(texts, f"^(?:{phones.NOT_A_NUMBER})$")
    strong, medium = strong & right, medium & right & ~strong & ~bare
    weak = weak & right & ~strong & ~medium & ~bare & ~has(texts, f"^(?:{phones.GROUPED_OTHERWISE})$")
    return {"strong": strong, "medium": medium, "weak": weak, "bare": bare & ~strong}


def luhn(numbers: "np.ndarray[tuple[int], np.dtype[np.uint64]]") -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """Say of each number whether its last digit checks it, all of them digit by digit.

    >>> luhn(np.array([4111111111111111, 4111111111111112], dtype=np.uint64)).tolist()
    [True, False]
    """
    total, rest, ten = np.zeros(len(numbers), dtype=np.uint64), numbers.copy(), np.uint64(10)
    for place in range(19):
        rest, digit = np.divmod(rest, ten)
        if place % 2:
            digit = digit * np.uint64(2)
            digit = np.where(digit > 9, digit - np.uint64(9), digit)
        total += digit
    return np.asarray((total % ten == 0) & (numbers > 0))


def _each(texts: pl.Series, among: Mask, check: Callable[[str], bool]) -> Mask:
    """Return which of some texts pass a check that only Python knows."""
    places = among.arg_true()
    if not len(places):
        return among
    passed = [check(found) for found in texts.gather(places).to_list()]
    return _mask(places.filter(pl.Series(passed)), len(texts))


def _mask(places: pl.Series, length: int) -> Mask:
    mask = np.zeros(length, dtype=np.bool_)
    mask[places.to_numpy()] = True
    return pl.Series(mask)
