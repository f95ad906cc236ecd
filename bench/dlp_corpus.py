"""A labelled corpus of personal data and of what only looks like it, made by Faker in its locales from one seed.

Values are those of Faker's providers, in the way each locale writes them; columns stand in tables, half of them under
names that say nothing; sentences are Faker's own, with a value between them, half of the time after a word that says
what it is. At least half of all columns and sentences hold nothing personal, but what is easily taken for it.

Rules were written with the locales of `DEVELOPMENT` in sight. What is in `HELD_OUT` was run and counted, never read.
"""

import base64
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Final

from faker import Faker

DEVELOPMENT: Final = ("en_US", "de_DE", "fr_FR", "es_ES", "ja_JP")
# fmt: off
HELD_OUT: Final = (
    "ar_AA", "ar_AE", "ar_SA", "az_AZ", "bg_BG", "bn_BD", "bs_BA", "cs_CZ", "da_DK", "de_AT", "de_CH", "el_GR",
    "en_AU", "en_BD", "en_CA", "en_GB", "en_IE", "en_IN", "en_NZ", "en_TH", "es_AR", "es_CL", "es_CO", "es_MX",
    "et_EE", "fa_IR", "fi_FI", "fr_CA", "fr_CH", "he_IL", "hi_IN", "hr_HR", "hu_HU", "hy_AM", "id_ID", "it_IT",
    "ka_GE", "ko_KR", "lt_LT", "lv_LV", "ne_NP", "nl_BE", "nl_NL", "no_NO", "pl_PL", "pt_BR", "pt_PT", "ro_RO",
    "ru_RU", "sk_SK", "sl_SI", "sq_AL", "sv_SE", "ta_IN", "th_TH", "tr_TR", "uk_UA", "vi_VN", "zh_CN", "zh_TW",
)
# fmt: on
ENTITIES: Final = ("email", "phone", "card", "iban", "ip", "url", "us-ssn", "date-of-birth")
ROWS: Final = 60  # of a table
SENTENCES: Final = 6  # of each kind in each locale

Make = Callable[[Faker, random.Random], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: its name, its values, and what it holds; nothing where it is no personal data."""

    name: str
    values: tuple[object, ...]
    entity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """One text, and where in it something personal stands; nothing where nothing does."""

    text: str
    entity: str = ""
    start: int = 0
    stop: int = 0


_US: Final = Faker("en_US")

POSITIVE: Final[dict[str, tuple[tuple[str, ...], Make]]] = {
    "email": (("email", "e-mail", "contact_email"), lambda fake, _: fake.email()),
    "phone": (("phone", "telephone", "mobile_no"), lambda fake, _: fake.phone_number()),
    "card": (("card_number", "credit card", "cc_card"), lambda fake, _: fake.credit_card_number()),
    "iban": (("iban", "bank_account", "account"), lambda fake, _: fake.iban()),
    "ip": (("ip", "client_ip", "ip address"), lambda fake, rng: fake.ipv6() if rng.random() < 0.2 else fake.ipv4()),
    "url": (("url", "homepage", "website"), lambda fake, _: fake.uri()),
    "us-ssn": (("ssn", "social_security", "SSN"), lambda *_: _US.ssn()),
    "date-of-birth": (("date_of_birth", "dob", "birthday"), lambda fake, rng: _day(fake.date_of_birth(), rng)),
}
"""For each kind the names and words that say what it is, and how one is made."""


def _day(when: date, rng: random.Random) -> str:
    return when.strftime(rng.choice(("%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y")))


_SUBSTANCES: Final = ("2,4-dinitrophenol", "1,3-butadiene", "3-(3,4-dichlorophenyl)-1,1-dimethylurea", "polysorbate 80")

NEGATIVE: Final[dict[str, tuple[str, Make]]] = {
    "uuid": ("id", lambda fake, _: fake.uuid4()),
    "md5": ("checksum", lambda fake, _: fake.md5()),
    "sha256": ("hash", lambda fake, _: fake.sha256()),
    "git id": ("commit", lambda fake, rng: fake.sha1()[: rng.choice((7, 12, 40))]),
    "base64": ("payload", lambda fake, _: base64.b64encode(fake.binary(24)).decode()),
    "version": ("version", lambda fake, _: fake.numerify("%.#.%#")),
    "build": ("build", lambda fake, _: fake.numerify("%.#.#.%#")),
    "order number": ("order_no", lambda fake, _: fake.numerify("##########")),
    "order of shops": ("order", lambda fake, _: fake.numerify("1%#-#######-#######")),
    "invoice": ("invoice", lambda fake, _: fake.bothify("INV-####-######")),
    "integer of 16": ("serial", lambda _, rng: rng.randrange(10**15, 10**16)),
    "integer of 9": ("quantity", lambda _, rng: rng.randrange(10**8, 10**9)),
    "part 3-3-4": ("part_no", lambda fake, _: fake.numerify("###-###-####")),
    "part 3-2-4": ("article", lambda fake, _: fake.numerify("###-##-####")),
    "timestamp": ("created_at", lambda fake, _: fake.iso8601()),
    "moment": ("updated", lambda fake, _: fake.date_time_this_decade().strftime("%Y-%m-%d %H:%M:%S")),
    "day": ("shipped_on", lambda fake, rng: _day(fake.date_this_decade(), rng)),
    "day since 1970": ("published", lambda fake, rng: _day(fake.date_object(), rng)),
    "epoch": ("epoch", lambda fake, _: fake.unix_time()),
    "epoch ms": ("epoch_ms", lambda fake, _: int(fake.unix_time() * 1000)),
    "latitude": ("lat", lambda fake, _: float(fake.latitude())),
    "coordinates": ("position", lambda fake, _: f"{fake.latitude()}, {fake.longitude()}"),
    "float": ("measured", lambda fake, _: fake.pyfloat()),
    "price": ("price", lambda *_: _US.pricetag()),
    "isbn13": ("isbn", lambda fake, _: fake.isbn13()),
    "isbn10": ("isbn_old", lambda fake, _: fake.isbn10()),
    "ean13": ("ean", lambda fake, _: fake.ean13()),
    "ean8": ("gtin", lambda fake, _: fake.ean8()),
    "mac": ("mac", lambda fake, _: fake.mac_address()),
    "chemical": ("substance", lambda fake, rng: f"{rng.choice(_SUBSTANCES)} ({fake.numerify('%####-##-#')})"),
    "bothify": ("sku", lambda fake, _: fake.bothify("??-########")),
    "path": ("path", lambda fake, _: fake.file_path(depth=3)),
    "name": ("name", lambda fake, _: fake.name()),
    "sentence": ("notes", lambda fake, _: fake.sentence()),
}
"""What is nobody's: a name that a table might give it, and how one is made."""
_ALIKE: Final = (NEGATIVE["part 3-3-4"], NEGATIVE["part 3-2-4"])  # of which one alone differs from others by words only


def tables(locale: str, seed: int) -> Iterator[tuple[Column, ...]]:
    """Yield tables of one locale: with names that tell, with names that do not, and without anything personal."""
    fake, rng = _made(locale, seed)
    for telling in (True, False):
        columns = [_column(fake, rng, kind, rng.choice(names), make) for kind, (names, make) in POSITIVE.items()]
        columns += [_column(fake, rng, "", name, make) for name, make in rng.sample(list(NEGATIVE.values()), 9)]
        yield tuple(columns if telling else _nameless(columns))
    rest = [_column(fake, rng, "", name, make) for name, make in NEGATIVE.values()]
    yield tuple(_nameless(rest))


def _made(locale: str, seed: int) -> tuple[Faker, random.Random]:
    fake, number = Faker(locale), seed + sum(map(ord, locale))
    fake.seed_instance(number)
    _US.seed_instance(number)
    return fake, random.Random(number)  # noqa: S311 - data to search in, not secrets


def _column(fake: Faker, rng: random.Random, entity: str, name: str, make: Make) -> Column:
    return Column(name=name, values=tuple(make(fake, rng) for _ in range(ROWS)), entity=entity)


def _nameless(columns: list[Column]) -> list[Column]:
    return [Column(name=f"c{number}", values=each.values, entity=each.entity) for number, each in enumerate(columns)]


def sentences(locale: str, seed: int) -> Iterator[Sentence]:
    """Yield sentences of one locale with and without something personal in them, as many of these as of those."""
    fake, rng = _made(locale, seed + 1)
    for entity, (names, make) in POSITIVE.items():
        for number in range(SENTENCES):
            said = number % 2 == 0 or entity == "date-of-birth"  # that a day is one of birth, only words can tell
            yield _sentence(fake, entity, str(make(fake, rng)), rng.choice(names) if said else "")
    kinds = list(NEGATIVE.values())
    for number in range(SENTENCES * len(POSITIVE)):
        name, make = kinds[number % len(kinds)]
        said = kinds[number % len(kinds)] in _ALIKE or rng.random() < 0.5
        yield _sentence(fake, "", str(make(fake, rng)), name if said else "")


def _sentence(fake: Faker, entity: str, value: str, word: str) -> Sentence:
    before = f"{fake.sentence()} " + (f"{word.replace('_', ' ')}: " if word else "")
    text = f"{before}{value} {fake.sentence()}"
    return Sentence(text=text, entity=entity, start=len(before), stop=len(before) + len(value))
