#!/usr/bin/env python3
"""What `bench ops` is compared with: the same operations in PyTorch, on the CPU, under the same names.

Prints one JSON object: the microseconds of each operation, and of each with its gradients under "NAME, with gradients".
Used as `bench ops --against "python3 apps/bench/torch_ops.py"`. Needs PyTorch; Debian's (python3-torch) multiplies
matrices many times faster with libopenblas0-pthread installed.
"""
import argparse
import json
import os
import time

import torch
from torch.nn import functional as F


def normal(*shape):
    return torch.randn(*shape).requires_grad_()


def positive(*shape):
    return (torch.rand(*shape) * 3.9 + 0.1).requires_grad_()


def image(*shape):
    return torch.randn(*shape).contiguous(memory_format=torch.channels_last).requires_grad_()


def attention(q, k, v):
    if hasattr(F, "scaled_dot_product_attention"):
        return F.scaled_dot_product_attention(q, k, v)
    return (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1) @ v


def operations():
    """Name, leaves, function: as apps/bench/ops.cpp has them."""
    x, y, p, row = normal(256, 4096), normal(256, 4096), positive(256, 4096), normal(4096)
    yield "x + y", [x, y], lambda: x + y
    yield "x + row", [x, row], lambda: x + row
    yield "x * y", [x, y], lambda: x * y
    yield "x / y", [x, p], lambda: x / p
    yield "relu", [x], lambda: x.relu()
    yield "exp", [x], lambda: x.exp()
    yield "log", [p], lambda: p.log()
    yield "sqrt", [p], lambda: p.sqrt()
    yield "tanh", [x], lambda: x.tanh()
    yield "sigmoid", [x], lambda: x.sigmoid()
    yield "gelu", [x], lambda: F.gelu(x)
    yield "silu", [x], lambda: F.silu(x)
    yield "sin", [x], lambda: x.sin()
    yield "maximum", [x, y], lambda: torch.maximum(x, y)
    yield "clamp", [x], lambda: x.clamp(-1, 1)
    condition = x.detach() > 0
    yield "where", [x, y], lambda: torch.where(condition, x, y)
    yield "sum", [x], lambda: x.sum()
    yield "sum of rows", [x], lambda: x.sum(1)
    yield "sum of columns", [x], lambda: x.sum(0)
    yield "max of rows", [x], lambda: x.amax(1)
    yield "softmax of 4096", [x], lambda: x.softmax(1)
    narrow = normal(16384, 64)
    yield "softmax of 64", [narrow], lambda: narrow.softmax(1)
    yield "log_softmax of 64", [narrow], lambda: narrow.log_softmax(1)
    logits, labels = normal(256, 1000), torch.randint(1000, (256,))
    yield "cross_entropy of 1000", [logits], lambda: F.cross_entropy(logits, labels)
    tokens, gain, shift = normal(4096, 256), normal(256), normal(256)
    yield "layer_norm", [tokens, gain, shift], lambda: F.layer_norm(tokens, (256,), gain, shift)
    images, scale, offset = image(64, 64, 32, 32), normal(64), normal(64)
    yield "batch_norm", [images, scale, offset], lambda: F.batch_norm(images, None, None, scale, offset, True)
    yield "group_norm", [images, scale, offset], lambda: F.group_norm(images, 8, scale, offset)
    for n in (128, 512, 1024):
        a, b = normal(n, n), normal(n, n)
        yield f"matmul of {n}", [a, b], lambda a=a, b=b: a @ b
    many, others = normal(64, 64, 64), normal(64, 64, 64)
    yield "matmul of 64 times 64", [many, others], lambda: many @ others
    rows, weight, bias = normal(1024, 256), normal(1024, 256), normal(1024)
    yield "linear", [rows, weight, bias], lambda: F.linear(rows, weight, bias)
    q, k, v = normal(8, 8, 128, 32), normal(8, 8, 128, 32), normal(8, 8, 128, 32)
    yield "attention", [q, k, v], lambda: attention(q, k, v)
    table, words = normal(10000, 256), torch.randint(10000, (64, 128))
    yield "embedding", [table], lambda: F.embedding(words, table)
    picked, each = torch.randint(256, (256,)), torch.randint(4096, (256, 64))
    yield "index_select", [x], lambda: x.index_select(0, picked)
    yield "gather", [x], lambda: x.gather(1, each)
    yield "concat", [x, y], lambda: torch.cat([x, y], 1)
    square, planes = normal(1024, 1024), normal(64, 64, 32, 32)
    yield "transposed copy", [square], lambda: square.T.contiguous()
    yield "to channels_last", [planes], lambda: planes.contiguous(memory_format=torch.channels_last)
    for name, x_shape, w_shape, options in [
        ("3x3", (64, 32, 26, 26), (64, 32, 3, 3), {}),
        ("5x5", (64, 6, 14, 14), (16, 6, 5, 5), {}),
        ("1x1", (16, 256, 14, 14), (64, 256, 1, 1), {}),
        ("3x3 depthwise", (64, 64, 32, 32), (64, 1, 3, 3), {"padding": 1, "groups": 64}),
        ("7x7 / 2", (8, 3, 224, 224), (64, 3, 7, 7), {"padding": 3, "stride": 2}),
    ]:
        inputs, w, b = image(*x_shape), image(*w_shape), normal(w_shape[0])
        yield f"conv2d {name}", [inputs, w, b], lambda i=inputs, w=w, b=b, o=options: F.conv2d(i, w, b, **o)
    small, wide, wide_bias = image(64, 64, 16, 16), normal(64, 32, 4, 4), normal(32)
    yield "conv_transpose2d", [small, wide, wide_bias], lambda: F.conv_transpose2d(small, wide, wide_bias, 2, 1)
    yield "max_pool2d", [images], lambda: F.max_pool2d(images, 2)
    yield "avg_pool2d", [images], lambda: F.avg_pool2d(images, 2)
    yield "upsample_nearest2d", [images], lambda: F.interpolate(images, scale_factor=2)
    yield "dropout", [x], lambda: F.dropout(x, 0.5)


def microseconds(work):
    """Of a call: the mean of as many as take 10 ms, the fastest of three times."""
    work()
    start = time.perf_counter()
    work()
    times = max(1, int(0.01 / max(time.perf_counter() - start, 1e-7)))
    fastest = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        for _ in range(times):
            work()
        fastest = min(fastest, time.perf_counter() - start)
    return 1e6 * fastest / times


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="operations whose names contain this text")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    flags = parser.parse_args()
    torch.set_num_threads(flags.threads)
    result = {}
    for name, leaves, run in operations():
        if flags.only not in name:
            continue
        with torch.no_grad():
            result[name] = microseconds(run)
            seed = torch.ones_like(run())

        def step():
            for leaf in leaves:
                leaf.grad = None
            run().backward(seed)

        result[name + ", with gradients"] = microseconds(step)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
