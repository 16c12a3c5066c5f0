/** The documents of the house as tests see them: their code blocks, command lines and links. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { packageRoot } from '../../src/package-root.js';

export const { root } = packageRoot();

export const documents: readonly string[] = [
  'README.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  'docs/architecture.md',
  'scripts/fixtures/README.md',
];

export interface CodeBlock {
  /** The first word behind the fence: `ts`, `sh`. */
  readonly language: string;
  /** The words behind it: `run`. */
  readonly marks: readonly string[];
  readonly text: string;
}

const fence = /^```(.*)\n([\s\S]*?)^```$/gm;

export function readDocument(file: string): string {
  return readFileSync(path.join(root, file), 'utf8');
}

/** The fenced blocks of Markdown, in their order. */
export function codeBlocks(markdown: string): CodeBlock[] {
  return [...markdown.matchAll(fence)].map(([, info, text]) => {
    const [language = '', ...marks] = info!.trim().split(/\s+/);
    return { language, marks, text: text! };
  });
}

/** Command lines in `sh` blocks, continued lines joined, and in inline code. */
export function commandLines(markdown: string): string[] {
  const inBlocks = codeBlocks(markdown)
    .filter(({ language }) => language === 'sh')
    .flatMap(({ text }) => text.replaceAll('\\\n', ' ').split(/\n|&&/));
  const inline = [...markdown.replaceAll(fence, '').matchAll(/`([^`\n]+)`/g)].map(
    ([, code]) => code!,
  );
  return [...inBlocks, ...inline]
    .map((line) => line.replace(/\s#.*$/, '').trim())
    .filter((line) => /^(npm|npx|node|plusx|python)\s\S/.test(line));
}

/** Where links that stay in the repository lead, relative to its root. */
export function localLinks(file: string): string[] {
  const text = readDocument(file).replaceAll(fence, '');
  const inline = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target!);
  const defined = [...text.matchAll(/^\[[^\]]+\]:\s*(\S+)/gm)].map(([, target]) => target!);
  return [...inline, ...defined]
    .filter((target) => !/^(https?:|#)/.test(target))
    .map((target) => path.posix.join(path.posix.dirname(file), target.replace(/#.*$/, '')));
}
