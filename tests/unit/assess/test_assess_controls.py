from types import ModuleType

import numpy as np
import pytest
from tests.unit.assess.cases import MADE_WITH, MODEL, WEIGHTS, case, constant, linear, measured

from holdfast.assess import CONTROLS, baseline, certificate, fairness, latency, quality, robustness, slices
from holdfast.assess.case import Case
from holdfast.core.control import Control, run
from holdfast.core.evidence import Evidence, Outcome, Severity
from holdfast.core.schema import Field, Signature
from holdfast.maths.intervals import bonferroni, wilson
from holdfast.maths.votes import certified_parts, shares


def evidence(module: ModuleType, given: Case) -> Evidence:
    """What one control leaves about a case."""
    return run(Control(name=module.NAME, measure=module.measure), given, MODEL, MADE_WITH)


def test_quality_is_counted_on_the_sealed_rows() -> None:
    """Accuracy, recall and precision are the counts, with Wilson's bounds; the score ranks by the positive class."""
    labels = np.array([1] * 30 + [0] * 70)
    predicted = np.array([1] * 27 + [0] * 3 + [1] * 7 + [0] * 63)
    answers = np.where(predicted[:, None] == [0, 1], 0.8, 0.2)
    found = measured(evidence(quality, case(100, labels=labels, predict=lambda _rows: answers)))
    assert found["accuracy"] == pytest.approx((wilson(90, 100).low, 0.9, wilson(90, 100).high))
    assert found["recall"][1] == pytest.approx(27 / 30)
    assert found["precision"][1] == pytest.approx(27 / 34)
    assert found["balanced_accuracy"][1] == pytest.approx(0.9)
    assert found["auc"][1] == pytest.approx(0.9)
    assert found["brier"][1] == pytest.approx(0.9 * 0.04 + 0.1 * 0.64)
    assert all(low <= value <= high for low, value, high in found.values())


def test_the_positive_class_may_be_the_first() -> None:
    """Recall, precision and the score are of the class that the project calls positive, wherever it stands."""
    given = case()
    other = case(positive=0)
    ours, theirs = measured(evidence(quality, given)), measured(evidence(quality, other))
    assert ours["auc"][1] == pytest.approx(theirs["auc"][1])
    assert ours["recall"] != theirs["recall"]


def test_a_sealed_set_of_one_class_is_a_failure() -> None:
    """Rows of one class cannot tell a good model from a constant: failed with the reason, never a pass."""
    told = evidence(quality, case(labels=np.ones(200, dtype=np.int64)))
    assert told.outcome is Outcome.FAILED
    assert "one class only" in told.reason


def test_too_few_sealed_rows_are_a_failure() -> None:
    """A dozen rows are not enough for the bounds that policies compare."""
    told = evidence(quality, case(12))
    assert told.outcome is Outcome.FAILED
    assert "too few" in told.reason


def test_a_model_that_finds_nothing_has_no_precision() -> None:
    """Nothing predicted positive: precision is the worst value with every bound open, not an error and not one."""
    found = measured(evidence(quality, case(predict=lambda rows: np.tile([0.9, 0.1], (len(rows), 1)))))
    assert found["precision"] == (0.0, 0.0, 1.0)


def test_repeated_use_of_the_sealed_rows_is_a_finding() -> None:
    """Each read is counted; the second is flagged, the first is not."""
    first, third = evidence(quality, case(test_reads=1)), evidence(quality, case(test_reads=3))
    assert measured(first)["test_reads"][1] == 1
    assert first.findings == ()
    assert measured(third)["test_reads"][1] == 3
    assert [(item.rule, item.severity) for item in third.findings] == [("repeated-test-use", Severity.LOW)]


def test_the_worst_slice_is_the_one_of_which_least_good_can_be_said() -> None:
    """Three rows that are all right say less than a hundred of which nine in ten are: the small slice is the worst."""
    sites = np.array(["large"] * 197 + ["small"] * 3)
    labels = case().predicted.copy()
    labels[:15] = 1 - labels[:15]
    told = evidence(slices, case(labels=labels, slices={"site": sites}))
    found = measured(told)
    assert found["accuracy:site=small"][1] == 1.0
    assert told.facts["worst_slice"] == "site=small"
    assert found["worst_slice_accuracy"] == pytest.approx((wilson(3, 3, bonferroni(0.95, 2)).low, 1.0, 1.0))


def test_a_weak_slice_shows_under_a_good_average() -> None:
    """A group that is served badly is named, however small its weight in the average."""
    sites = np.array((["a"] * 4 + ["b"]) * 40)
    labels = case().predicted.copy()
    labels[sites == "b"] = 1 - labels[sites == "b"]
    told = evidence(slices, case(labels=labels, slices={"site": sites}))
    assert measured(told)["accuracy:site=b"][1] == 0.0
    assert measured(told)["worst_slice_accuracy"][1] == 0.0
    assert told.facts["worst_slice"] == "site=b"


def test_without_declared_slices_the_classes_are_slices() -> None:
    """There is always a group to look at: where none is declared, each class is one."""
    assert {"accuracy:outcome=no", "accuracy:outcome=yes"} < set(measured(evidence(slices, case())))


def test_an_identifier_as_a_slice_is_a_failure() -> None:
    """A column with another value in every row makes no groups."""
    told = evidence(slices, case(1200, slices={"id": np.arange(1200).astype(np.str_)}))
    assert told.outcome is Outcome.FAILED
    assert "1200 slices" in told.reason


def test_the_gain_over_the_baseline_is_paired() -> None:
    """Candidate and linear model are compared on the same rows: the gain is the difference of what each gets right."""
    found = measured(evidence(baseline, case()))
    low, value, high = found["accuracy_gain"]
    given = case()
    ours, theirs = (given.predict(given.features), given.baseline(given.features))
    right = [(answers.argmax(axis=1) == given.labels).mean() for answers in (ours, theirs)]
    assert value == pytest.approx(right[0] - right[1])
    assert low < value < high
    assert found["auc_gain"][0] > 0


def test_two_perfect_models_do_not_claim_certainty() -> None:
    """Both rank perfectly in every resample: the interval of the gain stays as wide as their own are."""
    given = case(60)
    perfect = np.column_stack((given.labels == 0, given.labels == 1)).astype(np.float64)
    low, value, high = measured(evidence(baseline, case(60, predict=lambda _: perfect, baseline=lambda _: perfect)))[
        "auc_gain"
    ]
    assert value == 0
    assert low < -0.01
    assert high > 0.01


def test_the_attack_finds_all_that_can_be_turned_in_a_linear_model() -> None:
    """Of a linear model the worst point of the box is known: the search turns a row if and only if it can be turned."""
    given = case(spread=np.array([0.8, 1.2, 1.0]))
    attacked = np.flatnonzero(given.predicted == given.labels)
    attack = robustness.search(given.predict, given, attacked, np.random.default_rng(0))
    z = given.features.astype(np.float64) @ WEIGHTS
    reach = robustness.RADIUS * (np.abs(WEIGHTS) * given.spread).sum()
    turnable = np.where(given.labels[attacked] == 1, z[attacked] - reach <= 0, z[attacked] + reach > 0)
    near = np.abs(np.abs(z[attacked]) - reach) < 1e-6  # where rounding decides
    assert (attack.fallen == turnable)[~near].all()
    assert 0 < attack.fallen.sum() < attack.fallen.size


def test_a_constant_model_is_never_turned() -> None:
    """There is nothing to find, and the search says so with an interval, not with certainty."""
    low, value, high = measured(evidence(robustness, case(predict=constant)))["attack_success"]
    assert (low, value) == (0.0, 0.0)
    assert 0 < high < 0.1


def test_a_model_without_a_right_answer_is_a_failure() -> None:
    """Nothing to attack is not robust."""
    told = evidence(robustness, case(predict=linear(-WEIGHTS), labels=case().predicted))
    assert told.outcome is Outcome.FAILED
    assert "nothing to attack" in told.reason


def test_noise_costs_a_model_that_sits_on_the_edge() -> None:
    """A model whose answers hang on the last digit loses them under noise; a smooth one keeps them."""

    def brittle(rows: np.ndarray) -> np.ndarray:
        odd = np.floor(rows[:, 0] * 50).astype(int) % 2
        return np.where(odd[:, None] == [0, 1], 0.9, 0.1)

    given = case(predict=brittle)
    given = case(predict=brittle, labels=given.predicted)
    lost = measured(evidence(robustness, given))["noise_drop"]
    kept = measured(evidence(robustness, case()))["noise_drop"]
    assert lost[0] > 0.3
    assert abs(kept[1]) < 0.1


def test_changed_rows_stay_within_the_declared_ranges() -> None:
    """The gateway refuses what lies beyond; an attack that needs such rows is none."""
    seen: list[np.ndarray] = []

    def watched(rows: np.ndarray) -> np.ndarray:
        seen.append(rows)
        return linear()(rows)

    given = case(
        predict=watched,
        features=np.clip(case().features, -1, 1),
        signature=Signature(
            inputs=(Field(name="a", minimum=-1, maximum=1), Field(name="b", minimum=-1), Field(name="c")),
            classes=("no", "yes"),
        ),
    )
    evidence(robustness, given)
    rows = np.concatenate(seen)
    assert len(rows) > 10_000
    assert (np.abs(rows[:, 0]) <= 1).all()
    assert (rows[:, 1] >= -1).all()
    assert rows[:, 1].max() > 1


def test_fairness_does_not_apply_without_protected_columns() -> None:
    """What cannot be compared is said to be not applicable; whether that is excused is for the policy."""
    told = evidence(fairness, case())
    assert told.outcome is Outcome.NOT_APPLICABLE
    assert "no column is declared protected" in told.reason


def test_a_group_that_is_treated_worse_shows() -> None:
    """Positive answers held back from one group are a gap, named by column and groups, with bounds."""
    sex = np.array(["f", "m"] * 100)
    given = case()
    answers = given.predict(given.features)
    answers[sex == "f"] = [0.9, 0.1]
    told = evidence(fairness, case(predict=lambda _rows: answers, protected={"sex": sex}))
    found = measured(told)
    assert found["equal_opportunity_gap"][1] > 0.7
    assert found["equal_opportunity_gap"][0] > 0.5
    assert found["equal_opportunity_gap"] == found["equal_opportunity_gap:sex"]
    assert told.facts["widest"] == "sex: f below m"
    assert found["smallest_group"][1] == min(((sex == name) & (given.labels == 1)).sum() for name in "fm")


def test_the_widest_of_several_columns_counts() -> None:
    """A fair column does not dilute an unfair one."""
    sex, odd = np.array(["f", "m"] * 100), np.array((["x"] * 2 + ["y"] * 2) * 50)
    answers = case().predict(case().features)
    answers[sex == "f"] = [0.9, 0.1]
    found = measured(evidence(fairness, case(predict=lambda _rows: answers, protected={"odd": odd, "sex": sex})))
    assert found["equal_opportunity_gap"][1] == found["equal_opportunity_gap:sex"][1]
    assert found["equal_opportunity_gap"][1] > found["equal_opportunity_gap:odd"][1]


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        (np.array(["only"] * 200), "needs 2 to 100 groups"),
        (np.arange(200).astype(np.str_), "needs 2 to 100 groups"),
        (
            np.where((case().labels == 1) | (np.arange(200) % 3 > 0), np.arange(200) % 2, 2).astype(np.str_),
            "no positive row",
        ),
    ],
    ids=["one group", "an identifier", "a group without positive rows"],
)
def test_groups_of_which_nothing_is_known_are_a_failure(groups: np.ndarray, words: str) -> None:
    """One group, too many, or one without a row that counts: failed, as nobody can say they are treated alike."""
    told = evidence(fairness, case(protected={"group": groups}))
    assert told.outcome is Outcome.FAILED
    assert words in told.reason


def test_latency_is_a_timing() -> None:
    """Milliseconds are no part of what must be reproducible, and each quantile has its interval."""
    told = evidence(latency, case())
    assert told.measures == ()
    found = measured(told)
    assert found["latency_p50_ms"][1] == pytest.approx(1.5, abs=0.01)
    assert found["latency_p95_ms"][1] == pytest.approx(1.95, abs=0.01)
    slower = evidence(latency, case(seconds=lambda _rows, calls: np.linspace(0.01, 0.02, calls)))
    assert slower.reproducible == told.reproducible


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.name)
def test_a_model_that_does_not_answer_fails_every_control(control: Control) -> None:
    """A crash of the model is a failed control with its reason, whichever looked at it: never a pass, never silence."""

    def broken(*_anything: object) -> np.ndarray:
        raise RuntimeError("the model fell over")

    protected = {"sex": np.array(["f", "m"] * 100)}
    told = run(control, case(predict=broken, seconds=broken, protected=protected, subsets=5), MODEL, MADE_WITH)
    assert told.outcome is Outcome.FAILED
    assert "the model fell over" in told.reason
    assert not told.measures + told.timings


@pytest.mark.requirement("VAL-24", by="holdfast.maths.votes:certified_parts")
def test_the_certificate_is_what_trying_every_change_of_votes_says() -> None:
    """Three classes, seven votes, moved one by one: the class stays for so many moves, and not for more."""
    counts = np.array([(a, b, 7 - a - b) for a in range(8) for b in range(8 - a)])
    told = certified_parts(counts)
    for votes, radius in zip(counts, told, strict=True):
        reached, turned = {tuple(votes.tolist())}, None
        for moves in range(8):
            if any(int(np.argmax(each)) != votes.argmax() for each in reached):
                turned = moves
                break
            reached |= {
                tuple(each[c] - (c == taken) + (c == given) for c in range(3))
                for each in reached
                for taken in range(3)
                for given in range(3)
                if each[taken]
            }
        assert turned == radius + 1


@pytest.mark.requirement("VAL-24", by="holdfast.assess.certificate:measure")
def test_the_certificate_counts_rows_that_hold_and_are_right() -> None:
    """Of 200 answers half are by 9 votes to 0 and half by 5 to 4: the first withstand four rows, the others none."""
    votes = np.where(np.arange(200)[:, None] < 100, [9, 0], [4, 5])
    told_of = shares(votes, np.full((200, 2), 0.5)).astype(np.float32)
    labels = np.where(np.arange(200) < 50, 0, 1)
    told = evidence(certificate, case(labels=labels, predict=lambda _rows: told_of, subsets=9))
    found = measured(told)
    assert found["certified_share:1"][1] == 0.5
    assert found["certified_share:2"] == pytest.approx((wilson(100, 200).low, 0.5, wilson(100, 200).high))
    assert found["certified_accuracy:2"][1] == 0.25
    assert found["certified_share:5"][1] == 0
    assert found["subsets"][1] == 9
