from pathlib import Path

import pytest

from curate.errors import SidecarError
from curate.tally import read_aliases


def test_an_alias_file_names_its_bad_line(tmp_path: Path) -> None:
    file = tmp_path / "aliases.csv"
    file.write_text("# comment\nblond hair,blonde_hair\n\n")
    assert read_aliases(file) == {"blond_hair": "blonde_hair"}
    file.write_text("a,b\nc\n")
    with pytest.raises(SidecarError, match="line 2"):
        read_aliases(file)
