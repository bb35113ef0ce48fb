r"""Other programs that do a part of what nurie does, run for comparison where they are installed.

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

    Its package imports PyTorch and matplotlib for features that are not used here: stand-ins replace them.
    """
    hasher, hashes = encoded(peers, pictures)
    duplicates = hasher.find_duplicates(
        encoding_map=hashes, max_distance_threshold=max_distance, num_dist_workers=0, search_method="brute_force"
    )
    return {(min(name, copy), max(name, copy)) for name, copies in duplicates.items() for copy in copies}


def encoded(peers: Path, pictures: Path) -> tuple[Any, dict[str, str]]:
    """imagededup's PHash, and its hashes of the pictures in a folder by file name, made by one process."""
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
    """A function (hashes, radius) -> pairs that uses a binary index of faiss: `flat` compares all, `multihash` probes.

    MultiHash gets bands as wide as log2 n, and as many flips as it needs to miss no pair.
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
        limits, _, partners = index.range_search(codes, radius + 1)  # its radius is exclusive
        rows = np.repeat(np.arange(len(hashes)), np.diff(limits.astype(np.int64)))
        return np.stack([rows, partners], axis=1)[rows < partners]

    return search


def imagededup_search(peers: Path | None) -> Any:
    """A function (hashes, radius) -> pairs that uses imagededup's default search, which compares all hashes."""
    _stand_in(peers)
    brute_force: Any = import_module("imagededup.handlers.search.brute_force_cython").BruteForceCython
    distance = import_module("imagededup.methods").PHash.hamming_distance

    def search(hashes: Any, radius: int) -> Any:
        hash_by_row = {str(row): f"{value:016x}" for row, value in enumerate(hashes.tolist())}
        table = brute_force(hash_by_row, distance)
        pairs = (
            (int(row), int(partner))
            for row, value in hash_by_row.items()
            for partner, _ in table.search(query=value, tol=radius)
        )
        return np.array([pair for pair in pairs if pair[0] < pair[1]], np.int64).reshape(-1, 2)

    return search
