// Lint, type check and all tests, after set-up. The last line says "N passed, N failed"; the lint
// and the type check count as one test each.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
process.chdir(root);

const counts = { passed: 0, failed: 0, skipped: 0 };

check('lint', 'node_modules/eslint/bin/eslint.js', ['.']);
check('format', 'node_modules/prettier/bin/prettier.cjs', ['--check', '--log-level', 'warn', '.']);
check('types', 'node_modules/typescript/bin/tsc', [
  '-p',
  '.',
  '--noEmit',
  '--incremental',
  'false',
]);

const wanted = process.argv.slice(2);
const files = readdirSync('dist/test', { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.test.js'))
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.includes(part)))
  .map((file) => path.join(root, 'dist/test', file))
  .sort();

// Two files at a time: most of them keep one processor busy, some use all of them.
const events = run({ files, concurrency: 2, timeout: 600_000 });
events.on('test:pass', ({ details, skip }) => {
  if (details.type === 'suite') return;
  if (skip !== undefined) counts.skipped++;
  else counts.passed++;
});
events.on('test:fail', ({ details }) => {
  if (details.type !== 'suite') counts.failed++;
});
for await (const text of events.compose(spec)) process.stdout.write(text);

const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : '';
console.log(`${counts.passed} passed, ${counts.failed} failed${skipped}`);
process.exitCode = counts.failed > 0 ? 1 : 0;

function check(name, script, args) {
  const { status, stdout } = spawnSync(process.execPath, [script, ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  counts[status === 0 ? 'passed' : 'failed']++;
  console.log(status === 0 ? `✔ ${name}` : `✖ ${name}\n${stdout}`);
}
