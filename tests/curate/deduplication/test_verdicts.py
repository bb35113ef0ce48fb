from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curate.dataset import parquet
from curate.deduplication import verdicts
from curate.deduplication.compare import Edge
from curate.deduplication.family_split import SplitShares
from curate.deduplication.pictures import gather_pictures
from curate.extraction import extract
from curate.sources.scan import Source

SHARES = SplitShares(0.5, 0.25, 0.25)

graphs = st.integers(1, 12).flatmap(
    lambda n: st.tuples(
        st.lists(st.integers(1, 3), min_size=n, max_size=n),
        st.dictionaries(
            st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)).filter(lambda pair: pair[0] < pair[1]),
            st.sampled_from(["duplicate", "alternate"]),
            max_size=20,
        ),
        st.booleans(),
    )
)


@pytest.fixture(scope="module")
def plain(art: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of twelve different pictures."""
    folder: Path = tmp_path_factory.mktemp("plain") / "d"
    extract.extract([Source("art", art)], folder, extract.ExtractOptions(lines=("dilate",)), limit=12)
    return folder


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(graphs)
def test_groups_families_and_fates_obey_their_laws_whatever_looks_alike(
    plain: Path, graph: tuple[list[int], dict[tuple[int, int], str], bool]
) -> None:
    sizes, kinds, drop_alternates = graph
    records = parquet.read_parts(plain / "records").slice(0, len(sizes))
    pictures = gather_pictures(records)
    edges = [Edge(a, b, kind, 1, 1.0, 0.0) for (a, b), kind in sorted(kinds.items())]
    decided = verdicts.decide(pictures, edges, SHARES, verdicts.FixedFates(), drop_alternates=drop_alternates)
    index_by_id = pictures.index_by_id()
    families = defaultdict(list)
    for picture, verdict in enumerate(decided):
        if verdict.dropped == "straddles":
            continue
        families[verdict.family].append(verdict)
        center = index_by_id[verdict.group]
        if verdict.role == "duplicate":  # never of a duplicate, and by an edge of its own
            assert decided[center].role in {"survivor", "alternate"}
            assert kinds[min(picture, center), max(picture, center)] == "duplicate"
            assert pictures.survivor_keys[center] <= pictures.survivor_keys[picture]
            assert verdict.dropped == "duplicate"
        else:
            assert center == picture
    for a, b in kinds:
        if "straddles" not in {decided[a].dropped, decided[b].dropped}:
            assert decided[a].family == decided[b].family
    for members in families.values():
        assert len({verdict.split for verdict in members}) == 1
        assert sum(verdict.role in {"unique", "survivor"} for verdict in members) == 1
        kept = sum(verdict.dropped is None for verdict in members)
        assert kept == 1 if drop_alternates else kept >= 1
