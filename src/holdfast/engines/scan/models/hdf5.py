"""HDF5: every object, link and attribute of the file, and what of it leads to other files or to code.

After the HDF5 File Format Specification 3.0: superblocks 0 to 3, object headers 1 and 2, symbol tables and links in
object headers, attributes with texts of fixed and of variable length. Links and attributes kept in fractal heaps, which
writers use beyond eight of them in files of the newest kind, are not followed, and a finding says so; the bytes are
then searched for what would be critical. Configurations of Keras in attributes are judged as such.
"""

import re
from typing import Final

from holdfast.core.evidence import Severity
from holdfast.engines.scan.examination import Content, Examination
from holdfast.engines.scan.models import hdf5_messages as messages
from holdfast.engines.scan.models import jsontree, keras
from holdfast.engines.scan.models.binary import number
from holdfast.engines.scan.models.hdf5_messages import Message
from holdfast.engines.scan.report import shown
from holdfast.engines.scan.text import MAX_TEXT, looks_executable
from holdfast.engines.scan.wire import Malformed

SIGNATURE: Final = b"\x89HDF\r\n\x1a\n"
MAX_OBJECTS: Final = 500_000  # groups and datasets of one file; the largest Keras models have below 10,000
MAX_FIRST: Final = 1 << 30  # bytes before which a superblock is looked for, at 0, 512, 1024 and on by doubling
FILTERS: Final = frozenset({1, 2, 3, 4, 5, 6, 32000, 32001})
"""Filters that readers bring along: those of the library itself, LZF of h5py and Blosc of PyTables."""
_LAMBDA: Final = re.compile(rb'"class_name"\s{0,8}:\s{0,8}"(?:Lambda|__lambda__|TorchModuleWrapper)"')


def known(view: memoryview) -> bool:
    """Return whether a superblock stands where readers look for one."""
    return _superblock(view) is not None


def _superblock(view: memoryview) -> int | None:
    at = 0
    while at + 8 <= min(len(view), MAX_FIRST):
        if bytes(view[at : at + 8]) == SIGNATURE:
            return at
        at = at * 2 or 512
    return None


def scan(content: Content, examination: Examination) -> None:
    """Walk all objects; where that ends early, search the bytes for what would be critical."""
    begin = _superblock(content.view) or 0
    if begin:
        said = f"{begin} bytes before the file begins, which other readers take for something else"
        examination.add(Severity.MEDIUM, "hdf5.user-block", content.path, said)
        if any(content.view[:begin]):
            examination.enter(Content(content.view[:begin], content.inside("user block")))
    whole = False
    try:
        whole = _Walk(content, examination, begin).run()
    except Malformed as error:
        examination.add(Severity.MEDIUM, "hdf5.malformed", content.at(error.offset), error.words)
    if not whole and (found := _LAMBDA.search(content.view)):
        said = f"{shown(found.group())} in bytes that were not read as an attribute"
        examination.add(Severity.CRITICAL, "keras.lambda", content.at(found.start()), said)


class _Walk:
    """One pass over one file."""

    def __init__(self, content: Content, examination: Examination, begin: int) -> None:
        self.content, self.view, self.examination = content, content.view, examination
        self.file, self.root = messages.superblock(content.view, begin)
        self.waiting = [(self.root, "")]
        self.seen = {self.root}
        self.whole = True

    def run(self) -> bool:
        """Read every object that is reached from the root, and return whether nothing was left out."""
        while self.waiting:
            address, path = self.waiting.pop()
            try:
                for message in messages.header(self.file, address, self.examination):
                    self._message(message, path)
            except Malformed as error:
                self.whole = False
                self._add(Severity.MEDIUM, "malformed", f"{error.words} in {shown(path or '/')}", error.offset)
        return self.whole

    def _message(self, message: Message, path: str) -> None:
        kind, at = message.kind, message.at
        if message.shared and kind in {messages.ATTRIBUTE, messages.LINK, messages.SYMBOL_TABLE}:
            self._left_out("a message that stands elsewhere", at)
        elif kind == messages.SYMBOL_TABLE:
            for link in messages.symbol_table(self.file, message, self.examination):
                self._link(link, path)
        elif kind == messages.LINK:
            self._link(messages.link(self.file, message), path)
        elif kind in {messages.LINK_INFO, messages.ATTRIBUTE_INFO}:
            if messages.dense(self.file, message):
                self._left_out("links or attributes in a fractal heap", at)
        elif kind == messages.ATTRIBUTE:
            self._attribute(message, path)
        elif kind == messages.EXTERNAL_FILES:
            self._add(Severity.HIGH, "external-file", f"the data of {shown(path)} lie in other files", at)
        elif kind == messages.LAYOUT:
            self._layout(message, path)
        elif kind == messages.FILTERS:
            self._filters(message, path)

    def _filters(self, message: Message, path: str) -> None:
        for name in messages.filters(self.file, message):
            if name not in FILTERS:
                said = f"{shown(path)} needs the filter {name}, which readers load from a library"
                self._add(Severity.MEDIUM, "filter", said, message.at)

    def _link(self, link: messages.Link, path: str) -> None:
        target = f"{path}/{shown(link.name, 80)}"
        if link.kind == messages.EXTERNAL:
            said = f"{target} leads to another file: {shown(link.value)!r}"
            self._add(Severity.HIGH, "external-link", said, link.at)
        elif link.kind == messages.SOFT:
            self._add(Severity.LOW, "soft-link", f"{target} leads to {shown(link.value)!r}", link.at)
        elif link.kind != messages.HARD:
            said = f"{target} is a link of the kind {link.kind}, which a program defines"
            self._add(Severity.HIGH, "external-link", said, link.at)
        elif link.address not in self.seen:
            if len(self.seen) >= MAX_OBJECTS:
                raise Malformed(link.at, f"more than {MAX_OBJECTS} objects; the rest was not scanned")
            self.seen.add(link.address)
            self.waiting.append((link.address, target[:1000]))

    def _layout(self, message: Message, path: str) -> None:
        kind, version = messages.layout(self.file, message)
        if kind == messages.VIRTUAL:
            self._add(Severity.HIGH, "external-file", f"the data of {shown(path)} are views of other files", message.at)
        elif kind == messages.CONTIGUOUS and version in {3, 4}:
            start = self.file.offset(message.at + 2)
            size = number(self.view, message.at + 2 + self.file.offsets, self.file.lengths)
            if start is not None and size and start + size > len(self.view):
                said = f"{size} bytes of data at {start}, in a file of {len(self.view)}"
                self._add(Severity.HIGH, "offsets", f"{shown(path)} has {said}", message.at)

    def _attribute(self, message: Message, path: str) -> None:
        attribute = messages.attribute(self.file, message)
        name = shown(attribute.name, 80)
        if attribute.texts is None:
            if attribute.name in {b"model_config", b"training_config", b"layer_config"}:
                self._left_out(f"the attribute {name!r}, which is no text", message.at)
            return
        for text in messages.texts(self.file, attribute, self.examination):
            self.examination.step(1)
            if jsontree.begins(text):
                keras.config(Content(text, self.content.inside(f"{path}@{name}")), self.examination)
            elif looks := looks_executable(bytes(text[:MAX_TEXT])):
                said = f"the attribute {name!r} of {shown(path or '/')} looks like {shown(looks)}"
                self._add(Severity.HIGH, "attribute.executable", said, message.at)
            elif attribute.name == b"PSEUDOATOM" and bytes(text[:6]) == b"object":
                said = f"{shown(path)} holds pickles, which its reader loads"
                self._add(Severity.HIGH, "pickled", said, message.at)

    def _left_out(self, what: str, at: int) -> None:
        self.whole = False
        self._add(Severity.MEDIUM, "unsupported", f"{what}: not followed", at)

    def _add(self, severity: Severity, rule: str, said: str, at: int) -> None:
        self.examination.add(severity, f"hdf5.{rule}", self.content.at(at), said)
