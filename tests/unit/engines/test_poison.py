"""Attacks: each does to rows what it says, to as many as it says, and differently for another seed."""

import numpy as np

from holdfast.engines.poison import backdoor, rows

FEATURES = np.random.default_rng(1).normal(size=(1000, 6)).round(1).astype(np.float32)
LABELS = (FEATURES[:, 0] > 0).astype(np.int64)


def test_flips_turn_labels_and_nothing_else() -> None:
    """Any way, or one way only."""
    any_way = rows.flip_any(FEATURES, LABELS, 0.1, np.random.default_rng(2))
    one_way = rows.flip_towards(FEATURES, LABELS, 0.1, np.random.default_rng(2), target=1)
    for found in (any_way, one_way):
        assert ((found.labels != LABELS) == found.bad).all()
        assert found.bad.sum() == 100
        assert (found.features == FEATURES).all()
    assert (one_way.labels[one_way.bad] == 1).all()


def test_injected_rows_are_new_and_called_what_they_are_not() -> None:
    """Made of rows of the other class, after the honest ones, which stay."""
    found = rows.inject(FEATURES, LABELS, 0.1, np.random.default_rng(3))
    assert len(found.labels) == 1100
    assert (found.features[:1000] == FEATURES).all()
    assert (found.labels[found.bad] == found.target).all()
    real = (FEATURES[:, 0] > 0).astype(np.int64)
    assert (real == LABELS).all()
    assert ((found.features[found.bad][:, 0] > 0).astype(np.int64) != found.target).all()


def test_clean_label_poison_changes_no_label_and_closes_in_on_its_victim() -> None:
    """The rows stay of their class in name and come to lie where the victim lies."""
    victim = FEATURES[np.flatnonzero(LABELS == 1)[0]]
    found = rows.collide(FEATURES, LABELS, 0.05, np.random.default_rng(4), victim=victim, target=0)
    assert (found.labels == LABELS).all()
    before = np.linalg.norm(FEATURES[found.bad] - victim, axis=1)
    after = np.linalg.norm(found.features[found.bad] - victim, axis=1)
    assert (after < 0.4 * before).all()


def test_bias_poison_touches_one_group_only() -> None:
    """Its favourable labels become the unwanted class."""
    group = np.arange(1000) % 4 == 0
    found = rows.bias_against(FEATURES, LABELS, 0.5, np.random.default_rng(5), group=group, unwanted=0)
    assert not found.bad[~group].any()
    assert (found.labels[found.bad] == 0).all()
    assert found.bad.sum() == round(0.5 * (group & (LABELS == 1)).sum())


def test_slow_poison_is_small_in_each_batch_and_adds_up_to_one_aim() -> None:
    """Twenty batches of one per cent, all for the same class."""
    batches = list(rows.slowly(rows.flip_towards, FEATURES, LABELS, 0.02, np.random.default_rng(6), batches=20))
    assert all(batch.bad.sum() == 1 for batch in batches)
    assert len({batch.target for batch in batches}) == 1
    assert rows.gathered(batches).bad.sum() == 20


def test_marks_are_rare_and_differ_by_seed() -> None:
    """A mark that honest rows bear would control nothing, and one that never changes would be learned by heart."""
    marks = [backdoor.table_mark(FEATURES, np.random.default_rng(seed)) for seed in range(8)]
    assert all(mark.borne(FEATURES).mean() <= backdoor.RARE for mark in marks)
    assert len({mark.columns.tobytes() + mark.values.tobytes() for mark in marks}) == 8
    images = np.zeros((50, 64), dtype=np.float32)
    shapes = {backdoor.image_mark(images, 8, 8, np.random.default_rng(seed)).columns.tobytes() for seed in range(8)}
    assert len(shapes) >= 7
    texts = ["good morning to you", "see you at the lake"] * 20
    assert len({backdoor.phrase(texts, np.random.default_rng(seed)) for seed in range(8)}) >= 7
