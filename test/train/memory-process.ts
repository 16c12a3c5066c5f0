/**
 * Trains in a process of its own and prints its resident bytes after each mark's steps:
 * `node --expose-gc --max-semi-space-size=1 memory-process.js <device> <mark>…`.
 */
import { openBackend, type DeviceChoice } from '../../src/backend/devices.js';
import { adamW } from '../../src/train/optimizers.js';
import { Session } from '../../src/train/session.js';
import { noiseBatch, smallResNet, smallSessionOptions } from './small-resnet.js';

const [device, ...marks] = process.argv.slice(2);
const backend = await openBackend({ device: device as DeviceChoice, threads: 2 });
const options = { ...smallSessionOptions(8, 32), optimizer: adamW({ lr: 0.001 }) };
const session = await Session.create(smallResNet(), backend, options);

/** In these V8 compiles what is hot, JavaScript and WebAssembly: its compilers' memory comes and goes. */
const warmup = 100;

const resident: number[] = [];
let step = 0;
for (const mark of marks.map(Number)) {
  // Each batch is new, and every fifth is a smaller last one, as in a run.
  for (; step < warmup + mark; step++) {
    await session.step(noiseBatch(step, step % 5 === 4 ? 3 : 8, 32));
  }
  globalThis.gc!();
  resident.push(process.memoryUsage.rss());
}
process.stdout.write(JSON.stringify(resident));
