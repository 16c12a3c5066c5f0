/** A graph as text that a person reads: one definition a line, types and module paths beside. */
import type { Attributes, Graph, Value } from './graph.js';

export function printGraph(graph: Graph): string {
  const lines: string[] = [];
  for (const [name, value] of graph.inputs) lines.push(`${typed(value)} = input ${name}`);
  for (const [name, value] of graph.state) lines.push(`${typed(value)} = state ${name}`);
  for (const node of graph.nodes) {
    const inputs = node.inputs.map(reference).join(', ');
    const where = node.path ? `  // ${node.path}` : '';
    const outputs = node.outputs.map(typed).join(', ');
    lines.push(`${outputs} = ${node.op}(${inputs})${attributesText(node.attributes)}${where}`);
  }
  for (const [name, value] of graph.outputs) lines.push(`output ${name} = ${reference(value)}`);
  for (const [name, value] of graph.updates) lines.push(`update ${name} = ${reference(value)}`);
  return lines.join('\n') + '\n';
}

const reference = (value: Value) => `%${value.id}`;

const typed = (value: Value) => `%${value.id}: ${value.dtype}[${value.shape.join(',')}]`;

function attributesText(attributes: Attributes): string {
  const entries = Object.entries(attributes);
  if (entries.length === 0) return '';
  return ` {${entries.map(([name, value]) => `${name} ${JSON.stringify(value)}`).join(', ')}}`;
}
