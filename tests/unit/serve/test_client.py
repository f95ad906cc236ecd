"""The SDK against a connection that plays back what a gateway could say."""

import http.client
import json
import math
from typing import Any, cast

import numpy as np
import pytest

from holdfast.client import FIRST_WAIT_S, Client, Prediction
from holdfast.client.messages import Received, of_columns, prediction
from holdfast.core.errors import HoldfastError, InvalidInput, InvalidRequest, NotFound, Refused, Unavailable

GOOD = {
    "outputs": [
        {"name": "label", "datatype": "BYTES", "shape": [2], "data": ["a", "b"]},
        {"name": "probabilities", "datatype": "FP64", "shape": [2, 2], "data": [0.9, 0.1, 0.2, 0.8]},
    ]
}


class Connection:
    """Says what it was told to say, one answer for each request; an exception is raised in place of an answer."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.requests: list[tuple[str, str, Any, dict[str, str]]] = []
        self.sock: object = None
        self.host, self.port = "gateway", 80

    def request(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> None:
        self.requests.append((method, path, body, headers))
        self.sock = object()

    def getresponse(self) -> "Response":
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return Response(*answer)

    def close(self) -> None:
        self.sock = None


class Response:
    def __init__(self, status: int, document: Any, headers: dict[str, str] | None = None) -> None:
        self.status, self._headers = status, headers or {}
        self._content = document if isinstance(document, bytes) else json.dumps(document).encode()

    def read(self, limit: int) -> bytes:
        return self._content[:limit]

    def getheaders(self) -> list[tuple[str, str]]:
        return list(self._headers.items())


def client(*answers: Any, **options: Any) -> tuple[Client, Connection, list[float]]:
    """A client of such a connection, and how long it slept each time."""
    slept: list[float] = []
    made = Client("https://gateway:80/base/", "hf_key", sleep=slept.append, **options)
    connection = Connection(*answers)
    made._lines[0].connection = cast("Any", connection)
    return made, connection, slept


def test_rows_become_a_tensor_and_outputs_a_prediction() -> None:
    """Arrays and lists are taken alike; key, path and id go along."""
    headers = {"X-Holdfast-Release": "abc", "X-Correlation-Id": "c-1", "X-Holdfast-Stale": "true"}
    made, connection, _ = client((200, GOOD, headers), (200, GOOD, headers))
    expected = Prediction(
        labels=("a", "b"), probabilities=((0.9, 0.1), (0.2, 0.8)), release="abc", correlation="c-1", stale=True
    )
    assert made.infer("m/../x", [[1, 2], [3, 4]], correlation="c-1") == expected
    assert made.infer("m", np.array([[1, 2], [3, 4]], dtype=np.float32)) == expected
    (method, path, body, sent), again = connection.requests
    assert (method, path) == ("POST", "/base/v2/models/m%2F..%2Fx/infer")
    assert (sent["Authorization"], sent["X-Correlation-Id"]) == ("Bearer hf_key", "c-1")
    tensor = {"name": "input", "shape": [2, 2], "datatype": "FP64", "data": [1.0, 2.0, 3.0, 4.0]}
    assert json.loads(body) == json.loads(again[2]) == {"inputs": [tensor]}
    assert len(again[3]["X-Correlation-Id"]) == 32


@pytest.mark.parametrize("rows", [[], [[1, 2], [3]], [[float("nan")]], [[float("inf")]], [[None]], [["x"]]])
def test_rows_that_no_model_takes_are_refused_before_anything_is_sent(rows: Any) -> None:
    """Ragged, empty, not finite, or no numbers."""
    made, connection, _ = client()
    with pytest.raises(InvalidInput):
        made.infer("m", rows)
    assert connection.requests == []


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, InvalidRequest),
        (401, Refused),
        (403, Refused),
        (404, NotFound),
        (405, InvalidRequest),
        (413, InvalidRequest),
        (500, Unavailable),
    ],
)
def test_a_refusal_that_waiting_does_not_change_is_raised_at_once(status: int, error: type[HoldfastError]) -> None:
    """With the gateway's words, and the code and id by which its operator finds the reason."""
    headers = {"x-holdfast-code": "HF241", "x-correlation-id": "c-1"}
    made, connection, slept = client((status, {"error": "no"}, headers))
    with pytest.raises(error, match="no") as caught:
        made.infer("m", [[1]])
    assert caught.value.place == "HF241, correlation id c-1"
    assert (len(connection.requests), slept) == (1, [])


@pytest.mark.parametrize("status", [429, 503])
def test_a_call_that_came_too_fast_is_repeated_after_the_time_the_gateway_names(status: int) -> None:
    """Under the same correlation id each time."""
    made, connection, slept = client((status, {"error": "wait"}, {"Retry-After": "2"}), (200, GOOD))
    assert made.infer("m", [[1]]).labels == ("a", "b")
    assert slept == [2.0]
    assert len({headers["X-Correlation-Id"] for *_, headers in connection.requests}) == 1


def test_retries_are_bounded_in_number_and_in_time() -> None:
    """A gateway in trouble is asked a few times, ever more slowly, and then left alone."""
    made, connection, slept = client(*[(503, {"error": "not ready"})] * 10)
    with pytest.raises(Unavailable, match="not ready"):
        made.infer("m", [[1]])
    assert len(connection.requests) == 4
    assert slept == [FIRST_WAIT_S, 2 * FIRST_WAIT_S, 4 * FIRST_WAIT_S]
    made, connection, slept = client(*[(429, {"error": "wait"}, {"Retry-After": "20"})] * 10, retries=9)
    with pytest.raises(Refused, match="wait"):
        made.infer("m", [[1]])
    assert (len(connection.requests), slept) == (2, [20.0])
    made, connection, slept = client((429, {"error": "wait"}), retries=0)
    with pytest.raises(Refused):
        made.infer("m", [[1]])
    assert (len(connection.requests), slept) == (1, [])


@pytest.mark.parametrize("named", ["", "soon", "-5", "Wed, 21 Oct 2026 07:28:00 GMT", "\u0661"])
def test_a_retry_after_that_is_no_number_of_seconds_counts_as_none(named: str) -> None:
    """Then the client's own, doubling pauses hold."""
    made, _, slept = client((503, {}, {"Retry-After": named}), (200, GOOD))
    made.infer("m", [[1]])
    assert slept == [FIRST_WAIT_S]


def test_a_connection_that_idled_too_long_is_opened_again() -> None:
    """The gateway closed it meanwhile: that is nobody's fault and no error."""
    made, connection, _ = client((200, GOOD), http.client.RemoteDisconnected(""), (200, GOOD))
    made.infer("m", [[1]])
    assert made.infer("m", [[1]]).labels == ("a", "b")
    assert len(connection.requests) == 3


@pytest.mark.parametrize("error", [ConnectionRefusedError(), TimeoutError(), http.client.BadStatusLine("x")])
def test_a_gateway_that_cannot_be_reached_is_unavailable(error: Exception) -> None:
    """One clear error, with the address and what to look at; one that was waited for is not waited for again."""
    made, _, slept = client(*[error] * (1 if isinstance(error, TimeoutError) else 4))
    with pytest.raises(Unavailable, match="cannot be reached") as caught:
        made.infer("m", [[1]])
    assert caught.value.place == "gateway:80"
    assert slept == ([] if isinstance(error, TimeoutError) else [FIRST_WAIT_S, 2 * FIRST_WAIT_S, 4 * FIRST_WAIT_S])
    made, _, _ = client(error)
    assert not made.ready()


@pytest.mark.parametrize("answer", [b"", b"[]", b"<html>", {}, {"outputs": []}, {"outputs": [{"name": "label"}]}])
def test_an_answer_that_does_not_follow_the_protocol_is_an_error(answer: Any) -> None:
    """Whoever answered, it was no gateway of ours."""
    made, _, _ = client((200, answer))
    with pytest.raises(Unavailable, match="does not follow"):
        made.infer("m", [[1]])


@pytest.mark.guarantee("G55")
@pytest.mark.parametrize(
    "url", ["", "gateway:8080", "ftp://gateway", "http://", "file:///etc/passwd", "http://gateway"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    """Before anything is sent."""
    with pytest.raises(InvalidInput, match="not the address"):
        Client(url, "hf_key")


@pytest.mark.parametrize("bad", ["hf_a\r\nX-Other: 1", "hf_ä", "hf_\x00"])
def test_a_key_or_id_cannot_smuggle_another_header(bad: str) -> None:
    """What cannot stand in a header is refused by name, without showing it."""
    made, connection, _ = client((200, GOOD))
    made._api_key = bad
    with pytest.raises(InvalidInput, match="the API key holds"):
        made.infer("m", [[1]])
    made, connection, _ = client((200, GOOD))
    with pytest.raises(InvalidInput, match="the correlation id holds"):
        made.infer("m", [[1]], correlation=bad)
    assert connection.requests == []


def test_flags_and_labels_without_probabilities_are_read() -> None:
    """A label-only endpoint answers without scores; flags tell of reservations."""
    document = {"outputs": GOOD["outputs"][:1], "parameters": {"flags": "out-of-range"}}
    made, _, _ = client((200, document), (200, {"name": "m"}), (200, {"live": True, "ready": True}))
    answer = made.infer("m", [[1], [2]])
    assert (answer.labels, answer.probabilities, answer.flags) == (("a", "b"), (), ("out-of-range",))
    assert made.metadata("m") == {"name": "m"}
    with made:
        assert made.ready()
    assert made._lines[0].connection.sock is None


@pytest.mark.parametrize(
    ("rows", "header", "flagged"),
    [
        (["a", "b", "a"], "0,2", {0, 2}),
        (["a", "b", "a"], "1-2", {1, 2}),
        (["a"], None, {0}),
        (["a", "b"], None, None),
    ],
)
def test_the_rows_that_a_flag_is_about_are_read(rows: list[str], header: str | None, flagged: set[int] | None) -> None:
    """From the header that names them, or since there is one row; of an older gateway nothing is known."""
    document = {
        "outputs": [{"name": "label", "datatype": "BYTES", "shape": [len(rows)], "data": rows}],
        "parameters": {"flags": "out-of-range"},
    }
    headers = {"x-holdfast-out-of-range-rows": header} if header else {}
    answer = prediction(Received(status=200, headers=headers, content=json.dumps(document).encode()))
    assert answer.flagged == ({} if flagged is None else {"out-of-range": flagged})


@pytest.mark.parametrize("header", ["0-99999999999", "3", "2-1", "-1", "a", ""])
def test_rows_that_the_call_does_not_have_are_no_answer(header: str) -> None:
    """What follows no protocol is told as such, and takes no memory."""
    document = {
        "outputs": [{"name": "label", "datatype": "BYTES", "shape": [3], "data": ["a", "b", "a"]}],
        "parameters": {"flags": "out-of-range"},
    }
    with pytest.raises(Unavailable):
        prediction(
            Received(
                status=200,
                headers={"x-holdfast-out-of-range-rows": header},
                content=json.dumps(document).encode(),
            )
        )


def test_columns_of_numbers_and_texts_are_sent_by_name() -> None:
    """Each column is a tensor of its own kind; ragged, empty or no numbers is refused before anything is sent."""
    asked = of_columns("tiny", {"age": [40, 41.5], "message": ["see you", "won"]}, correlation="")
    assert asked.path == "/v2/models/tiny/infer"
    assert json.loads(asked.body or b"")["inputs"] == [
        {"name": "age", "shape": [2], "datatype": "FP64", "data": [40.0, 41.5]},
        {"name": "message", "shape": [2], "datatype": "BYTES", "data": ["see you", "won"]},
    ]
    wrong: tuple[dict[str, Any], ...] = ({}, {"age": []}, {"age": [1.0], "message": ["a", "b"]}, {"age": [math.nan]})
    for columns in (*wrong, {"age": 40}, {"message": "see you"}, {"age": [None]}, {"message": ["a", None]}):
        with pytest.raises(InvalidInput):
            of_columns("tiny", columns, correlation="")
