"""The few functions of ggml that time one matrix product; called in a process of its own alone.

Bound by hand: `llama_cpp` binds none of them, and importing it takes longer than the measurement.
Source: ggml.h, ggml-backend.h, ggml-cpu.h of ggml 0.25.3, as in llama-cpp-python 0.3.36.
"""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import POINTER, c_bool, c_char_p, c_int, c_int64, c_size_t, c_void_p
from pathlib import Path
from typing import Any

_GRAPH_BYTES = 1 << 20
_F32 = 0
_SUFFIX = {"darwin": ".dylib", "win32": ".dll"}.get(sys.platform, ".so")
_PREFIX = "" if sys.platform == "win32" else "lib"


class _InitParams(ctypes.Structure):
    _fields_ = (("mem_size", c_size_t), ("mem_buffer", c_void_p), ("no_alloc", c_bool))


_BASE: dict[str, tuple[Any, ...]] = {
    "ggml_init": (c_void_p, _InitParams),
    "ggml_free": (None, c_void_p),
    "ggml_new_tensor_2d": (c_void_p, c_void_p, c_int, c_int64, c_int64),
    "ggml_mul_mat": (c_void_p, c_void_p, c_void_p, c_void_p),
    "ggml_new_graph": (c_void_p, c_void_p),
    "ggml_build_forward_expand": (None, c_void_p, c_void_p),
    "ggml_row_size": (c_size_t, c_int, c_int64),
    "ggml_nbytes": (c_size_t, c_void_p),
    "ggml_log_set": (None, c_void_p, c_void_p),
    "ggml_backend_alloc_ctx_tensors_from_buft": (c_void_p, c_void_p, c_void_p),
    "ggml_backend_buffer_free": (None, c_void_p),
    "ggml_backend_tensor_set": (None, c_void_p, c_void_p, c_size_t, c_size_t),
    "ggml_backend_graph_compute": (c_int, c_void_p, c_void_p),
    "ggml_backend_cpu_buffer_type": (c_void_p,),
    "ggml_backend_reg_dev_get": (c_void_p, c_void_p, c_size_t),
    "ggml_backend_reg_get_proc_address": (c_void_p, c_void_p, c_char_p),
    "ggml_backend_dev_supports_op": (c_bool, c_void_p, c_void_p),
}
_CPU: dict[str, tuple[Any, ...]] = {
    "ggml_backend_cpu_init": (c_void_p,),
    "ggml_backend_cpu_set_n_threads": (None, c_void_p, c_int),
    "ggml_backend_cpu_reg": (c_void_p,),
}


def library_file(folder: Path, name: str) -> Path:
    """Where the library `name` of an installed llama.cpp lies; it need not exist."""
    return folder / f"{_PREFIX}{name}{_SUFFIX}"


class Ggml:
    """ggml's CPU backend, with one thread.

    Raises:
        OSError: a library is missing or does not load.
        AttributeError: it lacks a function.
    """

    def __init__(self, folder: Path) -> None:
        self._base = _bind(ctypes.CDLL(str(library_file(folder, "ggml-base"))), _BASE)
        self._cpu = _bind(ctypes.CDLL(str(library_file(folder, "ggml-cpu"))), _CPU)
        self._quiet = ctypes.CFUNCTYPE(None, c_int, c_char_p, c_void_p)(lambda *_: None)
        self._base["ggml_log_set"](ctypes.cast(self._quiet, c_void_p), None)
        self._backend = self._cpu["ggml_backend_cpu_init"]()
        self._cpu["ggml_backend_cpu_set_n_threads"](self._backend, 1)
        registry = self._cpu["ggml_backend_cpu_reg"]()
        self._device = self._base["ggml_backend_reg_dev_get"](registry, 0)
        self._layouts = [*self._extra_layouts(registry), None]

    def _extra_layouts(self, registry: int) -> list[int]:
        """Kinds of buffers whose weights are laid out anew for faster kernels."""
        find = self._base["ggml_backend_reg_get_proc_address"]
        address = find(registry, b"ggml_backend_dev_get_extra_bufts")
        if not address:
            return []
        listed = ctypes.CFUNCTYPE(POINTER(c_void_p), c_void_p)(address)(self._device)
        found: list[int] = []
        while (layout := listed[len(found)]) is not None:
            found.append(layout)
        return found

    def row_bytes(self, type_code: int, columns: int) -> int:
        """Bytes of one row of weights."""
        return int(self._base["ggml_row_size"](type_code, columns))

    def time_product(self, type_code: int, columns: int, rows: int, budget_s: float) -> float:
        """Seconds that a matrix of this type times one vector takes at best."""
        with self._product(type_code, columns, rows) as graph:
            compute = self._base["ggml_backend_graph_compute"]
            best, count, started = float("inf"), 0, time.perf_counter()
            while count < 3 or time.perf_counter() - started < budget_s:
                before = time.perf_counter()
                compute(self._backend, graph)
                best = min(best, time.perf_counter() - before)
                count += 1
            return best

    @contextmanager
    def _product(self, type_code: int, columns: int, rows: int) -> Iterator[int]:
        """The graph of a product, its weights in the layout that llama.cpp would give them."""
        base = self._base
        for layout in self._layouts:
            weights_room = base["ggml_init"](_InitParams(4096, None, True))
            room = base["ggml_init"](_InitParams(_GRAPH_BYTES, None, True))
            weights = base["ggml_new_tensor_2d"](weights_room, type_code, columns, rows)
            vector = base["ggml_new_tensor_2d"](room, _F32, columns, 1)
            product = base["ggml_mul_mat"](room, weights, vector)
            graph = base["ggml_new_graph"](room)
            base["ggml_build_forward_expand"](graph, product)
            buffers = [self._allocate(weights_room, layout), self._allocate(room, None)]
            try:
                if layout is None or self._supports(product):
                    self._clear(weights)
                    self._clear(vector)
                    yield graph
                    return
            finally:
                for buffer in buffers:
                    base["ggml_backend_buffer_free"](buffer)
                base["ggml_free"](room)
                base["ggml_free"](weights_room)

    def _allocate(self, room: int, layout: int | None) -> int:
        kind = layout or self._base["ggml_backend_cpu_buffer_type"]()
        return int(self._base["ggml_backend_alloc_ctx_tensors_from_buft"](room, kind))

    def _supports(self, product: int) -> bool:
        return bool(self._base["ggml_backend_dev_supports_op"](self._device, product))

    def _clear(self, tensor: int) -> None:
        size = self._base["ggml_nbytes"](tensor)
        self._base["ggml_backend_tensor_set"](tensor, bytes(size), 0, size)


def _bind(library: ctypes.CDLL, functions: dict[str, tuple[Any, ...]]) -> dict[str, Any]:
    bound = {}
    for name, (result, *arguments) in functions.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
        bound[name] = function
    return bound
