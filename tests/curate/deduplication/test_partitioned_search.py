from pathlib import Path

import numpy as np
import pytest

from curate.dataset import parquet
from curate.deduplication import partitioned_search
from curate.hash_search import multi_index
from curate.hash_search.array_types import Hashes
from curate.terminal import QUIET
from tests.curate.hash_search.test_multi_index import NO_HASHES, as_tuples, near_pairs_by_brute_force, skewed_hashes


@pytest.mark.parametrize(("radius", "partition_count", "workers"), [(0, 1, 1), (3, 4, 2), (8, 8, 1)])
def test_a_search_in_partitions_finds_every_near_pair_once(
    radius: int, partition_count: int, workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = skewed_hashes(1500, 0.2, radius)
    monkeypatch.setattr(partitioned_search, "HASHES_PER_PARTITION", 2048 // partition_count)
    monkeypatch.setattr(multi_index, "_cost", lambda *given: given[3] - 4.0)  # three bands, as for many hashes
    pairs = as_tuples(partitioned_search.find_near_hashes(tmp_path, workers, hashes, NO_HASHES, radius))
    assert len(pairs) == len({frozenset(pair) for pair in pairs})
    assert {pair for a, b in pairs for pair in ((a, b), (b, a))} == near_pairs_by_brute_force(hashes, hashes, radius)
    assert len(list(tmp_path.glob("band-0-fresh-*"))) == partition_count


def test_a_search_in_partitions_finds_the_pairs_of_one_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = np.random.default_rng(0).permutation(skewed_hashes(1500, 0.2, 7))
    monkeypatch.setattr(partitioned_search, "HASHES_PER_PARTITION", 256)
    monkeypatch.setattr(multi_index, "_cost", lambda *given: given[3] - 4.0)
    fresh, old = hashes[:100], hashes[100:]
    pairs = as_tuples(partitioned_search.find_near_hashes(tmp_path, 1, fresh, old, 6))
    assert len(pairs) == len({frozenset(pair) for pair in pairs})
    assert paired(pairs) == paired(as_tuples(multi_index.near_hash_pairs(fresh, old, 6)))


def test_a_partition_holds_the_hashes_whose_keys_have_the_same_first_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = skewed_hashes(1500, 0.5, 1)
    monkeypatch.setattr(partitioned_search, "HASHES_PER_PARTITION", 512)
    monkeypatch.setattr(multi_index, "_cost", lambda *given: given[3] - 4.0)
    list(partitioned_search.find_near_hashes(tmp_path, 1, hashes, NO_HASHES, 8))
    bands = multi_index.choose_bands(hashes, len(hashes), 8)
    partition_hashes = [parquet.read_table(path)["hash"].to_numpy() for path in sorted(tmp_path.glob("band-1-fresh-*"))]
    assert len(partition_hashes) == 4
    assert sum(map(len, partition_hashes)) == len(hashes)
    for number, part in enumerate(partition_hashes):
        assert set((bands.rotate_to_band(bands.permute(bands.restore(part, 1, 2)), 1) >> np.uint64(62)).tolist()) <= {
            number
        }


def paired(pairs: list[tuple[int, int]]) -> set[frozenset[int]]:
    return {frozenset(pair) for pair in pairs}


def test_no_hashes_give_no_pairs(tmp_path: Path) -> None:
    empty: list[Hashes] = list(partitioned_search.find_near_hashes(tmp_path, 1, NO_HASHES, NO_HASHES, 8))
    assert sum(map(len, empty)) == 0


def test_the_number_of_hot_buckets_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    QUIET.set(False)  # a command of an earlier test may have set it
    monkeypatch.setattr(multi_index, "HOT_BUCKET_HASHES", 100)
    monkeypatch.setattr(multi_index, "_cost", lambda *given: given[3] - 4.0)
    hashes = skewed_hashes(1500, 0.06, 3)
    pairs = as_tuples(partitioned_search.find_near_hashes(tmp_path, 1, hashes, NO_HASHES, 4))
    assert {pair for a, b in pairs for pair in ((a, b), (b, a))} == near_pairs_by_brute_force(hashes, hashes, 4)
    assert "buckets of more than 100 hashes were split" in capsys.readouterr().err
