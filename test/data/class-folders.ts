/** Folders of tiny images for tests: which files there are, not what they show, is the point. */
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import sharp from 'sharp';

/** Writes a PNG of 6 × 5 pixels, all of one colour, to each of the paths below `root`. */
export async function writeImages(root: string, files: readonly string[]): Promise<void> {
  for (const [i, file] of files.entries()) {
    await mkdir(path.dirname(path.join(root, file)), { recursive: true });
    await writeFile(path.join(root, file), await image(i));
  }
}

/** `<folder>/0.png` … with as many files as asked. */
export function numbered(folder: string, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${folder}/${i}.png`);
}

function image(i: number): Promise<Buffer> {
  const background = { r: i % 256, g: (i * 7) % 256, b: (i * 31) % 256 };
  return sharp({ create: { width: 6, height: 5, channels: 3, background } })
    .png()
    .toBuffer();
}
