"""Compares the pixels that plusx decodes with Pillow's, for every image below some folders.

Prints the share of identical images and the largest difference of a pixel. Both ignore EXIF, as
torchvision does. Needs Pillow, NumPy and a built plusx.

Usage: python bench/pytorch/decoding.py ../shared/data/cats-dogs-original ../shared/data/cats-dogs-200
"""
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]

# Writes width, height and the RGB bytes of each file named on the command line's standard input.
DECODE = """
import { createInterface } from 'node:readline';
import { once } from 'node:events';
import { decodeFile } from './dist/src/index.js';
for await (const file of createInterface({ input: process.stdin })) {
  const { width, height, data } = await decodeFile(file, { exif: 'ignore' });
  const header = Buffer.alloc(8);
  header.writeUInt32LE(width, 0);
  header.writeUInt32LE(height, 4);
  process.stdout.write(header);
  if (!process.stdout.write(data)) await once(process.stdout, 'drain');
}
"""


def main() -> None:
    files = sorted(p.resolve() for folder in sys.argv[1:] for p in Path(folder).rglob("*") if p.is_file())
    node = subprocess.Popen(["node", "--input-type=module", "--eval", DECODE], cwd=ROOT,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    identical, largest = 0, 0
    for file in files:
        node.stdin.write(f"{file}\n".encode())
        node.stdin.flush()
        width, height = struct.unpack("<II", node.stdout.read(8))
        ours = np.frombuffer(node.stdout.read(width * height * 3), np.uint8)
        with Image.open(file) as image:
            theirs = np.asarray(image.convert("RGB"))
        if theirs.shape != (height, width, 3):
            raise SystemExit(f"{file}: {width}x{height}, Pillow {theirs.shape}")
        difference = int(np.abs(ours.astype(int) - theirs.reshape(-1)).max())
        identical += difference == 0
        largest = max(largest, difference)
    node.stdin.close()
    node.wait()
    print(f"{identical} of {len(files)} images identical to Pillow {PIL.__version__}, "
          f"largest difference {largest} of 255")


if __name__ == "__main__":
    main()
