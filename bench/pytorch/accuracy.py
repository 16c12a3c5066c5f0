"""The yardstick: the article's network and recipe in PyTorch, on a folder of photographs.

Usage: python bench/pytorch/accuracy.py FOLDER [--seed 0] [--epochs 5] [--image-size 64]
                                        [--batch-size 8] [--lr 0.01] [--threads 2]

Prints one JSON object an epoch: {"seed", "epoch", "trainLoss", "valLoss", "top1", "seconds"}.
PyTorch and torchvision are not dependencies of plusx; install them in a virtual environment.
"""
import argparse
import json
import time
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from torchvision import datasets, transforms

from article import Model


def pixels(folder: Path, size: int) -> TensorDataset:
    """Decodes the folder once: the recipe has no augmentation, so each epoch sees the same pixels."""
    transform = transforms.Compose([
        transforms.Resize(round(size * 256 / 224)),
        transforms.CenterCrop(size),
        transforms.ToTensor(),
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ])
    data = datasets.ImageFolder(str(folder), transform)
    images, labels = zip(*data)
    return TensorDataset(torch.stack(images), torch.tensor(labels))


def evaluate(model: nn.Module, loader: DataLoader) -> tuple[float, float]:
    model.eval()
    loss, correct, count = 0.0, 0, 0
    with torch.no_grad():
        for x, y in loader:
            logits = model(x)
            loss += nn.functional.cross_entropy(logits, y, reduction="sum").item()
            correct += (logits.argmax(1) == y).sum().item()
            count += len(y)
    return loss / count, correct / count


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()

    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    train = pixels(options.folder / "train", options.image_size)
    val = pixels(options.folder / "val", options.image_size)
    train_loader = DataLoader(train, options.batch_size, shuffle=True)
    val_loader = DataLoader(val, 32)
    model = Model(num_classes=2)
    optimizer = torch.optim.SGD(model.parameters(), lr=options.lr)

    for epoch in range(1, options.epochs + 1):
        start, total, count = time.perf_counter(), 0.0, 0
        model.train()
        for x, y in train_loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(y)
            count += len(y)
        val_loss, top1 = evaluate(model, val_loader)
        print(json.dumps({"seed": options.seed, "epoch": epoch, "trainLoss": total / count,
                          "valLoss": val_loss, "top1": top1,
                          "seconds": time.perf_counter() - start}), flush=True)


if __name__ == "__main__":
    main()
