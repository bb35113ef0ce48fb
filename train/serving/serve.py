"""RUN -> a page in the browser where one draws, picks tags, and sees it coloured; the extra `ui` answers it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from train.errors import NurieError, RunError

MAX_UPLOAD_BYTES = 32 << 20  # bytes of a drawing
ANSWER_TIMEOUT_SECONDS = 120.0  # s for one, behind those that came before


def serve(
    runs: Sequence[Path], host: str = "127.0.0.1", port: int = 8766, *, announce: Callable[[str], None] = print
) -> dict[str, Any]:
    """Serve the models of `runs`, side by side, until Ctrl-C; port 0 takes a free one. Returns its `address`.

    Raises RunError if a run has no model, or without FastAPI; NurieError if the port is taken or a run given twice.
    """
    try:
        from curate.web import server  # noqa: PLC0415  # FastAPI and uvicorn are an extra
        from curate.web.guard import RequestLimits  # noqa: PLC0415
        from train.serving import app  # noqa: PLC0415
    except ImportError:
        raise RunError("train serve needs an extra: run `pip install 'nurie[ui]'`") from None
    from train.serving.loaded_models import LoadedModels  # noqa: PLC0415

    if len({run.resolve() for run in runs}) < len(runs):
        raise NurieError("a run is given twice: name each once")
    studio = LoadedModels(runs)
    for painter in studio.colorizers:  # the first call takes seconds, for which no visitor should wait
        size = painter.trained.size
        painter.trained.model([np.ones((1, size, size, 1)), np.zeros((1, len(painter.trained.vocabulary)))])
    listening = server.listen(host, port)
    address = server.browser_url(listening)
    announce(f"open {address} in a browser; Ctrl-C ends it")
    if not server.is_loopback(host):
        announce(f"whoever reaches {address} may have drawings coloured: keep the port closed to strangers")
    server.serve(
        app.create_app(studio),
        listening,
        host,
        RequestLimits(max_body_bytes=MAX_UPLOAD_BYTES, response_timeout_s=ANSWER_TIMEOUT_SECONDS),
    )
    return {"address": address, "models": [model.name for model in studio.models]}
