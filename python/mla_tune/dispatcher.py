"""Plans: how to launch a problem, from what mla-tune found out. No PyTorch is needed here."""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import sys
from ctypes import byref
from dataclasses import dataclass
from typing import Any, Optional

from . import _library as lib
from ._library import DispatchError, PathLike

# Operators of PyTorch take tensors and numbers alone: a dispatcher goes through them as a number,
# and stays open while there may be a compiled graph that knows it: until it is closed.
_numbers = itertools.count(1)
_dispatchers: dict[int, "Dispatcher"] = {}


@dataclass(frozen=True)
class Problem:
    """The shape of a launch. Capacities are keys per query token; 0: the scope is absent."""

    heads: int
    tokens: int  # at most; a launch may have fewer
    main_capacity: int
    extra_capacity: int = 0
    main_page: int = 64  # tokens
    extra_page: int = 64
    main_format: str = "ocp"  # or "fnuz": gfx942's main scope
    extra_format: str = "ocp"
    has_sink: bool = False
    wants_lse: bool = False


@dataclass(frozen=True)
class Plan:
    """How a problem is launched, and how good the match is."""

    handle: int  # mla_launch_plan*, until the dispatcher is closed
    grade: str  # "exact", "nearest", "predicted" or "fallback"
    evidence: Optional[str]  # "measured" or "predicted"; None for a fallback
    variant: str
    params: dict[str, Any]
    release: str  # ROCm (CUDA) that compiled it
    release_differs: bool
    median_us: float  # of tuned_for, not of the problem
    workspace_bytes: int
    has_code: bool  # can be launched
    kernel_count: int
    splits: int
    decode_grid: tuple[int, int, int]
    decode_block: int
    decode_dynamic_lds: int  # bytes
    reduce_grid: tuple[int, int, int]
    reduce_block: int  # 0: no reduce kernel follows
    last_merges: bool  # the workgroup that ends last merges the splits instead
    tuned_for: Optional[dict[str, int]]


def dispatcher_of(number: int) -> "Dispatcher":
    """The open dispatcher of that number."""
    found = _dispatchers.get(number)
    if found is None:
        raise DispatchError(lib.CLOSED, "the dispatcher was closed: open it anew")
    return found


def _device_ordinal(device: Any) -> int:
    """Of 1, "cuda:1", "cuda", torch.device("cuda", 1)."""
    if isinstance(device, int):
        return device
    kind, _, index = str(device).partition(":")
    if kind not in ("cuda", "hip") or not (index or "0").isdigit():
        raise DispatchError(lib.USAGE, f"device {device!r}: give a GPU's ordinal, \"cuda:0\" (on AMD "
                            "too), or \"cpu\" for kernels of arch host")
    if not index and "torch" in sys.modules:
        return int(sys.modules["torch"].cuda.current_device())
    return int(index or 0)


class Dispatcher:
    """One file's winners for one device; any number of threads may use it.

    `path` is a bundle (`mla-tune export`), or a tuning database, whose plans cannot be launched.
    `device` is where launches run: a GPU's ordinal, "cuda:0" (on AMD too), a torch.device, or "cpu"
    for kernels of arch host. Without one, plans of `arch` are made for no device at all.
    `no_nearest`, `no_predicted` and `log` win over the environment variable MLA_DISPATCH unless
    they are None; the other options are those of mla_options. Closing frees what graphs use.
    """

    def __init__(self, path: PathLike, device: Any = None, *, arch: Optional[str] = None,
                 variant: Optional[str] = None, release: Optional[str] = None,
                 driver: Optional[str] = None, public_key: Optional[bytes] = None,
                 eager: bool = False, allow_untrusted: bool = False,
                 no_nearest: Optional[bool] = None, no_predicted: Optional[bool] = None,
                 log: Optional[bool] = None, library: Optional[PathLike] = None):
        self.number = 0
        self._handle = ctypes.c_void_p()
        if public_key is not None and len(public_key) != 32:
            raise DispatchError(lib.USAGE, f"public_key has {len(public_key)} bytes instead of 32")
        if device is None and arch is None:
            raise DispatchError(lib.USAGE, "give a device to launch on, or an arch to plan for")
        if str(device) == "cpu":
            device, arch = None, "host"
        self.ordinal = lib.NO_DEVICE if device is None else _device_ordinal(device)
        self._library = lib.Library(library)
        encoded = {name: value.encode() for name, value in
                   (("arch", arch), ("variant", variant), ("release", release), ("driver", driver))
                   if value is not None}
        options = lib.sized(lib.Options, public_key=public_key, eager=eager,
                            allow_untrusted=allow_untrusted, no_nearest=lib.SWITCHES[no_nearest],
                            no_predicted=lib.SWITCHES[no_predicted], log=lib.SWITCHES[log],
                            zeroed_workspaces=True,
                            **encoded)
        c = self._library.c
        self._library.call(c.mla_open, os.fsencode(path), self.ordinal, byref(options),
                           byref(self._handle))
        info = lib.sized(lib.DispatcherInfo)
        self._library.call(c.mla_get_dispatcher_info, self._handle, byref(info))
        self.arch: str = info.arch.decode(errors="replace")
        self.device_name: str = info.device.decode(errors="replace")
        self.has_code = bool(info.has_code)
        self._plans: dict[Problem, Plan] = {}
        self._workspaces: list[Any] = []  # of PyTorch; graphs may hold any but the last
        self.number = next(_numbers)
        _dispatchers[self.number] = self

    def plan(self, problem: Problem) -> Plan:
        """How to launch `problem`; raises DispatchError where it is out of range."""
        known = self._plans.get(problem)
        if known is not None:
            return known
        self._refuse_closed()
        for value in (problem.main_format, problem.extra_format):
            if value not in lib.FORMATS:
                raise DispatchError(lib.USAGE, f"format {value!r}: give \"ocp\" or \"fnuz\"")
        fields = dict(vars(problem))
        fields["main_format"] = lib.FORMATS[problem.main_format]
        fields["extra_format"] = lib.FORMATS[problem.extra_format]
        for name, value in fields.items():
            if not 0 <= value < 2**31:
                raise DispatchError(lib.USAGE, f"{name} = {value} is out of range")
        c = self._library.c
        handle, info = ctypes.c_void_p(), lib.sized(lib.PlanInfo)
        self._library.call(c.mla_plan, self._handle, byref(lib.sized(lib.Problem, **fields)),
                           byref(handle))
        self._library.call(c.mla_get_plan_info, handle, byref(info))
        return self._plans.setdefault(problem, _plan(handle.value or 0, info))

    def launch(self, plan: Plan, args: lib.LaunchArgs, workspace: Optional[int],
               workspace_bytes: int, stream: int) -> None:
        """mla_launch(): pointers and the stream as numbers."""
        self._library.call(self._library.c.mla_launch, plan.handle, byref(args), workspace,
                           workspace_bytes, stream)

    def workspace_bytes(self, *problems: Problem) -> int:
        """Bytes that suffice for each of the problems."""
        return max((self.plan(problem).workspace_bytes for problem in problems), default=0)

    def workspace(self, *problems: Problem) -> Any:
        """A tensor on the device that suffices for each of the problems: one for each stream.

        It begins as zeros and is the launches' from then on: nobody else may write to it.
        """
        return self._allocate(self.workspace_bytes(*problems))

    def reserve(self, *problems: Problem) -> None:
        """Makes the workspace of launches that are given none suffice for each of the problems.

        It is for launches on one stream at a time, and lives until the dispatcher is closed.
        """
        self.own_workspace(self.workspace_bytes(*problems))

    def own_workspace(self, needed: int) -> Any:
        """The workspace of launches that are given none, grown to `needed` bytes."""
        if not self.has_workspace(needed):
            before = self._workspaces[-1].numel() if self._workspaces else 0
            self._workspaces.append(self._allocate(max(needed, 2 * before)))
        return self._workspaces[-1]

    def has_workspace(self, needed: int) -> bool:
        """Whether own_workspace() would allocate nothing."""
        return bool(self._workspaces) and self._workspaces[-1].numel() >= needed

    def _allocate(self, needed: int) -> Any:
        import torch  # the lookup works without it

        device = "cpu" if self.ordinal == lib.NO_DEVICE else f"cuda:{self.ordinal}"
        size = max(needed, lib.WORKSPACE_ALIGNMENT)
        whole = torch.zeros(size + lib.WORKSPACE_ALIGNMENT, dtype=torch.uint8, device=device)
        skipped = -whole.data_ptr() % lib.WORKSPACE_ALIGNMENT
        return whole[skipped:skipped + size]

    def _refuse_closed(self) -> None:
        if not self._handle:
            raise DispatchError(lib.CLOSED, "the dispatcher was closed: open it anew")

    def close(self) -> None:
        """Lets all of it go, plans too; harmless when done twice. Launches must be over."""
        _dispatchers.pop(self.number, None)
        if self._handle:
            self._library.c.mla_close(self._handle)
            self._handle = ctypes.c_void_p()
            self._plans.clear()
            self._workspaces.clear()

    def __enter__(self) -> "Dispatcher":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _plan(handle: int, info: lib.PlanInfo) -> Plan:
    evidence = lib.EVIDENCE[info.evidence]
    tuned_for = None if evidence is None else {
        name: getattr(info, "tuned_" + name)
        for name in ("heads", "tokens", "main_len", "extra_len", "main_page", "extra_page")
    }
    return Plan(
        handle=handle,
        grade=lib.GRADES[info.grade],
        evidence=evidence,
        variant=info.variant.decode(errors="replace"),
        params=json.loads(info.params or b"{}"),
        release=info.release.decode(errors="replace"),
        release_differs=bool(info.release_differs),
        median_us=info.median_us,
        workspace_bytes=info.workspace_bytes,
        has_code=bool(info.has_code),
        kernel_count=info.kernel_count,
        splits=info.splits,
        decode_grid=tuple(info.decode_grid),
        decode_block=info.decode_block,
        decode_dynamic_lds=info.decode_dynamic_lds,
        reduce_grid=tuple(info.reduce_grid),
        reduce_block=info.reduce_block,
        last_merges=bool(info.last_merges),
        tuned_for=tuned_for,
    )
