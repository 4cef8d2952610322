"""Programs that contain the operator: traced without data, compiled, and run on tensors of the CPU."""

import unittest

import torch

import mla_tune
from host_bundle import EXTRA, MAIN
from test_op import HostTest, make_case


class Tracing(HostTest):
    def setUp(self):
        super().setUp()
        self.case = make_case()
        self.inputs = (self.case.q, *self.case.main.tensors(), *self.case.extra.tensors(),
                       self.case.sink)

    def layer(self, q, *rest):
        out = mla_tune.sparse_mla_decode(self.dispatcher, q * 1.0, *rest, main_capacity=MAIN,
                                         extra_capacity=EXTRA)
        return out + 1.0

    def test_tensors_without_data_give_the_shape_alone(self):
        from torch._subclasses import FakeTensorMode

        with FakeTensorMode() as mode:
            inputs = [mode.from_tensor(tensor) for tensor in self.inputs]
            out = self.layer(*inputs)
        self.assertEqual((out.shape, out.dtype), (self.case.q.shape, torch.bfloat16))

    def test_a_traced_program_does_what_it_did(self):
        from torch.fx.experimental.proxy_tensor import make_fx

        traced = make_fx(self.layer, tracing_mode="fake")(*self.inputs)
        called = [node for node in traced.graph.nodes if "sparse_mla_decode" in str(node.target)]
        self.assertEqual(len(called), 1)
        self.assertTrue(torch.equal(traced(*self.inputs), self.layer(*self.inputs)))

    @unittest.skipUnless(hasattr(torch, "compile"), "torch.compile came with PyTorch 2")
    def test_a_compiled_program_does_the_same(self):
        compiled = torch.compile(self.layer, fullgraph=True, backend="aot_eager")
        self.assertTrue(torch.equal(compiled(*self.inputs), self.layer(*self.inputs)))
