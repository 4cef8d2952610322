"""Sparse MLA decode of DeepSeek-V4 by the fastest kernels that mla-tune found.

    import mla_tune

    dispatcher = mla_tune.Dispatcher("dsv4.mla", device="cuda:0")     # when the model loads
    out = mla_tune.sparse_mla_decode(dispatcher, q, main_cache, main_indices, main_indptr,
                                     extra_cache, extra_indices, extra_indptr, attn_sink=sink)

Plans can be made and looked at without PyTorch and without a GPU:

    with mla_tune.Dispatcher("tuning.db", arch="gfx950") as dispatcher:
        plan = dispatcher.plan(mla_tune.Problem(heads=16, tokens=8, main_capacity=128))
        print(plan.grade, plan.evidence, plan.params["block_k"])

This is ctypes over kernels/mla_dispatch.h, whose contract holds here.
"""

from typing import TYPE_CHECKING, Any

from ._library import DispatchError
from .dispatcher import Dispatcher, Plan, Problem

if TYPE_CHECKING:
    from .op import sparse_mla_decode

__all__ = ["Dispatcher", "DispatchError", "Plan", "Problem", "sparse_mla_decode"]


def __getattr__(name: str) -> Any:
    if name == "sparse_mla_decode":  # imports torch
        from .op import sparse_mla_decode
        globals()[name] = sparse_mla_decode  # what traces a program sees a function like any other
        return sparse_mla_decode
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
