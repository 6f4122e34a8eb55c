#!/usr/bin/env python3
"""Writes photos.json beside this file: what Pillow and torchvision make of small pictures, for the tests of tests/data.

Pictures come from the integer generator of golden.h, so only results are stored; and small JPEG files of every kind, with
the pixels that Pillow decodes. Needs torchvision (Debian: python3-torchvision). The tests need no Python.
"""
import base64
import io
import json

import numpy as np
import torch
from PIL import Image
from torchvision import transforms
from torchvision.transforms import functional, functional_tensor

from make_golden import HERE, integers

# name: (height, width, box top, left, height, width, target height, width)
RESIZES = {
    "shrink": (13, 17, 0, 0, 13, 17, 5, 7),
    "grow": (13, 17, 0, 0, 13, 17, 20, 40),
    "mixed": (13, 17, 0, 0, 13, 17, 30, 4),
    "one": (13, 17, 0, 0, 13, 17, 1, 1),
    "crop": (40, 31, 5, 3, 29, 22, 11, 13),
    "large": (90, 120, 7, 11, 80, 100, 9, 10),
}


def picture(name, height, width):
    """Noise over a ramp of colours, [height, width, 3] bytes."""
    noise = (integers(name, height * width * 3) % np.uint64(64)).astype(np.int64).reshape(height, width, 3)
    y, x = np.mgrid[0:height, 0:width]
    ramp = np.stack([y * 190 // height, x * 190 // width, (y + x) * 190 // (height + width)], 2)
    return (ramp + noise).astype(np.uint8)


def resized(name):
    h, w, top, left, box_h, box_w, to_h, to_w = RESIZES[name]
    image = Image.fromarray(picture(name, h, w)).crop((left, top, left + box_w, top + box_h))
    return np.asarray(image.resize((to_w, to_h), Image.BILINEAR)).flatten().tolist()


def jpeg(name):
    height, width = 43, 57
    smooth = Image.fromarray(picture("jpeg", height // 4, width // 4)).resize((width, height), Image.BICUBIC)
    mode, options = {
        "4:2:0": ("RGB", {"subsampling": 2}),
        "4:2:2": ("RGB", {"subsampling": 1}),
        "4:4:4": ("RGB", {"subsampling": 0}),
        "progressive": ("RGB", {"progressive": True}),
        "grey": ("L", {}),
        "cmyk": ("CMYK", {}),
    }[name]
    file = io.BytesIO()
    smooth.convert(mode).save(file, "JPEG", quality=85, **options)
    decoded = Image.open(io.BytesIO(file.getvalue())).convert("RGB")
    return {"file": base64.b64encode(file.getvalue()).decode(), "height": height, "width": width,
            "pixels": np.asarray(decoded).flatten().tolist()}


def colours():
    x = torch.from_numpy(picture("colours", 6, 7)).permute(2, 0, 1).double() / 255
    changed = {
        "brightness": functional_tensor.adjust_brightness(x, 1.4),
        "contrast": functional_tensor.adjust_contrast(x, 0.5),
        "saturation": functional_tensor.adjust_saturation(x, 1.7),
        "hue": functional_tensor.adjust_hue(x, 0.2),
        "hue back": functional_tensor.adjust_hue(x, -0.45),
    }
    return {name: (255 * y).permute(1, 2, 0).flatten().tolist() for name, y in changed.items()}


def evaluation(height, width):
    image = Image.fromarray(picture("evaluation", height, width))
    y = transforms.Compose([transforms.Resize(18), transforms.CenterCrop(16), transforms.ToTensor(),
                            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))])(image)
    return y.permute(1, 2, 0).flatten().tolist()


if __name__ == "__main__":
    (HERE / "photos.json").write_text(json.dumps({
        "resized": {name: {"shape": list(RESIZES[name]), "pixels": resized(name)} for name in RESIZES},
        "jpeg": {name: jpeg(name) for name in ("4:2:0", "4:2:2", "4:4:4", "progressive", "grey", "cmyk")},
        "colours": colours(),
        "evaluation": {f"{h}x{w}": evaluation(h, w) for h, w in ((45, 61), (71, 40), (12, 20))},
    }, separators=(",", ":")) + "\n")
