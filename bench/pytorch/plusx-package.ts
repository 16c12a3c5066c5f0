/** plusx as its package describes it. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const file = createRequire(import.meta.url).resolve('plusx/package.json');

export const plusxFolder = path.dirname(file);

export const plusxPackage = JSON.parse(readFileSync(file, 'utf8')) as { readonly version: string };
