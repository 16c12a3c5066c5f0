// Checks the C++ engine without Node: recorded cases under AddressSanitizer and
// UndefinedBehaviorSanitizer (asan; clang, with clang++), under ThreadSanitizer (tsan) and on an
// emulated arm64 (arm64), and the registers of its inner loops (spills). After a build:
// npm run test:kernels, or node scripts/test-kernels.mjs with the names of some checks. A tool that
// is missing is named and passed over, with --require it is a failure.
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const checks = path.join(root, 'dist/test/backend/native/kernel-checks.js');
const { checkKernels, kernelChecks } = await import(pathToFileURL(checks).href);

const words = process.argv.slice(2);
const required = words.includes('--require');
const names = words.filter((word) => word !== '--require');
const known = Object.keys(kernelChecks);
const unknown = names.find((name) => !known.includes(name));
if (unknown !== undefined) {
  console.error(`test-kernels: there is no ${unknown}; there are ${known.join(', ')}, --require`);
  process.exit(2);
}

for (const name of names.length > 0 ? names : known) {
  const start = performance.now();
  const { verdict, report } = await checkKernels(name);
  const seconds = ((performance.now() - start) / 1000).toFixed(0);
  if (verdict === 'missing') {
    console.log(required ? `✖ ${name}: ${report}` : `﹣ ${name}: skipped, ${report}`);
  } else {
    console.log(`${verdict === 'passed' ? '✔' : '✖'} ${name} (${seconds} s)`);
    console.log(report.replace(/^/gm, '    '));
  }
  if (verdict === 'failed' || (verdict === 'missing' && required)) process.exitCode = 1;
}
