"""Errors carry the option that they are about."""

import pickle

import pytest

from curate.system.errors import DatasetError, NurieError, blame_option


def test_an_error_gets_the_option_of_the_innermost_block() -> None:
    with pytest.raises(DatasetError) as caught, blame_option("dataset"), blame_option("against"):
        raise DatasetError("art is not a dataset folder")
    assert caught.value.option == "against"


def test_an_error_keeps_its_option_on_its_way_from_a_worker() -> None:
    with pytest.raises(NurieError) as caught, blame_option("lines"):
        raise NurieError("no line-art method 'crayon'")
    copied = pickle.loads(pickle.dumps(caught.value))
    assert (str(copied), copied.option) == ("no line-art method 'crayon'", "lines")
