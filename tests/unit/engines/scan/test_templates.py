"""Chat templates: whatever leads from Jinja to Python's own functions is found, in each of its spellings."""

import json

import pytest
from tests.unit.engines.scan.honest import TEMPLATE, found, scan

from holdfast.core.evidence import Severity

CHAINS = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ''['__class__']['__base__'] }}",
    '{{ ""["\\x5f\\x5fclass\\x5f\\x5f"] }}',
    "{% set x = ().__class__ %}",
    "{% if messages.__init__.__globals__['os'].popen('id') %}{% endif %}",
    "{{ messages . \n __class__ }}",
    "{{ (messages|first).__getattribute__('x') }}",
    "{{ lipsum.__globals__['os'].popen('id').read() }}",
    "{{- self.__init__ -}}",
]
DETOURS = [
    ("{{ messages|attr('x') }}", "template.attr", Severity.HIGH),
    ("{{ messages|attr('_' * 2 ~ 'class' ~ '_' * 2) }}", "template.dunder", Severity.HIGH),
    ("{{ messages['__' ~ 'class' + '__'] }}", "template.dunder", Severity.HIGH),
    ("{{ '%s'|format(messages)|map(attribute='__class__') }}", "template.dunder", Severity.HIGH),
    ("{{ messages|map('attr', x) }}", "template.attr", Severity.HIGH),
    ("{{ messages['%c%cclass%c%c' % (95, 95, 95, 95)] }}", "template.dunder", Severity.HIGH),
    ("{{ messages['{0:c}'.format(95)] }}", "template.dunder", Severity.HIGH),
    ("{{ messages[['_', '_', 'class', '_', '_']|join] }}", "template.dunder", Severity.HIGH),
    ("{% set f = lipsum %}", "template.global", Severity.HIGH),
    ("{{ cycler('a') }}", "template.global", Severity.HIGH),
    ("{% import 'other' as o %}", "template.loading", Severity.HIGH),
    ("{% include 'other' %}", "template.loading", Severity.HIGH),
    ("{%+ extends x %}", "template.loading", Severity.HIGH),
    ("{{ messages|evaluate }}", "template.filter", Severity.MEDIUM),
    ("{{ messages.reload() }}", "template.call", Severity.MEDIUM),
    ("{{ run('x') }}", "template.call", Severity.MEDIUM),
    ("{% trans %}", "template.statement", Severity.MEDIUM),
    ("{{ messages", "template.malformed", Severity.MEDIUM),
    ("{# endless", "template.malformed", Severity.MEDIUM),
    ("{{ `id` }}", "template.malformed", Severity.MEDIUM),
]


def places(text: str) -> list[bytes]:
    """A template as a file, and in each place of a tokenizer's configuration."""
    return [
        text.encode(),
        json.dumps({"chat_template": text}).encode(),
        json.dumps({"chat_template": [{"name": "default", "template": text}]}).encode(),
        json.dumps({"chat_template": {"default": text}, "x": 1}).encode(),
        json.dumps({"a": 1, "chat_template": text}).replace("chat", "c\\u0068at").encode(),
        b"\xef\xbb\xbf \n" + json.dumps({"chat_template": text}).encode(),
    ]


@pytest.mark.requirement("SUP-07", by="holdfast.engines.scan.models.templates:judge")
@pytest.mark.parametrize("chain", CHAINS)
def test_a_chain_to_pythons_functions_is_found(chain: str) -> None:
    """At any line of a template, wherever the template stands."""
    for seed in range(3):
        lines = TEMPLATE.splitlines(keepends=True)
        lines.insert((0, 1, len(lines))[seed], chain)
        for data in places("".join(lines)):
            assert ("template.dunder", Severity.CRITICAL) in found(data)


@pytest.mark.parametrize(("detour", "rule", "severity"), DETOURS)
def test_a_detour_is_found(detour: str, rule: str, severity: Severity) -> None:
    """Computed names, other templates, and what no published template uses."""
    for data in places(TEMPLATE + detour):
        assert (rule, severity) in found(data)


def test_underscores_that_are_only_replaced_are_honest() -> None:
    """Templates turn names into words."""
    assert found((TEMPLATE + "{{ a.replace('_', ' ') ~ b.replace(' ', '_') ~ c.split('_')[0] }}").encode()) == set()


def test_raw_text_is_text() -> None:
    """What stands between raw and endraw is not read as Jinja."""
    assert found((TEMPLATE + "{% raw %}{{ x.__class__ }}{% endraw %}").encode()) == set()


def test_a_template_without_messages_is_known_by_what_it_reaches_for() -> None:
    """An attack need not look like a template for chats."""
    assert scan(b"{{ lipsum.__globals__ }}")[0][0] == "chat template"


def test_a_template_beyond_the_limit_is_not_clean() -> None:
    """A finding says so."""
    data = json.dumps({"chat_template": "x" * (1 << 21)}).encode()
    assert ("limit.template", Severity.MEDIUM) in found(data)
