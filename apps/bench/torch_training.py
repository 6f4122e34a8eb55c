#!/usr/bin/env python3
"""A training of the paper's table in PyTorch: does a recipe reach another accuracy in other hands than ours?

torch_training.py DATA trains All-CNN-C by momentum as `reproduce table_cifar10 --scale paper --amp bf16` does (150 epochs
of batches of 128, the learning rate 0.05 and 0.005 after 80 epochs, decay 0.001 of the weights, dropout of 0.2, 0.5 and
0.5), in bfloat16 on a GPU, and prints one JSON object per epoch. DATA is a folder of pictures, train/CLASS/*.jpg and
test/CLASS/*.jpg. Needs PyTorch and Pillow.
"""
import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

LAYERS = [(96, 3, 1), (96, 3, 1), (96, 3, 2), (192, 3, 1), (192, 3, 1), (192, 3, 2), (192, 3, 1), (192, 1, 1), (10, 1, 1)]
BATCH = 128


class AllCnn(nn.Module):
    """With TensorFlow's padding: strided convolutions pad 0 before and 1 after, the seventh nothing."""

    def __init__(self):
        super().__init__()
        self.convolutions = nn.ModuleList()
        channels = 3
        for place, (out, kernel, stride) in enumerate(LAYERS):
            padded = kernel == 3 and stride == 1 and place != 6
            self.convolutions.append(nn.Conv2d(channels, out, kernel, stride, padding=1 if padded else 0))
            nn.init.xavier_uniform_(self.convolutions[-1].weight)
            nn.init.zeros_(self.convolutions[-1].bias)
            channels = out

    def forward(self, x):
        x = F.dropout(x, 0.2, self.training)
        for place, convolution in enumerate(self.convolutions):
            if convolution.stride[0] == 2:
                x = F.pad(x, (0, 1, 0, 1))
            x = F.relu(convolution(x))
            if place in (2, 5):
                x = F.dropout(x, 0.5, self.training)
        return x.float().mean((2, 3))


def pixels(path):
    return numpy.asarray(Image.open(path).convert("RGB"))


def images_of(folder):
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    files = [(file, label) for label, path in enumerate(classes) for file in sorted(path.glob("*.jpg"))]
    with ProcessPoolExecutor() as pool:
        images = numpy.stack(list(pool.map(pixels, [file for file, _ in files], chunksize=500)))
    return torch.from_numpy(images).permute(0, 3, 1, 2).float(), torch.tensor([label for _, label in files])


class Training:
    """On a GPU each step is the replay of a graph, captured anew for each learning rate."""

    def __init__(self, flags, device):
        self.device = device
        (x, y), (test_x, test_y) = images_of(flags.data / "train"), images_of(flags.data / "test")
        mean, deviation = x.mean((0, 2, 3), keepdim=True), x.std((0, 2, 3), keepdim=True)
        self.x, self.test_x = (((images - mean) / deviation).to(device).contiguous(memory_format=torch.channels_last)
                               for images in (x, test_x))
        self.y, self.test_y = y.to(device), test_y.to(device)
        self.net = AllCnn().to(device).to(memory_format=torch.channels_last)
        weights = [parameter for parameter in self.net.parameters() if parameter.dim() > 1]
        biases = [parameter for parameter in self.net.parameters() if parameter.dim() == 1]
        self.optimizer = torch.optim.SGD([{"params": weights, "weight_decay": flags.weight_decay}, {"params": biases}],
                                         lr=0.05, momentum=0.9)
        for parameter in self.net.parameters():
            self.optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        self.chosen = torch.zeros(BATCH, dtype=torch.long, device=device)
        self.loss, self.hits = (torch.zeros((), device=device) for _ in range(2))
        self.graph = None

    def autocast(self):
        return torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda", cache_enabled=False)

    def step(self, chosen):
        self.optimizer.zero_grad(set_to_none=True)
        x, y = self.x[chosen].contiguous(memory_format=torch.channels_last), self.y[chosen]
        with self.autocast():
            logits = self.net(x)
        loss = F.cross_entropy(logits, y)
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            self.loss.add_(loss.detach() * len(chosen))
            self.hits.add_((logits.argmax(1) == y).sum())

    def tensors(self):
        buffers = [state["momentum_buffer"] for state in self.optimizer.state.values()]
        return [*self.net.parameters(), *buffers, self.loss, self.hits]

    def capture(self):
        """A graph of a step of a whole batch. The steps that capturing takes before it are taken back."""
        before = [tensor.detach().clone() for tensor in self.tensors()]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.step(self.chosen)
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.step(self.chosen)
        with torch.no_grad():
            for tensor, value in zip(self.tensors(), before):
                tensor.copy_(value)

    def take(self, chosen):
        if self.device != "cuda" or len(chosen) != BATCH:
            return self.step(chosen)
        self.chosen.copy_(chosen)
        if self.graph is None:
            self.capture()
        return self.graph.replay()

    def epoch(self):
        self.net.train()
        self.loss.zero_()
        self.hits.zero_()
        order = torch.randperm(len(self.y), device=self.device)
        for chosen in order.split(BATCH):
            self.take(chosen)
        return {"train_loss": self.loss.item() / len(order), "train_accuracy": self.hits.item() / len(order)}

    def test(self):
        self.net.eval()
        with torch.no_grad(), self.autocast():
            logits = torch.cat([self.net(images) for images in self.test_x.split(1000)])
        return {"test_loss": F.cross_entropy(logits, self.test_y).item(),
                "test_accuracy": (logits.argmax(1) == self.test_y).float().mean().item()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with train/CLASS and test/CLASS")
    parser.add_argument("--epochs", type=int, default=150, help="passes over the training images")
    parser.add_argument("--weight-decay", type=float, default=1e-3, help="of the weights, not of the biases")
    parser.add_argument("--seed", type=int, default=0, help="of weights, order and dropout")
    flags = parser.parse_args()
    torch.manual_seed(flags.seed)
    torch.backends.cudnn.benchmark = True
    training = Training(flags, "cuda" if torch.cuda.is_available() else "cpu")
    for epoch in range(flags.epochs):
        if epoch == 80:
            training.graph = None
            for group in training.optimizer.param_groups:
                group["lr"] = 0.005
        print(json.dumps({"epoch": epoch + 1, **training.epoch(), **training.test()}), flush=True)


if __name__ == "__main__":
    main()
