/**
 * Every case whose steps know maps of bfloat16, with such maps: what goes in is rounded, what comes out
 * has the same type.
 */
import type { TensorData } from '../../src/backend/backend.js';
import { toBfloat16 } from '../../src/graph/bfloat16.js';
import type { Graph, Value } from '../../src/graph/graph.js';
import { mapsOf } from '../../src/plan/precision.js';
import type { StepCase } from './step-case.js';

export function inBfloat16(cases: readonly StepCase[]): StepCase[] {
  return cases.flatMap((stepCase) => {
    const maps = mapsAtTheEnds(stepCase.graph);
    return maps.size > 0 ? [withMaps(stepCase, maps)] : [];
  });
}

/** Inputs and outputs of the graph that are maps wherever they are used. */
function mapsAtTheEnds({ nodes, inputs, outputs }: Graph): ReadonlySet<number> {
  const maps = new Set<number>();
  const others = new Set<number>();
  for (const node of nodes) {
    const groups = mapsOf(node);
    const sort = (values: readonly Value[], indices: readonly number[]) =>
      values.forEach(({ id }, i) => (indices.includes(i) ? maps : others).add(id));
    sort(
      node.inputs,
      groups.flatMap((group) => group.inputs),
    );
    sort(
      node.outputs,
      groups.flatMap((group) => group.outputs),
    );
  }
  const ends = [...inputs.values(), ...outputs.values()].map(({ id }) => id);
  return new Set(ends.filter((id) => maps.has(id) && !others.has(id)));
}

function withMaps(stepCase: StepCase, maps: ReadonlySet<number>): StepCase {
  const { graph, data, title } = stepCase;
  const retyped = (value: Value): Value =>
    maps.has(value.id) ? { ...value, dtype: 'bf16' } : value;
  const all = (values: ReadonlyMap<string, Value>) =>
    new Map([...values].map(([name, value]) => [name, retyped(value)]));
  const isMap = (name: string) => maps.has(graph.inputs.get(name)?.id ?? -1);
  const rounded = ([name, values]: [string, TensorData]): [string, TensorData] => {
    return [name, isMap(name) ? toBfloat16(values as Float32Array) : values];
  };
  return {
    ...stepCase,
    title: `${title}, bfloat16`,
    precision: 'bf16',
    data: new Map([...data].map(rounded)),
    graph: {
      ...graph,
      inputs: all(graph.inputs),
      outputs: all(graph.outputs),
      nodes: graph.nodes.map((node) => ({
        ...node,
        inputs: node.inputs.map(retyped),
        outputs: node.outputs.map(retyped),
      })),
    },
  };
}
