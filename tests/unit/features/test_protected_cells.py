"""Cells of protected attributes: sealed for their column, the same bytes for the same table, and nothing to tell by."""

import pytest

from holdfast.core.errors import InvalidInput, NotVerified
from holdfast.engines.protected import KEY, Protected

VALUES = ["f", "m", "f", "f", "", "ä" * 200]


@pytest.mark.requirement("ACC-02", by="holdfast.engines.protected:Protected")
def test_cells_open_in_any_order_and_say_nothing() -> None:
    """The same twice; two rows of one group differ; a short value's cell is as long as another's."""
    protected = Protected(bytes(KEY))
    cells = protected.seal("sex", VALUES)
    assert cells == Protected(bytes(KEY)).seal("sex", VALUES)
    assert len(set(cells)) == len(VALUES)
    assert len({len(cell) for cell in cells[:5]}) == 1
    assert protected.open("sex", cells[::-1]) == VALUES[::-1]


@pytest.mark.requirement("ACC-02", by="holdfast.engines.protected:Protected")
def test_a_cell_of_another_column_or_key_or_one_that_was_changed_does_not_open() -> None:
    """And a key of another length is none."""
    cell = Protected(bytes(KEY)).seal("sex", ["f"])[0]
    for key, column, spoilt in (
        (b"\1" * KEY, "sex", cell),
        (bytes(KEY), "age", cell),
        (bytes(KEY), "sex", cell[:-1] + bytes([cell[-1] ^ 1])),
        (bytes(KEY), "sex", b""),
    ):
        with pytest.raises(NotVerified, match="does not open"):
            Protected(key).open(column, [spoilt])
    with pytest.raises(InvalidInput, match="a key of 16 bytes"):
        Protected(bytes(16))
