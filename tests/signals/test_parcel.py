"""Parcels: what is packed on one side is unpacked on the other, to the last bit, and nothing is left of it."""

from __future__ import annotations

import math
import os
import socket

import numpy as np
import pytest

from backtester.signals.parcel import packed, receive, send, unpacked

ARRAYS = {
    "floats": np.array([1.5, -0.0, np.nan, np.inf, 5e-324]),
    "table": np.arange(12).reshape(3, 4)[:, ::2],
    "small": np.arange(3, dtype=np.int32),
    "flags": np.array([True, False]),
    "days": np.array(["2024-11-29", "NaT"], dtype="datetime64[D]"),
    "none": np.zeros((0, 7)),
    "one": np.array(3.25),
    "wide": np.broadcast_to(np.array([[1], [2]]), (2, 3)),
}


@pytest.mark.parametrize("shared", [True, False])
def test_arrays_come_out_as_they_went_in(shared: bool) -> None:
    found = unpacked(packed(ARRAYS), shared=shared)
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == np.ascontiguousarray(array).tobytes()


@pytest.mark.parametrize("shared", [True, False])
def test_arrays_that_come_out_cannot_be_written_to(shared: bool) -> None:
    found = unpacked(packed(ARRAYS), shared=shared)
    for array in found.values():
        if array.size:
            assert not array.flags.writeable
            with pytest.raises(ValueError, match="WRITEABLE"):
                array.flags.writeable = True


def test_words_and_numbers_come_out_as_they_went_in() -> None:
    nest = {"": ["a\0b", "\ud83d", None, True, 0.1, 10**30], "dtype": {"shape": 1, "offset": 2, "dtype": 3}, "much": 1.7976931348623157e308}
    assert unpacked(packed(nest), shared=False) == nest
    assert math.isnan(unpacked(packed(float("nan")), shared=False))


def test_names_that_users_choose_are_never_taken_for_an_array() -> None:
    named = {"dtype": np.arange(2), "shape": np.arange(3), "offset": np.arange(4)}
    found = unpacked(packed(named), shared=False)
    assert {name: len(array) for name, array in found.items()} == {"dtype": 2, "shape": 3, "offset": 4}


def test_objects_which_could_be_code_are_refused() -> None:
    with pytest.raises(TypeError, match="array of objects"):
        packed({"a": np.array([print], dtype=object)})
    with pytest.raises(TypeError, match="not JSON serializable"):
        packed({"a": print})


def test_a_parcel_goes_through_a_socket_and_leaves_no_file_behind() -> None:
    before = os.listdir("/proc/self/fd")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        number = packed({"a": np.arange(5)})
        send(ours, number)
        os.close(number)
        came = receive(theirs)
        assert came is not None
        assert unpacked(came, shared=True)["a"].tolist() == [0, 1, 2, 3, 4]
        ours.close()
        assert receive(theirs) is None
    assert os.listdir("/proc/self/fd") == before
