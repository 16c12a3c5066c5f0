"""PyTorch's side of the benchmark: a process that stays alive and works when it is told to.

Usage: python bench/pytorch/peer.py JOB        (JOB: JSON, described in bench/pytorch/job.ts)

Reads one JSON request a line on stdin and answers each with one line on stdout:
{"steps": n}    n training steps or forward passes: {"seconds": [...], "losses": [...], "logits": [...]}
{"memory": 1}   {"peakBytes": ...}
What goes wrong is answered by {"failed": "the reason in one line"}.
"""
import json
import math
import os
import resource
import struct
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torchvision.models import resnet18

from article import Model

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def read_safetensors(path: str) -> dict[str, torch.Tensor]:
    """float32 tensors by key: 8 bytes of header length, a JSON header, the bytes."""
    data = Path(path).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    tensors = {}
    for key, entry in json.loads(data[8 : 8 + length]).items():
        if key == "__metadata__":
            continue
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        values = np.frombuffer(data[begin:end], dtype="<f4").reshape(entry["shape"])
        tensors[key] = torch.from_numpy(values.copy())
    return tensors


def load_model(job: dict) -> nn.Module:
    network = Model if job["stem"] == "conv3x3" else resnet18
    model = network(num_classes=job["classes"])
    missing, unexpected = model.load_state_dict(read_safetensors(job["weights"]), strict=False)
    # PyTorch's count of batches has no effect as long as batch-norm has a momentum.
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise ValueError(f"other keys than plusx: {missing[:3]} missing, {unexpected[:3]} too many")
    return model


def load_images(job: dict) -> torch.Tensor:
    """(N, 3, S, S), normalised: PyTorch is spared this work, plusx does it in every step."""
    size = job["imageSize"]
    pixels = np.fromfile(job["images"], dtype=np.uint8).reshape(-1, size, size, 3)
    scaled = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div(255)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    return scaled.sub(mean).div(std).contiguous()[: job["batchSize"]]


class Side:
    def __init__(self, job: dict):
        torch.set_num_threads(job["threads"])
        self.autocast = job["precision"] == "bf16"
        self.training = job["task"] == "train"
        model, images = load_model(job).train(self.training), load_images(job)
        if job["layout"] == "channels_last":
            model = model.to(memory_format=torch.channels_last)
            images = images.to(memory_format=torch.channels_last)
        self.images = images
        self.labels = torch.arange(len(images)) % 2
        self.optimizer = torch.optim.SGD(model.parameters(), lr=job["lr"])
        if job["compile"]:
            # Inductor's setting for inference: weights are constants, batch-norms are folded in.
            torch._inductor.config.freezing = not self.training
            model = torch.compile(model)
        self.model = model

    def forward(self) -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.autocast):
            return self.model(self.images)

    def train_step(self) -> float:
        self.optimizer.zero_grad()
        loss = nn.functional.cross_entropy(self.forward().float(), self.labels)
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def steps(self, count: int) -> dict:
        seconds, losses, logits = [], [], torch.empty(0)
        for _ in range(count):
            start = time.perf_counter()
            if self.training:
                losses.append(self.train_step())
            else:
                with torch.no_grad():
                    logits = self.forward()
            seconds.append(time.perf_counter() - start)
        return {"seconds": seconds, "losses": finite(losses),
                "logits": finite(logits.flatten().tolist())}


def finite(values: list[float]) -> list[float | None]:
    """JSON has no NaN and no infinity."""
    return [value if math.isfinite(value) else None for value in values]


def peak_bytes() -> int:
    """Largest resident size of this process: VmHWM, where there is a /proc."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def reason(error: Exception) -> str:
    """The first line that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"


def main() -> None:
    # Whatever libraries print must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    side = None
    try:
        side = Side(json.loads(sys.argv[1]))
        answer = {"ready": f"PyTorch {torch.__version__}",
                  "instructionSet": torch.backends.cpu.get_cpu_capability(),
                  "threads": torch.get_num_threads()}
    except Exception as error:
        answer = {"failed": reason(error)}
    print(json.dumps(answer), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"peakBytes": peak_bytes()} if "memory" in request else side.steps(request["steps"])
        except Exception as error:
            answer = {"failed": reason(error)}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
