"""The ledger, its checkpoints, the tables that queries read, and those that only the present needs."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# Frozen as of this revision: a migration never reads today's metadata, which later revisions will have moved on.
_INTEGER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create everything."""
    _primary()
    _projections()
    _operational()


def downgrade() -> None:
    """Drop everything, what refers to others first."""
    for table in (
        "nonces", "leases", "streams", "pointers", "evidence", "edges", "artifacts", "checkpoints", "entries"
    ):  # fmt: skip
        op.drop_table(table)


def _primary() -> None:
    op.create_table(
        "entries",
        sa.Column("position", _INTEGER, nullable=False, autoincrement=False),
        sa.Column("time", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("stream", sa.Text, nullable=False),
        sa.Column("stream_position", _INTEGER, nullable=False),
        sa.Column("document", sa.LargeBinary, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("position", name="pk_entries"),
        sa.UniqueConstraint("stream", "stream_position", name="uq_entries_stream_stream_position"),
    )
    op.create_table(
        "checkpoints",
        sa.Column("size", _INTEGER, nullable=False, autoincrement=False),
        sa.Column("note", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("size", name="pk_checkpoints"),
    )


def _projections() -> None:
    op.create_table(
        "artifacts",
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("size", _INTEGER, nullable=False),
        sa.Column("position", _INTEGER, nullable=False),
        sa.PrimaryKeyConstraint("digest", "kind", name="pk_artifacts"),
        sa.ForeignKeyConstraint(["position"], ["entries.position"], name="fk_artifacts_position"),
    )
    op.create_table(
        "edges",
        sa.Column("child", sa.Text, nullable=False),
        sa.Column("parent", sa.Text, nullable=False),
        sa.Column("parent_kind", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("child", "parent", "parent_kind", name="pk_edges"),
    )
    op.create_index("ix_edges_parent", "edges", ["parent"])
    op.create_table(
        "evidence",
        sa.Column("position", _INTEGER, nullable=False, autoincrement=False),
        sa.Column("envelope", sa.Text, nullable=False),
        sa.Column("control", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("run", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("position", name="pk_evidence"),
        sa.ForeignKeyConstraint(["position"], ["entries.position"], name="fk_evidence_position"),
    )
    op.create_index("ix_evidence_subject", "evidence", ["subject"])
    op.create_table(
        "pointers",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("position", _INTEGER, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_pointers"),
        sa.ForeignKeyConstraint(["position"], ["entries.position"], name="fk_pointers_position"),
    )
    op.create_table(
        "streams",
        sa.Column("stream", sa.Text, nullable=False),
        sa.Column("length", _INTEGER, nullable=False),
        sa.Column("head", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("stream", name="pk_streams"),
    )


def _operational() -> None:
    op.create_table(
        "leases",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("expires", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
    )
    op.create_table(
        "nonces",
        sa.Column("nonce", sa.Text, nullable=False),
        sa.Column("used_at", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("nonce", name="pk_nonces"),
    )
