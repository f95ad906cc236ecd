import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.assess.cases import MADE_WITH, MODEL, case, linear

from holdfast.assess import CONTROLS, robustness
from holdfast.assess.case import Case
from holdfast.core.control import run
from holdfast.core.evidence import Outcome, check_evidence


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Cases of whatever quality, size, groups and missing values; some of them cannot be measured at all."""
    count = draw(st.integers(5, 120))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    features = rng.normal(size=(count, 3)).astype(np.float32)
    features[rng.random(features.shape) < draw(st.sampled_from([0.0, 0.2]))] = np.nan
    model = linear(rng.normal(size=3) * draw(st.sampled_from([0.0, 1.0, 30.0])))
    groups = {f"group {number}": rng.integers(0, 3, count).astype(np.str_) for number in range(draw(st.integers(0, 2)))}
    return case(
        features=features,
        labels=rng.integers(0, draw(st.integers(1, 2)), count),
        predict=lambda rows: model(np.nan_to_num(rows)),
        spread=np.array([1.0, draw(st.sampled_from([0.0, 2.0])), 1.0]),
        slices=groups,
        protected=groups,
        seed=draw(st.integers(0, 2**48)),
        test_reads=draw(st.integers(0, 3)),
    )


@settings(max_examples=30)
@given(cases())
def test_a_control_measures_or_fails_and_is_well_formed(given_case: Case) -> None:
    """Whatever the rows and the model: measured with bounds, not applicable with a reason, or failed with one."""
    for control in CONTROLS:
        told = check_evidence(run(control, given_case, MODEL, MADE_WITH))
        assert told.outcome is Outcome.MEASURED or told.reason
        assert "malformed" not in told.reason


@settings(max_examples=20)
@given(cases(), st.permutations(CONTROLS))
def test_the_same_seed_gives_the_same_evidence_in_any_order(given_case: Case, shuffled: list) -> None:
    """A control draws from a stream of its own: which ran before it moves nothing."""
    first = {control.name: run(control, given_case, MODEL, MADE_WITH).reproducible for control in CONTROLS}
    again = {control.name: run(control, given_case, MODEL, MADE_WITH).reproducible for control in shuffled}
    assert first == again


@settings(max_examples=30)
@given(cases())
def test_the_attack_stays_in_its_box(given_case: Case) -> None:
    """No query differs from the attacked row by more than the radius in any feature, nor fills in a missing value."""
    asked: list[np.ndarray] = []

    def watched(rows: np.ndarray) -> np.ndarray:
        asked.append(rows)
        return given_case.predict(rows)

    attacked = np.arange(min(5, len(given_case.features)))
    robustness.search(watched, given_case, attacked, np.random.default_rng(0))
    radius = robustness.RADIUS * given_case.spread * (1 + 1e-5) + 1e-6
    for batch in asked:
        near = batch.reshape(len(attacked), -1, 3) - given_case.features[attacked][:, None, :]
        assert (np.isnan(near) == np.isnan(given_case.features[attacked])[:, None, :]).all()
        assert (np.abs(np.nan_to_num(near)) <= radius).all()


@settings(max_examples=30)
@given(st.integers(20, 150), st.integers(1, 149), st.integers(0, 2**32))
def test_more_wrong_answers_never_raise_a_bound(count: int, wrong: int, seed: int) -> None:
    """Turning right answers into wrong ones lowers what can be claimed: accuracy and its lower bound only fall."""
    labels = np.arange(count) % 2
    order = np.random.default_rng(seed).permutation(count)
    found = []
    for errors in (min(wrong, count) - 1, min(wrong, count)):
        predicted = labels.copy()
        predicted[order[:errors]] = 1 - predicted[order[:errors]]
        answers = np.where(predicted[:, None] == [0, 1], 0.9, 0.1)
        told = run(CONTROLS[0], case(count, labels=labels, predict=lambda _rows, a=answers: a), MODEL, MADE_WITH)
        found.append(next(item for item in told.measures if item.name == "accuracy"))
    assert found[1].value < found[0].value
    assert found[1].low <= found[0].low
