"""The property matrix and the landscape of threats: what stands behind each promise, and the test that shows it.

Each row is a promise, the control that keeps it and a test that fails without the control. The list of tests is part
of the package, so that an installation without a checkout can name them too.
"""

from typing import Final, NamedTuple

from holdfast.plan.lines import Line

_ACCESS: Final = "tests/scenarios/test_gateway_access.py::"
_INPUT: Final = "tests/scenarios/test_gateway_input.py::"
_WAY: Final = "tests/scenarios/test_way_into_production.py::"
_LOADING: Final = "tests/scenarios/test_gateway_loading.py::"
_LOOP: Final = "tests/scenarios/test_loop.py::"


def _row(group: str, control: str, test: str) -> Line:
    return Line(group=group, claim=control, needs=(control,), tests=(test,))


PROPERTIES: Final = (
    _row("confidentiality", "guard:authenticated", _ACCESS + "test_a_request_without_a_valid_key_is_refused"),
    _row("confidentiality", "guard:coarse-output", _ACCESS + "test_scores_are_rounded_as_the_signed_table_says"),
    _row("integrity", "release.signature/1", _WAY + "test_a_changed_blob_is_found_by_verify_why_and_promote"),
    _row("integrity", "routes:signed", _LOADING + "test_a_route_table_without_signature_is_refused"),
    _row("integrity", "release.scan/1", _WAY + "test_a_second_worse_measurement_counts_not_the_first"),
    _row(
        "availability",
        "guard:within-rate",
        _ACCESS + "test_a_burst_beyond_the_limit_is_refused_and_told_when_to_come_back",
    ),
    _row("availability", "guard:within-size", _INPUT + "test_a_body_beyond_the_limit_is_refused"),
    _row("availability", "watch.sli/1", _LOOP + "test_a_broken_service_level_rolls_back"),
    _row("auditability", "ledger:chain", _LOOP + "test_a_broken_ledger_stops_everything"),
    _row("auditability", "events:security", _LOOP + "test_every_security_event_reaches_the_ledger_once"),
    _row("accountability", "approval:owner", _WAY + "test_promoting_needs_a_reason_and_a_release_that_exists"),
    _row("accountability", "project:owner", _WAY + "test_an_ownerless_project_is_refused"),
    _row("reproducibility", "train.export/1", _WAY + "test_the_same_inputs_give_the_same_model_byte_for_byte"),
    _row("privacy", "ingest.personal/1", "tests/unit/ingest/test_personal_data.py"),
    _row("privacy", "plan.sensitivity/1", "tests/unit/plan/test_sensitivity.py"),
)
"""PLAN-13 as a table: seven properties, the controls that back each, and the tests that show them."""


class Threat(NamedTuple):
    """One category of the landscape: where it strikes, how, what it does, and what is done against it."""

    category: str
    stage: str
    vector: str
    impact: str
    mitigation: str


LANDSCAPE: Final = (
    Threat(
        "poisoning",
        "ingest and train",
        "rows planted in the data or changed on their way",
        "the model learns what somebody else wants",
        "contract and quarantine, provenance of every source, entities on one side of the split only",
    ),
    Threat(
        "extraction",
        "serve",
        "many calls whose answers train a copy",
        "the model is stolen, and attacks are prepared on the copy",
        "known callers, limits by key, coarse answers",
    ),
    Threat(
        "inversion",
        "serve",
        "answers that give away who or what was in the data",
        "personal data leave through the model",
        "no personal values in the data, classes that withhold, coarse answers",
    ),
    Threat(
        "evasion",
        "serve",
        "inputs made to be answered wrongly",
        "a decision is bought with a small change",
        "attacked before it answers, inputs held to their ranges, drift watched",
    ),
    Threat(
        "supply-chain",
        "train, release and serve",
        "code in a model file, a foreign package, a swapped artifact",
        "somebody else's code or model runs here",
        "confined training, scan before opening, signatures, bill of materials",
    ),
)
"""PLAN-10 as a table: five categories."""

DEFENCES: Final = (
    _row("poisoning", "ingest.contract/1", "tests/unit/ingest/test_contract.py"),
    _row("poisoning", "ingest.provenance/1", _WAY + "test_revoked_data_denies_everything_that_learned_from_it"),
    _row("poisoning", "ingest.screening/1", "tests/unit/ingest/test_screening.py"),
    _row("poisoning", "train.split/1", _WAY + "test_a_second_worse_measurement_counts_not_the_first"),
    _row("extraction", "guard:authenticated", _ACCESS + "test_a_request_without_a_valid_key_is_refused"),
    _row(
        "extraction",
        "guard:within-rate",
        _ACCESS + "test_harvesting_over_an_hour_gets_no_more_than_the_rate_and_one_burst",
    ),
    _row("inversion", "ingest.personal/1", "tests/unit/ingest/test_personal_data.py"),
    _row("inversion", "guard:coarse-output", _ACCESS + "test_scores_are_rounded_as_the_signed_table_says"),
    _row("evasion", "assess.robustness/1", _WAY + "test_a_failed_control_denies_and_the_denial_is_on_record"),
    _row(
        "evasion",
        "guard:valid-input",
        _INPUT + "test_a_value_out_of_range_is_flagged_within_the_margin_and_refused_beyond_it",
    ),
    _row("supply-chain", "train.sandbox/1", "tests/unit/test_sandbox_filter.py"),
    _row(
        "supply-chain",
        "release.scan/1",
        _LOADING + "test_a_release_with_another_model_than_the_one_measured_is_not_served",
    ),
    _row("supply-chain", "release.signature/1", _LOADING + "test_a_release_signed_by_a_foreign_key_is_refused"),
)
"""What works against each category, and the test that shows it."""

SHIPPED_TESTS: Final = frozenset(test for line in (*PROPERTIES, *DEFENCES) for test in line.tests)
"""The tests that an installation can name without a checkout."""
