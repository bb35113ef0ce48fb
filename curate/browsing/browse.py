"""`curate browse`: serve the page until it is stopped. Needs the extra `ui`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from curate.browsing import DEFAULT_HOST, DEFAULT_PORT
from curate.dataset import ledger
from curate.system.errors import MissingExtraError
from curate.terminal import print_status


def browse(dataset: Path, host: str = DEFAULT_HOST, port: int = DEFAULT_PORT) -> dict[str, Any]:
    """Serve the page until Ctrl-C. Port 0 takes any free one.

    Returns the `address`, the number of decisions made meanwhile (`decided`), and the number that the next
    `curate dedupe` will apply (`waiting`). Raises DatasetError if the folder is not a dataset, NurieError if the port
    is taken, MissingExtraError without FastAPI.
    """
    ledger.read_ledger(dataset)
    try:
        from curate.browsing import app, live_dataset  # noqa: PLC0415  # FastAPI is an extra
        from curate.web import server  # noqa: PLC0415  # FastAPI is an extra
    except ImportError:
        raise MissingExtraError("curate browse", "ui") from None
    live = live_dataset.LiveDataset(dataset)
    before = live.view()  # reads the dataset now, so that the first visitor does not wait for it
    listening = server.listen(host, port)
    address = server.browser_url(listening)
    print_status(f"{dataset}: open {address} in a browser; stop with Ctrl-C")
    if not server.is_loopback(host):
        print_status(f"anyone who can reach {address} sees the pictures and can decide: close the port to strangers")
    server.serve(app.create_app(live), listening, host)
    after = live.view()
    decided = len(after.decisions.rows) - len(before.decisions.rows)
    return {"address": address, "decided": decided, "waiting": after.pending}
