#!/usr/bin/env python3
"""Writes optim.json: short trajectories of PyTorch's optimizers, in float64, on a coupled nonlinear objective.

Run with a Python that has PyTorch (made with 1.13.1): make_optim_golden.py > optim.json
The objective of w [3, 4] is sum over i of (1 + i mod 3) * (sin(w_i) + 0.3 w_i w_(i+1))^2 with indices wrapping around,
so that gradients change sign and differ in size from element to element.
"""
import json
import sys

import torch

STEPS = 12
SHAPE = (3, 4)

CASES = {
    "sgd": (torch.optim.SGD, dict(lr=0.05)),
    "momentum": (torch.optim.SGD, dict(lr=0.02, momentum=0.9)),
    "nesterov": (torch.optim.SGD, dict(lr=0.02, momentum=0.8, nesterov=True)),
    "momentum_coupled_decay": (torch.optim.SGD, dict(lr=0.02, momentum=0.9, weight_decay=0.1)),
    "rmsprop": (torch.optim.RMSprop, dict(lr=0.01, alpha=0.95, eps=1e-6)),
    "rmsprop_centered_momentum": (torch.optim.RMSprop, dict(lr=0.01, alpha=0.9, momentum=0.7, centered=True)),
    "adagrad": (torch.optim.Adagrad, dict(lr=0.1, lr_decay=0.05, initial_accumulator_value=0.1, eps=1e-7)),
    "adam": (torch.optim.Adam, dict(lr=0.03, betas=(0.8, 0.95), eps=1e-4)),
    "adam_coupled_decay": (torch.optim.Adam, dict(lr=0.03, weight_decay=0.2)),
    "adamw": (torch.optim.AdamW, dict(lr=0.03, betas=(0.9, 0.99), weight_decay=0.3)),
}


def start():
    return torch.tensor([((7 * i) % 12 - 5.5) / 4 for i in range(12)], dtype=torch.float64).reshape(SHAPE)


def objective(w):
    flat = w.reshape(-1)
    factor = 1 + torch.arange(12, dtype=torch.float64) % 3
    return (factor * (torch.sin(flat) + 0.3 * flat * flat.roll(-1)) ** 2).sum()


def trajectory(make, options, clip=None):
    w = start().requires_grad_()
    optimizer = make([w], **options)
    points = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        objective(w).backward()
        if clip is not None:
            torch.nn.utils.clip_grad_norm_([w], clip)
        optimizer.step()
        points.append(w.detach().reshape(-1).tolist())
    return points


def schedules():
    """Factors of the learning rate over 12 epochs."""
    lr = torch.optim.lr_scheduler
    made = {
        "step": lambda o: lr.StepLR(o, 5, 0.3),
        "multi_step": lambda o: lr.MultiStepLR(o, [3, 8], 0.1),
        "exponential": lambda o: lr.ExponentialLR(o, 0.9),
        "cosine": lambda o: lr.CosineAnnealingLR(o, 10, 0.1),
        "linear": lambda o: lr.LinearLR(o, 0.25, 0.75, 6),
        "polynomial": lambda o: lr.PolynomialLR(o, 7, 2.5),
        "cosine_restarts": lambda o: lr.CosineAnnealingWarmRestarts(o, 3, 2, 0.1),
        "triangle": lambda o: lr.CyclicLR(o, 0.2, 1.0, 2, 3, cycle_momentum=False),
        # Its peak is at pct_start times total_steps, minus 1.
        "one_cycle": lambda o: lr.OneCycleLR(
            o, 1.0, 11, pct_start=4 / 11, cycle_momentum=False, div_factor=20, final_div_factor=50
        ),
    }
    result = {}
    for name, make in made.items():
        optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        schedule = make(optimizer)
        factors = []
        for _ in range(11):
            factors.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
        result[name] = factors
    return result


def main():
    result = {name: trajectory(make, options) for name, (make, options) in CASES.items()}
    result["sgd_clipped_norm"] = trajectory(torch.optim.SGD, dict(lr=0.05), clip=2.0)
    json.dump({"torch": torch.__version__, "trajectories": result, "schedules": schedules()}, sys.stdout)
    print()


if __name__ == "__main__":
    main()
