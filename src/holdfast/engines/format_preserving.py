"""FF1: encryption that keeps a number a number of the same length (NIST SP 800-38G revision 1, algorithms 7 and 8).

Numerals are integers below the radix. Steps carry the numbers of the standard. What is encrypted for whom, and which
characters count as numerals, is left to `tokens`.
"""

from collections.abc import Sequence
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from holdfast.core.errors import InvalidInput

MIN_DOMAIN: Final = 1_000_000  # radix to the power of the length; SP 800-38G revision 1, 5.1: fewer can be tried out
MAX_LENGTH: Final = 4096  # numerals; the standard allows 2**32, of which nothing here is near
MAX_RADIX: Final = 1 << 16
ROUNDS: Final = 10
_BLOCK: Final = 16  # bytes of AES


def encrypt(key: bytes, tweak: bytes, numerals: Sequence[int], radix: int) -> list[int]:
    """Return the encrypted numerals, as many as there were.

    >>> key = bytes.fromhex("2B7E151628AED2A6ABF7158809CF4F3C")
    >>> "".join(map(str, encrypt(key, b"", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 10)))
    '2433477484'

    Raises:
        InvalidInput: Too few numerals of this radix, too many, or one that is none.
    """
    return _run(key, tweak, numerals, radix, range(ROUNDS))


def decrypt(key: bytes, tweak: bytes, numerals: Sequence[int], radix: int) -> list[int]:
    """Return what was encrypted under the same key and tweak.

    Raises:
        InvalidInput: As `encrypt`.
    """
    return _run(key, tweak, numerals, radix, range(ROUNDS - 1, -1, -1))


def _run(key: bytes, tweak: bytes, numerals: Sequence[int], radix: int, rounds: range) -> list[int]:
    n = len(numerals)
    _check(n, numerals, radix)
    u = n // 2  # 1.
    v = n - u
    a, b = _number(numerals[:u], radix), _number(numerals[u:], radix)  # 2.
    width = ((radix**v - 1).bit_length() + 7) // 8  # 3. b
    d = 4 * ((width + 3) // 4) + 4  # 4.
    head = bytes([1, 2, 1]) + radix.to_bytes(3, "big") + bytes([ROUNDS, u % 256])  # 5. P
    head += n.to_bytes(4, "big") + len(tweak).to_bytes(4, "big")
    pad = b"\0" * ((-len(tweak) - width - 1) % _BLOCK)
    forward = rounds.step > 0
    for i in rounds:  # 6.
        half = b if forward else a
        q = tweak + pad + bytes([i]) + half.to_bytes(width, "big")  # 6.i
        y = int.from_bytes(_stream(key, head + q, d), "big")  # 6.ii to 6.iv
        modulus = radix ** (u if i % 2 == 0 else v)  # 6.v
        if forward:  # 6.vi to 6.ix
            a, b = b, (a + y) % modulus
        else:
            a, b = (b - y) % modulus, a
    return [*_numerals(a, radix, u), *_numerals(b, radix, v)]  # 7.


def _check(n: int, numerals: Sequence[int], radix: int) -> None:
    if not 2 <= radix <= MAX_RADIX or not 2 <= n <= MAX_LENGTH or radix**n < MIN_DOMAIN:
        raise InvalidInput(
            f"{n} numerals of radix {radix}",
            expected=f"at least {MIN_DOMAIN:,} possible values, and at most {MAX_LENGTH} numerals",
        )
    if not all(0 <= numeral < radix for numeral in numerals):
        raise InvalidInput(f"a numeral that is none of radix {radix}")


def _stream(key: bytes, message: bytes, length: int) -> bytes:
    """Return so many bytes from a message: CBC-MAC (algorithm 6), then counted blocks."""
    encryptor = Cipher(algorithms.AES(key), modes.CBC(b"\0" * _BLOCK)).encryptor()
    mac = encryptor.update(message)[-_BLOCK:]
    made = mac
    block = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305 - single blocks, as the standard has it
    number = int.from_bytes(mac, "big")
    for j in range(1, (length + _BLOCK - 1) // _BLOCK):
        made += block.update((number ^ j).to_bytes(_BLOCK, "big"))
    return made[:length]


def _number(numerals: Sequence[int], radix: int) -> int:
    total = 0
    for numeral in numerals:
        total = total * radix + numeral
    return total


def _numerals(number: int, radix: int, length: int) -> list[int]:
    made = []
    for _ in range(length):
        number, numeral = divmod(number, radix)
        made.append(numeral)
    return made[::-1]
