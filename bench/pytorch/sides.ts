/** Starts the process of a side for a row: the program, its environment, its part of the job. */
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Data } from './data.js';
import type { Job, Ready } from './job.js';
import type { Onnxruntime } from './onnxruntime.js';
import { Peer } from './peer.js';
import type { Row, Side } from './rows.js';

export interface Tools {
  readonly python: string;
  /** Where Python's scripts lie. */
  readonly scripts: string;
  /** Where what is installed and compiled for the benchmark lies. */
  readonly cache: string;
  readonly threads: number;
  readonly data: Data;
  readonly onnxruntime: Onnxruntime;
}

/** Of SGD, in every training row. */
const lr = 0.01;

/** Throws PeerFailure where this side cannot run here, with the reason. */
export async function startSide(
  side: Side,
  row: Row,
  tools: Tools,
): Promise<{ peer: Peer; ready: Ready }> {
  const job = await jobOf(row, tools);
  if (side.kind === 'plusx') {
    const device = side.name === 'wasm' ? 'wasm' : 'native';
    const { instructionSet } = row;
    return Peer.start(ourProgram('plusx-peer'), {
      ...job,
      device,
      ...(instructionSet ? { instructionSet } : {}),
    });
  }
  if (side.kind === 'onnxruntime') {
    const runtime = side.name === 'onnxruntime-web' ? 'onnxruntime-web' : 'onnxruntime-node';
    const folder = await tools.onnxruntime.install();
    const model = await tools.onnxruntime.export(job);
    return Peer.start(ourProgram('onnx-peer'), { ...job, runtime, folder, model });
  }
  return Peer.start(
    [tools.python, path.join(tools.scripts, 'peer.py')],
    {
      ...job,
      layout: side.name === 'eager' ? 'contiguous' : 'channels_last',
      compile: side.name === 'compile',
    },
    pytorchEnvironment(row, tools),
  );
}

async function jobOf(row: Row, { data, threads }: Tools): Promise<Job> {
  const { task, stem, classes, imageSize, batchSize, precision } = row;
  const weights = await data.weights(row);
  const images = await data.images(row);
  return { task, stem, classes, imageSize, batchSize, threads, lr, precision, weights, images };
}

function ourProgram(name: string): [string, string] {
  return [process.execPath, fileURLToPath(new URL(`${name}.js`, import.meta.url))];
}

function pytorchEnvironment({ instructionSet }: Row, { cache, threads }: Tools) {
  return {
    OMP_NUM_THREADS: String(threads),
    // One for each: Inductor takes what it has compiled for another instruction set out of its
    // cache, and then computes other numbers (2.15.0, AVX-512 and AVX2).
    TORCHINDUCTOR_CACHE_DIR: path.join(cache, `inductor-${instructionSet ?? 'best'}`),
    PYTHONDONTWRITEBYTECODE: '1',
    // PyTorch's own kernels and what Inductor compiles obey the first, oneDNN's the second.
    ...(instructionSet === 'avx2'
      ? { ATEN_CPU_CAPABILITY: 'avx2', ONEDNN_MAX_CPU_ISA: 'AVX2' }
      : {}),
  };
}
