/**
 * Whether a kernel's accumulators stay in registers: reads the assembly that the compiler writes.
 *
 * The loop that counts is the innermost one with the most vector multiply-adds, of all functions of
 * that name, of two alike the worse one. A vector that goes to the stack or comes from it there costs
 * more than it saves.
 */
import { label, named, routinesOf, type Routine } from './assembly.js';

/** Functions whose tile is cut to fit the registers, each with the one that it may be inlined in. */
export const registerTiles: readonly (readonly [tile: string, caller: string])[] = [
  ['multiplyRun', 'runGather'],
  ['multiplyLines', 'multiplyRowsOf'],
  ['accumulate', 'gatherWeight'],
  ['multiplyFewChannels', 'multiplyFewTiles'],
  ['accumulateTiles', 'runWinogradWeight'],
  ['multiplyPixels', 'runGrouped'],
  ['accumulateGrouped', 'sumGrouped'],
  ['addDots', 'multiplyByDots'],
  ['addRows', 'multiplyByRows'],
];

export interface HotLoop {
  /** The function's name as the linker knows it. */
  readonly symbol: string;
  readonly multiplyAdds: number;
  /** Of the instructions, those with a vector register and an address on the stack. */
  readonly spills: readonly string[];
}

/** With FMA, with dot products and with neither, on x86-64 and arm64. */
const multiplyAdd = /^(vfmadd\w+ps|vdpbf16ps|fmla|mulps)\s/;
const vectorRegister = /%[xyz]mm\d+|\b[qv]\d+\b/;
/** Jumps of x86-64 and arm64, and where to. */
const jump = /^(?:j\w+|b|b\.\w+|b[a-z]{2}|cbn?z|tbn?z)\s+(?:.*,\s*)?([.\w$]+)$/;

/**
 * The hottest loop of all functions called by the first of these names that has a loop of
 * multiply-adds; undefined where none has.
 */
export function hottestLoop(assembly: string, names: readonly string[]): HotLoop | undefined {
  const routines = routinesOf(assembly);
  return names.map((name) => hottestOf(routines, name)).find((loop) => loop !== undefined);
}

function hottestOf(routines: readonly Routine[], name: string): HotLoop | undefined {
  return named(routines, name)
    .flatMap(innermostLoops)
    .filter(({ multiplyAdds }) => multiplyAdds > 0)
    .sort((a, b) => b.multiplyAdds - a.multiplyAdds || b.spills.length - a.spills.length)[0];
}

function innermostLoops({ symbol, lines }: Routine): HotLoop[] {
  const places = new Map(lines.map((line, i) => [label.exec(line)?.[1], i]));
  const loops = lines.flatMap((line, end) => {
    const start = places.get(jump.exec(line)?.[1] ?? '');
    return start !== undefined && start < end ? [{ start, end }] : [];
  });
  const innermost = loops.filter((outer) =>
    loops.every((inner) => inner === outer || inner.start < outer.start || inner.end > outer.end),
  );
  const stack = stackAddress(lines);
  return innermost.map(({ start, end }) => {
    const instructions = lines.slice(start, end + 1).filter((line) => !label.test(line));
    return {
      symbol,
      multiplyAdds: instructions.filter((line) => multiplyAdd.test(line)).length,
      spills: instructions.filter((line) => stack.test(line) && vectorRegister.test(line)),
    };
  });
}

/** rbp and x29 point to the stack where the function makes frame pointers of them. */
function stackAddress(lines: readonly string[]): RegExp {
  const framed = lines.some((line) => /^(movq?\s+%rsp,\s*%rbp|(mov|add)\s+x29,\s*sp)/.test(line));
  return framed ? /\(%r[sb]p|\[(sp|x29)\b/ : /\(%rsp|\[sp\b/;
}
