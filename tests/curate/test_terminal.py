import io
import re
import sys
import threading
from collections.abc import Callable
from typing import Any

import click
import pytest
from click.testing import CliRunner

from curate import terminal
from curate.system.errors import NurieError


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown_by_a_stage(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, *, quiet: bool = False, interval_s: float = 0.0
) -> str:
    """What a stage of three pictures shows on standard error."""
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(terminal, "LINE_INTERVAL_S", interval_s)
    token = terminal.QUIET.set(quiet)
    try:
        with terminal.ProgressBar("extract", 3) as bar:
            for number in range(3):
                bar.advance(1, kept=0, dropped=1000 * number)
    finally:
        terminal.QUIET.reset(token)
    return stream.getvalue()


def test_without_a_terminal_progress_is_a_line_every_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown_by_a_stage(monkeypatch, io.StringIO()).splitlines()
    assert len(lines) == 3
    assert re.fullmatch(r"extract: 2 of 3, [\d,]+/s, \d\d:\d\d left, kept 0, dropped 1,000", lines[1])


def test_without_a_terminal_a_quick_stage_prints_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown_by_a_stage(monkeypatch, io.StringIO(), interval_s=15) == ""


def test_on_a_terminal_progress_is_a_bar_with_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    with terminal.ProgressBar("extract", 3000) as bar:
        bar.advance(2000, kept=0, dropped=1000)
        bar.tqdm.refresh()
        shown = stream.getvalue()
    assert re.search(r"extract  67% .* 2,000 of 3,000, .*/s, \d\d:\d\d left, kept 0, dropped 1,000", shown), shown


def test_a_bar_of_shares_may_go_back(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    with terminal.ProgressBar("fit", 1.0, terminal.SHARE_BAR) as bar:
        bar.show_share(0.5, "l1 0.500")
        bar.show_share(0.25, "l1 0.250")
    assert re.search(r"fit  50% .*, l1 0.500.*fit  25% .*, l1 0.250", stream.getvalue(), re.DOTALL), stream.getvalue()


@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": "1"}, {"NO_COLOR": ""}, {"TERM": "dumb"}])
def test_a_bar_is_green_on_a_terminal_that_allows_colours(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    for name, value in {"NO_COLOR": "", "TERM": "xterm", **environment}.items():
        monkeypatch.setenv(name, value)
    allowed = environment in ({}, {"NO_COLOR": ""})
    assert ("\x1b[32m" in shown_by_a_stage(monkeypatch, Terminal())) is allowed
    assert not terminal.wants_color(io.StringIO())


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_quiet_shows_no_progress(monkeypatch: pytest.MonkeyPatch, stream: type[io.StringIO]) -> None:
    assert shown_by_a_stage(monkeypatch, stream(), quiet=True) == ""


def test_a_bar_is_closed_when_the_stage_fails() -> None:
    with pytest.raises(ValueError, match="fault"), terminal.ProgressBar("extract", 3) as bar:
        raise ValueError("fault")
    assert bar.tqdm.disable


def test_bytes_are_counted_from_several_threads_and_shown_in_gigabytes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(terminal, "LINE_INTERVAL_S", 0.0)
    with terminal.ByteProgressBar("verify", 4_000_000_000) as bar:
        threads = [threading.Thread(target=bar.advance_bytes, args=(10**9,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert bar.done == 3 * 10**9
    last = capsys.readouterr().err.splitlines()[-1]
    assert re.fullmatch(r"verify: 3\.00 of 4\.00 GB, [\d.]+ GB/s, [\d:]+ left", last), last


def invoke(command: Callable[..., dict[str, Any]], *arguments: str) -> Any:
    """Run a function as a command that prints its result's keys."""
    return CliRunner().invoke(
        click.command("work")(terminal.cli_command(lambda result: click.echo(list(result)))(command)), arguments
    )


def test_a_command_prints_its_result_or_one_json_object_with_the_seconds() -> None:
    assert invoke(lambda: {"kept": 3}).stdout == "['kept', 'seconds']\n"
    told = invoke(lambda: {"kept": "\u202e"}, "--json")
    assert re.fullmatch(r'\{"kept": "\\u202e", "seconds": [\d.]+\}\n', told.stdout)
    assert told.exit_code == 0


def test_a_users_mistake_is_one_line_and_exit_code_1() -> None:
    def refuse() -> dict[str, Any]:
        raise NurieError("art\n\x1b[2J is no folder: give another")

    result = invoke(refuse)
    assert (result.exit_code, result.stderr) == (1, "Error: art\\n\\u001b[2J is no folder: give another\n")


def test_a_result_with_faults_is_printed_and_exit_code_1() -> None:
    result = invoke(lambda: {"faults": ["a.png is missing"]})
    assert (result.exit_code, result.stdout) == (1, "['faults', 'seconds']\n")


@pytest.mark.parametrize("option", ["--quiet", "--json"])
def test_quiet_and_json_silence_status_lines_until_the_command_ends(option: str) -> None:
    def talk() -> dict[str, Any]:
        terminal.print_status("working")
        return {}

    assert invoke(talk, option).stderr == ""
    assert invoke(talk).stderr == "working\n"
    assert terminal.QUIET.get() is False


def test_names_after_a_comma_are_completed() -> None:
    complete = terminal.complete_names(lambda: ["contour", "dilate", "xdog"])
    context, parameter = click.Context(click.Command("extract")), click.Option(["--lines"])
    assert complete(context, parameter, "contour,d") == ["contour,dilate"]
    assert complete(context, parameter, "c") == ["contour"]
