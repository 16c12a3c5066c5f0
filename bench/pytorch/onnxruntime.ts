/** onnxruntime as a peer of inference: installed on demand into the cache, fed by PyTorch's export. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import type { Job } from './job.js';
import { PeerFailure } from './peer.js';
import { visibly } from './python.js';

export const onnxruntimeVersion = '1.30.0';

const packages = ['onnxruntime-node', 'onnxruntime-web'];

export class Onnxruntime {
  private installed: Promise<string> | undefined;
  private readonly exported = new Map<string, Promise<string>>();

  constructor(
    private readonly cache: string,
    private readonly python: string,
    private readonly scripts: string,
    private readonly log: (line: string) => void,
  ) {}

  /** The folder with both packages; throws PeerFailure where they cannot be installed. */
  install(): Promise<string> {
    this.installed ??= this.installInto(path.join(this.cache, `onnxruntime-${onnxruntimeVersion}`));
    return this.installed;
  }

  /** The job's network and weights as an ONNX file; throws PeerFailure where PyTorch cannot. */
  export(job: Job): Promise<string> {
    const { weights } = job;
    const known = this.exported.get(weights);
    if (known) return known;
    const file = `${weights}.onnx`;
    const script = path.join(this.scripts, 'export_onnx.py');
    const exporting = promisify(execFile)(this.python, [script, JSON.stringify(job), file]).then(
      () => file,
      ({ stderr, message }: Error & { stderr?: string }) => {
        const reason = stderr?.trim().split('\n').at(-1) || message;
        throw new PeerFailure(`PyTorch's export to ONNX failed: ${reason}`);
      },
    );
    this.exported.set(weights, exporting);
    return exporting;
  }

  private async installInto(folder: string): Promise<string> {
    if (packages.every((name) => existsSync(path.join(folder, 'node_modules', name)))) {
      return folder;
    }
    this.log(`installing onnxruntime ${onnxruntimeVersion} into ${folder} (once)`);
    await mkdir(folder, { recursive: true });
    await writeFile(path.join(folder, 'package.json'), '{ "private": true }\n');
    const wanted = packages.map((name) => `${name}@${onnxruntimeVersion}`);
    const flags = ['--prefix', folder, '--ignore-scripts', '--no-audit', '--no-fund'];
    // Run by npm, this process knows where it lies: on Windows `npm` alone is no program.
    const npm = process.env.npm_execpath;
    const [program, first] = npm ? [process.execPath, [npm]] : ['npm', []];
    try {
      // The install script would fetch what processors do not need.
      const environment = { ONNXRUNTIME_NODE_INSTALL: 'skip' };
      await visibly(program, [...first, 'install', ...flags, ...wanted], environment);
    } catch (error) {
      throw new PeerFailure(`it could not be installed: ${(error as Error).message}`);
    }
    return folder;
  }
}
