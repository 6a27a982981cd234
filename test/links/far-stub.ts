/** A cloud that only counts: takes publishes and batches of them, keeps order per key in mind, and tells what it saw. */

import { createServer } from 'node:http';

const seen = new Map<string, number>();
const stats = { received: 0, outOfOrder: 0, repeated: 0, requests: 0, live: 0 };

function take(text: string): void {
  const { data } = JSON.parse(text) as { data: { key: string; n: number } };
  const last = seen.get(data.key) ?? 0;
  stats.received += 1;
  if (data.key === 'live') stats.live += 1;
  if (data.n <= last) stats.repeated += 1;
  else if (data.n !== last + 1) stats.outOfOrder += 1;
  seen.set(data.key, Math.max(last, data.n));
}

createServer((request, response) => {
  if (request.url === '/stats') return void response.end(JSON.stringify(stats));
  const parts: Buffer[] = [];
  request.on('data', (part: Buffer) => parts.push(part));
  request.on('end', () => {
    if (request.method === 'POST') {
      stats.requests += 1;
      const text = Buffer.concat(parts).toString();
      if (text.startsWith('['))
        for (const { event } of JSON.parse(text) as { event: object }[]) take(JSON.stringify(event));
      else take(text);
    }
    response.writeHead(204).end();
  });
}).listen(Number(process.argv[2]), '0.0.0.0');
