"""Secrets of a recipe: files that are there while its job runs, and words that do not come back.

A recipe that is given a secret can put it where it likes, also into the model's weights: masking what it says protects
from accidents, the grant from everything else.
"""

import base64
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from holdfast.core.ports import JobResult
from holdfast.engines.jobs import Room
from holdfast.train.exchange import SECRETS_FOLDER

MASK: Final = b"[secret]"
SHORTEST: Final = 4  # bytes; masking a shorter one would tear every text apart
READ_ONLY: Final = 0o400


@contextmanager
def given_secrets(room: Room, secrets: Mapping[str, bytes]) -> Iterator[None]:
    """Let a job find secrets as files, and take them away when it has ended, however it ended."""
    folder = room.given / SECRETS_FOLDER
    if not secrets:
        yield
        return
    folder.mkdir(mode=0o700)
    try:
        for name, value in secrets.items():
            path = folder / name
            path.write_bytes(value)
            path.chmod(READ_ONLY)
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def masked(result: JobResult, secrets: Mapping[str, bytes]) -> JobResult:
    """Return what a job left in words without the secrets it was given."""
    return replace(result, stdout=hidden(result.stdout, secrets), stderr=hidden(result.stderr, secrets))


def hidden(text: bytes, secrets: Mapping[str, bytes]) -> bytes:
    """Return a text in which no secret is to be read, whole, without its final newline, or as base64."""
    for value in secrets.values():
        for spelled in (value, value.strip(), base64.b64encode(value), base64.b64encode(value.strip())):
            if len(spelled) >= SHORTEST:
                text = text.replace(spelled, MASK)
    return text
