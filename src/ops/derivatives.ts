/** Hands the ops' gradient rules to the backward walk, which knows none of them by name. */
import type { DerivativeRules } from '../autodiff/differentiate.js';
import type { GraphBuilder } from '../graph/builder.js';
import { emitInto } from './emit.js';
import { at } from './op.js';
import { ruleOf } from './table.js';

export function derivativesInto(builder: GraphBuilder): DerivativeRules {
  return {
    vjp(node, doutputs, wants) {
      const { vjp } = ruleOf(node.op);
      if (typeof vjp !== 'function') {
        throw new Error(`internal: ${node.op} has no gradient: ${vjp.none}`);
      }
      return vjp({
        inputs: node.inputs,
        outputs: node.outputs,
        attributes: node.attributes as never,
        doutputs,
        wants,
        emit: emitInto(builder, () => node.path),
      });
    },
    ones(like, path) {
      const attributes = { shape: like.shape, value: 1 };
      return at(emitInto(builder, () => path)('fill', [], attributes), 0);
    },
    add(a, b, path) {
      return at(emitInto(builder, () => path)('add', [a, b], {}), 0);
    },
  };
}
