#!/usr/bin/env python3
"""Writes contrib.json: short trajectories of Lion, Muon, Shampoo, Schedule-Free and Prodigy in float64, each written here
from its public definition, on the objective of make_optim_golden.py.

Run with a Python that has PyTorch (made with 1.13.1): make_contrib_golden.py > contrib.json
"""
import json
import math

import torch

from make_optim_golden import objective, start

STEPS = 12


def gradient(w):
    w = w.clone().requires_grad_()
    objective(w).backward()
    return w.grad


def lion(lr, beta1, beta2, decay):
    """Chen et al. 2023, algorithm 2."""
    w, m = start(), torch.zeros_like(start())
    while True:
        g = gradient(w)
        update = torch.sign(beta1 * m + (1 - beta1) * g)
        w = w - lr * (update + decay * w)
        m = beta2 * m + (1 - beta2) * g
        yield w


def newton_schulz(g, iterations):
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g.T if g.shape[0] > g.shape[1] else g
    x = x / (torch.linalg.matrix_norm(x) + 1e-7)
    for _ in range(iterations):
        s = x @ x.T
        x = a * x + (b * s + c * s @ s) @ x
    return x.T if g.shape[0] > g.shape[1] else x


def muon(lr, momentum, nesterov, tall):
    """Jordan et al. 2024. The objective's w is [3, 4]; `tall` takes it as [4, 3]."""
    w, v = start(), torch.zeros_like(start())
    while True:
        g = gradient(w)
        v = v + (1 - momentum) * (g - v)
        x = g + momentum * (v - g) if nesterov else v
        x = x.reshape(4, 3) if tall else x
        x = newton_schulz(x, 5) * math.sqrt(max(1, x.shape[0] / x.shape[1]))
        w = w - lr * x.reshape(3, 4)
        yield w


def inverse_root(a, power):
    values, vectors = torch.linalg.eigh(a)
    return vectors @ torch.diag(values**power) @ vectors.T


def shampoo(lr, eps, every, left_only=False):
    """Gupta, Koren and Singer 2018, algorithm 1; with one side, the algorithm for a tensor of order one."""
    w = start()
    left, right = eps * torch.eye(3, dtype=w.dtype), eps * torch.eye(4, dtype=w.dtype)
    for step in range(STEPS):
        g = gradient(w)
        left, right = left + g @ g.T, right + g.T @ g
        if step % every == 0:
            left_root = inverse_root(left, -0.5 if left_only else -0.25)
            right_root = torch.eye(4, dtype=w.dtype) if left_only else inverse_root(right, -0.25)
        w = w - lr * left_root @ g @ right_root
        yield w


def schedule_free(lrs, beta1, beta2, eps):
    """Defazio et al. 2024: y where gradients are taken, z the steps, x the average of z by the squared largest rate."""
    z = x = start()
    v, weights, largest = torch.zeros_like(z), 0.0, 0.0
    for step, lr in enumerate(lrs):
        y = (1 - beta1) * z + beta1 * x
        g = gradient(y)
        v = beta2 * v + (1 - beta2) * g * g
        z = z - lr * g / (torch.sqrt(v / (1 - beta2 ** (step + 1))) + eps)
        largest = max(largest, lr)
        weights += largest**2
        c = largest**2 / weights
        x = (1 - c) * x + c * z
        yield torch.cat([(1 - beta1) * z + beta1 * x, x])


def prodigy(lr, beta1, beta2, eps, d0):
    """Mishchenko and Defazio 2023, as the authors' program has it: no growth limit, beta3 = sqrt(beta2)."""
    w = p0 = start()
    m, v, s = torch.zeros_like(w), torch.zeros_like(w), torch.zeros_like(w)
    d, r, beta3 = d0, 0.0, math.sqrt(beta2)
    while True:
        g = gradient(w)
        dlr = d * lr
        r = beta3 * r + d / d0 * dlr * float((g * (p0 - w)).sum())
        m = beta1 * m + d * (1 - beta1) * g
        v = beta2 * v + d * d * (1 - beta2) * g * g
        s = beta3 * s + d / d0 * dlr * g
        d = max(d, r / float(s.abs().sum()))
        w = w - dlr * m / (torch.sqrt(v) + d * eps)
        yield w


def points(trajectory):
    return [next(trajectory).reshape(-1).tolist() for _ in range(STEPS)]


print(json.dumps({
    "lion": points(lion(0.02, 0.9, 0.99, 0)),
    "lion_decay": points(lion(0.02, 0.8, 0.95, 0.3)),
    "muon": points(muon(0.05, 0.95, True, False)),
    "muon_tall": points(muon(0.05, 0.9, False, True)),
    "shampoo": points(shampoo(0.1, 1e-3, 1)),
    "shampoo_every": points(shampoo(0.1, 1e-2, 3)),
    "shampoo_left": points(shampoo(0.1, 1e-2, 1, left_only=True)),
    "schedule_free": points(schedule_free([0.05 * min(1, (i + 1) / 4) for i in range(STEPS)], 0.9, 0.99, 1e-6)),
    "prodigy": points(prodigy(1, 0.9, 0.99, 1e-8, 0.01)),
}))
