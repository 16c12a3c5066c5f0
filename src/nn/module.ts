/**
 * Module: the unit of authoring, as PyTorch users know it. A module owns parameters and other
 * modules as plain properties, and says in `forward` how they act on a symbolic tensor.
 *
 * A module can be called: `this.conv1(x)` runs `conv1.forward(x)` and lets errors name its path.
 */
import { Parameter } from './parameter.js';
import type { Tensor } from './tensor.js';

// The call signature of what the constructor returns; a class cannot state it in its own body.
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging
export interface Module {
  (x: Tensor): Tensor;
}

// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging
export abstract class Module {
  constructor() {
    const module = ((x: Tensor) => x.trace.call(module, x)) as Module;
    // A function's own `name` and `length` would stand in the way of layers of that name.
    Reflect.deleteProperty(module, 'name');
    Reflect.deleteProperty(module, 'length');
    return Object.setPrototypeOf(module, new.target.prototype) as this;
  }

  /** Describes the computation; runs once per shape, on symbolic tensors. */
  abstract forward(x: Tensor): Tensor;

  /** All modules below and including this one by path, in order of definition: `layer1.0.conv1`. */
  namedModules(path = ''): Map<string, Module> {
    const modules = new Map<string, Module>([[path, this]]);
    for (const [name, child] of Object.entries(this)) {
      if (!(child instanceof Module)) continue;
      for (const [childPath, module] of child.namedModules(join(path, name))) {
        modules.set(childPath, module);
      }
    }
    return modules;
  }

  /**
   * All parameters and buffers by state-dict key, in order of definition. Keys are torchvision's:
   * the property `runningMean` is the entry `running_mean`.
   */
  namedParameters(): Map<string, Parameter> {
    const parameters = new Map<string, Parameter>();
    for (const [path, module] of this.namedModules()) {
      for (const [name, parameter] of Object.entries(module)) {
        if (parameter instanceof Parameter) parameters.set(join(path, snakeCase(name)), parameter);
      }
    }
    return parameters;
  }

  /** How many numbers are trained, but for those of the state-dict keys in `frozen`. */
  parameterCount(frozen: ReadonlySet<string> = new Set()): number {
    let count = 0;
    const seen = new Set<Parameter>();
    for (const [key, parameter] of this.namedParameters()) {
      if (parameter.buffer || seen.has(parameter) || frozen.has(key)) continue;
      seen.add(parameter);
      count += parameter.shape.reduce((product, size) => product * size, 1);
    }
    return count;
  }
}

const join = (path: string, name: string) => (path ? `${path}.${name}` : name);

const snakeCase = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
