#!/usr/bin/env python3
"""What `bench train-step` and `bench small-net` are compared with: the same work in PyTorch, on the CPU.

torch_baseline.py train-step [--amp bf16] [--model resnet18 --batch 16] prints {"images_per_s": ...} of whole training steps
on one random batch: forward, cross-entropy, backward and SGD with momentum, channels-last.
torch_baseline.py small-net prints {"updates_per_s": ...} of a 24-40-40-(4, 1) network with the clipped surrogate loss and
Adam. Both take --threads, and add "peak_rss_mb". Used as
`bench train-step --against "python3 apps/bench/torch_baseline.py train-step"`. Needs PyTorch (Debian: python3-torch).
"""
import argparse
import json
import os
import resource
import time

import torch
from torch import nn
from torch.nn import functional as F


def all_cnn(classes):
    """All-CNN-C with every 3x3 convolution padded by 1 and no dropout, as bench builds it."""
    layers, channels = [], 3
    for out, kernel, stride in [(96, 3, 1), (96, 3, 1), (96, 3, 2), (192, 3, 1), (192, 3, 1), (192, 3, 2), (192, 3, 1),
                                (192, 1, 1), (classes, 1, 1)]:
        layers += [nn.Conv2d(channels, out, kernel, stride, padding=kernel // 2), nn.ReLU(inplace=True)]
        channels = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


class BasicBlock(nn.Module):
    def __init__(self, channels, out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.downsample = nn.Sequential()
        if stride != 1 or channels != out:
            self.downsample = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(y)) + self.downsample(x), inplace=True)


def resnet18(classes):
    layers = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    channels = 64
    for out, stride in [(64, 1), (128, 2), (256, 2), (512, 2)]:
        layers += [BasicBlock(channels, out, stride), BasicBlock(out, out, 1)]
        channels = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, classes))


MODELS = {"all_cnn": (all_cnn, 32, 10), "resnet18": (resnet18, 224, 1000)}  # with the side of an image and the classes


def train_step(flags):
    make, side, classes = MODELS[flags.model]
    net = make(classes).to(memory_format=torch.channels_last)
    images = torch.randn(flags.batch, 3, side, side).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(classes, (flags.batch,))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=flags.amp == "bf16"):
            logits = net(images)
        F.cross_entropy(logits.float(), labels).backward()
        optimizer.step()

    return "images_per_s", flags.batch * rate(step, 4, flags.steps)


class ActorCritic(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(24, 40), nn.Linear(40, 40)
        self.mean, self.value = nn.Linear(40, 4), nn.Linear(40, 1)
        self.log_std = nn.Parameter(torch.zeros(4))

    def forward(self, x):
        h = torch.tanh(self.second(torch.tanh(self.first(x))))
        return torch.tanh(self.mean(h)), self.value(h).squeeze(1)


def small_net(flags):
    net = ActorCritic()
    observations, actions = torch.randn(flags.batch, 24), torch.randn(flags.batch, 4)
    advantage, returns, old_log_probability = torch.randn(3, flags.batch)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-4)

    def update():
        optimizer.zero_grad(set_to_none=True)
        mean, value = net(observations)
        z = (actions - mean) / net.log_std.exp()
        log_probability = (-0.5 * z * z - net.log_std - 0.9189385).sum(1)
        ratio = (log_probability - old_log_probability).exp()
        gain = torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage)
        (0.5 * (value - returns).square().mean() - gain.mean()).backward()
        optimizer.step()

    return "updates_per_s", rate(update, 100, flags.updates)


def rate(work, warm_up, times):
    """Calls per second, after `warm_up` calls that nobody times."""
    for _ in range(warm_up):
        work()
    start = time.perf_counter()
    for _ in range(times):
        work()
    return times / (time.perf_counter() - start)


def positive(text):
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, got {number}")
    return number


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    train = commands.add_parser("train-step", help="whole training steps on one random batch")
    train.add_argument("--model", choices=MODELS, default="all_cnn")
    train.add_argument("--batch", type=positive, default=128)
    train.add_argument("--steps", type=positive, default=3)
    train.add_argument("--amp", choices=["none", "bf16"], default="none")
    train.set_defaults(measure=train_step)
    small = commands.add_parser("small-net", help="updates of a tiny actor-critic network")
    small.add_argument("--batch", type=positive, default=32)
    small.add_argument("--updates", type=positive, default=2000)
    small.set_defaults(measure=small_net)
    for command in (train, small):
        command.add_argument("--threads", type=positive, default=len(os.sched_getaffinity(0)),
                             help="of the computation; left out: one for each core")
    flags = parser.parse_args()
    torch.set_num_threads(flags.threads)
    torch.manual_seed(0)
    name, value = flags.measure(flags)
    print(json.dumps({name: value, "threads": torch.get_num_threads(), "torch": torch.__version__,
                      "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


if __name__ == "__main__":
    main()
