"""Secrets that have no format: values that stand where a secret stands, and look drawn by chance.

Both are asked for: a name that says password, secret, token or key, an assignment, and a value that is neither words
nor a placeholder nor a digest. What a value looks like is counted: alphabet, entropy, and how often its kind of
character changes, which words rarely do.
"""

import math
import re
from collections import Counter
from itertools import pairwise
from typing import Final

MIN_TOKEN: Final = 16  # characters of a value that must look random; shorter ones cannot be told from words
MIN_PASSWORD: Final = 8
MAX_VALUE: Final = 256  # characters; a longer value is a document
MIN_BITS: Final = 3.0  # of entropy a character; 16 hexadecimal digits drawn by chance have 3.2 at the median
MIN_TURNS: Final = 0.27  # share of neighbours of another kind: hexadecimal by chance 0.47, numbers in names below 0.2
MAX_ENGLISH: Final = 0.45  # share of pairs of letters that are common in English: by chance 0.15, in words about 0.75

KEYWORDS: Final = (b"pass", b"pwd", b"secret", b"token", b"key", b"credential", b"bearer ")
"""What a name says that holds a secret, in lower case; `key` and `pass` count only as the parts below."""

_KEYS: Final = (b"api", b"access", b"auth", b"private", b"encryption", b"signing", b"account", b"shared", b"app",
                b"deploy", b"master", b"storage", b"service")  # fmt: skip
_PASSES: Final = (b"w", b"phrase", b"_", b'"', b"'", b"=", b":")
_PLACEHOLDER: Final = re.compile(
    rb"example|sample|dummy|placeholder|changeme|change[_-]me|redacted|your|replace|insert|fake|foobar|foo[_-]?bar|lorem"
    rb"|xxx|\*\*\*|\.\.\.|<|>|\$\{|\{\{|%\(|^%s|\$\(|todo|not[_-]?a?[_-]?real|qwerty|hunter2|correct.?horse|deadbeef"
    rb"|012345|123456|654321|abcdef|aaaa|0000|1111|secret|passw|token|^test|test[_-]|^null$|^none$|^true$|^false$|___"
    rb"|mock|unset|default|private|foo:|invalid|wrong|hidden|p[a@4][s5$]{2}w[o0]rd|a-z|0-9|tiger|swordfish"
)
_UUID: Final = re.compile(rb"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")
_MOMENT: Final = re.compile(rb"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ].*")
_FILE: Final = re.compile(rb"[\w-]+\.(?:unlock|json|ya?ml|toml|txt|pem|key|crt|env|ini|cfg|conf)")
_SPLIT: Final = re.compile(rb"[_-]")
_COMMON: Final = frozenset(
    b"th he in er an re on at en nd ti es or te of ed is it al ar st to nt ng se ha as ou io le ve co me de hi"
    b" ri ro ic ne ea ra ce li ch ll be ma si om ur ca el ta la ns di fo ho pe ec pr no ct us ac ot il tr ly nc"
    b" et ut ss so rs un lo wa ge ie wh ee wi em ad ol rt po we na ul ni ts mo ow pa im mi ai sh ir".split()
)
"""The hundred pairs of letters that are most frequent in English."""
_HEX: Final = re.compile(rb"[0-9a-fA-F]+")
_DOTTED: Final = re.compile(rb"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+|[\w.-]+/[\w./-]+|[a-z]+://\S*|[A-Za-z_][\w.]*\(.*")
_DIGEST_NAME: Final = re.compile(
    rb"hash|digest|sha[0-9]|md5|checksum|integrity|etag|commit|fingerprint|public|pub_?key|_?ids?$|name$|type$|ur[il]$"
    rb"|path$|files?$|len$|length$|size$|count$|field$|label$|version$|expir|algorithm|format$|header$|pattern|regex"
    rb"|prefix|suffix|endpoint|param|tokeniz|tokenis|tokens?_?(?:limit|per|max|min|class|map|list|re|type|kind|text)|kind$"
    rb"|charset|vocab|nonce|csrf|xsrf|cache|help$|message$|msg$|title$|hint$|rule$"
    rb"|env$|var$|policy$|scope$|arn$|store$|class$|provider$|service$|reset|_re$|error|verif|valid|descri|docs?$|docstring|continuation|next_?token|page|last_?used|mapping|sql"
)
_ASSIGNED: Final = re.compile(
    rb"([A-Za-z0-9_.-]{0,40})[\"'\]]{0,2}[ \t]{0,8}"
    rb"(?::[ \t]{0,4}[A-Za-z_][A-Za-z0-9_.\[\]| ]{0,30}=|:=|=>|={1,2}|:|>)[ \t]{0,8}(?:[bruf]{1,2}(?=[\"'`]))?"
    rb"(?:\"([^\"\n\\]{6,256})\"|'([^'\n\\]{6,256})'|`([^`\n\\]{6,256})`|([^\s\"'`,;<>(){}\[\]|&]{8,256}))"
)
_SPOKEN: Final = re.compile(rb"([ \t]{0,4})([0-9A-Za-z._~+/=-]{16,256})(?![0-9A-Za-z(])")
_BARE: Final = re.compile(rb"[0-9A-Za-z+/_~][^?=\\\\:*]*={0,2}[.]?")
_CALLED: Final = re.compile(rb"[A-Za-z_][A-Za-z_.]*")  # a function, where a bracket follows
_NAME_BEFORE: Final = re.compile(rb"[A-Za-z0-9_.-]{0,40}$")


def is_placeholder(value: bytes) -> bool:
    """Say whether a value says of itself that it is none, or repeats itself too much to be one."""
    lower = value.lower()
    if _PLACEHOLDER.search(lower) or not value:
        return True
    most = Counter(value).most_common(1)[0][1]
    return most > max(4, 0.4 * len(value)) or len(set(value)) <= min(5, len(value) // 2)


def bits(value: bytes) -> float:
    """Return the entropy of a value's characters in bits a character (Shannon).

    >>> bits(b"aabb")
    1.0
    """
    size = len(value)
    return -sum(count / size * math.log2(count / size) for count in Counter(value).values())


def turns(value: bytes) -> float:
    """Return the share of neighbours that are of different kinds; a capital before a small letter is a word's.

    >>> turns(b"fooBar"), turns(b"a1b2c3")
    (0.2, 1.0)
    """
    kinds = [_kind(char) for char in value]
    changes = sum(1 for a, b in pairwise(kinds) if a != b and (a, b) != ("A", "a"))
    return changes / max(1, len(value) - 1)


def _kind(char: int) -> str:
    if 48 <= char <= 57:
        return "0"
    if 97 <= char <= 122:
        return "a"
    return "A" if 65 <= char <= 90 else "-"


def is_random(value: bytes) -> bool:
    """Say whether a value of at least sixteen characters looks drawn by chance rather than thought of."""
    if len(value) < MIN_TOKEN or bits(value) < MIN_BITS or _UUID.fullmatch(value.lower()):
        return False
    if _HEX.fullmatch(value):
        return len(value) >= 24 and not value.isdigit() and turns(value) >= MIN_TURNS
    if _is_name(value) or is_words(value):
        return False
    letters = sum(_kind(char) in "aA" for char in value)
    if letters == len(value):  # letters alone: their case must change as chance has it
        return min(sum(_kind(char) == kind for char in value) for kind in "aA") >= 3
    return turns(value) >= MIN_TURNS or letters > 0.7 * len(value)


def is_words(value: bytes) -> bool:
    """Say whether a value's letters stand together as those of words do.

    >>> is_words(b"getAuthFromUrl"), is_words(b"SZSXFlmghj3AurMrNr95FLYh")
    (True, False)
    """
    pairs = [value[at : at + 2].lower() for at in range(len(value) - 1)]
    pairs = [pair for pair in pairs if pair.isalpha()]
    return len(pairs) >= 5 and sum(pair in _COMMON for pair in pairs) > MAX_ENGLISH * len(pairs)


def _is_name(value: bytes) -> bool:
    """Say whether a value is words joined by one sign, as names of programs are."""
    digits = sum(48 <= char <= 57 for char in value)
    parts = _SPLIT.split(value.strip(b"_-"))
    if len(parts) < 2 or digits > 2:
        return False
    return digits == 0 or (len(parts) > 2 and len(value) / len(parts) <= 8)


def is_password(value: bytes) -> bool:
    """Say whether a shorter value is what people make passwords of: three kinds of characters, and no words."""
    if not MIN_PASSWORD <= len(value) <= 64 or b" " in value:
        return False
    kinds = {_kind(char) for char in value}
    return len(kinds) >= 3 and bits(value) >= 2.5 and turns(value) >= 0.4 and not is_words(value)


def assigned(data: bytes, at: int, keyword: bytes) -> tuple[int, int] | None:
    """Return where the value of an assignment lies whose name holds a keyword at a place, or None where there is none.

    Args:
        data: The text.
        at: Where the keyword begins.
        keyword: Which of `KEYWORDS` it is.
    """
    end = at + len(keyword)
    if keyword == b"pass" and not data[end : end + 6].lower().startswith(_PASSES):
        return None
    if keyword == b"key" and not data[max(0, at - 11) : at].lower().rstrip(b"_-").endswith(_KEYS):
        return None
    if keyword == b"bearer ":
        found = _SPOKEN.match(data, end - 1)
        return found.span(2) if found and _tells(found[2], name=b"bearer", quoted=True) else None
    found = _ASSIGNED.match(data, end)
    if found is None:
        return None
    group = next(number for number in (2, 3, 4, 5) if found[number] is not None)
    before = _NAME_BEFORE.search(data, max(0, at - 40), at)
    name = (before[0] if before else b"") + keyword + found[1]
    value = found[group]
    if group == 5 and not _BARE.fullmatch(value):  # operators, paths, references, expressions
        return None
    if group == 5 and data[found.end() : found.end() + 1] == b"(" and _CALLED.fullmatch(value):
        return None
    return found.span(group) if _tells(value, name=name.lower(), quoted=group != 5) else None


def _tells(value: bytes, *, name: bytes, quoted: bool) -> bool:
    if (
        _DIGEST_NAME.search(name.rstrip(b"_.-"))
        or is_placeholder(value)
        or _DOTTED.fullmatch(value)
        or _MOMENT.fullmatch(value)
        or _FILE.fullmatch(value)
    ):
        return False
    if not value.isascii() or b" " in value or value.startswith(b"eyJ"):  # whether that is a token, a format says
        return False
    if is_random(value):
        return True
    return quoted and b"pass" in name + b" " and is_password(value)
