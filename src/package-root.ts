/** Where this package lies on disk: beside `dist/` are the C++ sources and the WASM modules. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

interface PackageFile {
  readonly name: string;
  readonly version: string;
}

let found: { readonly root: string; readonly version: string } | undefined;

/** The folder of plusx's package.json and the version in it. */
export function packageRoot(): { readonly root: string; readonly version: string } {
  if (found) return found;
  let folder = path.dirname(fileURLToPath(import.meta.url));
  for (;;) {
    const file = path.join(folder, 'package.json');
    if (existsSync(file)) {
      const { name, version } = JSON.parse(readFileSync(file, 'utf8')) as PackageFile;
      if (name === 'plusx') return (found = { root: folder, version });
    }
    const parent = path.dirname(folder);
    if (parent === folder) throw new Error('internal: the package root was not found');
    folder = parent;
  }
}
