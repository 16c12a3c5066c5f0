// Cuts a sheet of CIFAR images, one image a row of 1024 pixels, into folders of classes. Lossless.
// Usage: node scripts/cut-cifar-sheet.mjs <sheet.png> <labels.csv> <folder>
// The labels are lines "index,class" below a header.
import { mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import sharp from 'sharp';

const [sheet, labels, folder] = process.argv.slice(2);
if (!folder) {
  console.error('usage: node scripts/cut-cifar-sheet.mjs <sheet.png> <labels.csv> <folder>');
  process.exit(2);
}

const side = 32;
const imageBytes = side * side * 3;
const pixels = await sharp(sheet).removeAlpha().raw().toBuffer();
const lines = (await readFile(labels, 'utf8')).trim().split(/\r?\n/).slice(1);
for (const line of lines) {
  const [index, name] = line.split(',');
  const target = path.join(folder, name);
  await mkdir(target, { recursive: true });
  const image = pixels.subarray(index * imageBytes, (Number(index) + 1) * imageBytes);
  await sharp(image, { raw: { width: side, height: side, channels: 3 } })
    .png()
    .toFile(path.join(target, `${index}.png`));
}
console.log(`${lines.length} images in ${folder}`);
