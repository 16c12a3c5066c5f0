"""The gradients of the article's network in float64, and how far float32 ones are from them.

Usage: python bench/pytorch/gradients.py WEIGHTS IMAGES LABELS GRADIENTS [--threads 2]

WEIGHTS and GRADIENTS are safetensors with the network's keys, IMAGES bytes (N, S, S, 3), LABELS
int32 (N). The file's gradients and PyTorch's own float32 ones are compared with the float64 ones.
Both begin with bytes: PyTorch's own normalises in float32, as torchvision does.
Prints one JSON object: {"version": "...", "errors": {key: {"plusx": e, "pytorch": e, "norm": n}}} where
e is ‖gradient − exact‖ ÷ ‖exact‖ and n is ‖exact‖.
"""
import argparse
import json
import math

import numpy as np
import torch
from torch import nn

from article import Model
from peer import MEAN, STD, read_safetensors


def batch(images: str, labels: str, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    y = torch.from_numpy(np.fromfile(labels, dtype="<i4").astype(np.int64))
    pixels = np.fromfile(images, dtype=np.uint8)
    size = math.isqrt(pixels.size // (3 * len(y)))
    x = torch.from_numpy(pixels.reshape(-1, size, size, 3)).permute(0, 3, 1, 2).to(dtype).div(255)
    mean, std = (torch.tensor(v, dtype=dtype).view(1, 3, 1, 1) for v in (MEAN, STD))
    return x.sub(mean).div(std).contiguous(), y


def gradients(weights, options: argparse.Namespace, dtype: torch.dtype):
    x, y = batch(options.images, options.labels, dtype)
    model = Model(num_classes=weights["fc.weight"].shape[0])
    model.load_state_dict(weights, strict=False)
    model = model.to(dtype).train()
    nn.functional.cross_entropy(model(x), y).backward()
    return {key: value.grad.double() for key, value in model.named_parameters()}


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("weights", "images", "labels", "gradients"):
        parser.add_argument(name)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    weights = read_safetensors(options.weights)
    exact = gradients(weights, options, torch.float64)
    found = {
        "plusx": {k: v.double() for k, v in read_safetensors(options.gradients).items()},
        "pytorch": gradients(weights, options, torch.float32),
    }
    errors = {
        key: {
            name: ((values[key] - truth).norm() / truth.norm()).item()
            for name, values in found.items()
        }
        | {"norm": truth.norm().item()}
        for key, truth in exact.items()
    }
    print(json.dumps({"version": torch.__version__, "errors": errors}))


if __name__ == "__main__":
    main()
