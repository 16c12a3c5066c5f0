/** The life of one thread of the WASM backend: a worker_threads entry point. */
import { parentPort, workerData } from 'node:worker_threads';
import { instantiate, type RunReply, type RunRequest, type ThreadStart } from './protocol.js';

const { module, memory, pool, index, stackTop } = workerData as ThreadStart;
const instance = instantiate(module, memory);
instance.__stack_pointer.value = stackTop;

if (index > 0) {
  instance.poolWorker(pool, index);
} else {
  parentPort!.on('message', ({ program, length, arena }: RunRequest) => {
    parentPort!.postMessage(reply(() => instance.run(pool, program, length, arena)));
  });
}

function reply(run: () => number): RunReply {
  try {
    return run() === 1 ? { ok: true } : { ok: false, reason: 'internal: malformed program' };
  } catch (error) {
    return { ok: false, reason: `the WASM engine stopped: ${(error as Error).message}` };
  }
}
