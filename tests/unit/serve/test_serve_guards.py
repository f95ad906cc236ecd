"""Guards one by one, and the table of them."""

import asyncio
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.guard import Answer, Call, Refusal
from holdfast.core.schema import Field, Signature
from holdfast.serve import GUARDS, HttpRequest, HttpResponse
from holdfast.serve.asgi import BODY_TIMEOUT_S, DRAINED, MAX_BODY, asgi
from holdfast.serve.credentials import CredentialTable, hash_api_key, presented
from holdfast.serve.guards.access import WithinRate
from holdfast.serve.guards.outputs import CoarseOutput
from holdfast.serve.guards.size import WithinSize, depth
from holdfast.serve.guards.surroundings import Rates
from holdfast.serve.protocol import Malformed, Operation, RowReader, target
from holdfast.serve.refusals import SAYINGS, TOO_LARGE, TOO_SLOW, Saying
from holdfast.serve.state import Route
from holdfast.testing.world import CREDENTIAL_KEY, OnnxLike, Ticks


def call(client: str = "bob", body: bytes = b"") -> Call:
    """A call as far as access guards look at it."""
    return Call(model="m", headers={}, body=body, correlation="c", received_s=0.0, client=client)
