"""How to launch sparse MLA decode, from what mla-tune found out.

    from mla_tune import Dispatch, Query

    with Dispatch("tuning.db", "gfx950") as table:
        answer = table.lookup(Query(heads=16, tokens=8, main_len=128, extra_len=1024))
        print(answer.grade, answer.evidence, answer.params["block_k"])

The rules of matching are those of kernels/dispatch.hpp; this is ctypes over kernels/mla_dispatch.h.
"""

from __future__ import annotations

import ctypes
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Union

__all__ = ["Answer", "Dispatch", "DispatchError", "Query"]

_GRADES = ("none", "exact", "nearest", "fallback", "predicted")
_EVIDENCE = (None, "measured", "predicted")


class _Options(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t)] + [
        (name, ctypes.c_char_p) for name in ("arch", "variant", "release", "driver", "public_key")
    ] + [(name, ctypes.c_int32)
         for name in ("eager", "allow_untrusted", "no_nearest", "no_predicted", "log", "reserved")]


class _Problem(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t)] + [
        (name, ctypes.c_int32)
        for name in ("heads", "tokens", "main_capacity", "extra_capacity", "main_page",
                     "extra_page", "main_format", "extra_format", "has_sink", "wants_lse")
    ]


class _PlanInfo(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_size_t),
        ("grade", ctypes.c_int32),
        ("evidence", ctypes.c_int32),
        ("variant", ctypes.c_char_p),
        ("params", ctypes.c_char_p),
        ("release", ctypes.c_char_p),
        ("median_us", ctypes.c_double),
        ("workspace_bytes", ctypes.c_int64),
    ] + [
        (name, ctypes.c_int32)
        for name in ("release_differs", "has_code", "kernel_count", "splits", "split_main",
                     "split_extra", "split_map", "tuned_heads", "tuned_tokens", "tuned_main_len",
                     "tuned_extra_len", "tuned_main_page", "tuned_extra_page")
    ] + [
        ("decode_grid", ctypes.c_uint32 * 3),
        ("decode_block", ctypes.c_uint32),
        ("decode_dynamic_lds", ctypes.c_uint32),
        ("reduce_grid", ctypes.c_uint32 * 3),
        ("reduce_block", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
    ]


_NO_DEVICE = -1


class DispatchError(RuntimeError):
    """What the library refused; `status` is a value of mla_status."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Query:
    """The shape of one launch. Lengths are keys per query token; extra_len 0: no extra scope."""

    heads: int
    tokens: int
    main_len: int
    extra_len: int = 0
    main_page: int = 64  # tokens
    extra_page: int = 64
    main_format: int = 1  # 1 OCP, 2 FNUZ (gfx942's main scope)
    extra_format: int = 1


@dataclass(frozen=True)
class Answer:
    """How to launch, and how good the match is."""

    grade: str  # "exact", "nearest", "predicted" or "fallback"
    evidence: Optional[str]  # "measured" or "predicted"; None for a fallback
    variant: str
    params: dict[str, Any]
    median_us: float  # of tuned_for, not of the query
    workspace_bytes: int
    splits: int
    decode_grid: tuple[int, int, int]
    decode_block: int
    decode_dynamic_lds: int  # bytes to ask for at the launch
    reduce_grid: tuple[int, int, int]
    reduce_block: int  # 0: no reduce kernel follows
    tuned_for: Optional[dict[str, int]]


def _library_path() -> str:
    """$MLA_DISPATCH_LIBRARY, else beside this package, else wherever the loader looks."""
    chosen = os.environ.get("MLA_DISPATCH_LIBRARY")
    if chosen:
        return chosen
    name = "libmla_dispatch.so"
    here = Path(__file__).resolve().parent
    for folder in (here, here.parents[1] / "build", here.parents[1] / "lib", here.parents[2]):
        if (folder / name).exists():
            return str(folder / name)
    return name


class Dispatch:
    """The winners of one arch. Lookups may come from any number of threads."""

    def __init__(self, database: Union[str, os.PathLike[str]], arch: str,
                 library: Union[str, os.PathLike[str], None] = None):
        self._table = ctypes.c_void_p()
        try:
            self._library = ctypes.CDLL(os.fspath(library or _library_path()))
        except OSError as error:
            raise DispatchError(
                6, f"{error}: build it, or set MLA_DISPATCH_LIBRARY to libmla_dispatch.so") from None
        self._library.mla_last_error.restype = ctypes.c_char_p
        self._library.mla_close.argtypes = [ctypes.c_void_p]
        self._library.mla_close.restype = None
        options = _Options(size=ctypes.sizeof(_Options), arch=arch.encode())
        self._check(self._library.mla_open(os.fsencode(database), _NO_DEVICE, ctypes.byref(options),
                                           ctypes.byref(self._table)))

    def _check(self, status: int) -> None:
        if status != 0:
            raise DispatchError(status,
                                self._library.mla_last_error().decode(errors="replace"))

    def lookup(self, query: Query) -> Answer:
        """How to launch `query`; raises DispatchError where it is out of range."""
        if not self._table:
            raise DispatchError(8, "the table is closed")
        asked = _Problem(ctypes.sizeof(_Problem), query.heads, query.tokens, query.main_len,
                         query.extra_len, query.main_page, query.extra_page, query.main_format,
                         query.extra_format)
        plan = ctypes.c_void_p()
        self._check(self._library.mla_plan(self._table, ctypes.byref(asked), ctypes.byref(plan)))
        found = _PlanInfo(size=ctypes.sizeof(_PlanInfo))
        self._check(self._library.mla_get_plan_info(plan, ctypes.byref(found)))
        evidence = _EVIDENCE[found.evidence]
        tuned_for = None
        if evidence is not None:
            tuned_for = {
                name: getattr(found, "tuned_" + name)
                for name in ("heads", "tokens", "main_len", "extra_len", "main_page", "extra_page")
            }
        return Answer(
            grade=_GRADES[found.grade],
            evidence=evidence,
            variant=found.variant.decode(),
            params=json.loads(found.params or b"{}"),
            median_us=found.median_us,
            workspace_bytes=found.workspace_bytes,
            splits=found.splits,
            decode_grid=tuple(found.decode_grid),
            decode_block=found.decode_block,
            decode_dynamic_lds=found.decode_dynamic_lds,
            reduce_grid=tuple(found.reduce_grid),
            reduce_block=found.reduce_block,
            tuned_for=tuned_for,
        )

    def close(self) -> None:
        """Lets the winners go; harmless when done twice."""
        if self._table:
            self._library.mla_close(self._table)
            self._table = ctypes.c_void_p()

    def __enter__(self) -> "Dispatch":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
