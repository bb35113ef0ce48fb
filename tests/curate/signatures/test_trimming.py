import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from curate.signatures.trimming import BORDER_TOLERANCE, drawn_slices, trim_white_borders

sides = st.integers(1, 90)
levels = st.sampled_from(
    [0, 254 - BORDER_TOLERANCE, 255 - BORDER_TOLERANCE, 255]
)  # just within and beyond the tolerance of a border


@given(arrays(np.uint8, st.tuples(sides, sides), elements=levels, fill=st.just(255)))
def test_drawn_slices_are_the_smallest_box_around_what_is_drawn(gray: np.ndarray) -> None:
    rows, columns = np.nonzero(gray < 255 - BORDER_TOLERANCE)
    expected = (slice(0, gray.shape[0]), slice(0, gray.shape[1]))
    if rows.size:
        expected = (slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1))
    assert drawn_slices(gray) == expected


def test_white_borders_are_trimmed_and_blank_paper_is_not() -> None:
    rgb = np.full((20, 30, 3), 255, np.uint8)
    assert trim_white_borders(rgb).shape == (20, 30, 3)
    rgb[4:9, 7:20] = 0
    assert trim_white_borders(rgb).shape == (5, 13, 3)
