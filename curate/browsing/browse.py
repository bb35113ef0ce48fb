"""Dataset -> a page in the browser, where people look, filter and overrule; the extra `ui` answers it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from curate.dataset import ledger
from curate.system.errors import MissingExtraError
from curate.terminal import print_status


def browse(dataset: Path, host: str = "127.0.0.1", port: int = 8765) -> dict[str, Any]:
    """Serve the page until Ctrl-C; port 0 takes a free one. Returns its `address`, `decided` and `waiting`.

    `decided` counts decisions noted meanwhile, `waiting` those that the next `curate dedupe` will follow. Raises
    DatasetError if the folder is no dataset, NurieError if the port is taken, MissingExtraError without FastAPI.
    """
    ledger.read_ledger(dataset)
    try:
        from curate.browsing import app, live_dataset  # noqa: PLC0415  # FastAPI is an extra
        from curate.web import server  # noqa: PLC0415  # FastAPI is an extra
    except ImportError:
        raise MissingExtraError("curate browse", "ui") from None
    looked_at = live_dataset.LiveDataset(dataset)
    before = looked_at.view()  # read before the first visitor waits for it
    listening = server.listen(host, port)
    address = server.browser_url(listening)
    print_status(f"{dataset}: open {address} in a browser; Ctrl-C ends it")
    if not server.is_loopback(host):
        print_status(f"whoever reaches {address} sees the pictures and may decide: keep the port closed to strangers")
    server.serve(app.create_app(looked_at), listening, host)
    seen = looked_at.view()
    told = len(seen.decisions.rows) - len(before.decisions.rows)
    return {"address": address, "decided": told, "waiting": seen.pending}
