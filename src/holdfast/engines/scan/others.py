"""Files that lie beside models and are none: programs, which somebody could load, and pictures, sounds and tables."""

import re
from typing import Final

from holdfast.core.evidence import Severity
from holdfast.engines.scan.examination import Content, Examination, Format

_PROGRAMS: Final = (
    ("a Linux program or library (ELF)", re.compile(rb"\x7fELF[\x01\x02][\x01\x02]\x01")),
    ("a Windows program or library (PE)", re.compile(rb"MZ[\x00-\xff]{58}[\x40-\xff\x00][\x00-\x0f]\x00\x00")),
    ("a macOS program or library (Mach-O)", re.compile(rb"[\xce\xcf]\xfa\xed\xfe|\xfe\xed\xfa[\xce\xcf]")),
    ("Java bytecode, or a macOS program for several processors", re.compile(rb"\xca\xfe\xba\xbe")),
    ("a WebAssembly module", re.compile(rb"\x00asm\x01\x00\x00\x00")),
    ("Python bytecode", re.compile(rb"[\x00-\xff][\x0c-\x0f]\r\n[\x00-\x03]\x00\x00\x00[\x00-\xff]{8}\xe3")),
    ("an Android program", re.compile(rb"dex\n03\d\x00")),
)
_BESIDE: Final = (
    ("PNG", re.compile(rb"\x89PNG\r\n\x1a\n")),
    ("JPEG", re.compile(rb"\xff\xd8\xff[\xc0-\xfe]")),
    ("GIF", re.compile(rb"GIF8[79]a")),
    ("WebP or WAVE", re.compile(rb"RIFF[\x00-\xff]{4}(?:WEBP|WAVE)")),
    ("FLAC", re.compile(rb"fLaC\x00")),
    ("Ogg", re.compile(rb"OggS\x00")),
    ("Parquet", re.compile(rb"PAR1")),
    ("Arrow", re.compile(rb"ARROW1\x00\x00|FEA1")),
)


def _named(view: memoryview, kinds: tuple[tuple[str, re.Pattern[bytes]], ...]) -> str:
    return next((name for name, magic in kinds if magic.match(view)), "")


def _scan_program(content: Content, examination: Examination) -> None:
    """Report a program: no model needs one, and loaders of plug-ins load it."""
    words = f"{_named(content.view, _PROGRAMS)}: whoever loads it runs it"
    examination.add(Severity.HIGH, "file.program", content.path, words)


def _scan_beside(content: Content, examination: Examination) -> None:
    """Say that a file is none that loaders of models read; what it shows or holds is not looked into."""
    words = f"{_named(content.view, _BESIDE)}: no loader of models reads it, and it is not looked into"
    examination.add(Severity.INFO, "file.not-a-model", content.path, words)


FORMATS: Final = (
    Format(name="program", known=lambda view: bool(_named(view, _PROGRAMS)), scan=_scan_program),
    Format(name="not a model", known=lambda view: bool(_named(view, _BESIDE)), scan=_scan_beside),
)
