/** What native/ reads of a program, taken from its sources: the opcodes and each kernel's arguments. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { packageRoot } from '../../src/package-root.js';

export interface KernelArgument {
  /** The C++ variable, `count` where it has no name. */
  readonly name: string;
  readonly type: 'slot' | 'integer' | 'number';
}

const native = path.join(packageRoot().root, 'native');
const kernels = readdirSync(path.join(native, 'kernels'), { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.cpp'))
  .map((file) => readFileSync(path.join(native, 'kernels', file), 'utf8'))
  .join('\n');

/** The kinds in the order of `enum class StepKind`. */
export function nativeOpcodes(): string[] {
  const header = readFileSync(path.join(native, 'executor/program.h'), 'utf8');
  const list = /#define PLUSX_STEPS\(FLOATS, MAPS\)((?:.*\\\n)*.*\n)/.exec(header)![1]!;
  return [...list.matchAll(/(?:FLOATS|MAPS)\((\w+)\)/g)].map(([, kind]) => kind!);
}

/**
 * The arguments that a kernel, or a function it hands its `Arguments` to, reads, in order. A read in
 * a loop counts once.
 */
export function kernelArguments(kernel: string): KernelArgument[] {
  const head = `^\\w+ ${kernel}\\(Arguments&? (\\w+)[^)]*\\) `;
  const definition = new RegExp(`${head}\\{(?: ([^\\n]*) \\}$|\\n(.*?)^\\})`, 'ms');
  const found = definition.exec(kernels);
  if (!found) throw new Error(`native/kernels has no ${kernel}(Arguments …)`);
  const [, variable, line, lines] = found;
  const body = line ?? lines!;
  const read = `(?:(\\w+)(?:\\[\\w+\\])? = [^=,;]*?)?\\b${variable}\\.(floats|tensor<Map>|slot|integer|number)\\(\\)`;
  const handed = `\\b(\\w+)\\(${variable}(?:, \\w+)*\\)`;
  return [...body.matchAll(new RegExp(`${read}|${handed}`, 'g'))].flatMap((match) => {
    const [, name = 'count', reader, callee] = match;
    if (callee) return kernelArguments(callee);
    const type = reader === 'integer' || reader === 'number' ? reader : 'slot';
    return [{ name, type }];
  });
}
