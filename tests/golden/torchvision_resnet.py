#!/usr/bin/env python3
"""Writes what a test reads back: a torchvision ResNet's weights and, under "images" and "logits", what it computes.

`torchvision_resnet.py NAME FOLDER` leaves FOLDER/weights.safetensors and FOLDER/logits.safetensors. Exits with 77 where
torchvision is not installed. Weights are random, and the norms' averages come from some training steps. Debian 12 has no
safetensors for Python, and the format is eight bytes of length, a header in JSON, and the tensors' bytes.
"""
import json
import pathlib
import sys

try:
    import torch
    import torchvision
except ImportError:
    sys.exit(77)

TYPES = {torch.float32: "F32", torch.int64: "I64"}


def save(path, tensors):
    header, data = {}, b""
    for name, tensor in tensors.items():
        raw = tensor.detach().contiguous().numpy().tobytes()
        header[name] = {"dtype": TYPES[tensor.dtype], "shape": list(tensor.shape),
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


if __name__ == "__main__":
    torch.manual_seed(3)
    torch.set_num_threads(2)
    model = getattr(torchvision.models, sys.argv[1])()
    folder = pathlib.Path(sys.argv[2])
    with torch.no_grad():
        for _ in range(3):
            model.train()(torch.randn(4, 3, 64, 64))
        images = torch.randn(2, 3, 224, 224)
        save(folder / "weights.safetensors", model.state_dict())
        save(folder / "logits.safetensors", {"images": images, "logits": model.eval()(images)})
