/**
 * A Python that has PyTorch: the one that is named, else a virtual environment of the benchmark's
 * own in the cache folder, else the system's. plusx itself needs none of it.
 */
import { execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { PlusxError } from 'plusx';

const run = promisify(execFile);

const packages = ['torch', 'torchvision', 'numpy', 'onnx'];

/** Throws PlusxError `python` where no interpreter has PyTorch, with what was tried. */
export async function findPython(
  given: string | undefined,
  cache: string,
  log: (line: string) => void,
): Promise<string> {
  if (given !== undefined) {
    const reason = await lacks(given);
    if (reason === undefined) return given;
    throw new PlusxError(
      'python',
      `--python ${given} cannot import torch, torchvision and numpy (${reason}); ` +
        `install them with "${given} -m pip install torch torchvision numpy", or leave it out`,
    );
  }
  const folder = path.join(cache, 'venv');
  const own = path.join(folder, process.platform === 'win32' ? 'Scripts/python.exe' : 'bin/python');
  const tried: string[] = [];
  if (!existsSync(own) || (await lacks(own)) !== undefined) {
    log(`installing PyTorch into ${folder} (once; several GB, some minutes)`);
    await create(folder, own).catch((error: Error) => tried.push(error.message));
  }
  const reason = await lacks(own);
  if (reason === undefined) return own;
  tried.push(`${own}: ${reason}`);
  const systemReason = await lacks('python3');
  if (systemReason === undefined) {
    log(`PyTorch could not be installed (${tried[0]}); taking the system's python3`);
    return 'python3';
  }
  tried.push(`python3: ${systemReason}`);
  throw new PlusxError(
    'python',
    `no Python with PyTorch was found: ${tried.join('; ')}; ` +
      'name one that has torch and torchvision with --python <path>',
  );
}

/** Undefined where the interpreter has all that the benchmark imports, else why not. */
async function lacks(python: string): Promise<string | undefined> {
  try {
    await run(python, ['-c', 'import torch, torchvision, numpy']);
    return undefined;
  } catch (error) {
    const { stderr = '', message } = error as Error & { stderr?: string };
    return stderr.trim().split('\n').at(-1) || message.split('\n')[0];
  }
}

async function create(folder: string, python: string): Promise<void> {
  await mkdir(path.dirname(folder), { recursive: true });
  await visibly('python3', ['-m', 'venv', folder]);
  await visibly(python, ['-m', 'pip', 'install', '--quiet', ...packages]);
}

/** Runs a program whose messages the user sees, on stderr. */
export async function visibly(
  program: string,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<void> {
  const env = { ...process.env, ...environment };
  const child = spawn(program, args, { stdio: ['ignore', process.stderr, 'inherit'], env });
  const code = await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', resolve);
  });
  if (code !== 0) throw new Error(`"${program} ${args.join(' ')}" ended with ${String(code)}`);
}
