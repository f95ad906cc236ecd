"""The SDK for callers of a gateway: rows in, labels and probabilities out, with time limits and a bounded patience.

`Client` waits for each answer, `AsyncClient` lets others run meanwhile. Both speak Open Inference Protocol v2 over
HTTP/1.1 with the standard library alone, sign each attempt, send many rows as bytes, and repeat a call that the gateway
turned away or could not answer: after the time it names, within bounds of number and time, and out of a budget that all
calls share, so that a gateway in trouble is not kept there by its callers.
"""

from holdfast.client.asynchronous import AsyncClient
from holdfast.client.calling import Client
from holdfast.client.messages import Array, Prediction, Rows
from holdfast.client.retries import FIRST_WAIT_S, PATIENCE_S, RETRIES, RetryBudget

__all__ = [
    "FIRST_WAIT_S",
    "PATIENCE_S",
    "RETRIES",
    "Array",
    "AsyncClient",
    "Client",
    "Prediction",
    "RetryBudget",
    "Rows",
]
