/** Holds the shape of the house: imports point downwards, rooms are named by content, files are short. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import ts from 'typescript';
import * as library from '../../src/index.js';
import { packageRoot } from '../../src/package-root.js';
import { files, imports, parse, room, source } from './imports.js';

const { root } = packageRoot();
const longestFile = 400;

/** What each room may import, besides itself, `errors.ts` and `package-root.ts`. */
const below: Readonly<Record<string, readonly string[]>> = {
  random: [],
  graph: [],
  autodiff: ['graph'],
  ops: ['graph'],
  formats: ['graph', 'ops'],
  plan: ['graph', 'ops'],
  backend: ['graph', 'ops', 'plan', 'random'],
  nn: ['graph', 'ops', 'random'],
  models: ['graph', 'ops', 'nn'],
  data: ['random', 'formats'],
  demo: ['random'],
  train: [
    ...['random', 'graph', 'ops', 'autodiff', 'plan', 'backend', 'nn', 'models'],
    ...['data', 'formats'],
  ],
  cli: ['models', 'backend', 'plan', 'data', 'demo', 'train', 'formats'],
};

/** Upward imports of types alone: data that a lower room is told, or a table it has to fill. */
const typesFromAbove: readonly string[] = [
  'plan -> backend/backend.ts', // the capabilities of a backend, as data
  'ops -> autodiff/differentiate.ts', // the type of the table of gradient rules
];

describe('imports', () => {
  test('the table names every room and only rooms that exist', () => {
    const rooms = [...new Set(files.map(room))].filter((name) => name !== '').sort();
    assert.deepEqual(Object.keys(below).sort(), rooms);
  });

  test('the table has no way from a room back to itself', () => {
    const visit = (name: string, trail: readonly string[]): void => {
      assert.ok(!trail.includes(name), `a circle: ${[...trail, name].join(' -> ')}`);
      for (const next of below[name]!) visit(next, [...trail, name]);
    };
    Object.keys(below).forEach((name) => visit(name, []));
  });

  test('point downwards', () => {
    assert.ok(imports.length > 100, `only ${imports.length} imports were found`);
    const upward = imports.filter(({ from, to, typeOnly }) => {
      if (to === 'errors.ts' || to === 'package-root.ts' || from === 'index.ts') return false;
      if (room(from) === room(to) || below[room(from)]?.includes(room(to))) return false;
      return !(typeOnly && typesFromAbove.includes(`${room(from)} -> ${to}`));
    });
    assert.deepEqual(
      upward.map(({ from, to }) => `${from} imports ${to}`),
      [],
    );
  });

  test('every exception to that is in use', () => {
    const used = imports.map(({ from, to }) => `${room(from)} -> ${to}`);
    for (const exception of typesFromAbove) assert.ok(used.includes(exception), exception);
  });

  test('name files that exist', () => {
    for (const { from, to } of imports) assert.ok(files.includes(to), `${from} imports ${to}`);
  });

  test('the command line calls nothing that the library does not export', () => {
    const values = imports
      .filter(({ from, to }) => room(from) === 'cli' && room(to) !== 'cli')
      .filter(({ to }) => to !== 'package-root.ts')
      .flatMap((entry) => entry.values);
    const hidden = values.filter((name) => !(name in library));
    assert.deepEqual([...new Set(hidden)], []);
  });

  test('src/index.ts only re-exports', () => {
    const { statements } = parse('index.ts');
    const others = statements.filter((node) => !ts.isExportDeclaration(node));
    assert.deepEqual(
      others.map((node) => node.getText()),
      [],
    );
  });
});

describe('files', () => {
  test('no room is called by how it is used', () => {
    const grabBag = /^(utils?|helpers?|common|misc|shared|lib)$/;
    const named = files.filter((file) => {
      return file.split('/').some((part) => grabBag.test(part.replace(/\.ts$/, '')));
    });
    assert.deepEqual(named, []);
  });

  test(`none is longer than ${longestFile} lines`, () => {
    const long = [...files, ...nativeFiles()].filter((file) => linesOf(file) > longestFile);
    assert.deepEqual(long, []);
  });

  test('each begins by saying what it is', () => {
    const silent = files.filter((file) => {
      const text = readFileSync(path.join(source, file), 'utf8').replace(/^#!.*\n/, '');
      return !text.startsWith('/**');
    });
    assert.deepEqual(silent, []);
  });
});

test('what package.json names exists after a build', () => {
  const json = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')) as {
    readonly main: string;
    readonly types: string;
    readonly bin: Readonly<Record<string, string>>;
    readonly exports: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
  };
  const named = [
    json.main,
    json.types,
    ...Object.values(json.bin),
    ...Object.values(json.exports).flatMap((entry) =>
      typeof entry === 'string' ? [entry] : Object.values(entry),
    ),
  ];
  for (const file of named) assert.ok(existsSync(path.join(root, file)), file);
});

test('the lock file names no registry host', () => {
  const lock = readFileSync(path.join(root, 'package-lock.json'), 'utf8');
  assert.ok(!lock.includes('"resolved"'));
});

function nativeFiles(): string[] {
  return readdirSync(path.join(root, 'native'), { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.(cpp|h)$/.test(file))
    .map((file) => `../native/${file}`);
}

function linesOf(file: string): number {
  return readFileSync(path.join(source, file), 'utf8').trimEnd().split('\n').length;
}
