from pathlib import Path

import numpy as np
import pytest

from curate.dataset import parquet
from curate.deduplication import partitions
from curate.search import multi_index
from curate.search.arrays import Hashes
from curate.terminal import QUIET
from tests.curate.search.test_multi_index import NONE, beside, skewed, told


@pytest.mark.parametrize(("radius", "pieces", "workers"), [(0, 1, 1), (3, 4, 2), (8, 8, 1)])
def test_searched_in_pieces_every_near_pair_is_met_once(
    radius: int, pieces: int, workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = skewed(1500, 0.2, radius)
    monkeypatch.setattr(partitions, "HASHES_PER_PARTITION", 2048 // pieces)
    monkeypatch.setattr(multi_index, "_cost", lambda *given: given[3] - 4.0)  # three bands, as many hashes have
    found = told(list(partitions.find_near_hashes(tmp_path, workers, hashes, NONE, radius)))
    assert len(found) == len({frozenset(pair) for pair in found})
    assert {pair for a, b in found for pair in ((a, b), (b, a))} == beside(hashes, hashes, radius)
    assert len(list(tmp_path.glob("band-0-fresh-*"))) == pieces


def test_of_fresh_hashes_the_same_pairs_are_found_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = np.random.default_rng(0).permutation(skewed(1500, 0.2, 7))
    monkeypatch.setattr(partitions, "HASHES_PER_PARTITION", 256)
    monkeypatch.setattr(multi_index, "_cost", lambda *given: given[3] - 4.0)
    fresh, known = hashes[:100], hashes[100:]
    found = told(list(partitions.find_near_hashes(tmp_path, 1, fresh, known, 6)))
    assert len(found) == len({frozenset(pair) for pair in found})
    assert paired(found) == paired(told(list(multi_index.near_hash_pairs(fresh, known, 6))))


def test_a_piece_holds_the_hashes_whose_keys_begin_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = skewed(1500, 0.5, 1)
    monkeypatch.setattr(partitions, "HASHES_PER_PARTITION", 512)
    monkeypatch.setattr(multi_index, "_cost", lambda *given: given[3] - 4.0)
    list(partitions.find_near_hashes(tmp_path, 1, hashes, NONE, 8))
    plan = multi_index.choose_bands(hashes, len(hashes), 8)
    pieces = [parquet.read_table(path)["hash"].to_numpy() for path in sorted(tmp_path.glob("band-1-fresh-*"))]
    assert len(pieces) == 4
    assert sum(map(len, pieces)) == len(hashes)
    for number, piece in enumerate(pieces):
        assert set((plan.rotate_to_band(plan.permute(plan.restore(piece, 1, 2)), 1) >> np.uint64(62)).tolist()) <= {
            number
        }


def paired(found: list[tuple[int, int]]) -> set[frozenset[int]]:
    return {frozenset(pair) for pair in found}


def test_no_hash_has_no_pair(tmp_path: Path) -> None:
    empty: list[Hashes] = list(partitions.find_near_hashes(tmp_path, 1, NONE, NONE, 8))
    assert sum(map(len, empty)) == 0


def test_hot_buckets_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    QUIET.set(False)  # a command may have been asked to be
    monkeypatch.setattr(multi_index, "HOT_BUCKET_HASHES", 100)
    monkeypatch.setattr(multi_index, "_cost", lambda *given: given[3] - 4.0)
    hashes = skewed(1500, 0.06, 3)
    found = told(list(partitions.find_near_hashes(tmp_path, 1, hashes, NONE, 4)))
    assert {pair for a, b in found for pair in ((a, b), (b, a))} == beside(hashes, hashes, 4)
    assert "buckets of more than 100 hashes were split" in capsys.readouterr().err
