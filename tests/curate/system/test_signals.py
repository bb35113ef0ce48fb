import os
import signal
from collections.abc import Iterator

import pytest

from curate.system.signals import StoppedBySignal, stoppable


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM])
def heard(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    """A signal that is not ignored, as one may be by a background job."""
    before = signal.signal(request.param, signal.default_int_handler)
    yield request.param
    signal.signal(request.param, before)


def send(number: int) -> None:
    os.kill(os.getpid(), number)


def test_a_signal_stops_a_block_and_a_second_one_does_not_interrupt_its_cleanup(
    heard: signal.Signals,
) -> None:
    ordered = False

    def work() -> None:
        nonlocal ordered
        try:
            send(heard)
        finally:
            send(heard)
            ordered = True

    with pytest.raises(StoppedBySignal) as caught, stoppable():
        work()
    assert caught.value.number == heard
    assert ordered
    assert signal.getsignal(heard) is signal.default_int_handler


def test_an_ignored_signal_stays_ignored(heard: signal.Signals) -> None:
    signal.signal(heard, signal.SIG_IGN)
    with stoppable():
        send(heard)
    assert signal.getsignal(heard) is signal.SIG_IGN
