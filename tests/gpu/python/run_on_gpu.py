"""The PyTorch operator on a GPU: results, graphs, torch.compile, streams, a model's layers.

    MLA_DISPATCH_LIBRARY=libmla_dispatch.so python3 tests/gpu/python/run_on_gpu.py BUNDLE [--device cuda:0]

Prints what it finds, one line a check; exit code 1 where something is wrong. With --device cpu and a
bundle of arch host it does what needs no GPU.
"""

import argparse
import sys
import time
import traceback
from pathlib import Path
from types import SimpleNamespace

import torch

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "python"), str(ROOT / "tests")]

import decode_case  # noqa: E402
import mla_tune  # noqa: E402
from mla_tune.vllm import SparseAttnDecode  # noqa: E402

WINDOW, SELECTED, COMPRESSED = 128, 1024, 781  # keys of V4-Pro's scopes, at 100K tokens
KINDS = {"window": (0, 64), "by 4": (SELECTED, 64), "by 128": (COMPRESSED, 2)}


def make_case(device, tokens, heads, extra, page, seed=1, main=WINDOW):
    generator = torch.Generator().manual_seed(seed)
    case = SimpleNamespace(generator=generator, tokens=tokens, heads=heads,
                           sizes={"main_capacity": main, "extra_capacity": extra})
    case.q = decode_case.query(tokens, heads, generator, device)
    case.main = decode_case.Scope(tokens, main, 64, generator, room=2 * main).to(device)
    case.extra = None
    if extra:
        case.extra = decode_case.Scope(tokens, extra, page, generator, room=2 * extra).to(device)
    case.sink = torch.randn(heads, generator=generator).to(device)
    case.out = torch.full_like(case.q, float("nan"))
    case.problem = mla_tune.Problem(heads, tokens, main, extra, extra_page=page, has_sink=True)
    return case


def tensors(case):
    extra = case.extra.tensors() if case.extra else (None, None, None)
    return (case.q, *case.main.tensors(), *extra, case.sink)


def launch(dispatcher, case, **more):
    return mla_tune.sparse_mla_decode(dispatcher, *tensors(case), case.out, **case.sizes, **more)


def expect_right(case, out=None, name=""):
    want, _ = decode_case.reference(case.q, [case.main, case.extra], case.sink)
    found = decode_case.trouble(case.out if out is None else out, want)
    assert not found, f"{name}: {found}"


def refill(case, share):
    """Lists of `share` of the capacity, ragged, the first one empty."""
    for scope in filter(None, (case.main, case.extra)):
        full = max(1, int(scope.capacity * share))
        lengths = [0] + [max(1, full - 3 * i % full) for i in range(1, case.tokens)]
        scope.fill(lengths if case.tokens > 1 else [full], case.generator)


def results(dispatcher, device):
    for heads, tokens in ((16, 1), (16, 8), (64, 8), (128, 2)):
        for kind, (extra, page) in KINDS.items():
            case = make_case(device, tokens, heads, extra, page)
            lse = torch.empty(tokens, heads, device=device)
            launch(dispatcher, case, lse=lse)
            expect_right(case, name=f"{heads} heads, {tokens} tokens, {kind}")
            _, want = decode_case.reference(case.q, [case.main, case.extra], case.sink)
            torch.testing.assert_close(lse.double(), want, rtol=2e-4, atol=1e-5)
            plan = dispatcher.plan(case.problem)
            print(f"    {heads:3} heads {tokens:2} tokens {kind:7} {plan.grade:9} "
                  f"{plan.splits:2} splits {plan.variant[:12]}")


def graph(dispatcher, device):
    case = make_case(device, 8, 16, SELECTED, 64)
    dispatcher.reserve(case.problem)
    launch(dispatcher, case)  # loads the code
    torch.cuda.synchronize()
    captured, before = torch.cuda.CUDAGraph(), torch.cuda.memory_stats()["allocation.all.allocated"]
    with torch.cuda.graph(captured):
        launch(dispatcher, case)
    allocated = torch.cuda.memory_stats()["allocation.all.allocated"] - before
    for share in (1.0, 0.1, 0.6, 2.0, 0.02, 1.0):
        refill(case, share)
        case.out.fill_(float("nan"))
        captured.replay()
        torch.cuda.synchronize()
        expect_right(case, name=f"lists of {share} of the capacity")
    print(f"    captured once, replayed with six lengths; {allocated} allocations while captured")


def refused_capture(dispatcher, device):
    case = make_case(device, 1, 16, SELECTED, 64)
    if dispatcher.plan(case.problem).workspace_bytes == 0:
        return print("    nothing to refuse: no workspace is needed")
    try:
        with torch.cuda.graph(torch.cuda.CUDAGraph()):
            launch(dispatcher, case)
    except ValueError as error:
        assert "reserve" in str(error), error
    else:
        raise AssertionError("captured without a workspace")
    torch.cuda.synchronize()
    launch(dispatcher, case, workspace=dispatcher.workspace(case.problem))
    expect_right(case)


def compiled(dispatcher, device):
    case = make_case(device, 8, 16, SELECTED, 64)
    dispatcher.reserve(case.problem)

    def layer(q, *rest):
        out = mla_tune.sparse_mla_decode(dispatcher, q * 1.0, *rest, **case.sizes)
        return out * 2.0

    want = layer(*tensors(case))
    for mode in (None, "reduce-overhead"):
        function = torch.compile(layer, fullgraph=True, mode=mode)
        for seed in range(4):  # the third one replays what was captured
            refill(case, 1 / (1 + seed))
            case.q.copy_(decode_case.query(8, 16, case.generator, device))
            got, want = function(*tensors(case)).clone(), layer(*tensors(case))
            assert torch.equal(got, want), f"mode {mode}, run {seed}: differs from eager"
            expect_right(case, got / 2, f"mode {mode}, run {seed}")
        print(f"    torch.compile mode={mode}: equal to eager")


def schema(dispatcher, device):
    """What PyTorch itself finds out about the operator."""
    case = make_case(device, 2, 16, SELECTED, 64)
    dispatcher.reserve(case.problem)
    case.out.zero_()
    torch.library.opcheck(
        torch.ops.mla_tune.sparse_mla_decode.default,
        (dispatcher.number, *tensors(case), case.out, None, None, decode_case.SCALE, WINDOW,
         SELECTED, "ocp", "ocp"), test_utils=("test_schema", "test_faketensor"))


def streams(dispatcher, device):
    cases = [make_case(device, 8, 16, SELECTED, 64, seed) for seed in (1, 2)]
    lanes = [torch.cuda.Stream() for _ in cases]
    rooms = [dispatcher.workspace(case.problem) for case in cases]
    torch.cuda.synchronize()
    for _ in range(20):
        for case, lane, room in zip(cases, lanes, rooms):
            with torch.cuda.stream(lane):
                launch(dispatcher, case, workspace=room)
    torch.cuda.synchronize()
    for case in cases:
        expect_right(case)


def vllm(dispatcher, device):
    calls = []
    decode = SparseAttnDecode(dispatcher, lambda *a: calls.append(a), typical={2: COMPRESSED})
    decode.reserve(16, 8, WINDOW, {64: SELECTED, 2: 8192})
    for extra, page in KINDS.values():
        case = make_case(device, 8, 16, extra, page)
        dense = torch.zeros(8, 1, WINDOW, dtype=torch.int32, device=device)
        topk = torch.zeros(8, 1, 8192 if page == 2 else SELECTED, dtype=torch.int32, device=device)
        lens = torch.zeros(8, dtype=torch.int32, device=device)
        given = case.extra.tensors() if extra else (None, None, None)
        sink = torch.cat([case.sink, torch.zeros_like(case.sink)])  # as long as the engine padded it
        decode(case.q, given[0], case.main.cache, not extra, topk if extra else None, lens, dense,
               lens, *case.main.tensors()[1:], *given[1:], sink, decode_case.SCALE, 512, 448, 64,
               case.out)
        expect_right(case, name=f"page {page}")
    assert (decode.launched, decode.passed_on, len(calls)) == (3, 0, 0)


def layers(dispatcher, device):
    """V4-Pro: two layers compressed by 128, then by 4 and by 128 in turns; MTP's window last."""
    kinds, on_gpu = ["by 128"] * 2 + ["by 4", "by 128"] * 29 + ["by 4"], device.type == "cuda"
    cases = [make_case(device, 8, 16, *KINDS[kind], seed) for seed, kind in
             enumerate(kinds if on_gpu else ["by 128", "by 4"])]
    cases.append(make_case(device, 8, 16, 0, 64, 99))
    dispatcher.reserve(*(case.problem for case in cases))

    def model():
        for case, following in zip(cases, cases[1:] + [None]):
            launch(dispatcher, case)
            if following is not None:
                torch.mul(case.out, 3.0, out=following.q)

    model()
    if not on_gpu:
        return [expect_right(case) for case in cases]
    torch.cuda.synchronize()
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured):
        model()
    for share in (1.0, 0.25, 0.7):
        for case in cases:
            refill(case, share)
        captured.replay()
        torch.cuda.synchronize()
        for number, case in enumerate(cases):
            expect_right(case, name=f"layer {number} at {share} of the capacity")
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    for _ in range(20):
        captured.replay()
    end.record()
    torch.cuda.synchronize()
    print(f"    {len(kinds)} layers and MTP in one graph, 8 tokens, three lengths: right; "
          f"{start.elapsed_time(end) / 20 * 1000:.0f} us a replay at 0.7 of the capacity")


def cost(dispatcher, device):
    case = make_case(device, 1, 16, 0, 64)
    for _ in range(50):
        launch(dispatcher, case)
    begin = time.perf_counter()
    for _ in range(500):
        launch(dispatcher, case)
    print(f"    {(time.perf_counter() - begin) * 2000:.1f} us of Python for an eager launch")
    torch.cuda.synchronize()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle")
    parser.add_argument("--device", type=torch.device, default=torch.device("cuda:0"))
    given = parser.parse_args()
    device, dispatcher = given.device, mla_tune.Dispatcher(given.bundle, device=given.device)
    print(f"PyTorch {torch.__version__}, arch {dispatcher.arch}, {dispatcher.device_name or 'CPU'}")
    checks = [results, vllm, layers] if device.type == "cpu" else [
        refused_capture, results, graph, streams, schema, compiled, vllm, layers, cost]
    failed = 0
    for check in checks:
        try:
            check(dispatcher, device)
            print(f"ok      {check.__name__}", flush=True)
        except Exception:
            failed += 1
            traceback.print_exc(file=sys.stdout)
            print(f"FAILED  {check.__name__}", flush=True)
    print(f"{len(checks) - failed} of {len(checks)} checks passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
