import io
import re
import sys

import pytest

from curate.workers import progress


@pytest.fixture(autouse=True)
def loud() -> None:
    """Whatever a command of a test before was asked."""
    progress.QUIET.set(False)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def told(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, *, quiet: bool = False, every: float = 0.0) -> str:
    """What a stage of three pictures says on standard error."""
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(progress, "LINE_INTERVAL_S", every)
    token = progress.QUIET.set(quiet)
    try:
        with progress.bar("extract", 3) as bar:
            for number in range(3):
                bar.advance(1, kept=0, dropped=1000 * number)
    finally:
        progress.QUIET.reset(token)
    return stream.getvalue()


def test_without_a_terminal_it_is_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = told(monkeypatch, io.StringIO()).splitlines()
    assert len(lines) == 3
    assert re.fullmatch(r"extract: 2 of 3, [\d,]+/s, \d\d:\d\d left, kept 0, dropped 1,000", lines[1])


def test_a_quick_stage_says_nothing_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(monkeypatch, io.StringIO(), every=15) == ""


def test_on_a_terminal_it_is_a_bar_with_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    with progress.bar("extract", 3000) as bar:
        bar.advance(2000, kept=0, dropped=1000)
        bar.tqdm.refresh()
        shown = stream.getvalue()
    assert re.search(r"extract  67% .* 2,000 of 3,000, .*/s, \d\d:\d\d left, kept 0, dropped 1,000", shown), shown


@pytest.mark.parametrize("wish", [{}, {"NO_COLOR": "1"}, {"NO_COLOR": ""}, {"TERM": "dumb"}])
def test_a_bar_has_colour_on_a_terminal_of_who_wants_it(monkeypatch: pytest.MonkeyPatch, wish: dict[str, str]) -> None:
    for name, value in {"NO_COLOR": "", "TERM": "xterm", **wish}.items():
        monkeypatch.setenv(name, value)
    wanted = wish in ({}, {"NO_COLOR": ""})
    assert ("\x1b[32m" in told(monkeypatch, Terminal())) is wanted
    assert not progress.wants_color(io.StringIO())


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_quiet_says_nothing(monkeypatch: pytest.MonkeyPatch, stream: type[io.StringIO]) -> None:
    assert told(monkeypatch, stream(), quiet=True) == ""


def test_a_bar_is_closed_when_the_stage_fails() -> None:
    with pytest.raises(ValueError, match="fault"), progress.bar("extract", 3) as bar:
        raise ValueError("fault")
    assert bar.tqdm.disable
