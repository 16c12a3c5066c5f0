/** Small class folders of PNG files, drawn for a test: discs on blue ground, squares on grey. */
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import sharp from 'sharp';
import { Random } from '../../src/random/philox.js';

export interface DrawnOptions {
  /** Images of discs and of squares. */
  readonly train: readonly [number, number];
  readonly val: readonly [number, number];
  /** Side in pixels. Default 20. */
  readonly size?: number;
}

/** Writes `train/` and `val/` with the classes `disc` and `square` below `root`. */
export async function drawImages(root: string, options: DrawnOptions): Promise<void> {
  const { size = 20 } = options;
  let index = 0;
  for (const part of ['train', 'val'] as const) {
    for (const [label, name] of (['disc', 'square'] as const).entries()) {
      const folder = path.join(root, part, name);
      await mkdir(folder, { recursive: true });
      for (let i = 0; i < options[part][label]!; i++) {
        const pixels = draw(name, size, new Random(7, 'demo', index++));
        await sharp(pixels, { raw: { width: size, height: size, channels: 3 } })
          .png()
          .toFile(path.join(folder, `${i}.png`));
      }
    }
  }
}

function draw(name: 'disc' | 'square', size: number, random: Random): Uint8Array {
  const pixels = new Uint8Array(size * size * 3);
  const radius = random.uniform(size / 5, size / 3);
  const x0 = random.uniform(radius, size - radius);
  const y0 = random.uniform(radius, size - radius);
  const ground = name === 'disc' ? [40, 60, 160] : [120, 120, 120];
  for (let i = 0; i < size * size; i++) {
    const dx = Math.abs((i % size) - x0);
    const dy = Math.abs(Math.floor(i / size) - y0);
    const inside =
      name === 'disc' ? dx * dx + dy * dy < radius * radius : Math.max(dx, dy) < radius;
    for (let c = 0; c < 3; c++) {
      pixels[i * 3 + c] = (inside ? 220 : ground[c]!) + random.uniform(-30, 30);
    }
  }
  return pixels;
}
