"""Serve a page on which one draws, picks tags and sees the drawing coloured. Needs the extra `ui`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from curate.system.errors import MissingExtraError
from train.errors import NurieError

MAX_UPLOAD_BYTES = 32 << 20
"""Bytes of a drawing."""
ANSWER_TIMEOUT_SECONDS = 120.0
"""For one drawing, including those that came before it."""


def serve(
    runs: Sequence[Path], host: str = "127.0.0.1", port: int = 8766, *, announce: Callable[[str], None] = print
) -> dict[str, Any]:
    """Serve the models of `runs` side by side until Ctrl-C; return the `address` and the names of the `models`.

    Port 0 takes a free one. `announce` gets the address once it answers, and a warning if other machines can reach it.
    Raises RunError if a run has no model; NurieError if the port is taken or a run is given twice; MissingExtraError
    without the extra `ui`.
    """
    try:
        from curate.web import server  # noqa: PLC0415  # FastAPI and uvicorn are an extra
        from curate.web.guard import RequestLimits  # noqa: PLC0415
        from train.serving import app  # noqa: PLC0415
    except ImportError:
        raise MissingExtraError("train serve", "ui") from None
    from train.serving.loaded_models import LoadedModels  # noqa: PLC0415

    if len({run.resolve() for run in runs}) < len(runs):
        raise NurieError("a run is given twice: give each run once")
    loaded = LoadedModels(runs)
    for colorizer in loaded.colorizers:  # a model's first call takes seconds, which no visitor should wait for
        size = colorizer.trained.size
        colorizer.trained.model([np.ones((1, size, size, 1)), np.zeros((1, len(colorizer.trained.vocabulary)))])
    listening = server.listen(host, port)
    address = server.browser_url(listening)
    announce(f"open {address} in a browser; stop with Ctrl-C")
    if not server.is_loopback(host):
        announce(f"anyone who can reach {address} can colour drawings: keep the port closed to strangers")
    server.serve(
        app.create_app(loaded),
        listening,
        host,
        RequestLimits(max_body_bytes=MAX_UPLOAD_BYTES, response_timeout_s=ANSWER_TIMEOUT_SECONDS),
    )
    return {"address": address, "models": [model.name for model in loaded.models]}
