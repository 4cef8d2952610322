"""sparse_mla_decode on the CPU, by kernels of arch host: results, and what is refused."""

import unittest
from types import SimpleNamespace

import torch

import decode_case
import mla_tune
from host_bundle import EXTRA, HEADS, MAIN, TOKENS, host_bundle


def make_case(tokens=TOKENS, heads=HEADS, main=MAIN, extra=EXTRA, page=64, seed=1):
    generator = torch.Generator().manual_seed(seed)
    case = SimpleNamespace(generator=generator, q=decode_case.query(tokens, heads, generator))
    case.main = decode_case.Scope(tokens, main, 64, generator) if main else None
    case.extra = decode_case.Scope(tokens, extra, page, generator) if extra else None
    case.sink = torch.randn(heads, generator=generator)
    return case


class HostTest(unittest.TestCase):
    def setUp(self):
        self.dispatcher = mla_tune.Dispatcher(host_bundle(), device="cpu")
        self.addCleanup(self.dispatcher.close)

    def run_case(self, case, **more):
        tensors = [scope.tensors() if scope else (None,) * 3 for scope in (case.main, case.extra)]
        return mla_tune.sparse_mla_decode(self.dispatcher, case.q, *tensors[0], *tensors[1],
                                          attn_sink=case.sink, **more)

    def assert_right(self, case, out):
        want, _ = decode_case.reference(case.q, [case.main, case.extra], case.sink)
        self.assertEqual(decode_case.trouble(out, want), "")


class DecodingInPyTorch(HostTest):
    def test_the_problem_that_was_tuned_is_right(self):
        case = make_case()
        lse = torch.empty(TOKENS, HEADS)
        out = self.run_case(case, lse=lse, main_capacity=MAIN, extra_capacity=EXTRA)
        want, want_lse = decode_case.reference(case.q, [case.main, case.extra], case.sink)
        self.assertEqual(decode_case.trouble(out, want), "")
        torch.testing.assert_close(lse.double(), want_lse, rtol=1e-4, atol=1e-6)
        asked = mla_tune.Problem(HEADS, TOKENS, MAIN, EXTRA, has_sink=True, wants_lse=True)
        self.assertEqual(self.dispatcher.plan(asked).grade, "exact")

    def test_other_problems_are_right(self):
        for shape in ({"heads": 5, "tokens": 2}, {"extra": 0}, {"main": 0}, {"page": 2},
                      {"heads": 17, "tokens": 1, "extra": 300}):
            with self.subTest(**shape):
                case = make_case(**shape)
                self.assert_right(case, self.run_case(case))

    def test_long_lists_may_come_first(self):
        case = make_case(tokens=9)
        self.assert_right(case, self.run_case(case, ragged=True))

    def test_without_a_sink(self):
        case = make_case()
        case.sink = None
        self.assert_right(case, self.run_case(case))

    def test_lists_may_change_and_be_empty(self):
        case = make_case()
        case.main.fill([0, 3, MAIN], case.generator)
        case.extra.fill([0, EXTRA, 1], case.generator)
        out = self.run_case(case)
        self.assert_right(case, out)
        self.assertEqual(float(out[0].float().abs().max()), 0)

    def test_tensors_with_gaps_are_taken(self):
        case = make_case()
        wide = torch.zeros(TOKENS, HEADS + 1, 520, dtype=torch.bfloat16)
        wide[:, :HEADS, :512] = case.q
        case.q = wide[:, :HEADS, :512]
        place = torch.full((TOKENS, HEADS, 516), 7.0, dtype=torch.bfloat16)
        out = self.run_case(case, out=place[..., :512])
        self.assertEqual(out.data_ptr(), place.data_ptr())
        self.assert_right(case, out)
        self.assertTrue(bool((place[..., 512:] == 7).all()))

    def test_no_tokens_are_no_work(self):
        case = make_case()
        case.q = case.q[:0]
        self.assertEqual(self.run_case(case).shape, (0, HEADS, 512))

    def test_a_workspace_may_be_given_reserved_or_neither(self):
        self.dispatcher = mla_tune.Dispatcher(host_bundle(), device="cpu", no_nearest=True)
        self.addCleanup(self.dispatcher.close)
        case = make_case(tokens=1, extra=300)
        asked = mla_tune.Problem(HEADS, 1, MAIN, 300, has_sink=True)
        sizes = {"main_capacity": MAIN, "extra_capacity": 300}
        self.assertGreater(self.dispatcher.plan(asked).workspace_bytes, 0)
        workspace = self.dispatcher.workspace(asked)
        workspace[16384:].fill_(255)
        self.assert_right(case, self.run_case(case, workspace=workspace, **sizes))
        self.assertFalse(self.dispatcher.has_workspace(1))
        self.assert_right(case, self.run_case(case, **sizes))
        self.dispatcher.reserve(asked)
        own = self.dispatcher.own_workspace(1).data_ptr()
        self.run_case(case, **sizes)
        self.assertEqual(self.dispatcher.own_workspace(1).data_ptr(), own)
        with self.assertRaisesRegex(mla_tune.DispatchError, "too small"):
            self.run_case(case, workspace=workspace[:256], **sizes)
        with self.assertRaisesRegex(mla_tune.DispatchError, "aligned"):
            self.run_case(case, workspace=self.dispatcher._allocate(1 << 20)[8:], **sizes)

    def test_a_closed_dispatcher_says_so(self):
        case = make_case()
        self.dispatcher.close()
        with self.assertRaisesRegex(mla_tune.DispatchError, "closed"):
            self.run_case(case)

    def test_a_dispatcher_that_nobody_holds_stays_open(self):
        case = make_case()
        self.dispatcher = SimpleNamespace(
            number=mla_tune.Dispatcher(host_bundle(), device="cpu").number)
        self.assert_right(case, self.run_case(case))


class Refusals(HostTest):
    def assert_refused(self, message, error=ValueError, **change):
        case = make_case()
        more = {}
        for name, value in change.items():
            owner, _, field = name.partition("_")
            if owner in ("main", "extra") and field in ("cache", "indices", "indptr"):
                setattr(getattr(case, owner), field, value(getattr(getattr(case, owner), field)))
            elif name in ("q", "sink"):
                setattr(case, name, value(getattr(case, name)))
            else:
                more[name] = value
        with self.assertRaisesRegex(error, message):
            self.run_case(case, **more)

    def test_dtypes(self):
        self.assert_refused("q is torch.float32: give torch.bfloat16", q=lambda q: q.float())
        self.assert_refused("main_cache is torch.int8", main_cache=lambda c: c.view(torch.int8))
        self.assert_refused("extra_indices is torch.int64", extra_indices=lambda i: i.long())
        self.assert_refused("main_indptr is torch.int64", main_indptr=lambda i: i.long())
        self.assert_refused("attn_sink is torch.float64", sink=lambda s: s.double())
        self.assert_refused("out is torch.float32", out=torch.empty(TOKENS, HEADS, 512))

    def test_shapes(self):
        self.assert_refused(r"q has shape \[3, 16, 256\]", q=lambda q: q[..., :256])
        self.assert_refused(r"main_indptr has shape \[3\]: give \[4\]", main_indptr=lambda i: i[:-1])
        self.assert_refused("attn_sink has shape", sink=lambda s: s[:-1])
        self.assert_refused("main_cache has shape", main_cache=lambda c: c[..., :576])
        self.assert_refused("extra_indices has shape", extra_indices=lambda i: i[None])
        self.assert_refused("lse has shape", lse=torch.empty(TOKENS, HEADS + 1))

    def test_strides(self):
        self.assert_refused("q has strides", q=lambda q: q.transpose(0, 1).contiguous().transpose(
            0, 1).repeat(1, 1, 2)[..., ::2])
        self.assert_refused("a page must be dense", main_cache=lambda c: c.repeat(1, 2, 1)[:, ::2])
        self.assert_refused("16-byte aligned", mla_tune.DispatchError, q=lambda q: torch.zeros(
            TOKENS, HEADS, 516, dtype=torch.bfloat16)[..., :512])

    def test_scopes_come_whole(self):
        self.assert_refused("together, or none", extra_indptr=lambda _: None)

    def test_problems_out_of_range(self):
        with self.assertRaisesRegex(mla_tune.DispatchError, "heads"):
            self.run_case(make_case(heads=129))
        self.assert_refused("fnuz", main_format="e5m2")
        self.assert_refused("scale must be positive", mla_tune.DispatchError, scale=0.0)

    def test_a_tuning_database_gives_no_code(self):
        self.dispatcher.close()
        self.dispatcher = mla_tune.Dispatcher(host_bundle().with_name("t.db"), device="cpu")
        self.addCleanup(self.dispatcher.close)
        self.assert_refused("mla-tune export", mla_tune.DispatchError)
