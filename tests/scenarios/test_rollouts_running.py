"""Blue-green against a running gateway under load: two processes, real sockets, not one failed call."""

import threading
import time
from collections import Counter
from typing import Self

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.scenarios.stand import Gateway, now, releases

from holdfast.client import Client
from holdfast.core.errors import HoldfastError
from holdfast.edge import start
from holdfast.lifecycle.exchanges import bluegreen_prepare, bluegreen_switch
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import issue_key
from holdfast.lifecycle.reply import short

PATIENCE_S = 60.0  # how long a switch may take on a busy machine before it counts as not happening


class Load:
    """Callers in threads of their own, who note who answered and what failed."""

    def __init__(self, url: str, keys: list[str], rows: NDArray[np.float64]) -> None:
        self.answered, self.failed, self.stop = Counter[str](), list[str](), threading.Event()
        self.newest = ""
        self._url, self._rows = url, rows
        self._threads = [threading.Thread(target=self._call, args=(key,)) for key in keys]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self._threads:
            thread.join()

    def _call(self, key: str) -> None:
        with Client(self._url, key, retries=0) as client:
            while not self.stop.is_set():
                try:
                    release = client.infer("breast-cancer", self._rows, unit="user-1").release
                except HoldfastError as error:
                    self.failed.append(str(error))
                    continue
                self.answered[release] += 1
                self.newest = release
                self.stop.wait(0.01)

    def wait_for(self, release: str) -> None:
        """Wait until a release answers."""
        wanted, until = short(release), time.monotonic() + PATIENCE_S
        while self.newest != wanted:
            assert time.monotonic() < until, f"{self.newest} answers, not {wanted}: {self.failed[:3]}"
            time.sleep(0.005)


@pytest.mark.requirement("ROLL-05", by="holdfast.lifecycle.exchanges:bluegreen_switch")
def test_no_call_fails_while_blue_and_green_change_places(producing: Plant) -> None:
    """Back and forth under load: every call is answered, by one of the two, and at the end by the one that should."""
    green, blue = releases(producing)
    rows = Gateway(producing).rows(blue)[:1]
    keys = [str(issue_key(producing, client=f"load-{number}").document["key"]) for number in range(2)]
    bluegreen_prepare(producing, release=green, reason="Let us see.")
    with start(producing.home.root) as gateway, Load(gateway.url, keys, rows) as load:
        load.wait_for(blue)
        for expected in (green, blue, green):
            bluegreen_switch(producing, reason="Change places.")
            load.wait_for(expected)
    assert load.failed == []
    assert set(load.answered) == {short(blue), short(green)}
    assert (now(producing).baseline, now(producing).candidate) == (green, blue)
