/** The assembly that a compiler writes, function by function. */

export interface Routine {
  /** The function's name as the linker knows it. */
  readonly symbol: string;
  readonly lines: string[];
}

export const label = /^([.\w$]+):/;

export function routinesOf(assembly: string): Routine[] {
  const routines: Routine[] = [];
  for (const text of assembly.split('\n')) {
    const line = text.replace(/\s*(#|\/\/).*$/, '').trim();
    const symbol = label.exec(line)?.[1];
    if (symbol && !/^\.?L/.test(symbol)) routines.push({ symbol, lines: [] });
    else if (symbol || /^[a-z]/.test(line)) routines.at(-1)?.lines.push(line);
  }
  return routines;
}

/** Those of a function, of its instances and of what is written within it. */
export function named(routines: readonly Routine[], name: string): Routine[] {
  // Itanium mangling: a name follows its length.
  const mangled = new RegExp(`${name.length}${name}(?=[A-Z])`);
  return routines.filter(({ symbol }) => mangled.test(symbol));
}
