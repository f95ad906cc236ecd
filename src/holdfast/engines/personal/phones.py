r"""Telephone numbers: how sure the way in which digits are written makes that they are one.

Four classes, each an anchored pattern that Python's and Polars' engines read alike: *strong* says so itself (a country
code of ITU-T E.164, a bracketed area, an extension), *medium* keeps the form of a national plan, *weak* is any digits
in groups, *bare* digits without. Whoever asks decides how much of a column, or which words before, a class needs.
"""

import re
from typing import Final

_CC: Final = (  # country codes assigned by ITU-T E.164, 2016 list and its amendments
    r"(?:1|7|2(?:0|7|[1-689][0-9])|3(?:[0-469]|[578][0-9])|4(?:[013-9]|2[0-9])|5(?:[1-8]|[09][0-9])"
    r"|6(?:[0-6]|[7-9][0-9])|8(?:[1246]|[058][0-9])|9(?:[0-58]|[679][0-9]))"
)
_EXT: Final = r"(?:[ ,;]{0,2}(?:x|X|ext\.?|Ext\.?|#) ?[0-9]{1,6})?"
_MUST_EXT: Final = r"[ ,;]{0,2}(?:x|X|ext\.?|Ext\.?) ?[0-9]{1,6}"
_AREA: Final = r"[2-9][0-8][0-9]"
_NEXT: Final = r"[-. ]?[2-9][0-9]{2}[-. ]?[0-9]{4}"

STRONG: Final = (
    rf"(?:\+ ?\(?{_CC}\)?(?:[ \-.]{{0,1}}\(0\)[ ]?)?(?:[ ().\-/]{{1,3}}[0-9]|[0-9]){{6,12}}{_EXT}"
    rf"|(?:00|011)[ \-]?{_CC}[ \-.()](?:[ ().\-/]{{0,2}}[0-9]){{6,12}}{_EXT}"
    rf"|\(00{_CC}[0-9]{{0,3}}\) ?[0-9](?:[ \-]?[0-9]){{3,9}}{_EXT}"
    rf"|(?:1[-. ])?\({_AREA}\) ?[2-9][0-9]{{2}}[-. ][0-9]{{4}}{_EXT}"
    rf"|(?:1[-. ])?{_AREA}{_NEXT}{_MUST_EXT}"
    rf"|\(0[1-9][0-9]{{0,4}}\)[ \-/]?[0-9](?:[ \-]?[0-9]){{3,8}}{_EXT}"
    r"|8 ?\([0-9]{3,5}\) ?[0-9](?:[ \-]?[0-9]){4,6})"
)
MEDIUM: Final = (
    rf"(?:(?:1[-. ])?{_AREA}[-. ][2-9][0-9]{{2}}[-. ][0-9]{{4}}"
    rf"|0[1-9](?:[ \-/.]?[0-9]){{7,10}}{_EXT}"
    rf"|\([0-9]{{2,5}}\)[ \-]?[0-9](?:[ \-]?[0-9]){{4,8}}{_EXT}"
    r"|8[ \-][0-9]{3}[ \-][0-9]{3}[ \-][0-9]{2}[ \-]?[0-9]{2})"
)
WEAK: Final = r"[1-9][0-9]{0,4}(?:[ \-/.][0-9]{2,5}){1,4}"
BARE: Final = r"[0-9]{7,13}"
GROUPED_OTHERWISE: Final = r"(?:1[-. ])?\(?[0-9]{3}\)?[-. ][0-9]{3}[-. ][0-9]{4}"  # as in North America, but not valid
PLANS: Final = (  # bare numbers of one national plan: a column of at least `MIN_PLANNED` values of nothing else is one
    r"1[3-9][0-9]{9}",
    r"[6-9][0-9]{9}",
    r"0[1-9][0-9]{7,9}",
    r"[2-9][0-8][0-9][2-9][0-9]{6}",
)
MIN_PLANNED: Final = 50  # distinct values; of random digits at most 71 % fit, so that chance meets this never
_DECIMAL: Final = r"\+[0-9]+\.[0-9]+|\+[0-9]{1,9}"
_SEPARATED: Final = re.compile(r"[ ().\-/xX#]")

NOT_A_NUMBER: Final = (  # in these forms digits are an EAN or ISBN in groups, a time, an amount
    r"97[89][ \-][0-9 \-]{9,14}[0-9]|[0-9]{1,3}(?:[ .,][0-9]{3})+[.,][0-9]{1,2}|" + _DECIMAL
)

SHAPE: Final = re.compile(
    r"(?<![\w.+(\-/:,=])(?:\+ ?|\()?[0-9](?:[0-9]|[ ().\-/]{1,3}(?=[0-9(])){5,26}[0-9]"
    r"(?:[ ,;]{0,2}(?:x|ext\.?|#) ?[0-9]{1,6})?(?![\w-]|[.,/:][0-9])"
)
"""What in a text may be a telephone number."""

_STRONG, _MEDIUM, _WEAK, _BARE, _NOT, _OTHERWISE = (
    re.compile(pattern) for pattern in (STRONG, MEDIUM, WEAK, BARE, NOT_A_NUMBER, GROUPED_OTHERWISE)
)
MIN_DIGITS: Final = 7
MAX_DIGITS: Final = 15  # ITU-T E.164, 6, without an extension


def sureness(text: str) -> str:
    """Return the class of a text: strong, medium, weak, bare, or nothing.

    >>> [sureness(each) for each in ("+49 30 1234567", "020 7946 0958", "12-3456-7890", "5552345678", "1.25")]
    ['strong', 'medium', 'weak', 'bare', '']
    """
    digits = sum(char.isdigit() for char in re.split(r"[xX#e]", text)[0])
    if not MIN_DIGITS <= digits <= MAX_DIGITS or _NOT.fullmatch(text):
        return ""
    if _STRONG.fullmatch(text):
        return "strong"
    if _MEDIUM.fullmatch(text):
        return "medium" if _SEPARATED.search(text) else "bare"
    if _OTHERWISE.fullmatch(text):
        return ""
    if _WEAK.fullmatch(text):
        return "weak"
    return "bare" if _BARE.fullmatch(text) else ""
