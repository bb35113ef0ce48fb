"""Inputs that libFuzzer makes, by atheris, where they reach branches of ours that none before did.

libFuzzer ends its process when it is done, so each batch is a process of its own, which a child of tests.faults.fuzz
starts: it writes every input down before it reads it, and at the end what became of all.
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
    corpus, scratch, shared_at, keep, reply_at = map(Path, sys.argv[4:9])
    with atheris.instrument_imports(include=["curate", "train"], enable_loader_override=False):
        from tests.faults.hostile import child
        from tests.faults.hostile.readers import READERS, Place
    place, shared = Place(corpus, scratch), child.Shared(shared_at)
    seeds = scratch / "seeds"
    seeds.mkdir(exist_ok=True)
    for number, data in enumerate(READERS[reader].sound(place)):
        (seeds / str(number)).write_bytes(data)
    guard = child.Guard([scratch, keep, reply_at.parent, Path("/proc/self")])
    fates: Counter[str] = Counter()
    faults: list[Row] = []
    done = 0

    def read(data: bytes) -> None:
        nonlocal done
        done += 1
        shared.begin(done, data)
        found, wrong = child.tried(reader, data, place, guard)
        fates[found] += 1
        if wrong is not None:
            faults.append({"reader": reader, "what": wrong, "input": child.kept(keep, reader, data)})
        if done == count:
            reply_at.write_text(json.dumps({"fates": dict(fates), "faults": faults, "peak": child.peak()}))
            os._exit(0)

    seed = zlib.crc32(f"{reader}/{batch}".encode()) or 1
    options = [f"-seed={seed}", "-runs=100000000", f"-max_len={2 * max(one.stat().st_size for one in seeds.iterdir())}"]
    atheris.Setup([sys.argv[0], *options, "-timeout=3600", "-rss_limit_mb=0", "-verbosity=0", str(seeds)], read)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
