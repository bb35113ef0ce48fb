r"""Programs that people use for a part of what nurie does, run beside it where they are installed.

imagededup: pip install --no-deps --target PEERS imagededup PyWavelets scikit-learn joblib threadpoolctl cloudpickle \
narwhals
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

STAND_INS = {
    "imagededup.methods.cnn": "CNN",
    "imagededup.utils.models": "CustomModel",
    "imagededup.utils.plotter": "plot_duplicates",
}


def imagededup(peers: Path, pictures: Path, max_distance: int = 10) -> set[tuple[str, str]]:
    """Pairs of file names that its PHash finds within `max_distance` bits, its default, in one folder.

    Its package imports PyTorch and matplotlib for what is not asked of it here: stand-ins take their place.
    """
    hasher, hashes = encoded(peers, pictures)
    found = hasher.find_duplicates(
        encoding_map=hashes, max_distance_threshold=max_distance, num_dist_workers=0, search_method="brute_force"
    )
    return {(min(name, other), max(name, other)) for name, others in found.items() for other in others}


def encoded(peers: Path, pictures: Path) -> tuple[Any, dict[str, str]]:
    """imagededup's PHash, and what it makes of the pictures in one folder, by one process."""
    _stand_in(peers)
    hasher: Any = import_module("imagededup.methods").PHash(verbose=False)
    return hasher, hasher.encode_images(image_dir=str(pictures), num_enc_workers=0)


def _stand_in(peers: Path | None) -> None:
    sys.path.insert(0, str(peers))
    for module, name in STAND_INS.items():
        sys.modules[module] = ModuleType(module)
        setattr(sys.modules[module], name, None)


SEARCHES = ("faiss_flat", "faiss_multihash", "imagededup")


def faiss_search(peers: Path | None, kind: str) -> Any:
    """(hashes, radius) -> pairs, by faiss's binary index of a kind: `flat` compares all, `multihash` probes.

    MultiHash gets bands as wide as log2 n and as many flips as make it complete.
    """
    sys.path.append(str(peers))
    faiss: Any = import_module("faiss")

    def search(hashes: Any, radius: int) -> Any:
        codes = hashes.view(np.uint8).reshape(-1, 8)
        if kind == "flat":
            index = faiss.IndexBinaryFlat(64)
        else:
            width = max(16, int(np.log2(len(hashes))))
            index = faiss.IndexBinaryMultiHash(64, 64 // width, width)
            index.nflip = radius // (64 // width)
        index.add(codes)
        faiss.omp_set_num_threads(1)
        limits, _, found = index.range_search(codes, radius + 1)  # its radius is exclusive
        a = np.repeat(np.arange(len(hashes)), np.diff(limits.astype(np.int64)))
        return np.stack([a, found], axis=1)[a < found]

    return search


def imagededup_search(peers: Path | None) -> Any:
    """(hashes, radius) -> pairs, by its default search, which compares all."""
    _stand_in(peers)
    brute_force: Any = import_module("imagededup.handlers.search.brute_force_cython").BruteForceCython
    distance = import_module("imagededup.methods").PHash.hamming_distance

    def search(hashes: Any, radius: int) -> Any:
        named = {str(row): f"{value:016x}" for row, value in enumerate(hashes.tolist())}
        table = brute_force(named, distance)
        found = (
            (int(row), int(other)) for row, one in named.items() for other, _ in table.search(query=one, tol=radius)
        )
        return np.array([pair for pair in found if pair[0] < pair[1]], np.int64).reshape(-1, 2)

    return search
