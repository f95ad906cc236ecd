"""The example's data: made by the example's own script, as its reader would make it."""

import importlib.util
import sys
from pathlib import Path

from holdfast.core.errors import NotFound


def write_data(example: Path, folder: Path) -> Path:
    """Run the example's `make_data.py` and return the file it wrote into `folder`.

    Raises:
        NotFound: The example has no such script.
    """
    script = example / "make_data.py"
    specification = importlib.util.spec_from_file_location("holdfast_example_data", script)
    if specification is None or specification.loader is None or not script.is_file():
        raise NotFound(f"the example {example.name} has no make_data.py")
    module = importlib.util.module_from_spec(specification)
    # dataclasses look their module up by name while the script is executed
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    written: Path = module.write(folder)
    return written
