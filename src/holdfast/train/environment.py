"""What a training ran in, recorded: the same bytes come out only of the same image, CPU class and one thread."""

import platform
import sys
from importlib.metadata import distributions
from typing import Any, Final

import numpy as np

PACKAGES: Final = (
    "holdfast",
    "joblib",
    "lightgbm",
    "numpy",
    "onnx",
    "onnxruntime",
    "protobuf",
    "scikit-learn",
    "scipy",
    "skl2onnx",
    "threadpoolctl",
    "torch",
    "xgboost",
    "xgboost-cpu",
)
"""Packages whose version can change what is learned or exported; the bill of materials has the whole list."""


def environment() -> dict[str, Any]:
    """Return interpreter, platform, CPU class, package versions and thread settings as a JSON value.

    The CPU class is the set of vector instructions that numpy dispatches to: two machines with the same set run the
    same kernels. Thread pools are those loaded in this process.
    """
    installed = {item.metadata["Name"].lower(): item.version for item in distributions()}
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "system": platform.system(),
        "machine": platform.machine(),
        "libc": " ".join(platform.libc_ver()),
        "cpu": sorted(_vector_instructions()),
        "hash_randomization": bool(sys.flags.hash_randomization),
        "packages": {name: installed[name] for name in PACKAGES if name in installed},
        "threads": _thread_pools(),
    }


def _vector_instructions() -> set[str]:
    config: Any = np.show_config(mode="dicts")
    found = config.get("SIMD Extensions", {})
    return {*found.get("baseline", ()), *found.get("found", ())}


def _thread_pools() -> list[dict[str, Any]]:
    """Return library and number of threads of each pool of this process, where threadpoolctl is installed to tell."""
    try:
        import threadpoolctl  # type: ignore[import-untyped]  # it ships no types
    except ImportError:
        return []
    pools = threadpoolctl.threadpool_info()
    told = [
        {"library": pool["internal_api"], "version": pool["version"] or "", "threads": pool["num_threads"]}
        for pool in pools
    ]
    return sorted(told, key=lambda pool: (pool["library"], pool["version"]))
