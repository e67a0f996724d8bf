"""Arrays in a file come back as they were; what is none of ours, or cut short, is an error and never an array."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from backtester import arrays

KINDS = {
    "prices": np.array([[1.5, np.nan, -0.0], [np.inf, 5e-324, 3.0]]),
    "counts": np.arange(6, dtype=np.int32).reshape(3, 2).T,
    "held": np.array([True, False]),
    "days": np.array(["2024-02-29", "NaT"], "datetime64[D]"),
    "records": np.array([(1, 2.5), (2, np.nan)], np.dtype([("id", np.int64), ("price", np.float64)])),
    "nothing": np.zeros((0, 4)),
    "one": np.array(7, np.uint16),
}


def test_every_kind_comes_back_to_the_bit(tmp_path: Path) -> None:
    arrays.write(tmp_path / "kept.arrow", KINDS)
    for found in (arrays.read(tmp_path / "kept.arrow"), arrays.of_bytes((tmp_path / "kept.arrow").read_bytes())):
        assert list(found) == list(KINDS)
        for name, values in KINDS.items():
            assert (found[name].dtype, found[name].shape) == (values.dtype, values.shape)
            assert found[name].tobytes() == values.tobytes()
            assert not found[name].flags.writeable or not found[name].size


def test_the_content_in_memory_is_that_of_the_file_and_parts_of_arrays_are_taken_in_their_order(tmp_path: Path) -> None:
    parts = {"columns": np.arange(12.0).reshape(3, 4)[:, 1:3], "rows": np.arange(12).reshape(3, 4).T}
    arrays.write(tmp_path / "kept.arrow", KINDS | parts)
    content = arrays.as_bytes(KINDS | parts)
    assert content == (tmp_path / "kept.arrow").read_bytes()
    assert arrays.of_bytes(bytes(content))["columns"].tolist() == [[1.0, 2.0], [5.0, 6.0], [9.0, 10.0]]


@pytest.mark.parametrize("values", [np.array(["a", None], object), np.array(["text"]), np.array([1j])])
def test_objects_and_text_are_refused(values: np.ndarray, tmp_path: Path) -> None:
    """S-09: nothing that would have to be pickled."""
    with pytest.raises(TypeError, match="odd: arrays of"):
        arrays.write(tmp_path / "kept.arrow", {"odd": values})


def test_a_file_that_is_cut_short_anywhere_is_an_error(tmp_path: Path) -> None:
    arrays.write(tmp_path / "kept.arrow", KINDS)
    whole = (tmp_path / "kept.arrow").read_bytes()
    for length in range(0, len(whole), 97):
        with pytest.raises((ValueError, OSError)):
            arrays.of_bytes(whole[:length])


def test_another_arrow_file_is_an_error(tmp_path: Path) -> None:
    schema = pa.schema([("a", pa.int64())])
    with pa.OSFile(str(tmp_path / "other.arrow"), "wb") as sink, pa.ipc.new_file(sink, schema):
        pass
    with pytest.raises(ValueError, match="no file of arrays"):
        arrays.read(tmp_path / "other.arrow")
