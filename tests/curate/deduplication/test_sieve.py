from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.dataset import parquet
from curate.deduplication import sieve
from curate.deduplication.pictures import PICTURE_COLUMNS, Pictures, gather_pictures
from curate.deduplication.sieve import Sieve
from curate.hash_search import hamming, multi_index, rows_by_value
from curate.hash_search.hamming import near_pairs
from curate.signatures import similarity
from curate.signatures.color_grid import color_grid
from curate.signatures.orientations import MIRROR_AND_QUARTER_TURNS, SLANTS


def pictures(dataset: Path) -> Pictures:
    return gather_pictures(parquet.read_parts(dataset / "records", [*PICTURE_COLUMNS, "color_grid", "own_tags"]))


def all_pairs(count: int) -> hamming.RowPairs:
    return np.array(list(combinations(range(count), 2)), np.int64).reshape(-1, 2)


@given(st.integers(0, 2**32), st.floats(0, 60))
def test_every_pair_of_one_colouring_passes(seed: int, apart: float) -> None:
    random = np.random.default_rng(seed)
    one = random.uniform(0, 100, (1, 192))
    colors = np.concatenate([one, one + random.uniform(-apart, apart, (7, 192)) / 3**0.5]).astype(np.float32)
    hashes: list[str | None] = [f"{one:016x}" for one in random.integers(0, 2**62, 8)]
    of = Pictures([""] * 8, [], [], [], {"line": hashes, "edge": hashes[::-1]}, [], [], colors)
    pairs = all_pairs(8)
    near = similarity.color_distance(colors[pairs[:, 0]], colors[pairs[:, 1]]) <= similarity.MAX_COPY_SIGNATURE_DISTANCE
    assert Sieve(of).may_be_lookalikes(pairs)[near].all()
    assert Sieve(of).may_be_duplicates(pairs).tolist() == near.tolist()


def test_recolours_pass_and_most_strangers_do_not(dataset: Path) -> None:
    of = pictures(dataset)
    rows = parquet.read_parts(dataset / "manifest", ["id", "family"]).to_pylist()
    family = {row["id"]: row["family"] for row in rows}
    pairs = all_pairs(len(of.ids))
    alike = np.array([family[of.ids[a]] == family[of.ids[b]] for a, b in pairs.tolist()])
    passed = Sieve(of).may_be_lookalikes(pairs)
    assert alike.sum() > 10
    assert passed[alike].all()
    assert passed[~alike].mean() < 0.1


@pytest.mark.parametrize("orientation", range(1, 1 + len(SLANTS) + len(MIRROR_AND_QUARTER_TURNS)))
def test_a_signature_is_reoriented_as_its_picture_is(orientation: int) -> None:
    view = np.random.default_rng(orientation).integers(0, 255, (96, 96, 3), np.uint8)
    lay = (*(lambda rgb: rgb for _ in SLANTS), *MIRROR_AND_QUARTER_TURNS)[orientation - 1]
    found = sieve._reorient_grids(color_grid(view)[None], orientation)[0]
    assert np.allclose(found, color_grid(lay(view)), atol=0.01)


def test_a_mirrored_copy_passes_in_its_orientation_and_not_as_stored(dataset: Path) -> None:
    of, mirrored = pictures(dataset), 1 + len(SLANTS)
    both = replace(of, color_grids=np.concatenate([of.color_grids, sieve._reorient_grids(of.color_grids, mirrored)]))
    pairs = np.array([(one, one + len(of.ids)) for one in range(len(of.ids))])
    assert Sieve(both).may_be_reoriented_duplicates(pairs, mirrored).all()
    assert not Sieve(both).may_be_duplicates(pairs).all()


@given(st.lists(st.integers(0, 63), max_size=40), st.integers(0, 4), st.integers(1, 9))
def test_a_filter_sees_every_pair_once_whatever_the_size_of_a_batch(values: list[int], radius: int, few: int) -> None:
    hashes, met = np.array(values, np.uint64), list[tuple[int, int]]()

    def sift(pairs: hamming.RowPairs) -> hamming.Mask:
        assert len(pairs) <= few
        met.extend((a, b) for a, b in pairs.tolist())
        return np.asarray(pairs.sum(axis=1) % 2 == 0, np.bool_)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows_by_value, "ROW_PAIRS_PER_BATCH", few)
        patch.setattr(hamming, "VALUE_PAIRS_PER_BATCH", few)
        found = near_pairs(hashes, radius, None, multi_index.near_hash_pairs, sift)
    every = near_pairs(hashes, radius)
    assert sorted(met) == [(a, b) for a, b in every.tolist()]
    assert found.tolist() == [[a, b] for a, b in every.tolist() if (a + b) % 2 == 0]
