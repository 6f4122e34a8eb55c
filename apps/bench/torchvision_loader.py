#!/usr/bin/env python3
"""What `bench loader --photos` is compared with: torchvision's ImageFolder and PyTorch's DataLoader, with Pillow.

`bench loader --photos FOLDER --batch 30 --workers 2 --against "python3 apps/bench/torchvision_loader.py FOLDER"`, where
FOLDER/train has a folder per class. Prints {"images_per_s": ...}: decode, random resized crop, flip, normalize; measured
after a first epoch in which the worker processes start. Needs torchvision (Debian: python3-torchvision).
"""
import argparse
import json
import time

import torch
from torchvision import datasets, transforms

parser = argparse.ArgumentParser()
parser.add_argument("folder")
parser.add_argument("--batch", type=int, default=30)
parser.add_argument("--workers", type=int, default=2)
parser.add_argument("--size", type=int, default=224)
parser.add_argument("--passes", type=int, default=5)
flags = parser.parse_args()

torch.set_num_threads(1)
photographs = datasets.ImageFolder(flags.folder + "/train", transforms.Compose([
    transforms.RandomResizedCrop(flags.size),
    transforms.RandomHorizontalFlip(),
    transforms.ToTensor(),
    transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
]))
loader = torch.utils.data.DataLoader(photographs, flags.batch, shuffle=True, num_workers=flags.workers,
                                     persistent_workers=flags.workers > 0)
for _ in loader:
    pass
begin, seen = time.perf_counter(), 0
for _ in range(flags.passes):
    for images, labels in loader:
        seen += len(labels)
print(json.dumps({"images_per_s": seen / (time.perf_counter() - begin)}))
