/** Optimizer updates in place. */
import type { StepTable } from './steps.js';

export const optimizerSteps: StepTable<'sgd' | 'adamW'> = {
  sgd(step, arena) {
    const [parameter, dparameter] = [arena.f32(step.parameter), arena.f32(step.dparameter)];
    const velocity = step.velocity && arena.f32(step.velocity);
    const lr = arena.f32(step.hyper)[0]!;
    for (let i = 0; i < parameter.length; i++) {
      let gradient = dparameter[i]! + step.weightDecay * parameter[i]!;
      if (velocity) {
        const speed = step.momentum * velocity[i]! + gradient;
        velocity[i] = speed;
        gradient = step.nesterov ? gradient + step.momentum * speed : speed;
      }
      parameter[i] = parameter[i]! - lr * gradient;
    }
  },

  adamW(step, arena) {
    const [parameter, dparameter] = [arena.f32(step.parameter), arena.f32(step.dparameter)];
    const [m, v] = [arena.f32(step.m), arena.f32(step.v)];
    const [lr, correction1, correction2] = arena.f32(step.hyper) as unknown as number[];
    for (let i = 0; i < parameter.length; i++) {
      const gradient = dparameter[i]!;
      const mean = step.beta1 * m[i]! + (1 - step.beta1) * gradient;
      const square = step.beta2 * v[i]! + (1 - step.beta2) * gradient * gradient;
      m[i] = mean;
      v[i] = square;
      const decayed = parameter[i]! * (1 - lr! * step.weightDecay);
      const denominator = Math.sqrt(square) / Math.sqrt(correction2!) + step.eps;
      parameter[i] = decayed - ((lr! / correction1!) * mean) / denominator;
    }
  },
};
