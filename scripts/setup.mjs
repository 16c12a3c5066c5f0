// All set-up on a fresh clone: packages, then the build. Plain Node, no dependencies; does nothing
// that has been done. `npm start` and `npm test` begin with it.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 9)) {
  console.error(`plusx needs Node 20.9 or newer, this is ${process.versions.node}`);
  process.exit(2);
}

process.chdir(root);
if (!packagesAreCurrent()) {
  console.log('installing packages');
  // npm runs this script and tells us where it is itself: on Windows `npm` alone is no program.
  const npm = process.env.npm_execpath;
  const command = npm ? [process.execPath, [npm]] : ['npm', []];
  const args = [...command[1], 'ci', '--ignore-scripts', '--no-audit', '--no-fund'];
  execFileSync(command[0], args, { stdio: ['ignore', 'ignore', 'inherit'] });
}
const { build } = await import('./build.mjs');
await build();

/** npm writes its own copy of the lock file last: it is complete where that is not older. */
function packagesAreCurrent() {
  const installed = path.join(root, 'node_modules/.package-lock.json');
  const wanted = path.join(root, 'package-lock.json');
  if (!existsSync(installed)) return false;
  if (statSync(installed).mtimeMs >= statSync(wanted).mtimeMs) return true;
  const packages = (file) => JSON.parse(readFileSync(file, 'utf8')).packages;
  const [have, want] = [packages(installed), packages(wanted)];
  return Object.entries(want).every(
    ([name, { version, optional }]) => name === '' || optional || have[name]?.version === version,
  );
}
