"""FF1 against the samples of the standard, and tokens that stand for values of one data set."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.errors import InvalidInput
from holdfast.engines.format_preserving import decrypt, encrypt
from holdfast.engines.tokens import Tokens

K128 = "2B7E151628AED2A6ABF7158809CF4F3C"
K192 = K128 + "EF4359D8D580AA4F"
K256 = K192 + "7F036D6F04FC6A94"
DECIMAL = ("0123456789", "39383736353433323130")
LETTERS = ("0123456789abcdefghi", "3737373770717273373737")
DIGITS = string.digits + string.ascii_lowercase

SAMPLES = [  # NIST, FF1samples.pdf: key, radix, tweak, plaintext, ciphertext
    (K128, 10, "", DECIMAL[0], "2433477484"),
    (K128, 10, DECIMAL[1], DECIMAL[0], "6124200773"),
    (K128, 36, LETTERS[1], LETTERS[0], "a9tv40mll9kdu509eum"),
    (K192, 10, "", DECIMAL[0], "2830668132"),
    (K192, 10, DECIMAL[1], DECIMAL[0], "2496655549"),
    (K192, 36, LETTERS[1], LETTERS[0], "xbj3kv35jrawxv32ysr"),
    (K256, 10, "", DECIMAL[0], "6657667009"),
    (K256, 10, DECIMAL[1], DECIMAL[0], "1001623463"),
    (K256, 36, LETTERS[1], LETTERS[0], "xs8a0azh2avyalyzuwd"),
]


@pytest.mark.requirement("ACC-01")
@pytest.mark.parametrize(("key", "radix", "tweak", "plain", "sealed"), SAMPLES)
def test_the_samples_of_the_standard_are_met(key: str, radix: int, tweak: str, plain: str, sealed: str) -> None:
    """All nine of NIST, there and back."""
    made = encrypt(bytes.fromhex(key), bytes.fromhex(tweak), [DIGITS.index(char) for char in plain], radix)
    assert "".join(DIGITS[numeral] for numeral in made) == sealed
    back = decrypt(bytes.fromhex(key), bytes.fromhex(tweak), [DIGITS.index(char) for char in sealed], radix)
    assert "".join(DIGITS[numeral] for numeral in back) == plain


@pytest.mark.parametrize(("radix", "length"), [(10, 5), (62, 3), (2, 19)])
def test_a_domain_of_less_than_a_million_is_refused(radix: int, length: int) -> None:
    """Whoever can try all values needs no key (SP 800-38G revision 1, 5.1)."""
    with pytest.raises(InvalidInput, match="numerals of radix"):
        encrypt(bytes(16), b"", [0] * length, radix)


@given(st.lists(st.integers(0, 61), min_size=4, max_size=60), st.binary(max_size=20))
def test_what_is_encrypted_comes_back(numerals: list[int], tweak: bytes) -> None:
    """For any numerals and tweak."""
    assert decrypt(bytes(32), tweak, encrypt(bytes(32), tweak, numerals, 62), 62) == numerals


@pytest.mark.requirement("ACC-01")
@pytest.mark.parametrize(
    "value", ["+49 30 1234567", "4111 1111 1111 1111", "ada@example.org", "DE89370400440532013000"]
)
def test_a_token_keeps_the_form_and_is_the_same_inside_one_data_set_only(value: str) -> None:
    """Signs stay where they are, digits stay digits; another data set's key makes another token."""
    one, other = Tokens(bytes(32)), Tokens(bytes([1] * 32))
    token = one.token("kind", value)
    assert token != value
    assert [char.isalnum() for char in token] == [char.isalnum() for char in value]
    assert any(char.isalpha() for char in value) or all(not char.isalpha() for char in token)
    assert one.token("kind", value) == token != other.token("kind", value)
    assert one.value("kind", token) == value
    assert one.token("another kind", value) != token


def test_a_pseudonym_is_the_same_for_the_same_value_and_no_other() -> None:
    """It says of what kind it is, and not of what value."""
    one = Tokens(bytes(32))
    assert one.pseudonym("email", "a@b.example").startswith("email_")
    assert len({one.pseudonym("email", f"{n}@b.example") for n in range(1000)}) == 1000
    assert Tokens(bytes([1] * 32)).pseudonym("email", "a@b.example") != one.pseudonym("email", "a@b.example")


@pytest.mark.parametrize("value", ["12345", "a1", "Ada Löfgren"])
def test_what_no_token_can_be_made_of_is_said(value: str) -> None:
    """Too few values to hide among, or letters beyond ASCII."""
    with pytest.raises(InvalidInput):
        Tokens(bytes(32)).token("name", value)
