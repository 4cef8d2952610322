"""torch.ops.mla_tune.sparse_mla_decode, and the function around it.

The operator writes into tensors that it is given and returns nothing, so torch.compile and graphs
take it as it is: it neither allocates, nor synchronises, nor looks at a value on the device.
"""

from __future__ import annotations

from typing import Any, Optional

import torch

from . import _library as lib
from .dispatcher import Dispatcher, Plan, Problem, dispatcher_of

HEAD_DIM = 512
ROW_BYTES = 584  # of one cached token
SCALE = HEAD_DIM ** -0.5

_SCHEMA = """sparse_mla_decode(
    int dispatcher, Tensor q,
    Tensor? main_cache, Tensor? main_indices, Tensor? main_indptr,
    Tensor? extra_cache, Tensor? extra_indices, Tensor? extra_indptr,
    Tensor? attn_sink, Tensor(a!) out, Tensor(b!)? lse, Tensor(c!)? workspace,
    float scale, int main_capacity, int extra_capacity, str main_format, str extra_format,
    bool ragged=False) -> ()"""


def sparse_mla_decode(dispatcher: Dispatcher, q: torch.Tensor,
                      main_cache: Optional[torch.Tensor] = None,
                      main_indices: Optional[torch.Tensor] = None,
                      main_indptr: Optional[torch.Tensor] = None,
                      extra_cache: Optional[torch.Tensor] = None,
                      extra_indices: Optional[torch.Tensor] = None,
                      extra_indptr: Optional[torch.Tensor] = None,
                      attn_sink: Optional[torch.Tensor] = None,
                      out: Optional[torch.Tensor] = None, lse: Optional[torch.Tensor] = None,
                      workspace: Optional[torch.Tensor] = None, *, scale: float = SCALE,
                      main_capacity: int = 0, extra_capacity: int = 0, main_format: str = "ocp",
                      extra_format: str = "ocp", ragged: bool = False) -> torch.Tensor:
    """Attention of each query token to the cached tokens of its two lists; returns `out`.

    q, out      bf16 [tokens, heads, 512]; rows dense
    *_cache     uint8 [pages, page_size, 584], pages any distance apart: 448 e4m3 and 64 bf16 for
                each token of a page, then 8 scale bytes for each
    *_indices   int32 [at least indptr[-1]]; slots outside the cache are skipped
    *_indptr    int32 [tokens + 1]; a scope's three tensors are given together or not at all
    attn_sink   fp32 [heads]
    lse         fp32 [tokens, heads], written where given: natural logarithm, without the sink
    workspace   uint8, of Dispatcher.workspace(), written to by nobody else. Without one the dispatcher's own is used, for
                launches on one stream at a time; before a graph is captured, reserve() it
    *_capacity  keys a token to be fast for; every other list is right too. 0: the mean list,
                rounded up to a power of two
    *_format    "ocp", or "fnuz" as gfx942 writes its main scope
    ragged      whether lists differ in length, so that long ones are to come first: with more
                than 114 tokens on Hopper up to a quarter of the time is saved. Right either way;
                2 % slower where they do not differ, ignored on gfx9
    """
    if out is None:
        out = torch.empty(q.shape, dtype=q.dtype, device=q.device)
    torch.ops.mla_tune.sparse_mla_decode(
        dispatcher.number, q, main_cache, main_indices, main_indptr, extra_cache, extra_indices,
        extra_indptr, attn_sink, out, lse, workspace, scale, main_capacity, extra_capacity,
        main_format, extra_format, ragged)
    return out


def _refuse(message: str) -> None:
    raise ValueError("sparse_mla_decode: " + message)


def _check(name: str, tensor: torch.Tensor, like: torch.Tensor, dtype: torch.dtype,
           shape: tuple[Optional[int], ...]) -> None:
    if tensor.dtype != dtype:
        _refuse(f"{name} is {tensor.dtype}: give {dtype}")
    if tensor.device != like.device:
        _refuse(f"{name} is on {tensor.device}, q on {like.device}")
    if tensor.dim() != len(shape) or any(
            want is not None and want != have for want, have in zip(shape, tensor.shape)):
        wanted = ", ".join("any" if size is None else str(size) for size in shape)
        _refuse(f"{name} has shape {list(tensor.shape)}: give [{wanted}]")
    if dim_has_gaps(tensor):
        _refuse(f"{name} has strides {list(tensor.stride())}: its last dimension must be dense")


def dim_has_gaps(tensor: torch.Tensor) -> bool:
    return tensor.dim() > 0 and tensor.shape[-1] > 1 and tensor.stride(-1) != 1


def _scope(name: str, cache: Optional[torch.Tensor], indices: Optional[torch.Tensor],
           indptr: Optional[torch.Tensor], q: torch.Tensor, form: str,
           ragged: bool) -> lib.Scope:
    given = [t is not None for t in (cache, indices, indptr)]
    if not any(given):
        return lib.Scope()
    if cache is None or indices is None or indptr is None:
        _refuse(f"give {name}_cache, {name}_indices and {name}_indptr together, or none of them")
        raise AssertionError
    _check(f"{name}_cache", cache, q, torch.uint8, (None, None, ROW_BYTES))
    _check(f"{name}_indices", indices, q, torch.int32, (None,))
    _check(f"{name}_indptr", indptr, q, torch.int32, (q.shape[0] + 1,))
    pages, page = cache.shape[0], cache.shape[1]
    if page < 1 or pages * page >= 2**31:
        _refuse(f"{name}_cache has shape {list(cache.shape)}: slots must be int32")
    if page > 1 and cache.stride(1) != ROW_BYTES:
        _refuse(f"{name}_cache has strides {list(cache.stride())}: a page must be dense")
    if form not in lib.FORMATS:
        _refuse(f"{name}_format is {form!r}: give \"ocp\" or \"fnuz\"")
    stride = cache.stride(0) if pages > 1 else -(-page * ROW_BYTES // 16) * 16
    return lib.Scope(cache=cache.data_ptr(), indices=indices.data_ptr() or cache.data_ptr(),
                     indptr=indptr.data_ptr(), page_stride=stride, page_size=page,
                     rows=pages * page, format=lib.FORMATS[form], ragged=ragged)


def _capacity(asked: int, indices: Optional[torch.Tensor], tokens: int) -> int:
    if indices is None:
        return 0
    if asked > 0:
        return asked
    mean = -(-indices.shape[0] // max(tokens, 1))
    return 1 << max(mean - 1, 0).bit_length()


def _plan(dispatcher: Dispatcher, args: lib.LaunchArgs, main_capacity: int, extra_capacity: int,
          main_format: str, extra_format: str) -> Plan:
    return dispatcher.plan(Problem(
        heads=args.heads, tokens=args.tokens, main_capacity=main_capacity,
        extra_capacity=extra_capacity, main_page=args.main.page_size or 64,
        extra_page=args.extra.page_size or 64, main_format=main_format, extra_format=extra_format,
        has_sink=bool(args.sink), wants_lse=bool(args.lse)))


def _capturing(q: torch.Tensor) -> bool:
    return q.is_cuda and torch.cuda.is_current_stream_capturing()


def _launch(dispatcher: int, q: torch.Tensor, main_cache: Optional[torch.Tensor],
            main_indices: Optional[torch.Tensor], main_indptr: Optional[torch.Tensor],
            extra_cache: Optional[torch.Tensor], extra_indices: Optional[torch.Tensor],
            extra_indptr: Optional[torch.Tensor], attn_sink: Optional[torch.Tensor],
            out: torch.Tensor, lse: Optional[torch.Tensor], workspace: Optional[torch.Tensor],
            scale: float, main_capacity: int, extra_capacity: int, main_format: str,
            extra_format: str, ragged: bool = False) -> None:
    owner = dispatcher_of(dispatcher)
    here = torch.device("cpu") if owner.ordinal == lib.NO_DEVICE else torch.device(
        "cuda", owner.ordinal)
    if q.device != here:
        _refuse(f"q is on {q.device}, the dispatcher was opened for {here} (arch {owner.arch})")
    _check("q", q, q, torch.bfloat16, (None, None, HEAD_DIM))
    tokens, heads = q.shape[0], q.shape[1]
    if tokens == 0:
        return
    _check("out", out, q, torch.bfloat16, (tokens, heads, HEAD_DIM))
    args = lib.sized(
        lib.LaunchArgs, tokens=tokens, heads=heads, q=q.data_ptr(), q_token_stride=q.stride(0),
        q_head_stride=q.stride(1), out=out.data_ptr(), out_token_stride=out.stride(0),
        out_head_stride=out.stride(1), scale=scale,
        main=_scope("main", main_cache, main_indices, main_indptr, q, main_format, ragged),
        extra=_scope("extra", extra_cache, extra_indices, extra_indptr, q, extra_format,
                     ragged))
    if attn_sink is not None:
        _check("attn_sink", attn_sink, q, torch.float32, (heads,))
        args.sink = attn_sink.data_ptr()
    if lse is not None:
        _check("lse", lse, q, torch.float32, (tokens, heads))
        args.lse, args.lse_token_stride = lse.data_ptr(), lse.stride(0)
    plan = _plan(owner, args, _capacity(main_capacity, main_indices, tokens),
                 _capacity(extra_capacity, extra_indices, tokens), main_format, extra_format)
    if workspace is None and plan.workspace_bytes > 0:
        if _capturing(q) and not owner.has_workspace(plan.workspace_bytes):
            _refuse("a graph is captured, whose workspace must be there before: call "
                    "dispatcher.reserve(problem, ...), or give dispatcher.workspace(problem, ...)")
        workspace = owner.own_workspace(plan.workspace_bytes)
    if workspace is not None:
        _check("workspace", workspace, q, torch.uint8, (None,))
    stream = torch.cuda.current_stream(q.device).cuda_stream if q.is_cuda else 0
    owner.launch(plan, args, workspace.data_ptr() if workspace is not None else None,
                 workspace.numel() if workspace is not None else 0, stream)


def _pretend(*_: Any) -> None:
    """What is left for tensors without data: everything that the operator gives is in place."""


def _register() -> torch.library.Library:
    library = torch.library.Library("mla_tune", "DEF")
    tags = tuple(getattr(torch.Tag, name) for name in ("pt2_compliant_tag", "needs_exact_strides")
                 if hasattr(torch, "Tag") and hasattr(torch.Tag, name))
    # Before PyTorch 2.1 operators have no tags to give.
    library.define(" ".join(_SCHEMA.split()), **({"tags": tags} if tags else {}))
    for key, function in (("CPU", _launch), ("CUDA", _launch), ("Meta", _pretend)):
        library.impl("sparse_mla_decode", function, key)
    return library


_library = _register()
