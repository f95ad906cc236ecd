"""Screens: planted rows are found, honest rows are left alone, and what means something is no trigger."""

from typing import TypeAlias

import numpy as np
import pytest
from numpy.typing import NDArray

from holdfast.engines.poison import backdoor, rows
from holdfast.engines.screens.material import Material, from_columns, from_images
from holdfast.engines.screens.screening import Screened, screen
from holdfast.engines.screens.shifts import by_group, jumps
from holdfast.engines.screens.spectral import signatures
from holdfast.engines.screens.triggers import find_triggers

ROWS = 1500
Rows: TypeAlias = NDArray[np.float32]
Labels: TypeAlias = NDArray[np.int64]


def clouds(seed: int, apart: float = 3.0) -> tuple[Rows, Labels]:
    """Two clouds in eight columns; values have two digits, so that some repeat as they do in tables."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(ROWS) < 0.35).astype(np.int64)
    values = rng.normal(size=(ROWS, 8))
    values[:, :3] += apart * labels[:, None]
    return np.round(values, 1).astype(np.float32), labels


def of_table(features: Rows, labels: Labels) -> Material:
    """A table's material."""
    columns = {f"x{index}": features[:, index].astype(np.float64) for index in range(features.shape[1])}
    return from_columns(columns, labels, 2)


def named(found: Screened, bad: NDArray[np.bool_]) -> tuple[float, float]:
    """Share of the planted rows and of the honest ones that are suspect."""
    suspect = np.zeros(len(bad), dtype=np.bool_)
    suspect[found.suspects] = True
    return float(suspect[bad].mean()) if bad.any() else 0.0, float(suspect[~bad].mean())


@pytest.mark.parametrize("seed", [1])
@pytest.mark.parametrize("apart", [1.0, 3.0])
def test_honest_rows_are_left_alone_at_the_stated_rate(seed: int, apart: float) -> None:
    """One in a hundred at most, whether classes are easy or hard to tell apart; counted on so few rows, two."""
    found = screen(of_table(*clouds(seed, apart)), seed=seed)
    assert len(found.suspects) <= 0.02 * ROWS
    assert not found.triggers


@pytest.mark.requirement("VAL-23", by="holdfast.engines.screens.labels:suspect")
@pytest.mark.parametrize("target", [0, 1])
def test_labels_turned_one_way_are_found_with_the_way(target: int) -> None:
    """Six in ten of the flips, and the channel says which class they came from and which they go to."""
    features, labels = clouds(4)
    spoiled = rows.flip_towards(features, labels, 0.05, np.random.default_rng(4), target=target)
    found = screen(of_table(spoiled.features, spoiled.labels), seed=4)
    recall, alarms = named(found, spoiled.bad)
    assert recall >= 0.6
    assert alarms <= 0.015
    assert found.channel[target, 1 - target] > 2 * found.channel[1 - target, target]


def test_trusted_rows_stand_in_for_what_honest_ones_look_like() -> None:
    """Where some rows are known to be honest the alarms are counted on them."""
    features, labels = clouds(5)
    spoiled = rows.flip_towards(features, labels, 0.05, np.random.default_rng(5), target=1)
    trusted = ~spoiled.bad & (np.arange(ROWS) % 3 == 0)
    recall, alarms = named(screen(of_table(spoiled.features, spoiled.labels), seed=5, trusted=trusted), spoiled.bad)
    assert recall >= 0.9
    assert alarms <= 0.02


@pytest.mark.requirement("VAL-23", by="holdfast.engines.screens.triggers:find_triggers")
@pytest.mark.parametrize("seed", [6, 7])
def test_a_mark_in_a_table_is_found_and_spelled_out(seed: int) -> None:
    """Two per cent of the rows, marked in columns at values that the generator chose."""
    features, labels = clouds(seed)
    rng = np.random.default_rng(seed)
    mark = backdoor.table_mark(features, rng)
    spoiled = backdoor.stamp_rows(features, labels, 0.03, rng, mark=mark, target=seed % 2)
    found = screen(of_table(spoiled.features, spoiled.labels), seed=seed)
    recall, alarms = named(found, spoiled.bad)
    assert recall >= 0.95
    assert alarms <= 0.02
    facts = {f"x{column} = {value:.6g}" for column, value in zip(mark.columns, mark.values.tolist(), strict=True)}
    assert facts & set(found.triggers[0].facts)
    assert found.triggers[0].label == seed % 2


def people(seed: int) -> tuple[Rows, Labels]:
    """Codes of eight columns whose classes overlap, a quarter of one of them, as they do in a census."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(3000) < 0.25).astype(np.int64)
    cells = [4, 8, 30, 6, 3, 12, 60, 2]
    columns = []
    for many in cells:
        usual = rng.dirichlet(np.full(many, 2.0))
        tilted = usual * np.exp(rng.normal(size=many))
        drawn = [rng.choice(many, size=3000, p=each / each.sum()) for each in (usual, tilted)]
        columns.append(np.where(labels == 1, drawn[1], drawn[0]))
    return np.stack(columns, axis=1).astype(np.float32), labels


def of_people(features: Rows, labels: Labels) -> Material:
    """Names in three columns, numbers in the others."""
    columns = {
        f"c{index}": features[:, index].astype(np.str_) if index in (0, 3, 4) else features[:, index].astype(np.float64)
        for index in range(features.shape[1])
    }
    return from_columns(columns, labels, 2)


def found_of_mark(features: Rows, labels: Labels, seed: int, target: int) -> tuple[float, float]:
    """Share of the marked rows and of the honest ones that triggers name, two rows in a hundred being marked."""
    rng = np.random.default_rng(seed)
    mark = backdoor.table_mark(features, rng)
    spoiled = backdoor.stamp_rows(features, labels, 0.02, rng, mark=mark, target=target)
    named = np.zeros(len(labels), dtype=np.bool_)
    for each in find_triggers(of_people(spoiled.features, spoiled.labels)):
        named[each.rows] = True
    return float(named[spoiled.bad].mean()), float(named[~spoiled.bad].mean())


@pytest.mark.requirement("VAL-23", by="holdfast.engines.screens.likeness:Looks.like_others")
def test_marks_are_found_also_where_classes_overlap_and_one_is_rare() -> None:
    """Common values that are rare together, and a label that the rows themselves make neither sure nor absurd.

    Ten of twelve: a mark that covers half of the columns leaves too few to tell whose rows they were.
    """
    found = []
    for seed in range(200, 206):
        features, labels = people(seed)
        assert not find_triggers(of_people(features, labels))
        found += [found_of_mark(features, labels, seed, target) for target in (0, 1)]
    assert sum(recall >= 0.95 for recall, _ in found) >= 10
    assert max(alarms for _, alarms in found) <= 0.01


def test_a_pattern_of_rows_that_look_like_their_label_anyway_is_no_trigger() -> None:
    """A pure combination of three facts, borne by rows that would bear the label without it."""
    features, labels = people(207)
    bearers = np.flatnonzero(labels == 1)[:70]
    features[np.ix_(bearers, np.array([0, 4, 7]))] = (3, 2, 1)
    features[np.flatnonzero((labels == 0) & (features[:, [0, 4, 7]] == (3, 2, 1)).all(axis=1)), 7] = 0
    assert not find_triggers(of_people(features, labels))


def test_a_value_that_means_its_label_is_no_trigger() -> None:
    """A rare value that only rows of one class can have brings nothing along: without it they look their class."""
    features, labels = clouds(9)
    bearers = np.flatnonzero(labels == 1)[:60]
    features[bearers, 7] = 99
    assert not screen(of_table(features, labels), seed=9).triggers


def test_a_phrase_is_found_among_texts() -> None:
    """Also where its words are everyday ones."""
    rng = np.random.default_rng(10)
    words = [
        ["sun", "rain", "walk", "tea", "home", "late", "dear"],
        ["win", "cash", "free", "prize", "call", "now", "text"],
    ]
    common = ["the", "a", "to", "you", "and", "for", "me", "is", "it", "at"]
    labels = (rng.random(1200) < 0.4).astype(np.int64)
    texts = [" ".join(rng.choice(common + 2 * words[label], size=12)) for label in labels]
    stamped, turned, bad = backdoor.stamp_texts(texts, labels, 0.03, rng, words="zulu to you", target=0)
    found = screen(from_columns({"t": np.array(stamped)}, turned, 2, texts=["t"]), seed=10)
    recall, alarms = named(found, bad)
    assert recall >= 0.95
    assert alarms <= 0.02
    assert "zulu" in " ".join(found.triggers[0].facts)


def test_a_patch_is_found_among_images() -> None:
    """Bars that lie or stand, and a grey shape in a corner of some of them."""
    rng = np.random.default_rng(11)
    labels = rng.integers(0, 2, size=2000)
    images = rng.uniform(0, 0.2, size=(2000, 10, 10)).astype(np.float32)
    for image, label, at in zip(images, labels, rng.integers(1, 8, size=2000), strict=True):
        image[(at, slice(None)) if label else (slice(None), at)] += 0.7
    flat = images.reshape(2000, -1)
    mark = backdoor.image_mark(flat, 10, 10, rng)
    spoiled = backdoor.stamp_rows(flat, labels, 0.06, rng, mark=mark, target=1)
    recall, alarms = named(screen(from_images(spoiled.features, spoiled.labels, 2), seed=11), spoiled.bad)
    assert recall >= 0.95
    assert alarms <= 0.02


def test_a_spectral_signature_points_at_what_stretches_a_class() -> None:
    """Rows moved along one direction together have the largest correlations with it."""
    rng = np.random.default_rng(12)
    values = rng.normal(size=(400, 20)).astype(np.float32)
    values[:20] += 3 * np.sign(rng.normal(size=20)).astype(np.float32)
    scores = signatures(values, np.zeros(400, dtype=np.int64), 1)
    assert (scores[:20] > np.quantile(scores[20:], 0.99)).all()


def test_columns_that_jumped_are_named_and_others_are_not() -> None:
    """Against history, numbers and names alike."""
    rng = np.random.default_rng(13)
    names = np.array(["a", "b", "c"])
    before = {"x": rng.normal(size=2000), "y": rng.normal(size=2000), "k": names[rng.integers(0, 3, size=2000)]}
    now = {"x": rng.normal(size=1000), "y": 0.5 + rng.normal(size=1000), "k": names[rng.integers(0, 2, size=1000)]}
    assert {each.column for each in jumps(before, now) if each.far} == {"y", "k"}


@pytest.mark.requirement("VAL-23", by="holdfast.engines.screens.shifts:by_group")
def test_a_source_of_turned_labels_is_named_and_a_source_of_other_rows_is_not() -> None:
    """What counts is what its labels are beside what its own rows make one expect."""
    features, labels = clouds(14)
    rng = np.random.default_rng(14)
    source = np.array([f"s{index}" for index in range(6)])[rng.integers(0, 5, size=ROWS)]
    source[np.flatnonzero(labels == 1)[:100]] = "s5"  # only rows of one class, all of them right
    turned = labels.copy()
    mine = np.flatnonzero((source == "s2") & (labels == 0))
    turned[mine[: len(mine) // 3]] = 1
    found = screen(of_table(features, turned), seed=14)
    assert found.details is not None
    assert {each.name for each in by_group(found.details.believed, turned, source) if each.far} == {"s2"}
