"""Progress and results that the commands of `train` print; needs no TensorFlow."""

import time
from types import SimpleNamespace

import pytest

from curate import terminal
from train.cli import terminal as train_terminal


def set_clock(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: seconds)


def test_throughput_counts_from_the_first_call_on(monkeypatch: pytest.MonkeyPatch) -> None:
    throughput = train_terminal.Throughput()
    set_clock(monkeypatch, 1000.0)
    assert throughput.describe(0.5, 5000) == []  # a training that continues
    set_clock(monkeypatch, 1010.0)
    assert throughput.describe(0.6, 5200) == ["20.0/s", "00:40 left"]
    assert throughput.describe(0.1, 100) == []  # the next rung of a ladder
    set_clock(monkeypatch, 1020.0)
    assert throughput.describe(0.2, 200) == ["10.0/s", "01:20 left"]


def test_without_a_terminal_training_progress_is_printed_in_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(terminal, "LINE_INTERVAL_S", 0.0)
    for quiet in (False, True):
        token = terminal.QUIET.set(quiet)
        with train_terminal.training_progress() as show:
            for share in (0.25, 0.5):
                show(share, SimpleNamespace(images_seen=int(4000 * share)), {"l1": 0.5, "other": 1.0})
        terminal.QUIET.reset(token)
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == (0 if quiet else 2)
        if lines:
            assert lines[0] == "fit: 25%, 1,000 pairs seen, l1 0.500"
            assert lines[1].startswith("fit: 50%, 2,000 pairs seen, ")
            assert lines[1].endswith(" left, l1 0.500")


def test_picture_progress_has_counts_rate_and_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    set_clock(monkeypatch, 1000.0)
    with train_terminal.picture_progress("colorize") as show:
        show(0, 400)
        set_clock(monkeypatch, 1000.0 + terminal.LINE_INTERVAL_S)
        show(30, 400)
        set_clock(monkeypatch, 1001.0 + terminal.LINE_INTERVAL_S)
        show(31, 400)
    assert capsys.readouterr().err == "colorize: 8%, 30 of 400, 2.0/s, 03:05 left\n"


def test_a_result_is_printed_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    train_terminal.print_table({"pairs_seen": 1200, "l1": 0.03456, "tags": {"obedience": 0.5, "by": ["a", "b"]}})
    assert capsys.readouterr().out.splitlines() == [
        *("pairs seen  1,200", "l1          0.03456", "tags", "  obedience  0.5", "  by         a, b")
    ]
