"""Which older code may work with the schema: what a rolling upgrade needs while old and new stand side by side."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Create the table of one row; code before this migration never reads it, and so is served by its own schema."""
    serves = op.create_table("schema_serves", sa.Column("oldest", sa.Text, nullable=False))
    op.bulk_insert(serves, [{"oldest": "0008"}])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("schema_serves")
