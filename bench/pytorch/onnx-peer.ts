/** onnxruntime's side of the benchmark: a process that stays alive and works when it is told to. */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { imagenet, toFloat } from 'plusx';
import type { Job } from './job.js';
import { serve, type Worker } from './serve.js';

/** What of onnxruntime's API is used here: it is no dependency of plusx, so its types are not. */
interface Onnxruntime {
  readonly env: { readonly wasm?: { numThreads?: number } };
  readonly InferenceSession: {
    create(model: Uint8Array, options: object): Promise<InferenceSession>;
  };
  readonly Tensor: new (type: 'float32', data: Float32Array, shape: readonly number[]) => object;
}

interface InferenceSession {
  run(inputs: Readonly<Record<string, object>>): Promise<Record<string, { data: Float32Array }>>;
  release(): Promise<void>;
}

await serve(start);

async function start(job: Job): Promise<Worker> {
  const { runtime, threads, imageSize, batchSize } = job;
  const require = createRequire(path.join(job.folder!, 'package.json'));
  const file = pathToFileURL(require.resolve(runtime!)).href;
  const module = (await import(file)) as Partial<Onnxruntime> & { readonly default?: Onnxruntime };
  const onnxruntime = (module.InferenceSession ? module : module.default) as Onnxruntime;
  if (onnxruntime.env.wasm) onnxruntime.env.wasm.numThreads = threads;
  const session = await onnxruntime.InferenceSession.create(
    new Uint8Array(await readFile(job.model!)),
    runtime === 'onnxruntime-node'
      ? { intraOpNumThreads: threads, interOpNumThreads: 1 }
      : { executionProviders: ['wasm'] },
  );
  const bytes = new Uint8Array(await readFile(job.images));
  const floats = toFloat(bytes.subarray(0, batchSize * imageSize ** 2 * 3), imagenet);
  const shape = [batchSize, 3, imageSize, imageSize];
  const images = new onnxruntime.Tensor('float32', toNCHW(floats, batchSize), shape);
  return {
    ready: { ready: runtime!, instructionSet: '' },
    async step() {
      const { logits } = await session.run({ images });
      return { logits: logits!.data };
    },
    dispose: () => session.release(),
  };
}

/** (N, H·W, 3) → (N, 3, H·W) */
function toNCHW(data: Float32Array, N: number): Float32Array {
  const result = new Float32Array(data.length);
  const pixels = data.length / N / 3;
  for (let n = 0; n < N; n++) {
    for (let p = 0; p < pixels; p++) {
      for (let c = 0; c < 3; c++) {
        result[(n * 3 + c) * pixels + p] = data[(n * pixels + p) * 3 + c]!;
      }
    }
  }
  return result;
}
