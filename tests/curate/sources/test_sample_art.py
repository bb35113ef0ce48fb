import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from curate.images.decode import decode
from curate.images.lineart import opencv_gray
from curate.sources import sample_art
from curate.system.errors import MissingExtraError
from curate.tags.sidecar import Sidecar, read_sidecar

Tree = Callable[[Path], dict[str, bytes]]


def sidecar(art: Path, code: str) -> Sidecar:
    return read_sidecar("a.json", (art / f"{code}.png.json").read_bytes())


def test_a_sidecar_is_a_danbooru_post_with_licence_and_artist(art: Path) -> None:
    post = json.loads((art / "1F44B-1F3FD.png.json").read_bytes())
    assert {"waving_hand", "medium_skin_tone"} <= set(post["tag_string_general"].split())
    assert (post["license"], post["artist"], post["rating"]) == ("CC BY-SA 4.0", "OpenMoji", "g")
    assert "openmoji" in post["attribution"].lower()
    assert "artist:openmoji" in sidecar(art, "1F44B-1F3FD").tags


def test_members_of_a_tone_family_differ_only_in_the_tag_of_their_tone(art: Path) -> None:
    codes = ["1F44B", *(f"1F44B-{tone}" for tone in sample_art.SKIN_TONES)]
    tags = {code: set(sidecar(art, code).tags) for code in codes}
    shared = set.intersection(*tags.values())
    assert {code: own - shared for code, own in tags.items()} == {
        "1F44B": {"yellow_skin_tone"},
        **{f"1F44B-{point}": {f"{tone}_skin_tone"} for point, tone in sample_art.SKIN_TONES.items()},
    }


@pytest.mark.parametrize(
    ("code", "color", "noun"), [("1F499", "blue", "heart"), ("1F49B", "yellow", "heart"), ("1F4D7", "green", "book")]
)
def test_a_colour_in_the_name_is_also_a_separate_tag(art: Path, code: str, color: str, noun: str) -> None:
    assert {color, noun, f"{color}_{noun}"} <= set(sidecar(art, code).tags)


def test_a_colour_that_is_only_a_keyword_is_not_a_tag(art: Path) -> None:
    """em-keyboard still calls the red heart black, by its old name in Unicode."""
    assert "black" not in sidecar(art, "2764").tags
    assert {"red", "heart"} <= set(sidecar(art, "2764").tags)


def test_line_drawings_match_the_ink_of_their_pictures(art: Path) -> None:
    for path in sorted(art.glob("*.png")):
        lines = opencv_gray(decode((sample_art.line_art_folder(art) / path.name).read_bytes()).rgb)
        picture = opencv_gray(decode(path.read_bytes()).rgb)
        assert lines.shape == picture.shape == (256, 256)
        assert 0.005 < (lines < 128).mean() < 0.5
        assert np.mean(picture[lines < 64] < 128) > 0.95  # where the artist drew ink, the picture is dark


def test_all_tones_of_a_family_have_the_same_line_drawing(art: Path) -> None:
    drawings = [path.read_bytes() for path in sorted(sample_art.line_art_folder(art).glob("1F44B-*.png"))]
    assert len(drawings) == 5
    assert len(set(drawings)) == 1


def test_pictures_do_not_depend_on_the_number_of_workers_and_are_not_drawn_twice(tmp_path: Path, tree: Tree) -> None:
    counts = [sample_art.draw_openmoji(tmp_path / str(workers), 32, workers, limit=70) for workers in (1, 2)]
    assert counts[0] == counts[1]
    assert counts[0]["pictures"] == 70
    assert tree(tmp_path / "1") == tree(tmp_path / "2")
    assert tree(tmp_path / "1.lines") == tree(tmp_path / "2.lines")
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    sample_art.draw_openmoji(tmp_path / "1", 32, limit=70)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")} == stamps


def test_without_the_extra_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "resvg_py" else find(name, *rest)
    )
    with pytest.raises(MissingExtraError, match=r"pip install 'nurie\[demo\]'"):
        sample_art.draw_openmoji(tmp_path / "art")
    assert not list(tmp_path.iterdir())


def test_tone_families_are_counted_by_code_without_tones() -> None:
    assert sample_art.tone_family_sizes(["1F44B", "1F44B-1F3FD", "1F408"]) == {"1F44B": 2, "1F408": 1}
