"""Context: what the name of a column, or the words before a value, say that it is, in the languages of business.

A word decides only where a value's own shape leaves it open: bare digits, dates, ids whose checksum chance meets often.
Short words count as whole words, long ones also inside others (`Telefonnummer`, `contactphone`).
"""

import re
import unicodedata
from functools import lru_cache
from itertools import pairwise
from typing import Final

from holdfast.core.dlp import Entity

_LONG: Final = 5  # letters from which on a word counts inside another
_REACH: Final = 32  # characters before a value in which a word is about it

_WORDS: Final = 4  # last words of a clause that are looked at: "date of birth was the", "telephone number is"
_ABBREVIATED: Final = ("no", "nr", "n", "tel", "fon", "ph", "mob", "art", "ref", "geb", "num", "born", "dob")
_ENDS: Final = re.compile(  # of a clause; the point of an abbreviation ends none
    r"[\n;|\u3002\uff01\uff1f!?]|" + "".join(rf"(?<!\b{word})" for word in _ABBREVIATED) + r"\.\s", re.IGNORECASE
)
_WORD: Final = re.compile(r"[^\W\d_]+")
_HUMP: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")

_PHONE: Final = (
    "phone telephone tel telno telnr mobile mob cell cellphone cellular fax msisdn whatsapp landline hotline call gsm "
    "fon handy handynummer telefon telefonnummer mobil mobilnummer mobilfunk rufnummer festnetz telefono movil celular "
    "telefone telemovel portable cellulare tlf puh puhelin puhelinnumero telefoon mobiel telefonszam telefoni "
    "nohp hp telepon ponsel dien thoai telefonas talrunis cep "
    "電話 携帯 手机 手機 电话 전화 휴대폰 "
    "телефон мобильный тел هاتف جوال تلفن טלפון נייד τηλεφωνο κινητο फोन मोबाइल โทรศัพท์"
)
_BIRTH: Final = (
    "birth birthdate birthday dob born bday geburt geburtsdatum geboren geb naissance nee nacimiento nacido nacida "
    "nascita nato nata nascimento nascido geboorte geboortedatum fodsel fodselsdato fodt fodelse fodelsedatum "
    "syntyma syntymaaika urodzenia urodzony narozeni narodenia szuletes szuletesi nasterii nascut dogum rojstva "
    "rodjenja rodenja sunnikuupaev gimimo dzimsanas lahir kapanganakan "
    "生日 出生 誕生日 生年月日 생년월일 생일 рождения народження ميلاد الميلاد לידה γεννησης जन्म เกิด"
)
_CARD: Final = (
    "card creditcard cardnumber pan ccn kreditkarte kartennummer carte tarjeta carta cartao kort kreditkort kaart karta"
)
_NATIONAL: Final = (
    "ssn nationalid nationalidentifier nin taxid taxpayer identitynumber idnumber personalid citizenid socialsecurity "
    "insurance steuerid steuernummer ausweis insee nir securite dni nie nif identidad codicefiscale fiscale cpf "
    "contribuinte bsn burgerservicenummer rijksregister personnummer samordningsnummer fodselsnummer cpr "
    "henkilotunnus hetu pesel rodnecislo cnp egn oib jmbg jmb isikukood asmenskodas personaskods amka afm kimlik tckn "
    "curp rut run cuit dui nik aadhaar pan teudat emso mynumber rrn nric hkid ahv avs kennitala"
)
_SSN: Final = "ssn socialsecurity socialsecuritynumber"
_IP: Final = "ip ipaddr ipaddress ipv4 ipv6 remoteaddr clientip hostip"
_SECRETS: Final = (
    "password passwd pwd passwort secret apikey token accesskey secretkey privatekey credential credentials"
)
_ELSE: Final = (
    "order invoice version build release hash sha sha1 sha256 md5 checksum digest uuid guid sku part article item "
    "isbn issn ean gtin upc barcode serial imei tracking shipment commit revision timestamp epoch created updated "
    "lat latitude lon longitude coordinate coordinates price amount total quantity ref reference ticket case batch lot "
    "transaction model cas bestellung bestellnummer rechnung artikel seriennummer commande facture pedido factura "
    "oid mac postcode zip plz"
)

WORDS: Final[dict[str, frozenset[str]]] = {
    Entity.PHONE: frozenset(_PHONE.split()),
    Entity.BIRTH: frozenset(_BIRTH.split()),
    Entity.CARD: frozenset(_CARD.split()),
    Entity.SSN: frozenset(_SSN.split()),
    Entity.IP: frozenset(_IP.split()),
    Entity.SECRET: frozenset(_SECRETS.split()),
    "national-id": frozenset(_NATIONAL.split()),
    "else": frozenset(_ELSE.split()),
}
"""What words are about; `else` are things that are nobody's: orders, versions, hashes, parts."""
_PARTS: Final = re.compile(  # what counts inside longer words: words long enough, and those of scripts without spaces
    "|".join(
        sorted(
            {re.escape(each) for known in WORDS.values() for each in known if len(each) >= _LONG or not each.isascii()},
            key=len,
            reverse=True,
        )
    )
)
_TWO: Final = frozenset({"contactno", "contactnumber", "nomortelepon", "dienthoai"})  # two words that are a telephone


def words_of(name: str) -> tuple[str, ...]:
    """Return a name's words: camel case and signs divide them, accents and capitals do not count.

    >>> words_of("customerPhone_No2"), words_of("Téléphone")
    (('customer', 'phone', 'no'), ('telephone',))
    """
    divided = _HUMP.sub(" ", name)
    if divided.isascii():
        return tuple(_WORD.findall(divided.lower()))
    plain = "".join(c for c in unicodedata.normalize("NFKD", divided) if not unicodedata.combining(c))
    plain = plain.replace("ø", "o").replace("Ø", "o").replace("ł", "l").replace("\u0131", "i").replace("ß", "ss")
    return tuple(_WORD.findall(plain.lower()))


def about(words: tuple[str, ...]) -> frozenset[str]:
    """Return what some words are about: keys of `WORDS`, all that apply.

    >>> sorted(about(words_of("Kunden-Telefonnummer"))), sorted(about(words_of("visits")))
    (['phone'], [])
    """
    found = frozenset[str]().union(*map(_meant, words))
    pairs = {a + b for a, b in pairwise(words)}
    found |= {what for what, known in WORDS.items() if pairs & known}
    return found | {str(Entity.PHONE)} if pairs & _TWO else found


@lru_cache(maxsize=16_384)  # words; texts say the same ones again and again
def _meant(word: str) -> frozenset[str]:
    inside = _PARTS.findall(word)
    return frozenset(str(what) for what, known in WORDS.items() if word in known or not known.isdisjoint(inside))


@lru_cache(maxsize=64)  # places; several kinds ask about the same one
def cues(text: str, start: int) -> frozenset[str]:
    """Return what the words just before a place in a text are about; the nearest that tells anything decides.

    Only the same clause counts, and only its last few words: in ordinary prose `part`, `call` and `order` are verbs.

    >>> sorted(cues("Tel. no. 5552345678", 9)), sorted(cues("He played his part. 5552345678", 20))
    (['phone'], [])
    """
    before = text[max(0, start - _REACH) : start]
    clause = _ENDS.split(before)[-1]
    words = words_of(clause)
    for at in range(len(words) - 1, max(-1, len(words) - 1 - _WORDS), -1):
        found = about(words[at : at + 1]) | about(words[at : at + 2])
        if found:
            return found
    return frozenset()
