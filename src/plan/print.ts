/** A plan as text: one step a line, each tensor with its shape and its place in the arena; `prepare`
 * stands before the steps that need not run again while the state is as it was. */
import type { Plan, Slot, Step } from './plan.js';

export function printPlan(plan: Plan): string {
  const lines = [
    `arena ${plan.arenaBytes} bytes, state ${plan.state.bytes}, ${plan.flops} flop, ` +
      `${plan.steps.length} steps${preparationText(plan)}`,
    ...Object.entries(plan.inputs).map(([name, slot]) => `input ${name} ${slotText(slot)}`),
    ...plan.steps.map((step, i) => {
      const prepares = i < plan.prepareSteps ? 'prepare ' : '';
      return `${i} ${prepares}${stepText(step)}${pathText(plan.paths[i])}`;
    }),
    ...Object.entries(plan.outputs).map(([name, slot]) => `output ${name} ${slotText(slot)}`),
  ];
  return lines.join('\n') + '\n';
}

export function stepText(step: Step): string {
  const fields = Object.entries(step).filter(([name]) => name !== 'kind');
  return `${step.kind} ${fields.map(([name, value]) => `${name}=${fieldText(value)}`).join(' ')}`;
}

function fieldText(value: unknown): string {
  if (value !== null && typeof value === 'object' && 'offset' in value) {
    return slotText(value as Slot);
  }
  return JSON.stringify(value);
}

const slotText = ({ dtype, shape, offset }: Slot) => `${dtype}[${shape.join(',')}]@${offset}`;

const preparationText = ({ prepareSteps }: Plan) =>
  prepareSteps > 0 ? `, ${prepareSteps} of them once` : '';

const pathText = (path: string | undefined) => (path ? `  // ${path}` : '');
