"""Checks files that plusx exported with the programs that they are for.

Usage: python scripts/check_exports.py FOLDER        (test/train/export-python.test.ts fills it)

FOLDER holds job.json: {"model": torchvision's name, "classes": 5, "logits": [...], "images":
"images.f32" (N,3,S,S), "shape": [N,3,S,S], "onnx": [files], "pth": [files], "safetensors": [files]}.

Needs torch, torchvision, safetensors and onnx. ONNX files must pass onnx.checker with shape
inference; weights must load without executing anything and with strict=True, and give the logits.
Prints one JSON object: {file: largest difference of logits as a share of the largest one}; 0 for
ONNX files, which onnxruntime runs in test/formats/onnx.
"""
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import torch
import torchvision
from safetensors.torch import load_file


def main() -> None:
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    job = json.loads((folder / "job.json").read_text())
    images = torch.from_numpy(np.fromfile(folder / job["images"], "<f4").reshape(job["shape"]))
    expected = torch.tensor(job["logits"]).reshape(len(images), job["classes"])
    checked = {}

    for name in job["onnx"]:
        onnx.checker.check_model(onnx.load(folder / name), full_check=True)
        checked[name] = 0.0
    loaders = {
        "pth": lambda file: torch.load(file, weights_only=True),
        "safetensors": load_file,
    }
    for kind, load in loaders.items():
        for name in job[kind]:
            model = torchvision.models.get_model(job["model"], num_classes=job["classes"]).eval()
            model.load_state_dict(load(folder / name), strict=True)
            with torch.no_grad():
                difference = (model(images) - expected).abs().max() / expected.abs().max()
            checked[name] = float(difference)
    print(json.dumps(checked))


if __name__ == "__main__":
    main()
