"""Foreign models: what is measured on a model from outside before anybody may use it.

Everything that opens it runs inside the sandbox. Four controls, in the order in which they are carried out: the scan of
its bytes, its behaviour while it is loaded, its conversion into a format that holds no code, and a search for triggers
on what was converted. None of them decides: `policies/intake/` does, and a person.
"""

from typing import Any, Final

from holdfast.core.control import Control
from holdfast.release.foreign.behaviour import BEHAVIOUR
from holdfast.release.foreign.conversion import CONVERSION
from holdfast.release.foreign.material import Examined
from holdfast.release.foreign.sweeping import SWEEP
from holdfast.release.foreign.triggers import TRIGGERS

MODEL_CONTROLS: Final[tuple[Control[Any], ...]] = (SWEEP, BEHAVIOUR, CONVERSION, TRIGGERS)

__all__ = ["BEHAVIOUR", "CONVERSION", "MODEL_CONTROLS", "SWEEP", "TRIGGERS", "Examined"]
