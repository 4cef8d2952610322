"""Problems for sparse MLA decode, and what their results should be, in PyTorch on any device."""

import math

import torch

HEAD_DIM, NOPE, ROW_BYTES, DATA_BYTES = 512, 448, 584, 576
SCALE = HEAD_DIM ** -0.5


def e4m3_values(fnuz=False):
    """The value of each e4m3 byte in float64."""
    values = []
    for byte in range(256):
        sign, exponent, mantissa = -1 if byte & 128 else 1, byte >> 3 & 15, byte & 7
        bias = 8 if fnuz else 7
        value = math.ldexp(mantissa / 8 + (exponent > 0), max(exponent, 1) - bias)
        values.append(sign * value)
    values[0x80] = math.nan if fnuz else -0.0
    if not fnuz:
        values[0x7F] = values[0xFF] = math.nan
    return torch.tensor(values, dtype=torch.float64)


class Scope:
    """A paged cache of random rows, with room in the lists for `capacity` keys a token."""

    def __init__(self, tokens, capacity, page, generator, pages=None, room=None):
        self.tokens, self.capacity = tokens, capacity
        pages = pages or -(-3 * capacity // page) + 1
        stride = -(-page * ROW_BYTES // 576) * 576
        small = torch.randint(0, 0x40, (pages, page, NOPE), generator=generator)  # below 2 in size
        signs = torch.randint(0, 2, small.shape, generator=generator) * 128
        nope = (small + signs).to(torch.uint8)
        nope[nope == 0x80] = 0  # FNUZ's NaN
        rope = (torch.randn(pages, page, 64, generator=generator) / 2).to(torch.bfloat16)
        scales = torch.randint(124, 127, (pages, page, 7), generator=generator).to(torch.uint8)
        storage = torch.zeros(pages, stride, dtype=torch.uint8)
        for token in range(page):
            at = token * DATA_BYTES
            storage[:, at:at + NOPE] = nope[:, token]
            storage[:, at + NOPE:at + DATA_BYTES] = rope[:, token].contiguous().view(torch.uint8)
            at = page * DATA_BYTES + token * 8
            storage[:, at:at + 7] = scales[:, token]
        self.cache = storage.as_strided((pages, page, ROW_BYTES), (stride, ROW_BYTES, 1))
        factor = torch.exp2(scales.double() - 127).repeat_interleave(64, dim=-1)
        self.nope, self.factor, self.rope, self.rows = nope, factor, rope, pages * page
        self.indices = torch.zeros((room or capacity) * tokens, dtype=torch.int32)
        self.indptr = torch.zeros(tokens + 1, dtype=torch.int32)
        self.fill([capacity] * tokens, generator)

    def fill(self, lengths, generator):
        """Other lists of these lengths in the same tensors: a tenth of the slots is not there."""
        self.indptr.copy_(torch.tensor([0] + lengths).cumsum(0))
        total = sum(lengths)
        slots = torch.randint(0, self.rows, (total,), generator=generator)
        wrong = torch.rand(total, generator=generator) < 0.1
        slots[wrong] = torch.tensor([-1, self.rows])[torch.arange(int(wrong.sum())) % 2]
        self.indices[:total] = slots.to(self.indices)

    def to(self, device):
        for name in ("indices", "indptr", "nope", "factor", "rope"):
            setattr(self, name, getattr(self, name).to(device))
        pages, page, _ = self.cache.shape
        stride = self.cache.stride(0)
        moved = self.cache.as_strided((pages, stride), (stride, 1)).to(device)
        self.cache = moved.as_strided((pages, page, ROW_BYTES), (stride, ROW_BYTES, 1))
        return self

    def tensors(self):
        return self.cache, self.indices, self.indptr

    def dequantised(self, fnuz=False):
        """[rows, 512] in float64."""
        table = e4m3_values(fnuz).to(self.nope.device)
        rows = torch.cat([table[self.nope.long()] * self.factor, self.rope.double()], dim=-1)
        return rows.reshape(self.rows, HEAD_DIM)


def reference(q, scopes, sink=None, scale=SCALE):
    """out [tokens, heads, 512] and lse [tokens, heads] in float64, token by token."""
    scopes = [scope for scope in scopes if scope is not None]
    rows = [scope.dequantised() for scope in scopes]
    lists = [(scope.indptr.tolist(), scope.indices.long()) for scope in scopes]
    outs, lses = [], []
    for token in range(q.shape[0]):
        keys = []
        for (indptr, indices), all_rows in zip(lists, rows):
            slots = indices[indptr[token]:indptr[token + 1]]
            keys.append(all_rows[slots[(slots >= 0) & (slots < all_rows.shape[0])]])
        k = torch.cat(keys)
        if k.shape[0] == 0:
            outs.append(torch.zeros(q.shape[1:], dtype=torch.float64, device=q.device))
            lses.append(torch.full(q.shape[1:2], math.inf, dtype=torch.float64, device=q.device))
            continue
        lse = torch.logsumexp(scale * (q[token].double() @ k.T), dim=-1)
        total = lse if sink is None else torch.logaddexp(lse, sink.double())
        outs.append(torch.exp(scale * (q[token].double() @ k.T) - total[:, None]) @ k)
        lses.append(lse)
    return torch.stack(outs), torch.stack(lses)


def trouble(out, want):
    """What is wrong with bf16 `out`; empty: nothing. The bounds are those of kernels/compare.hpp."""
    have, want = out.double(), want.to(torch.bfloat16).double()
    if not bool(torch.isfinite(have).all()):
        return "there are values that are not finite"
    error = (have - want).abs()
    wrong = (error > 1e-3) & (error > 2.01 / 128 * want.abs())
    gap = 1 - 2 * (have * want).sum() / ((have * have).sum() + (want * want).sum()).clamp_min(1e-30)
    if float(want.abs().max()) == 0:
        gap = gap * 0
    if bool(wrong.any()) or float(gap) > 5e-6:
        return f"{int(wrong.sum())} of {wrong.numel()} elements are wrong, cosine gap {gap:.2e}"
    return ""


def query(tokens, heads, generator, device="cpu"):
    return torch.randn(tokens, heads, HEAD_DIM, generator=generator).to(torch.bfloat16).to(device)
