"""Parcel: words, numbers and arrays in a file that lies in memory alone, handed from one process to another by its descriptor.

Place in the flow: between the run and the process of a strategy (`apart`, `child`). Such a file has no name and is gone when nobody
has it open any more, however its processes end. Never holds code: only JSON, and the bytes of arrays.

    bytes    0 .. 8             length of the JSON text
             8 .. 8 + length    the nest; an array stands in it as {"dtype": "<f8", "shape": [2, 390], "offset": 64}
             from a whole 64    the arrays' bytes, each at its offset
"""

from __future__ import annotations

import json
import mmap
import os
import socket
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

ALIGNED = 64
_ARRAY = {"dtype", "shape", "offset"}


def packed(value: Any) -> int:
    """The descriptor of a new parcel that holds a nest of mappings (with words as keys), sequences, words, numbers and arrays."""
    arrays: list[tuple[int, NDArray[Any]]] = []
    text = json.dumps(_plain(value, arrays)).encode()
    begin = _whole(8 + len(text))
    number = os.memfd_create("backtester")
    try:
        with open(number, "wb", closefd=False) as file:
            file.write(len(text).to_bytes(8, "little") + text)
            for offset, array in arrays:
                file.seek(begin + offset)
                file.write(array.view(np.uint8).data)
            file.truncate(begin + sum(_whole(array.nbytes) for _, array in arrays))
    except BaseException:
        os.close(number)
        raise
    return number


def unpacked(number: int, *, shared: bool) -> Any:
    """What a parcel holds; its descriptor is closed. Arrays are read-only: the parcel's own pages where `shared`, else a copy."""
    try:
        size = os.fstat(number).st_size
        content: Any = mmap.mmap(number, size, access=mmap.ACCESS_READ) if shared else _content(number, size)
    finally:
        os.close(number)
    length = int.from_bytes(content[:8], "little")
    begin = _whole(8 + length)

    def array(found: dict[str, Any]) -> Any:
        if set(found) != _ARRAY or not isinstance(found["dtype"], str):
            return found
        count = int(np.prod(found["shape"], dtype=np.int64))
        kind = np.dtype(found["dtype"])
        flat = np.frombuffer(content, kind, count, begin + found["offset"]) if count else np.zeros(0, kind)
        return flat.reshape(found["shape"])

    return json.loads(content[8 : 8 + length], object_hook=array)


def send(line: socket.socket, number: int) -> None:
    """Hand a parcel on; the sender keeps its own descriptor."""
    socket.send_fds(line, [b"P"], [number])


def receive(line: socket.socket) -> int | None:
    """The descriptor of the next parcel; None where the other side is gone."""
    try:
        word, numbers, _, _ = socket.recv_fds(line, 1, 1)
    except ConnectionResetError:
        return None
    return numbers[0] if word and numbers else None


def _plain(value: Any, arrays: list[tuple[int, NDArray[Any]]]) -> Any:
    """The nest with a note in place of every array, which goes into the list with its offset."""
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            raise TypeError("an array of objects cannot be put into a parcel")
        flat = np.ascontiguousarray(value).reshape(-1)
        offset = arrays[-1][0] + _whole(arrays[-1][1].nbytes) if arrays else 0
        arrays.append((offset, flat))
        return {"dtype": flat.dtype.str, "shape": list(value.shape), "offset": offset}
    if isinstance(value, Mapping):
        return {key: _plain(held, arrays) for key, held in value.items()}
    return [_plain(item, arrays) for item in value] if isinstance(value, list | tuple) else value


def _whole(size: int) -> int:
    return -(-size // ALIGNED) * ALIGNED


def _content(number: int, size: int) -> bytes:
    with open(number, "rb", closefd=False) as file:
        file.seek(0)
        return file.read(size)
