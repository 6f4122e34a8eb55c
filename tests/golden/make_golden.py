#!/usr/bin/env python3
"""Writes the golden values beside this file: what PyTorch computes, in float64, for training steps, single operations,
attention and torchvision's ResNets.

Weights and inputs come from an integer generator that tests/golden/golden.h repeats in C++, so only results are stored.
A gradient through ReLU jumps where a unit crosses zero, and rounding carries units across that are closer to it than the
error that ten steps of float32 leave, some 1e-6 of their layer's size. So that float32 can be held to a tolerance, each
step takes the first of a series of batches for which no unit comes closer than MARGIN; the files say which. Batches are
small since the units that are so close grow in number with them.

`make_golden.py [operations attention all_cnn_same all_cnn_one resnet]`, all by default: some minutes. Needs PyTorch and NumPy
(Debian: python3-torch), and for resnet torchvision (python3-torchvision). The tests read the files and need no Python.
"""
import itertools
import json
import pathlib
import sys

import numpy as np
import torch
import torch.nn.functional as F

HERE = pathlib.Path(__file__).parent
STEPS, BATCH, RATE, MOMENTUM, SAMPLES = 10, 2, 0.05, 0.9, 64
MARGIN = 4e-6


class TooClose(Exception):
    """A unit before ReLU is too close to zero."""


def integers(stream, count):
    """`count` 64-bit integers: splitmix64 from the FNV-1a hash of the stream's name."""
    state = 0xCBF29CE484222325
    for byte in stream.encode():
        state = (state ^ byte) * 0x100000001B3 % 2**64
    with np.errstate(over="ignore"):
        z = np.uint64(state) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def values(stream, shape, bound=1.0):
    """Uniform in [-bound, bound): 24 random bits, rounded to float32."""
    count = int(np.prod(shape, dtype=np.int64))
    unit = (integers(stream, count) >> np.uint64(40)).astype(np.float64) * 2.0**-23 - 1.0
    return torch.from_numpy((unit * bound).astype(np.float32).astype(np.float64).reshape(shape))


# ---- Ten training steps of All-CNN-C -------------------------------------------------------------------------------

CONVS = [(3, 96, 3, 1), (96, 96, 3, 1), (96, 96, 3, 2), (96, 192, 3, 1), (192, 192, 3, 1), (192, 192, 3, 2),
         (192, 192, 3, 1), (192, 192, 1, 1), (192, 10, 1, 1)]


def initial_parameters():
    parameters = {}
    for n, (i, o, k, _) in enumerate(CONVS, 1):
        name, bound = f"conv{n}.weight", (6.0 / (i * k * k + o * k * k)) ** 0.5
        parameters[name] = values(name, (o, i, k, k), bound).requires_grad_()
        parameters[f"conv{n}.bias"] = values(f"conv{n}.bias", (o,), 0.05).requires_grad_()
    return parameters


def batch(name):
    """Images of ten classes: a pattern of 4x4 blocks for each class, and noise."""
    labels = torch.from_numpy((integers(f"labels {name}", BATCH) % np.uint64(10)).astype(np.int64))
    patterns = values("patterns", (10, 3, 4, 4))
    blocks = patterns[labels].repeat_interleave(8, 2).repeat_interleave(8, 3)
    return blocks + 0.5 * values(f"noise {name}", (BATCH, 3, 32, 32)), labels


def all_cnn(x, parameters, padding):
    for n, (_, _, k, stride) in enumerate(CONVS, 1):
        if k == 3 and n < 7:
            # TensorFlow's SAME on even extents: stride 2 pads nothing before and one after.
            x = F.pad(x, (0, 1, 0, 1) if padding == "same" and stride == 2 else (1, 1, 1, 1))
        x = F.conv2d(x, parameters[f"conv{n}.weight"], parameters[f"conv{n}.bias"], stride)
        if x.detach().abs().min() < MARGIN * x.detach().square().mean().sqrt():
            raise TooClose
        x = F.relu(x)
    return x.mean((2, 3))


def sampled(parameters):
    result = {}
    for name, p in parameters.items():
        places = (integers(f"places {name}", SAMPLES) % np.uint64(p.numel())).astype(np.int64)
        result[name] = {"norm": p.grad.norm().item(), "samples": p.grad.flatten()[torch.from_numpy(places)].tolist()}
    return result


def training(padding):
    parameters = initial_parameters()
    optimizer = torch.optim.SGD(parameters.values(), lr=RATE, momentum=MOMENTUM)
    batches, losses, gradients = [], [], {}
    for step in range(1, STEPS + 1):
        for attempt in itertools.count():
            x, labels = batch(f"{step}.{attempt}")
            try:
                logits = all_cnn(x, parameters, padding)
                break
            except TooClose:
                pass
        batches.append(f"{step}.{attempt}")
        optimizer.zero_grad()
        loss = F.cross_entropy(logits, labels)
        loss.backward()
        losses.append(loss.item())
        if step in (1, STEPS):
            gradients[str(step)] = sampled(parameters)
        optimizer.step()
    return {"torch": torch.__version__, "batch_size": BATCH, "batches": batches, "losses": losses, "gradients": gradients}


# ---- Single operations ---------------------------------------------------------------------------------------------

def pad_conv(x, w, b, pads, **kwargs):
    top, left, bottom, right = pads
    return F.conv2d(F.pad(x, (left, right, top, bottom)), w, b, **kwargs)


def batch_norm_statistics(x, w, b):
    mean, variance = torch.zeros(3, dtype=x.dtype), torch.ones(3, dtype=x.dtype)
    y = F.batch_norm(x, mean, variance, w, b, training=True, momentum=0.1, eps=1e-5)
    return y, {"running_mean": mean, "running_var": variance}


LABELS = torch.tensor([2, 0, 4, 3])
X4, X1 = (2, 4, 7, 9), (3, 5)
# name: (function, shapes of its differentiable inputs)
OPERATIONS = {
    "conv2d plain": (lambda x, w, b: F.conv2d(x, w, b), {"x": X4, "w": (6, 4, 3, 3), "b": (6,)}),
    "conv2d stride": (lambda x, w, b: F.conv2d(x, w, b, (2, 3), 1), {"x": X4, "w": (6, 4, 3, 3), "b": (6,)}),
    "conv2d dilation": (lambda x, w, b: F.conv2d(x, w, b, 1, 2, (2, 1)), {"x": X4, "w": (5, 4, 3, 2), "b": (5,)}),
    "conv2d groups": (lambda x, w, b: F.conv2d(x, w, b, 1, 1, 1, 2), {"x": X4, "w": (6, 2, 3, 3), "b": (6,)}),
    "conv2d depthwise": (lambda x, w: F.conv2d(x, w, None, 2, 1, 1, 4), {"x": X4, "w": (8, 1, 3, 3)}),
    "conv2d asymmetric": (lambda x, w, b: pad_conv(x, w, b, (0, 2, 1, 0), stride=2), {"x": X4, "w": (6, 4, 3, 3), "b": (6,)}),
    "conv2d relu": (lambda x, w, b: F.relu(F.conv2d(x, w, b, 1, 1)), {"x": X4, "w": (6, 4, 3, 3), "b": (6,)}),
    "conv_transpose2d": (lambda x, w, b: F.conv_transpose2d(x, w, b, (2, 3), 1, (1, 2)),
                         {"x": X4, "w": (4, 6, 3, 3), "b": (6,)}),
    "conv_transpose2d groups": (lambda x, w, b: F.conv_transpose2d(x, w, b, 1, 1, 0, 2, (2, 1)),
                                {"x": X4, "w": (4, 3, 3, 2), "b": (6,)}),
    "linear": (lambda x, w, b: F.linear(x, w, b), {"x": (2, 3, 5), "w": (4, 5), "b": (4,)}),
    "batch_norm": (batch_norm_statistics, {"x": (4, 3, 3, 5), "w": (3,), "b": (3,)}),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, (4, 5), w, b), {"x": (3, 4, 5), "w": (4, 5), "b": (4, 5)}),
    "group_norm": (lambda x, w, b: F.group_norm(x, 3, w, b), {"x": (2, 6, 4, 3), "w": (6,), "b": (6,)}),
    "gelu": (lambda x: F.gelu(4 * x), {"x": X1}),
    # PyTorch by default returns x itself from 20 on; the threshold takes that shortcut away.
    "softplus": (lambda x: F.softplus(30 * x, threshold=700), {"x": X1}),
    "leaky_relu": (lambda x: F.leaky_relu(x, 0.2), {"x": X1}),
    "cross_entropy": (lambda x: F.cross_entropy(5 * x, LABELS), {"x": (4, 6)}),
    "cross_entropy smoothed": (lambda x: F.cross_entropy(5 * x, LABELS, label_smoothing=0.1), {"x": (4, 6)}),
    "max_pool2d": (lambda x: F.max_pool2d(x, 3, 2, 1), {"x": X4}),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, (3, 2), 2, 1), {"x": X4}),
    "avg_pool2d inside": (lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False), {"x": X4}),
    "log_softmax": (lambda x: F.log_softmax(20 * x, 1), {"x": (3, 5, 2)}),
}


def operation(name):
    function, shapes = OPERATIONS[name]
    inputs = {key: values(f"{name} {key}", shape).requires_grad_() for key, shape in shapes.items()}
    y, more = function(*inputs.values()), {}
    if isinstance(y, tuple):
        y, more = y
    y.backward(values(f"{name} gy", tuple(y.shape)))
    gradients = {f"grad {key}": v.grad for key, v in inputs.items()}
    results = {"y": y.detach(), **gradients, **more}
    return {"inputs": {k: list(s) for k, s in shapes.items()},
            "results": {k: {"shape": list(v.shape), "values": v.flatten().tolist()} for k, v in results.items()}}


# ---- Attention -------------------------------------------------------------------------------------------------------

def attention(causal):
    """PyTorch's layer with two heads, the gradients of its parameters by name, and that of its input."""
    layer = torch.nn.MultiheadAttention(6, 2, batch_first=True).double()
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            parameter.copy_(values(name, tuple(parameter.shape)))
    x = values("x", (3, 5, 6)).requires_grad_()
    mask = torch.triu(torch.ones(5, 5, dtype=torch.bool), 1) if causal else None
    y, _ = layer(x, x, x, need_weights=False, attn_mask=mask)
    y.backward(values("gy", (3, 5, 6)))
    results = {"y": y.detach(), "x": x.grad, **{n: p.grad for n, p in layer.named_parameters()}}
    return {k: {"shape": list(v.shape), "values": v.flatten().tolist()} for k, v in results.items()}


# ---- ResNets ---------------------------------------------------------------------------------------------------------

def paper_shortcut(model):
    """The FOP paper's fourth projection, which torchvision's ResNet-18 has not."""
    from torchvision.models.resnet import conv1x1
    model.layer1[0].downsample = torch.nn.Sequential(conv1x1(64, 64), torch.nn.BatchNorm2d(64))


def cifar_stem(model):
    model.conv1 = torch.nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    model.maxpool = torch.nn.Identity()


# name: (torchvision's constructor, what to change, side of the images)
RESNETS = {
    "resnet18": ("resnet18", lambda model: None, 64),
    "resnet18 paper": ("resnet18", paper_shortcut, 64),
    "resnet18 cifar": ("resnet18", cifar_stem, 32),
    "resnet34": ("resnet34", lambda model: None, 64),
    "resnet50": ("resnet50", lambda model: None, 64),
}


def resnet_state(model):
    """Weights within He's bound, variances and scales around 1, those of a block's last norm around 1/4 so that the logits
    stay within some tens; shifts and means around 0. All are rounded to float32."""
    state = {}
    for name, t in model.state_dict().items():
        if name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(7)
        elif t.dim() > 1:
            state[name] = values(name, tuple(t.shape), (6.0 / t[0].numel()) ** 0.5)
        else:
            around_one = name.endswith("running_var") or (name.endswith(".weight") and t.dim() == 1)
            numbers = values(name, tuple(t.shape), 0.2) + (1.0 if around_one else 0.0)
            state[name] = numbers.float().double() * (0.25 if name.endswith(("bn2.weight", "bn3.weight")) else 1.0)
    return state


def resnet(name):
    import torchvision
    constructor, change, side = RESNETS[name]
    model = getattr(torchvision.models, constructor)(num_classes=10)
    change(model)
    model = model.double()
    model.load_state_dict(resnet_state(model))
    x = values("images", (3, 3, side, side))
    evaluated = model.eval()(x)
    trained = model.train()(x)
    state = model.state_dict()
    return {"side": side,
            "shapes": {n: list(t.shape) for n, t in state.items()},
            "parameters": sum(p.numel() for p in getattr(torchvision.models, constructor)().parameters()),
            "evaluated": evaluated.flatten().tolist(), "trained": trained.flatten().tolist(),
            "running_var": state["layer4.1.bn2.running_var"][:16].tolist(),
            "batches": int(state["bn1.num_batches_tracked"])}


FILES = {
    "operations": lambda: {name: operation(name) for name in OPERATIONS},
    "attention": lambda: {"plain": attention(False), "causal": attention(True)},
    "all_cnn_same": lambda: training("same"),
    "all_cnn_one": lambda: training("one"),
    "resnet": lambda: {name: resnet(name) for name in RESNETS},
}

if __name__ == "__main__":
    for file in sys.argv[1:] or FILES:
        (HERE / f"{file}.json").write_text(json.dumps(FILES[file](), separators=(",", ":")) + "\n")
