"""What Alembic runs for every command: bind the migrations to the connection, and to the transaction, of the caller."""

from alembic import context

from holdfast.adapters.database import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
