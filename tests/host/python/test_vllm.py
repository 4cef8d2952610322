"""The stand-in for vLLM's function: what it launches itself, and what it leaves to the other."""

import unittest

import torch

import decode_case
import mla_tune
from host_bundle import HEADS, host_bundle
from mla_tune.vllm import SparseAttnDecode
from test_op import make_case

NAMES = """q kv_cache swa_k_cache swa_only topk_indices topk_lens swa_indices swa_lens
swa_ragged_indices swa_ragged_indptr topk_ragged_indices topk_ragged_indptr attn_sink scale head_dim
nope_head_dim rope_head_dim output""".split()


class VllmDecode(unittest.TestCase):
    def setUp(self):
        self.dispatcher = mla_tune.Dispatcher(host_bundle(), device="cpu")
        self.addCleanup(self.dispatcher.close)
        self.left = []
        self.decode = SparseAttnDecode(self.dispatcher, lambda *args: self.left.append(args))

    def arguments(self, case, **change):
        """As vLLM gives them: dense lists beside the ragged ones, and more sinks than heads."""
        tokens = case.q.shape[0]
        lens = torch.zeros(tokens, dtype=torch.int32)
        extra = case.extra.tensors() if case.extra else (None, None, None)
        dense = [None if scope is None else torch.zeros(tokens, 1, scope.capacity, dtype=torch.int32)
                 for scope in (case.main, case.extra)]
        sink = torch.cat([case.sink, torch.full((7,), float("nan"))])
        case.out = torch.full_like(case.q, float("nan"))
        values = dict(zip(NAMES, (
            case.q, extra[0], case.main.cache, case.extra is None, dense[1], lens, dense[0], lens,
            *case.main.tensors()[1:], *extra[1:], sink, decode_case.SCALE, 512, 448, 64, case.out)))
        return {**values, **change}

    def test_every_kind_of_layer_is_right(self):
        for shape in ({"extra": 0}, {"extra": 40}, {"extra": 300, "page": 2}):
            with self.subTest(**shape):
                case = make_case(tokens=2, **shape)
                self.decode(**self.arguments(case))
                want, _ = decode_case.reference(case.q, [case.main, case.extra], case.sink)
                self.assertEqual(decode_case.trouble(case.out, want), "")
        self.assertEqual((self.decode.launched, self.decode.passed_on), (3, 0))

    def test_a_layer_kind_is_planned_once(self):
        case = make_case(tokens=2, extra=300, page=2)
        typical = SparseAttnDecode(self.dispatcher, typical={2: 100})
        typical(**self.arguments(case))
        planned = list(self.dispatcher._plans)
        case.extra.fill([5, 10], case.generator)
        typical(**self.arguments(case))
        self.assertEqual(list(self.dispatcher._plans), planned)
        self.assertEqual([problem.extra_capacity for problem in planned], [100])

    def test_room_is_made_for_every_kind_before_a_capture(self):
        self.dispatcher = mla_tune.Dispatcher(host_bundle(), device="cpu", no_nearest=True)
        self.addCleanup(self.dispatcher.close)
        self.decode.dispatcher = self.dispatcher
        self.decode.reserve(HEADS, 3, 20, {64: 40, 2: 300})
        self.assertGreater(self.dispatcher.own_workspace(0).numel(), 256)
        before = self.dispatcher.own_workspace(0).data_ptr()
        for shape in ({"extra": 0}, {"extra": 40}, {"extra": 300, "page": 2}):
            self.decode(**self.arguments(make_case(**shape)))
        self.assertEqual(self.dispatcher.own_workspace(0).data_ptr(), before)

    def test_what_it_cannot_do_is_left_to_the_other_with_one_warning(self):
        changes = ({"swa_ragged_indices": None}, {"topk_ragged_indices": None}, {"head_dim": 576},
                   {"q": make_case().q.float()}, {"scale": -1.0})
        with self.assertLogs("mla_tune", "WARNING") as logged:
            for change in changes:
                arguments = self.arguments(make_case(), **change)
                self.decode(**arguments)
                for name, have in zip(NAMES, self.left[-1]):
                    self.assertIs(have, arguments[name], name)
        self.assertEqual((self.decode.launched, self.decode.passed_on), (0, len(changes)))
        self.assertEqual(len(logged.records), 1)
        self.assertIn("not ragged", logged.output[0])

    def test_without_another_it_raises(self):
        decode = SparseAttnDecode(self.dispatcher)
        with self.assertRaisesRegex(ValueError, "not ragged"):
            decode(**self.arguments(make_case(), swa_ragged_indices=None))

    def test_a_closed_dispatcher_is_no_reason_to_go_on_silently(self):
        self.dispatcher.close()
        with self.assertRaisesRegex(mla_tune.DispatchError, "closed"):
            self.decode(**self.arguments(make_case()))
        self.assertEqual(self.left, [])
