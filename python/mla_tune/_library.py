"""The structs and functions of kernels/mla_dispatch.h, whose contract holds here."""

from __future__ import annotations

import ctypes
import os
from ctypes import c_char_p, c_double, c_float, c_int32, c_int64, c_size_t, c_uint32, c_void_p
from pathlib import Path
from typing import Any, Callable, Optional, Union

PathLike = Union[str, "os.PathLike[str]"]

NO_DEVICE = -1
USAGE, DATABASE, DEVICE, CLOSED, ARCH, NO_CODE = 2, 3, 5, 8, 9, 10
WORKSPACE_ALIGNMENT = 256  # bytes
COUNTER_BYTES = 16384  # that a workspace begins with

GRADES = ("none", "exact", "nearest", "fallback", "predicted")
EVIDENCE = (None, "measured", "predicted")
FORMATS = {"ocp": 1, "fnuz": 2}
SWITCHES = {None: 0, True: 1, False: 2}


class DispatchError(RuntimeError):
    """What the library refused; `status` is a value of mla_status."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status


def _of(kind: Any, names: str) -> list[tuple[str, Any]]:
    return [(name, kind) for name in names.split()]


class Options(ctypes.Structure):
    _fields_ = (_of(c_size_t, "size") + _of(c_char_p, "arch variant release driver public_key")
                + _of(c_int32, "eager allow_untrusted no_nearest no_predicted log"
                      " zeroed_workspaces"))


class Problem(ctypes.Structure):
    _fields_ = _of(c_size_t, "size") + _of(
        c_int32, "heads tokens main_capacity extra_capacity main_page extra_page main_format"
        " extra_format has_sink wants_lse")


class PlanInfo(ctypes.Structure):
    _fields_ = (_of(c_size_t, "size") + _of(c_int32, "grade evidence")
                + _of(c_char_p, "variant params release") + _of(c_double, "median_us")
                + _of(c_int64, "workspace_bytes")
                + _of(c_int32, "release_differs has_code kernel_count splits split_main split_extra"
                      " split_map tuned_heads tuned_tokens tuned_main_len tuned_extra_len"
                      " tuned_main_page tuned_extra_page")
                + _of(c_uint32 * 3, "decode_grid") + _of(c_uint32, "decode_block decode_dynamic_lds")
                + _of(c_uint32 * 3, "reduce_grid") + _of(c_uint32, "reduce_block last_merges grid_order reserved"))


class DispatcherInfo(ctypes.Structure):
    _fields_ = (_of(c_size_t, "size") + _of(c_char_p, "arch device release")
                + _of(c_int32, "has_code winners passed_over plans code_objects reserved"))


class Scope(ctypes.Structure):
    _fields_ = (_of(c_void_p, "cache indices indptr") + _of(c_int64, "page_stride")
                + _of(c_int32, "page_size rows format ragged"))


class LaunchArgs(ctypes.Structure):
    _fields_ = (_of(c_size_t, "size") + _of(c_int32, "tokens heads") + _of(c_void_p, "q")
                + _of(c_int64, "q_token_stride q_head_stride") + _of(Scope, "main extra")
                + _of(c_void_p, "sink out") + _of(c_int64, "out_token_stride out_head_stride")
                + _of(c_void_p, "lse") + _of(c_int64, "lse_token_stride") + _of(c_float, "scale")
                + _of(c_int32, "reserved"))


def sized(struct: Any, **fields: Any) -> Any:
    """A struct that says its own size."""
    return struct(size=ctypes.sizeof(struct), **fields)


def library_path() -> str:
    """$MLA_DISPATCH_LIBRARY, else beside this package, else wherever the loader looks."""
    chosen = os.environ.get("MLA_DISPATCH_LIBRARY")
    if chosen:
        return chosen
    here = Path(__file__).resolve().parent
    for folder in (here, here.parents[1] / "build", here.parents[1] / "lib", here.parents[2]):
        for name in ("libmla_dispatch.so", "libmla_dispatch.so.0"):
            if (folder / name).exists():
                return str(folder / name)
    return "libmla_dispatch.so.0"


class Library:
    """libmla_dispatch.so; `call` raises DispatchError where it answers anything but MLA_OK."""

    def __init__(self, path: Optional[PathLike] = None):
        try:
            self.c = ctypes.CDLL(os.fspath(path or library_path()))
        except OSError as error:
            raise DispatchError(
                6, f"{error}: build it, or set MLA_DISPATCH_LIBRARY to libmla_dispatch.so") from None
        self.c.mla_version.restype = c_char_p
        self.c.mla_last_error.restype = c_char_p
        self.c.mla_close.argtypes = [c_void_p]
        self.c.mla_close.restype = None
        self.c.mla_launch.argtypes = [c_void_p, c_void_p, c_void_p, c_size_t, c_void_p]

    def call(self, function: Callable[..., int], *arguments: Any) -> None:
        status = function(*arguments)
        if status != 0:
            raise DispatchError(status, self.c.mla_last_error().decode(errors="replace"))
