/** The life of one thread of the WASM backend: a worker_threads entry point. */
import { parentPort, workerData } from 'node:worker_threads';
import { instantiate, type Request, type RunReply, type ThreadStart } from './protocol.js';

const { module, memory, pool, index, stackTop } = workerData as ThreadStart;
const instance = instantiate(module, memory);
instance.__stack_pointer.value = stackTop;

if (index > 0) {
  instance.poolWorker(pool, index);
} else {
  parentPort!.on('message', (request: Request) => parentPort!.postMessage(reply(request)));
}

function serve(request: Request): number {
  if (request.kind === 'measurePeaks') {
    return instance.measurePeaks(pool, request.memory, request.bytes, request.peaks);
  }
  const { program, length, arena, seconds } = request;
  return instance.run(pool, program, length, arena, seconds);
}

function reply(request: Request): RunReply {
  try {
    const done = serve(request) === 1;
    return done ? { ok: true } : { ok: false, reason: 'internal: malformed program' };
  } catch (error) {
    return { ok: false, reason: `the WASM engine stopped: ${(error as Error).message}` };
  }
}
