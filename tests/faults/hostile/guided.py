"""Read a batch of inputs from libFuzzer (atheris), which looks for inputs that reach new branches of the readers.

libFuzzer ends its process when it is done, so that each batch runs in a process of its own, started by
`WatchedChild`. It writes each input to the shared file before reading it, and the result of the batch at its end.
"""

from __future__ import annotations

import json
import os
import sys
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def main() -> None:
    """Arguments: reader, batch, count, corpus, scratch, shared file, folder for inputs, file for the reply."""
    import atheris

    reader, batch, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    corpus, scratch, shared_at, kept_folder, reply_at = map(Path, sys.argv[4:9])
    with atheris.instrument_imports(include=["curate", "train"], enable_loader_override=False):
        from tests.faults.hostile import child
        from tests.faults.hostile.readers import READERS, Place
    place, shared = Place(corpus, scratch), child.Shared(shared_at)
    seeds = scratch / "seeds"
    seeds.mkdir(exist_ok=True)
    for number, data in enumerate(READERS[reader].valid_inputs(place)):
        (seeds / str(number)).write_bytes(data)
    guard = child.Guard([scratch, kept_folder, reply_at.parent, Path("/proc/self")])
    fates: Counter[str] = Counter()
    faults: list[Row] = []
    count_read = 0

    def read(data: bytes) -> None:
        nonlocal count_read
        count_read += 1
        shared.begin(count_read, data)
        outcome, fault = child.try_input(reader, data, place, guard)
        fates[outcome] += 1
        if fault is not None:
            faults.append({"reader": reader, "what": fault, "input": child.keep_input(kept_folder, reader, data)})
        if count_read == count:
            reply_at.write_text(json.dumps({"fates": dict(fates), "faults": faults, "peak": child.peak()}))
            os._exit(0)

    seed = zlib.crc32(f"{reader}/{batch}".encode()) or 1
    options = [
        f"-seed={seed}",
        "-runs=100000000",
        f"-max_len={2 * max(path.stat().st_size for path in seeds.iterdir())}",
    ]
    atheris.Setup([sys.argv[0], *options, "-timeout=3600", "-rss_limit_mb=0", "-verbosity=0", str(seeds)], read)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
