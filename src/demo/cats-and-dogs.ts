/**
 * Draws one cat or dog as SVG. Everything but the shape comes from one distribution for both:
 * coat, pose, light, background, occlusion. A cat has pointed ears, a small muzzle and whiskers; a
 * dog has hanging ears, a long muzzle and, when it pleases, a tongue.
 */
import type { Random } from '../random/philox.js';

export type Animal = 'cat' | 'dog';

export interface Scene {
  readonly svg: string;
  readonly width: number;
  readonly height: number;
}

type Hsl = readonly [hue: number, saturation: number, lightness: number];

const css = ([h, s, l]: Hsl) => `hsl(${h.toFixed(0)} ${s.toFixed(0)}% ${l.toFixed(0)}%)`;

const lighter = ([h, s, l]: Hsl, by: number): Hsl => [h, s, Math.max(4, Math.min(96, l + by))];

/** Natural coats: sand, ginger, brown, grey, black and white. */
function coatColor(random: Random): Hsl {
  const kind = random.below(4);
  if (kind === 0) return [random.uniform(20, 45), random.uniform(30, 75), random.uniform(30, 72)];
  if (kind === 1) return [random.uniform(15, 40), random.uniform(15, 45), random.uniform(12, 35)];
  if (kind === 2) return [random.uniform(0, 360), random.uniform(0, 10), random.uniform(8, 45)];
  return [random.uniform(20, 60), random.uniform(0, 20), random.uniform(55, 90)];
}

/** A scene of random size with one animal in it. */
export function drawAnimal(animal: Animal, random: Random): Scene {
  const width = 96 + random.below(125);
  const height = Math.round(width * random.uniform(0.75, 1.35));
  const side = Math.min(width, height);
  const scale = (side / 100) * random.uniform(0.62, 1.05);
  const x = width / 2 + random.uniform(-0.14, 0.14) * width;
  const y = height / 2 + random.uniform(-0.12, 0.12) * height;
  const turn = random.normal(0, 14);
  const mirror = random.chance(0.5) ? -1 : 1;
  const pose =
    `translate(${x.toFixed(1)} ${y.toFixed(1)}) rotate(${turn.toFixed(1)}) ` +
    `scale(${(mirror * scale).toFixed(3)} ${(scale * random.uniform(0.88, 1.12)).toFixed(3)})`;
  const svg =
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">` +
    background(random, width, height) +
    `<g transform="${pose}">${body(animal, random)}</g>` +
    foreground(random, width, height) +
    light(random, width, height) +
    '</svg>';
  return { svg, width, height };
}

function background(random: Random, width: number, height: number): string {
  const base: Hsl = [random.uniform(0, 360), random.uniform(5, 60), random.uniform(15, 88)];
  const ground = lighter([base[0] + random.uniform(-60, 60), base[1], base[2]], -15);
  const horizon = height * random.uniform(0.45, 0.85);
  const shapes = Array.from({ length: random.below(9) }, () => {
    const fill = css([random.uniform(0, 360), random.uniform(5, 70), random.uniform(15, 85)]);
    const [x, y] = [random.uniform(0, width), random.uniform(0, height)];
    const size = random.uniform(0.04, 0.22) * width;
    const kind = random.below(3);
    if (kind === 0) return `<circle cx="${x}" cy="${y}" r="${size}" fill="${fill}"/>`;
    if (kind === 1) {
      return `<rect x="${x}" y="${y}" width="${size * 2}" height="${size}" fill="${fill}"/>`;
    }
    const corners = [x, y, x + size, y + size * 1.4, x - size, y + size];
    return `<polygon points="${corners.join(' ')}" fill="${fill}"/>`;
  });
  return (
    `<rect width="${width}" height="${height}" fill="${css(base)}"/>` +
    `<rect y="${horizon}" width="${width}" height="${height}" fill="${css(ground)}"/>` +
    shapes.join('')
  );
}

/** The animal in a box of about 100 × 100 around the origin, its head a little above. */
function body(animal: Animal, random: Random): string {
  const coat = coatColor(random);
  const dark = css(lighter(coat, -16));
  const belly = css(lighter(coat, random.uniform(6, 22)));
  const fill = css(coat);
  const headX = random.uniform(-8, 8);
  const headY = random.uniform(-18, -8);
  const lying = random.chance(0.4);
  const torso = lying
    ? `<ellipse cx="6" cy="30" rx="38" ry="17" fill="${fill}"/>`
    : `<ellipse cx="2" cy="32" rx="23" ry="30" fill="${fill}"/>` +
      `<ellipse cx="2" cy="36" rx="12" ry="20" fill="${belly}"/>`;
  const tilt = random.normal(0, 9).toFixed(1);
  const parts = animal === 'cat' ? catHead : dogHead;
  const head = parts(random, { fill, dark, belly, inner: css(lighter(coat, 14)) });
  const stripes = random.chance(0.3) ? markings(random, dark) : '';
  return (
    tail(animal, random, fill) +
    torso +
    paws(fill, lying) +
    `<g transform="translate(${headX.toFixed(1)} ${headY.toFixed(1)}) rotate(${tilt})">` +
    `${head}${stripes}</g>`
  );
}

interface Coat {
  readonly fill: string;
  readonly dark: string;
  readonly belly: string;
  readonly inner: string;
}

function catHead(random: Random, { fill, dark, belly, inner }: Coat): string {
  const tip = random.uniform(-42, -32);
  const spread = random.uniform(19, 25);
  const ear = (side: number) =>
    `<polygon points="${side * 7} -17 ${side * spread} ${tip} ${side * 26} -4" fill="${fill}"/>` +
    `<polygon points="${side * 12} -17 ${side * (spread - 1)} ${tip + 8} ${side * 22} -9" ` +
    `fill="${inner}"/>`;
  const whiskers = [-4, 0, 4].flatMap((dy) =>
    [-1, 1].map((side) => {
      const end = `x2="${side * 34}" y2="${9 + dy * 2}"`;
      return `<line x1="${side * 8}" y1="${9 + dy * 0.4}" ${end} stroke="#eee" stroke-width="1"/>`;
    }),
  );
  return (
    ear(-1) +
    ear(1) +
    `<ellipse rx="26" ry="22" fill="${fill}"/>` +
    `<ellipse cx="0" cy="9" rx="9" ry="6.5" fill="${belly}"/>` +
    eyes(random, 10.5, -3, 4.6) +
    `<polygon points="-3 4.5 3 4.5 0 8" fill="#c77"/>` +
    `<path d="M0 8 q-4 5 -7 2 M0 8 q4 5 7 2" stroke="${dark}" fill="none" stroke-width="1.2"/>` +
    whiskers.join('')
  );
}

function dogHead(random: Random, { fill, dark, belly }: Coat): string {
  const drop = random.uniform(16, 26);
  const ear = (side: number) =>
    `<path d="M${side * 16} -18 Q${side * 34} -20 ${side * 33} ${drop - 10} ` +
    `Q${side * 30} ${drop + 4} ${side * 23} ${drop - 4} Z" fill="${dark}"/>`;
  const length = random.uniform(11, 16);
  const tongue = random.chance(0.5)
    ? `<ellipse cx="2" cy="${12 + length}" rx="4.5" ry="8" fill="#e0707c"/>`
    : '';
  return (
    `<ellipse rx="23" ry="23" fill="${fill}"/>` +
    tongue +
    `<ellipse cx="0" cy="${4 + length / 2}" rx="12.5" ry="${length}" fill="${belly}"/>` +
    eyes(random, 9.5, -6, 3.6) +
    `<ellipse cx="0" cy="${length - 3}" rx="5.8" ry="4.4" fill="#221d1d"/>` +
    `<path d="M0 ${length + 1} v6" stroke="${dark}" stroke-width="1.4"/>` +
    ear(-1) +
    ear(1)
  );
}

function eyes(random: Random, distance: number, y: number, size: number): string {
  const iris = css([random.uniform(20, 140), random.uniform(20, 80), random.uniform(25, 60)]);
  return [-1, 1]
    .map(
      (side) =>
        `<circle cx="${side * distance}" cy="${y}" r="${size}" fill="${iris}"/>` +
        `<circle cx="${side * distance}" cy="${y}" r="${size * 0.55}" fill="#111"/>`,
    )
    .join('');
}

function markings(random: Random, dark: string): string {
  const lines = [-8, 0, 8].map((x) => `M${x} -21 q${random.uniform(-3, 3).toFixed(1)} 6 0 9`);
  return `<path d="${lines.join(' ')}" stroke="${dark}" stroke-width="3" fill="none"/>`;
}

function paws(fill: string, lying: boolean): string {
  const y = lying ? 45 : 60;
  return [-1, 1]
    .map((side) => `<ellipse cx="${side * 12}" cy="${y}" rx="8" ry="6" fill="${fill}"/>`)
    .join('');
}

function tail(animal: Animal, random: Random, fill: string): string {
  const up = random.uniform(-22, 6).toFixed(0);
  const width = animal === 'cat' ? 5 : 7;
  return (
    `<path d="M22 44 q26 4 24 ${up}" stroke="${fill}" stroke-width="${width}" ` +
    'stroke-linecap="round" fill="none"/>'
  );
}

/** Now and then something stands in front. */
function foreground(random: Random, width: number, height: number): string {
  if (!random.chance(0.35)) return '';
  const fill = css([random.uniform(0, 360), random.uniform(10, 60), random.uniform(20, 75)]);
  const x = random.uniform(0, width);
  if (random.chance(0.5)) {
    const w = random.uniform(0.05, 0.14) * width;
    return `<rect x="${x}" width="${w}" height="${height}" fill="${fill}"/>`;
  }
  const y = height * random.uniform(0.72, 0.9);
  return `<rect y="${y}" width="${width}" height="${height}" fill="${fill}"/>`;
}

/** A lamp somewhere, and more or less of it. */
function light(random: Random, width: number, height: number): string {
  const [cx, cy] = [random.uniform(0, 1).toFixed(2), random.uniform(0, 1).toFixed(2)];
  const shade = random.uniform(0.05, 0.5).toFixed(2);
  const glow = random.uniform(0, 0.3).toFixed(2);
  return (
    `<defs><radialGradient id="light" cx="${cx}" cy="${cy}" r="1">` +
    `<stop offset="0" stop-color="#fff" stop-opacity="${glow}"/>` +
    `<stop offset="1" stop-color="#000" stop-opacity="${shade}"/></radialGradient></defs>` +
    `<rect width="${width}" height="${height}" fill="url(#light)"/>`
  );
}
