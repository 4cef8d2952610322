"""The kernel of vLLM's ROCm backend for DeepSeek-V4, by mla-tune's plans.

    decode = SparseAttnDecode(Dispatcher("dsv4.mla", device="cuda:0"),
                              backend.rocm_sparse_attn_decode)
    decode.reserve(heads=16, tokens=512)
    backend.rocm_sparse_attn_decode = decode

where `backend` is the module that calls that function.
What it cannot do is left to the function that it stands for, and said once, by logging.
"""

from __future__ import annotations

import logging
from typing import Any, Callable, Mapping, Optional

import torch

from . import _library as lib
from .dispatcher import Dispatcher, DispatchError, Problem
from .op import HEAD_DIM, sparse_mla_decode

_log = logging.getLogger("mla_tune")
_Tensors = tuple[Optional[torch.Tensor], Optional[torch.Tensor], Optional[torch.Tensor]]
# Of a problem or a file, not of the device: the engine's own kernel may well do.
_PASSED_ON = (lib.USAGE, lib.DATABASE, lib.ARCH, lib.NO_CODE)


class SparseAttnDecode:
    """Takes what rocm_sparse_attn_decode takes, and writes `output`.

    Layers of a kind (window alone; compressed by 4; compressed by 128) differ in the width and the
    page of their lists, and share the plans for their (heads, tokens). A list is as long as its
    index tensor is wide; where that is far more than lists have, as for compression by 128 with
    long contexts allowed, `typical` maps page sizes of the compressed cache to the keys a token to
    be fast for. `fallback` None raises instead.
    """

    def __init__(self, dispatcher: Dispatcher, fallback: Optional[Callable[..., Any]] = None, *,
                 main_format: str = "ocp", extra_format: str = "ocp",
                 typical: Optional[Mapping[int, int]] = None):
        self.dispatcher, self.fallback = dispatcher, fallback
        self.main_format, self.extra_format = main_format, extra_format
        self.typical = dict(typical or {})
        self.launched = self.passed_on = 0  # calls
        self._warned = False

    def reserve(self, heads: int, tokens: int, main_capacity: int = 128,
                extra: Mapping[int, int] = {64: 1024, 2: 8192}, *, has_sink: bool = True) -> None:
        """Room for every launch of up to `tokens` rows, before graphs are captured.

        `extra` maps pages of the compressed cache to the width of their index tensors. Every count
        of tokens is planned, because fewer tokens may take more splits.
        """
        layers = [(page, min(width, self.typical.get(page, width)))
                  for page, width in extra.items()] + [(64, 0)]
        self.dispatcher.reserve(*(
            Problem(heads=heads, tokens=count, main_capacity=main_capacity, extra_capacity=width,
                    extra_page=page, main_format=self.main_format,
                    extra_format=self.extra_format, has_sink=has_sink)
            for count in range(1, tokens + 1) for page, width in layers))

    def __call__(self, q: torch.Tensor, kv_cache: Optional[torch.Tensor],
                 swa_k_cache: torch.Tensor, swa_only: bool,
                 topk_indices: Optional[torch.Tensor], topk_lens: Optional[torch.Tensor],
                 swa_indices: torch.Tensor, swa_lens: torch.Tensor,
                 swa_ragged_indices: Optional[torch.Tensor],
                 swa_ragged_indptr: Optional[torch.Tensor],
                 topk_ragged_indices: Optional[torch.Tensor],
                 topk_ragged_indptr: Optional[torch.Tensor], attn_sink: Optional[torch.Tensor],
                 scale: float, head_dim: int, nope_head_dim: int, rope_head_dim: int,
                 output: torch.Tensor) -> None:
        reason: Optional[Exception] = None
        extra = (None, None, None) if swa_only else (kv_cache, topk_ragged_indices,
                                                     topk_ragged_indptr)
        if (head_dim, nope_head_dim, rope_head_dim) != (HEAD_DIM, 448, 64):
            reason = ValueError(f"heads of {nope_head_dim} + {rope_head_dim} columns, not 448 + 64")
        elif swa_ragged_indices is None or (not swa_only and topk_ragged_indices is None):
            reason = ValueError("lists that are not ragged")
        else:
            reason = self._run(q, (swa_k_cache, swa_ragged_indices, swa_ragged_indptr), extra,
                               swa_indices, topk_indices, attn_sink, scale, output)
        if reason is None:
            self.launched += 1
            return
        if self.fallback is None:
            raise reason
        if not self._warned:
            self._warned = True
            _log.warning("mla_tune: %s. Such calls are left to %s; this is said once.", reason,
                         getattr(self.fallback, "__name__", "the fallback"))
        self.passed_on += 1
        self.fallback(q, kv_cache, swa_k_cache, swa_only, topk_indices, topk_lens, swa_indices,
                      swa_lens, swa_ragged_indices, swa_ragged_indptr, topk_ragged_indices,
                      topk_ragged_indptr, attn_sink, scale, head_dim, nope_head_dim,
                      rope_head_dim, output)

    def _run(self, q: torch.Tensor, main: _Tensors, extra: _Tensors, main_dense: torch.Tensor,
             extra_dense: Optional[torch.Tensor], attn_sink: Optional[torch.Tensor], scale: float,
             output: torch.Tensor) -> Optional[Exception]:
        """None, or why not."""
        heads = q.shape[1]
        if attn_sink is not None:
            attn_sink = attn_sink[:heads]
        capacity = 0  # the mean of the lists there are
        if extra[0] is not None and extra_dense is not None:
            width, page = extra_dense.shape[-1], extra[0].shape[1]
            capacity = min(width, self.typical.get(page, width))
        try:
            sparse_mla_decode(self.dispatcher, q, *main, *extra, attn_sink, output, scale=scale,
                              main_capacity=main_dense.shape[-1], extra_capacity=capacity,
                              main_format=self.main_format, extra_format=self.extra_format)
        except ValueError as error:
            return error
        except DispatchError as error:
            if error.status not in _PASSED_ON:
                raise
            return error
        return None
