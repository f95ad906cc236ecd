"""What makes a text an IBAN, a payment card, a social security number, a telephone number or an address, by its rules.

Each function answers for one text that already has the shape; who asks, and what follows, is `personal`'s matter.
"""

import ipaddress
import re
from typing import Final

_IBAN_COUNTRIES: Final = {
    15: "NO",
    16: "BE",
    18: "DK FI FK FO GL NL SD",
    19: "MK SI",
    20: "AT BA EE KZ LT LU MN XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HU LB NI PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW MU YE",
    31: "MT SC",
    32: "LC",
    33: "RU",
}
"""Countries by the length of their IBANs, from the registry of ISO 13616."""

IBAN_SHAPE: Final = "|".join(
    rf"(?:{'|'.join(countries.split())})[0-9]{{2}}(?: ?[A-Z0-9]){{{length - 4}}}"
    for length, countries in _IBAN_COUNTRIES.items()
)
"""A country, two check digits, and as many characters as the country's IBANs have, with or without single spaces."""

_CARD_LENGTHS: Final = (  # issuer ranges of ISO/IEC 7812 as published by the schemes
    (re.compile(r"4"), {13, 16, 19}),
    (re.compile(r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"), {16}),
    (re.compile(r"3[47]"), {15}),
    (re.compile(r"6011|64[4-9]|65"), {16, 19}),
    (re.compile(r"36|38|39|30[0-5]"), {14}),
    (re.compile(r"35(?:2[89]|[3-8])"), {16}),
    (re.compile(r"62"), {16, 17, 18, 19}),
    (re.compile(r"2131|1800"), {15}),
    (re.compile(r"5018|5020|5038|5[6-8]|6304|6390|67|0604"), {12, 13, 14, 15, 16, 17, 18, 19}),
)
_DOUBLED: Final = dict(zip("0123456789", (0, 2, 4, 6, 8, 1, 3, 5, 7, 9), strict=True))
_CARD_GROUPINGS: Final = {(4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 4, 3), (4, 4, 4)}
_LARGE_OCTET: Final = 32  # versions of four parts rarely reach it; of random addresses all but one in 4096 do
_LARGEST: Final = 100  # which versions do not reach
_MIN_GROUPS: Final = 4  # hexadecimal groups of an IPv6 address that is somebody's, not `::1`


def is_luhn(digits: str) -> bool:
    """Say whether a number's last digit checks it (ISO/IEC 7812-1, annex B).

    >>> is_luhn("4111111111111111"), is_luhn("4111111111111112")
    (True, False)
    """
    total = sum(map(int, digits[-1::-2])) + sum(_DOUBLED[digit] for digit in digits[-2::-2])
    return total % 10 == 0


def is_card(text: str, *, named: bool = False) -> bool:
    """Say whether a text is a payment card number: issuer range, length, grouping and check digit.

    Args:
        text: What has the shape of one.
        named: Whether something beside it says that it is one, so that the range of no issuer known here is needed.
    """
    groups = re.split(r"[ -]", text)
    digits = "".join(groups)
    if len(groups) > 1 and (tuple(map(len, groups)) not in _CARD_GROUPINGS or (" " in text and "-" in text)):
        return False
    issued = any(prefix.match(digits) and len(digits) in lengths for prefix, lengths in _CARD_LENGTHS)
    return (issued or named) and len(set(digits)) > 1 and is_luhn(digits)


def is_ean(text: str) -> bool:
    """Say whether a text is an article number of 8, 12, 13 or 14 digits with its check digit (GS1 General Specs, 7.9).

    >>> is_ean("4006381333931"), is_ean("4006381333932")
    (True, False)
    """
    if len(text) not in {8, 12, 13, 14} or not text.isdigit():
        return False
    return sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(reversed(text))) % 10 == 0


def is_iban(text: str) -> bool:
    """Say whether a text is an IBAN: its country's length, and its check digits (ISO 13616-1, 6.2; ISO 7064 MOD 97-10).

    >>> is_iban("GB29 NWBK 6016 1331 9268 19"), is_iban("GB28 NWBK 6016 1331 9268 19")
    (True, False)
    """
    compact = text.replace(" ", "")
    if compact[:2] not in _IBAN_COUNTRIES.get(len(compact), "").split():
        return False
    return int("".join(str(int(char, 36)) for char in compact[4:] + compact[:4])) % 97 == 1


def is_ssn(text: str) -> bool:
    """Say whether AAA-GG-SSSS is a US social security number that can have been issued (SSA, POMS RM 10201.035)."""
    area, group, serial = text.split("-")
    return area not in {"000", "666"} and area < "900" and group != "00" and serial != "0000"


def is_ip(text: str, *, named: bool = False) -> bool:
    """Say whether a text is an address that can be a person's: not loopback, not multicast, not a version number.

    Args:
        text: What has the shape of one.
        named: Whether something beside it says that it is an address, so that it may be all of small numbers.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if address.is_loopback or address.is_multicast or address.is_unspecified:
        return False
    if address.version == 4:
        if address.is_reserved:
            return False
        return text[0] != "0" and (named or _is_no_version(address.packed))
    return len([group for group in text.split(":") if group]) >= _MIN_GROUPS


def _is_no_version(octets: bytes) -> bool:
    return max(octets) >= _LARGEST or (max(octets) >= _LARGE_OCTET and sum(octet > 9 for octet in octets) > 1)


def is_nanp(text: str) -> bool:
    """Say whether a text is a telephone number of the North American plan: neither area nor exchange starts below 2.

    >>> is_nanp("(555) 234-5678"), is_nanp("123-456-7890")
    (True, False)
    """
    digits = re.sub(r"[^0-9]", "", text)[-10:]
    area, exchange = digits[:3], digits[3:6]
    return area[0] >= "2" and area[1] != "9" and exchange[0] >= "2"


def is_phone(text: str) -> bool:
    """Say whether a text is an international (+) or national (0) telephone number, or digits that a word calls one.

    At most 15 digits (ITU-T E.164, 6); a signed decimal number is none.

    >>> is_phone("+49 30 1234567"), is_phone("0171/1234567"), is_phone("+1.2345678901")
    (True, True, False)
    """
    if text[0].isalpha():  # the shape demands the word and 7 to 15 digits
        return True
    if text[0] == "+":
        digits, marks = re.sub(r"[^0-9]", "", text), set(re.sub(r"[0-9+]", "", text))
        decimal = marks == {"."} and text.count(".") == 1
        return digits[0] != "0" and 8 <= len(digits) <= 15 and not decimal and bool(marks or len(digits) >= 10)
    national = re.search(r"(?<![0-9])0[1-9].*", text)
    return national is not None and 9 <= len(re.sub(r"[^0-9]", "", national[0])) <= 12
