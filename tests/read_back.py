"""Reads files that gradus wrote with the programs for which they are written, and prints what these find as JSON.

usage: read_back.py npy FILE...           dtype, shape and values of each
       read_back.py write-npy FOLDER      writes arrays for the other direction
       read_back.py tensorboard FOLDER    what tensorboard's own reader finds in the folder
       read_back.py onnx FOLDER           for each NAME.onnx: the largest difference, relative to 1 or the value, between
                                          what onnxruntime (or onnx's reference evaluator) makes of NAME.input.npy and
                                          NAME.output.npy
       read_back.py onnx-info FILE        names, shapes and metadata of a checked model
       read_back.py torch FILE OUT        the tensors of a safetensors file; writes to OUT what PyTorch computed with them
"""

import json
import sys
from pathlib import Path


def npy(*paths):
    import numpy as np

    arrays = [np.load(path, allow_pickle=False) for path in paths]
    return [{"dtype": a.dtype.str, "shape": a.shape, "c": bool(a.flags.c_contiguous), "values": a.ravel().tolist()}
            for a in arrays]


def write_npy(folder):
    import numpy as np

    folder = Path(folder)
    counted = np.arange(24).reshape(2, 3, 4)
    for dtype in ["<f4", "<f8", "<i4", "<i8", "|u1"]:
        np.save(folder / f"{dtype[1:]}.npy", counted.astype(dtype))
    np.save(folder / "bool.npy", counted % 2 == 0)
    np.save(folder / "fortran.npy", np.asfortranarray(counted.astype("<f4")))
    np.save(folder / "scalar.npy", np.float64(2.5))
    np.save(folder / "empty.npy", np.zeros((0, 3), "<f4"))
    with open(folder / "version2.npy", "wb") as file:
        np.lib.format.write_array(file, counted.astype("<i8"), version=(2, 0))
    np.save(folder / "big.npy", counted.astype(">f4"))
    np.save(folder / "half.npy", np.asfortranarray(counted.astype("<f2")))
    every_half = np.arange(1 << 16, dtype="<u2").view("<f2")
    np.save(folder / "halves.npy", every_half)
    np.save(folder / "widened.npy", every_half.astype("<f4"))
    np.save(folder / "records.npy", np.zeros(2, [("a", "<f4"), ("b", "<i4")]))
    return sorted(path.name for path in folder.glob("*.npy"))


def tensorboard(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(folder, size_guidance={"scalars": 0, "histograms": 0, "images": 0, "tensors": 0})
    events.Reload()
    tags = events.Tags()
    return {
        "scalars": {tag: [[e.step, e.value, e.wall_time] for e in events.Scalars(tag)] for tag in tags["scalars"]},
        "histograms": {tag: [[e.step, h.min, h.max, h.num, h.sum, h.sum_squares, list(h.bucket_limit), list(h.bucket)]
                             for e in events.Histograms(tag) for h in [e.histogram_value]] for tag in tags["histograms"]},
        "images": {tag: [[e.step, e.height, e.width, e.encoded_image_string.hex()] for e in events.Images(tag)]
                   for tag in tags["images"]},
    }


def onnx(folder):
    import numpy as np
    import onnx

    differences = {}
    for path in sorted(Path(folder).glob("*.onnx")):
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
        try:
            import onnxruntime

            session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except ImportError:
            from onnx.reference import ReferenceEvaluator

            session = ReferenceEvaluator(model)
        given = np.load(path.with_suffix(".input.npy"))
        expected = np.load(path.with_suffix(".output.npy"))
        (found,) = session.run(None, {model.graph.input[0].name: given})
        if found.shape != expected.shape or found.dtype != expected.dtype:
            sys.exit(f"{path.name}: {found.dtype} {found.shape} instead of {expected.dtype} {expected.shape}")
        error = np.abs(found - expected) / np.maximum(1, np.abs(expected))
        differences[path.stem] = float(error.max()) if np.isfinite(error).all() else 1e30
    return differences


def onnx_info(path):
    import onnx

    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)

    def port(value):
        shape = value.type.tensor_type.shape.dim
        return [value.name, [d.dim_param or d.dim_value for d in shape]]

    return {"input": port(model.graph.input[0]), "output": port(model.graph.output[0]), "opset": model.opset_import[0].version,
            "initializers": {i.name: list(i.dims) for i in model.graph.initializer},
            "metadata": {p.key: p.value for p in model.metadata_props}}


def torch(path, out):
    import torch
    from safetensors.torch import load_file, save_file

    tensors = load_file(path)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.BatchNorm2d(4), torch.nn.ReLU(),
                              torch.nn.Flatten(), torch.nn.Linear(256, 5))
    net.load_state_dict(tensors, strict=True)
    images = torch.arange(2 * 3 * 8 * 8, dtype=torch.float32).reshape(2, 3, 8, 8).remainder(7) / 7
    with torch.no_grad():
        logits = net.eval()(images)
        net[0].weight += 1
    save_file({"images": images, "logits": logits, **{f"net.{k}": v.contiguous() for k, v in net.state_dict().items()}},
              out, {"format": "pt"})
    return {name: [str(t.dtype), list(t.shape)] for name, t in tensors.items()}


def main():
    command, *arguments = sys.argv[1:]
    commands = {"npy": npy, "write-npy": write_npy, "tensorboard": tensorboard, "onnx": onnx, "onnx-info": onnx_info,
                "torch": torch}
    print(json.dumps(commands[command](*arguments)))


if __name__ == "__main__":
    main()
