"""What holds for every model format: honest files are clean, and no bytes make a scan raise or run away."""

import json
import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.unit.engines.scan.honest import HONEST, above_low, check, scan

SEEDS = 150
PLAIN = {
    "JSON": json.dumps({"a": [1, 2, {"b": None}], "config": {"x": 1}, "learner_rate": 0.1}).encode(),
    "class names": json.dumps({"class_names": ["a"], "configuration": {}}).encode(),
    "text": b"A model card. It speaks of {{ braces }} and of messages.\n" * 20,
    "Helm": b"{{- if .Values.enabled }}\nkind: Deployment\n{{- end }}\n",
    "pages": b"{% for page in pages %}<a href='{{ page.url }}'>{{ page.title | safe }}</a>{% endfor %}",
    "letters": b"Dear {{ name }}, {% if new %}welcome{% endif %}. You will find messages in your box.",
    "XML": b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>",
    "HTML": b"<!DOCTYPE html><html><body>tree</body></html>",
    "tree": b"tree\nof things\nversion=1\n",
}


@pytest.mark.parametrize("name", sorted(HONEST))
def test_an_honest_file_is_known_and_clean(name: str) -> None:
    """Its format is recognised by its bytes alone, nothing else would read it, and nothing is found."""
    formats, _ = scan(HONEST[name])
    assert formats[0] == name.partition(" of version")[0]
    assert above_low(HONEST[name]) == []


@pytest.mark.parametrize("name", sorted(PLAIN))
def test_other_texts_are_no_models(name: str) -> None:
    """JSON, XML and templates that are something else are left alone."""
    formats, findings = scan(PLAIN[name])
    assert formats == ("text",)
    assert findings == []


@given(st.binary(max_size=2000), st.sampled_from([value[:size] for value in HONEST.values() for size in (0, 4, 16)]))
@example(b"", b"")
@settings(max_examples=300)
def test_any_bytes_are_scanned_without_an_error(data: bytes, head: bytes) -> None:
    """Noise, also behind the first bytes of a format, is a finding and never an exception."""
    check(head + data)


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Return the bytes with up to eight flips, cuts, repeats, insertions and large numbers."""
    model = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(model)) if model else 0
        match chance.randrange(6):
            case 0 if model:
                model[at] ^= chance.randint(1, 255)
            case 1:
                del model[at : at + chance.randint(1, 40)]
            case 2:
                model[at:at] = chance.randbytes(chance.randint(1, 20))
            case 3:
                model[at : at + 4] = chance.choice([b"\xff" * 4, b"\x7f\xff\xff\xff", b"\0" * 4])
            case 4:
                model = model[: max(1, at)]
            case _:
                model[at:at] = model[max(0, at - 30) : at]
    return bytes(model)


@pytest.mark.parametrize("name", sorted(HONEST))
def test_a_damaged_file_is_scanned_without_an_error(name: str) -> None:
    """Damage by seed."""
    for seed in range(SEEDS):
        check(mutated(HONEST[name], random.Random(f"{name} {seed}")))  # noqa: S311 - repeatable on purpose
