/** What each file of `src` imports from the others, read from its syntax tree. */
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import ts from 'typescript';
import { packageRoot } from '../../src/package-root.js';

export interface Import {
  /** Relative to `src`. */
  readonly from: string;
  readonly to: string;
  readonly typeOnly: boolean;
  /** The names imported as values. */
  readonly values: readonly string[];
}

export const source = path.join(packageRoot().root, 'src');

/** Every TypeScript file, relative to `src`. */
export const files: readonly string[] = readdirSync(source, { recursive: true, encoding: 'utf8' })
  .map((file) => file.replaceAll('\\', '/'))
  .filter((file) => file.endsWith('.ts'))
  .sort();

export const imports: readonly Import[] = files.flatMap(importsOf);

/** The folder of `src` that a file lies in; empty for files of `src` itself. */
export function room(file: string): string {
  return file.includes('/') ? file.split('/')[0]! : '';
}

export function parse(file: string): ts.SourceFile {
  const text = readFileSync(path.join(source, file), 'utf8');
  return ts.createSourceFile(file, text, ts.ScriptTarget.ES2022, true);
}

/** Every import of a file of ours: `import … from`, `export … from` and `import(…)`. */
function importsOf(from: string): Import[] {
  const found: Import[] = [];
  const add = (specifier: ts.Node, typeOnly: boolean, values: readonly string[]) => {
    if (!ts.isStringLiteral(specifier) || !specifier.text.startsWith('.')) return;
    const to = path.posix.join(path.posix.dirname(from), specifier.text).replace(/\.js$/, '.ts');
    found.push({ from, to, typeOnly, values });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) {
      const clause = node.importClause;
      const named = clause?.namedBindings;
      const elements = named && ts.isNamedImports(named) ? [...named.elements] : [];
      const clauseIsType = clause?.phaseModifier === ts.SyntaxKind.TypeKeyword;
      const values = clauseIsType ? [] : elements.filter((element) => !element.isTypeOnly);
      const names = values.map((element) => (element.propertyName ?? element.name).text);
      const whole = clause === undefined || clause.name || (named && ts.isNamespaceImport(named));
      add(node.moduleSpecifier, clauseIsType || (!whole && values.length === 0), names);
    } else if (ts.isExportDeclaration(node) && node.moduleSpecifier) {
      add(node.moduleSpecifier, node.isTypeOnly, []);
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      add(node.arguments[0]!, false, []);
    }
    ts.forEachChild(node, visit);
  };
  visit(parse(from));
  return found;
}
