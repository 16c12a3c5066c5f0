"""Exports a network with weights of plusx's from PyTorch to ONNX, for onnxruntime.

Usage: python bench/pytorch/export_onnx.py JOB FILE.onnx        (JOB: see bench/pytorch/job.ts)

Needs the package onnx beside PyTorch. The batch size stays open.
"""
import json
import sys
import warnings

import torch

from peer import load_model


def main() -> None:
    job = json.loads(sys.argv[1])
    # The exporter that needs no further packages calls itself deprecated.
    warnings.filterwarnings("ignore", category=DeprecationWarning)
    images = torch.zeros(1, 3, job["imageSize"], job["imageSize"])
    torch.onnx.export(
        load_model(job).eval(), (images,), sys.argv[2], dynamo=False,
        input_names=["images"], output_names=["logits"],
        dynamic_axes={"images": {0: "N"}, "logits": {0: "N"}},
    )


if __name__ == "__main__":
    main()
