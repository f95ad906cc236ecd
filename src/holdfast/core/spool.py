"""What a gateway's spool holds, by name: sealed statements, and files of security events, a series for each worker.

Both are encrypted for the control plane; whoever else keeps them for a while sees how many there are, and no more.
"""

import re
from typing import Final

from holdfast.core.seal import MAX_ENVELOPE

STATEMENT: Final = re.compile(r"telemetry-(\d{10})\.dsse\.(?:age|json)")  # in the clear from gateways of before
EVENTS: Final = re.compile(r"events-(\d{1,3})-(\d{12})\.jsonl")
SEALED: Final = b"age-encryption.org/v1\n"  # how a statement begins that is encrypted
MAX_SEGMENT: Final = 16 << 20  # bytes of a file of events, after which the gateway begins another
MAX_STATEMENT: Final = MAX_ENVELOPE + (1 << 20)  # bytes of a statement as it lies encrypted
MAX_CHUNK: Final = 4 << 20  # bytes of events that are handed over or taken in at once, some 15,000 lines
OFFSET: Final = "x-holdfast-offset"  # the header that says after how many bytes of a file of events a part follows
SIZE: Final = "x-holdfast-size"  # the header that says how many bytes of it are there now


def statement_name(sequence: int) -> str:
    """Return the name of a sealed statement's file.

    >>> statement_name(12)
    'telemetry-0000000012.dsse.age'
    """
    return f"telemetry-{sequence:010d}.dsse.age"


def events_name(worker: int, first: int) -> str:
    """Return the name of the file of a worker's events that begins with this number.

    >>> events_name(0, 7)
    'events-0-000000000007.jsonl'
    """
    return f"events-{worker}-{first:012d}.jsonl"
