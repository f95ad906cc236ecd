"""Presidio over columns and texts given as JSON on standard input: which of our kinds it finds in each, as JSON.

Run by `bench_dlp` in the peers' environment. A blank spaCy model stands where one for names would: recognizers by
pattern and checksum do not need it, and the words around a value still count as context.
"""

import json
import sys
import time
from importlib import import_module
from typing import Any, Final

KINDS: Final = {
    "EMAIL_ADDRESS": "email",
    "PHONE_NUMBER": "phone",
    "CREDIT_CARD": "card",
    "IBAN_CODE": "iban",
    "IP_ADDRESS": "ip",
    "URL": "url",
    "US_SSN": "us-ssn",
    "DATE_TIME": "date-of-birth",
}
THRESHOLD: Final = 0.4  # the score from which Presidio's documentation advises to act


def analyzer() -> Any:
    """Return Presidio's analyzer with its recognizers by pattern and a blank model."""
    presidio, spacy = import_module("presidio_analyzer"), import_module("spacy")
    blank = import_module("presidio_analyzer.nlp_engine").SpacyNlpEngine()
    blank.nlp = {"en": spacy.blank("en")}
    registry = presidio.RecognizerRegistry()
    registry.load_predefined_recognizers(languages=["en"])
    return presidio.AnalyzerEngine(registry=registry, nlp_engine=blank, supported_languages=["en"])


def kinds_in(engine: Any, text: str) -> set[str]:
    """Return the kinds that Presidio finds in a text; a date counts as none, for Presidio does not say whose it is."""
    found = engine.analyze(text=text, language="en", entities=list(KINDS), score_threshold=THRESHOLD)
    return {KINDS[each.entity_type] for each in found} - {"date-of-birth"}


def main() -> None:
    """Answer one request."""
    asked, engine = json.load(sys.stdin), analyzer()
    kinds_in(engine, "warm up")
    begun = time.process_time()
    columns = []
    for values in asked["columns"]:
        each = [kinds_in(engine, value) for value in values]
        columns.append(sorted(kind for kind in KINDS.values() if sum(kind in found for found in each) * 2 >= len(each)))
    texts = [sorted(kinds_in(engine, text)) for (text,) in asked["texts"]]
    json.dump({"columns": columns, "texts": texts, "cpu_s": time.process_time() - begun}, sys.stdout)


if __name__ == "__main__":
    main()
