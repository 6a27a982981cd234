/** The item `routes`: a JSON object, or YAML lines `template: target` with optional quotes and comments. */

const LINE = /^\s*(?:"([^"]*)"|'([^']*)'|([^\s"'#][^\s]*?))\s*:\s+(?:"([^"]*)"|'([^']*)'|(\S+))\s*(?:#.*)?$/;

/** Templates and targets in the order they are written. Throws with the part at fault. */
export function parseRouteMap(text: string): readonly (readonly [template: string, target: string])[] {
  const trimmed = text.trim();
  if (trimmed === '') return [];
  const entries = trimmed.startsWith('{') ? jsonEntries(trimmed) : lineEntries(text);
  for (const [template, target] of entries) {
    if (!template.startsWith('/')) throw new Error(`expected a path that begins with /, got '${template}'`);
    if (!target.startsWith('/')) throw new Error(`expected a target path for '${template}', got '${target}'`);
  }
  return entries;
}

function jsonEntries(text: string): readonly (readonly [string, string])[] {
  const value: unknown = JSON.parse(text);
  return Object.entries(value as Readonly<Record<string, unknown>>).map(([template, target]) => {
    if (typeof target !== 'string') throw new Error(`expected a text for '${template}'`);
    return [template, target];
  });
}

function lineEntries(text: string): readonly (readonly [string, string])[] {
  return text
    .split('\n')
    .map((line) => line.replace(/\r$/, ''))
    .filter((line) => line.trim() !== '' && line.trim() !== '---' && !line.trim().startsWith('#'))
    .map((line) => {
      const match = LINE.exec(line);
      if (match === null) throw new Error(`expected a line 'template: target', got '${line.trim()}'`);
      const [, a, b, c, d, e, f] = match;
      return [a ?? b ?? c ?? '', d ?? e ?? f ?? ''];
    });
}
