"""Scanning for secrets with an adapter beside it: what git's history holds."""

from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path

from holdfast.adapters.git_history import appeared
from holdfast.lifecycle import secret_scan
from holdfast.lifecycle.reply import Progress, Reply, silent


def secrets_scan(
    *,
    paths: Sequence[Path],
    history: bool = False,
    baseline: Path | None = None,
    sarif_file: Path | None = None,
    write_baseline: Path | None = None,
    reason: str | None = None,
    tell: Callable[[Progress], None] = silent,
) -> Reply:
    """Look for secrets in files and folders, and in all that the history of the repositories there ever held.

    Args:
        paths: What to look through; with `history`, folders that are repositories, or lie in one.
        history: Whether to look through their histories, too.
        baseline: Accepted finds, as an earlier call wrote them.
        sarif_file: Where to write the finds as SARIF.
        write_baseline: Where to write a baseline that accepts all that is found now, and what `baseline` accepted.
        reason: Why it is accepted.
        tell: Is told nothing: the scan is one step.

    Raises:
        UsageError: A path does not exist or is no repository, or a baseline is to be written without a reason.
        InvalidInput: The baseline cannot be read, or a file not be written.
        Unavailable: There is no git, or it did not come to its end.
    """
    del tell
    return secret_scan.secrets_scan(
        paths=paths,
        history=chain.from_iterable(appeared(path) for path in paths) if history else (),
        baseline=baseline,
        sarif_file=sarif_file,
        write_baseline=write_baseline,
        reason=reason,
    )
