from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.system.errors import SidecarError
from curate.tags.aliases import read_aliases, read_implications


def test_an_alias_file_names_its_bad_line(tmp_path: Path) -> None:
    file = tmp_path / "aliases.csv"
    file.write_text("# comment\nblond hair,blonde_hair\n\n")
    assert read_aliases(file) == {"blond_hair": "blonde_hair"}
    file.write_text("a,b\nc\n")
    with pytest.raises(SidecarError, match="line 2"):
        read_aliases(file)


def test_implications_are_followed_to_their_end_and_through_aliases(tmp_path: Path) -> None:
    file = tmp_path / "implications"
    file.write_text("cat_girl,cat ears\ncat_ears\tanimal_ears\nkitty,animal\ncat_ears,ears # two\n")
    implied = read_implications(file, {"kitty": "cat_girl"})
    assert set(implied["cat_girl"]) == {"cat_ears", "animal_ears", "ears", "animal"}
    assert set(implied["cat_ears"]) == {"animal_ears", "ears"}


@pytest.mark.parametrize("lines", ["a,b\nb,c\nc,a\n", "a,a\n", "x,a\na,b\nb,a\n"])
def test_a_cycle_of_implications_is_named(tmp_path: Path, lines: str) -> None:
    file = tmp_path / "implications"
    file.write_text(lines)
    with pytest.raises(SidecarError, match=r"implications: a -> (b -> (c -> )?)?a is a cycle"):
        read_implications(file)


def test_a_chain_longer_than_the_stack_is_followed(tmp_path: Path) -> None:
    file = tmp_path / "implications"
    file.write_text("".join(f"t{n},t{n + 1}\n" for n in range(1200)))
    assert len(read_implications(file)["t0"]) == 1200


@given(st.sets(st.tuples(st.integers(0, 9), st.integers(0, 9))))
def test_implications_are_the_transitive_closure_or_a_cycle(
    tmp_path_factory: pytest.TempPathFactory, pairs: set[tuple[int, int]]
) -> None:
    file = tmp_path_factory.mktemp("t") / "implications"
    file.write_text("".join(f"t{one},t{other}\n" for one, other in pairs))
    closure = set(pairs)
    while more := {(a, d) for a, b in closure for c, d in closure if b == c} - closure:
        closure |= more
    try:
        implied = read_implications(file)
    except SidecarError:
        assert any(one == other for one, other in closure)
    else:
        assert {(tag, one) for tag, all_ in implied.items() for one in all_} == {(f"t{a}", f"t{b}") for a, b in closure}


def test_tags_beside_a_tag_are_counted_over_the_pictures_that_have_it(
    dataset: Path, tmp_path: Path, run: Callable[..., Any]
) -> None:
    told = run("tags", dataset, "--with", "Medium Skin Tone", "--top", 1000)
    assert (told["with"], told["pictures"]) == ("medium_skin_tone", 2)
    assert "medium_skin_tone" not in told["tags"]
    assert told["tags"]["artist:openmoji"] == 2
    (tmp_path / "implications").write_text("medium_skin_tone,skin\n")
    assert run("tags", dataset, "--with", "skin", "--implications", tmp_path / "implications")["pictures"] == 2
