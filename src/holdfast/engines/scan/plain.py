"""Contents without a format of their own: text and JSON beside a model, and bytes that nobody understands."""

import re
from typing import Final

import msgspec

from holdfast.core.evidence import Severity
from holdfast.engines.scan import pickles
from holdfast.engines.scan.examination import Content, Examination
from holdfast.engines.scan.report import shown

MAX_PLAIN: Final = 256 << 20  # bytes of text that are read; the largest tokenizers have 30 MB
HEAD: Final = 4096  # bytes that tell text from anything else
_PYTHON_TAG: Final = re.compile(rb"!!python/(?:object|name|module|apply|new)|!<tag:yaml\.org,2002:python/")
_CUSTOM_CODE: Final = re.compile(rb'"auto_map"\s*:')
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_SCRIPT: Final = re.compile(rb"#!|\xef\xbb\xbf#!")


def scan(content: Content, examination: Examination) -> None:
    """Report code that loaders of text formats run, and bytes that no scanner understands."""
    view = content.view
    text = is_text(view)
    if pickles.scan_headerless(content, examination):
        return
    if not text:
        examination.note("unknown")
        words = "no scanner understands these bytes"
        examination.add(Severity.MEDIUM, "file.unknown", content.path, words)
        return
    examination.note("text")
    if len(view) > MAX_PLAIN:
        words = f"{len(view)} bytes of text; at most {MAX_PLAIN} are read"
        examination.add(Severity.MEDIUM, "limit.text", content.path, words)
        return
    _text(content, bytes(view), examination)


def is_text(view: memoryview) -> bool:
    """Return whether a content begins as text."""
    head = bytes(view[:HEAD])
    if _CONTROL.search(head):
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start >= len(head) - 3 and len(head) == HEAD  # a character cut by our own window
    return True


def _text(content: Content, text: bytes, examination: Examination) -> None:
    if control := _CONTROL.search(text):
        words = "text that goes on as something else"
        examination.add(Severity.MEDIUM, "file.unknown", content.at(control.start()), words)
    if found := _PYTHON_TAG.search(text):
        words = f"a YAML tag that makes loaders build any Python object: {shown(found.group())!r}"
        examination.add(Severity.CRITICAL, "yaml.python-tag", content.at(found.start()), words)
    if _SCRIPT.match(text):
        examination.add(Severity.LOW, "file.script", content.path, "a script, which nothing runs by itself")
    if text[:1] in {b"{", b"["}:
        _json(content, text, examination)


def _json(content: Content, text: bytes, examination: Examination) -> None:
    try:
        msgspec.json.decode(text, type=msgspec.Raw)  # checks the syntax and builds nothing
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return  # text that begins like JSON; readers of JSON refuse it
    if found := _CUSTOM_CODE.search(text):
        words = "the configuration names code of its own (`auto_map`), which loaders run when they trust it"
        examination.add(Severity.MEDIUM, "config.custom-code", content.at(found.start()), words)
