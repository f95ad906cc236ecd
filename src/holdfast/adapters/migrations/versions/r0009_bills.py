"""Bills of materials, marks on artifacts, what endpoints answer with: projections that impact questions read."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TABLES = ("endpoints", "marks", "tunings", "bill_holds", "bill_parts", "bills")


def _position(table: str) -> tuple[sa.Column[int], sa.ForeignKeyConstraint]:
    name = f"fk_{table}_position"
    return (
        sa.Column("position", _INTEGER, nullable=False),
        sa.ForeignKeyConstraint(["position"], ["entries.position"], name=name),
    )


def _text(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in names]


def upgrade() -> None:
    """Create the tables; `holdfast ledger rebuild` fills them from entries that are older than they are."""
    op.create_table(
        "bills",
        *_text("release", "model", "serial"),
        *_position("bills"),
        sa.PrimaryKeyConstraint("release", name="pk_bills"),
    )
    op.create_table(
        "bill_parts",
        sa.Column("list", sa.Text, nullable=False),
        sa.Column("place", sa.Integer, nullable=False, autoincrement=False),
        *_text("kind", "ecosystem", "name", "version", "digest", "licence"),
        sa.PrimaryKeyConstraint("list", "place", name="pk_bill_parts"),
    )
    for columns in (
        ["name", "version", "list", "kind", "ecosystem", "licence"],
        ["digest", "list", "kind", "name", "version", "licence"],
        ["licence", "list", "kind", "name", "version"],
    ):
        op.create_index(f"ix_bill_parts_{columns[0]}", "bill_parts", columns)
    op.create_table(
        "bill_holds", *_text("release", "list"), sa.PrimaryKeyConstraint("release", "list", name="pk_bill_holds")
    )
    op.create_index("ix_bill_holds_list", "bill_holds", ["list", "release"])
    op.create_table("tunings", *_text("child", "parent"), sa.PrimaryKeyConstraint("child", "parent", name="pk_tunings"))
    op.create_table(
        "marks",
        *_text("stream", "kind"),
        *_position("marks"),
        sa.PrimaryKeyConstraint("stream", "kind", name="pk_marks"),
    )
    op.create_table(
        "endpoints",
        *_text("stream", "place", "release", "share"),
        *_position("endpoints"),
        sa.PrimaryKeyConstraint("stream", "place", name="pk_endpoints"),
    )


def downgrade() -> None:
    """Drop them: the ledger says it all."""
    for table in _TABLES:
        op.drop_table(table)
