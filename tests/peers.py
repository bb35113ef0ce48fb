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

STAND_INS = {
    "imagededup.methods.cnn": "CNN",
    "imagededup.utils.models": "CustomModel",
    "imagededup.utils.plotter": "plot_duplicates",
}


def imagededup(peers: Path, pictures: Path, max_distance: int = 10) -> set[tuple[str, str]]:
    """Pairs of file names that its PHash finds within `max_distance` bits, its default, in one folder.

    Its package imports PyTorch and matplotlib for what is not asked of it here: stand-ins take their place.
    """
    sys.path.insert(0, str(peers))
    for module, name in STAND_INS.items():
        sys.modules[module] = ModuleType(module)
        setattr(sys.modules[module], name, None)
    hasher: Any = import_module("imagededup.methods").PHash(verbose=False)
    encoded = hasher.encode_images(image_dir=str(pictures), num_enc_workers=0)
    found = hasher.find_duplicates(
        encoding_map=encoded, max_distance_threshold=max_distance, num_dist_workers=0, search_method="brute_force"
    )
    return {(min(name, other), max(name, other)) for name, others in found.items() for other in others}
