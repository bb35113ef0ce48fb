import os
import signal

from curate.images import svg
from curate.images.decode import decode
from curate.images.svg import render_svg_text

SQUARE = '<svg xmlns="http://www.w3.org/2000/svg" width="{}" height="9"><rect width="9" height="9"/></svg>'


def test_the_longer_side_has_the_requested_size() -> None:
    assert decode(render_svg_text(SQUARE.format(18), 64)).rgb.shape == (32, 64, 3)


def test_a_renderer_killed_while_idle_is_replaced_and_draws_the_next_svg() -> None:
    before = render_svg_text(SQUARE.format(9), 32)
    process = svg._renderer()._process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    render_svg_text.cache_clear()
    assert render_svg_text(SQUARE.format(9), 32) == before
