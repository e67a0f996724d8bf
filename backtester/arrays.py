"""Arrays in a file: named numpy arrays as one Arrow IPC file, read back through a memory map, or such a file's content in memory.

Place in the flow: the lowest floor; checkpoints and the cache of prepared sessions keep their columns in it. Never pickles: an array
is its bytes, its shape and its dtype, which is made of numbers, truth values and days only.

    metadata        "arrays": a JSON list of [name, dtype, shape]
    record batches  one an array, in that order: a row of the column `data`, which holds its bytes in C order
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Array = NDArray[Any]
_DATA = pa.field("data", pa.large_binary(), nullable=False)
_KEY = b"arrays"
_KINDS = frozenset("biufM")


def write(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays into the file at `path`; no bytes are copied on the way. OSError as it comes, TypeError on objects and text."""
    with pa.OSFile(str(path), "wb") as sink:
        _put(sink, arrays)


def as_bytes(arrays: Mapping[str, Array]) -> memoryview:
    """The content of such a file. TypeError on objects and text."""
    sink = pa.BufferOutputStream()
    _put(sink, arrays)
    return memoryview(sink.getvalue()).cast("B")


def _put(sink: Any, arrays: Mapping[str, Array]) -> None:
    flat = {name: np.asarray(values, order="C") for name, values in arrays.items()}
    listed = [[name, _spelled(name, values.dtype), values.shape] for name, values in flat.items()]
    schema = pa.schema([_DATA]).with_metadata({_KEY: json.dumps(listed).encode()})
    with pa.ipc.new_file(sink, schema) as file:
        for values in flat.values():
            offsets = pa.py_buffer(np.array([0, values.nbytes], np.int64))
            data = pa.py_buffer(values.reshape(-1).view(np.uint8))
            column = pa.LargeBinaryArray.from_buffers(pa.large_binary(), 1, [None, offsets, data])
            file.write_batch(pa.RecordBatch.from_arrays([column], schema=schema))


def read(path: Path) -> dict[str, Array]:
    """The arrays of a file, read-only, on the pages of the file itself. OSError or ValueError where it is none of ours or cut short."""
    with pa.memory_map(str(path)) as source:
        return _arrays(source)


def of_bytes(content: bytes) -> dict[str, Array]:
    """The arrays of a file that is in memory, read-only and without a copy; ValueError where it is none of ours or cut short."""
    return _arrays(pa.BufferReader(pa.py_buffer(content)))


def _arrays(source: Any) -> dict[str, Array]:
    with pa.ipc.open_file(source) as file:
        metadata = file.schema.metadata or {}
        if _KEY not in metadata:
            raise ValueError("no file of arrays")
        listed = json.loads(metadata[_KEY])
        if len(listed) != file.num_record_batches:
            raise ValueError("arrays are missing")
        return {name: _array(file.get_batch(at), dtype, shape) for at, (name, dtype, shape) in enumerate(listed)}


def _array(batch: pa.RecordBatch, dtype: Any, shape: list[int]) -> Array:
    data, kind = batch.column(0).buffers()[2], _dtype(dtype)
    if data is None or not data.size:
        return np.empty(shape, kind)
    return np.frombuffer(data, kind).reshape(shape)


def _spelled(name: str, dtype: np.dtype[Any]) -> Any:
    """A dtype as JSON; TypeError where it holds anything but numbers, truth values and days."""
    if not all(field.kind in _KINDS for field in _fields(dtype)):
        raise TypeError(f"{name}: arrays of {dtype} cannot be kept")
    return dtype.descr if dtype.names else dtype.str


def _dtype(stored: Any) -> np.dtype[Any]:
    """The dtype of its JSON."""
    dtype = np.dtype([(name, kind) for name, kind in stored] if isinstance(stored, list) else stored)
    if not all(field.kind in _KINDS for field in _fields(dtype)):
        raise ValueError(f"no dtype of ours: {stored}")
    return dtype


def _fields(dtype: np.dtype[Any]) -> list[np.dtype[Any]]:
    return [dtype[name] for name in dtype.names] if dtype.names else [dtype]
