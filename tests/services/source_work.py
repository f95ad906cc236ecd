"""One pull in a process of its own, which a test may kill: `python -m tests.services.source_work FOLDER`."""

import sys
from pathlib import Path

from holdfast import app
from holdfast.lifecycle.pulling import pull


def main() -> int:
    """Pull once; say how it went."""
    with app.open_plant(Path(sys.argv[1])) as plant:
        reply = pull(plant)
        sys.stdout.write(f"{reply.document}\n")
        return reply.exit_code


if __name__ == "__main__":
    sys.exit(main())
