// The smallest HTTP app: routes by path, JSON in, status or JSON out. What the demo's two apps stand on.

import { createServer, type Server } from 'node:http';

export type Route = (body: unknown) => Promise<unknown> | unknown;

/** Serves `routes` on loopback; a route that throws answers 500, an unknown path 404. Ends at SIGTERM. */
export function serve(port: number, routes: Readonly<Record<string, Route>>): Server {
  const server = createServer(async (request, response) => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part);
    const route = routes[request.url ?? ''];
    if (route === undefined) {
      response.writeHead(404).end();
      return;
    }
    try {
      const text = Buffer.concat(parts).toString();
      const answer = await route(text === '' ? undefined : JSON.parse(text));
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(answer === undefined ? '' : JSON.stringify(answer));
    } catch (error) {
      response.writeHead(500).end(String(error));
    }
  });
  server.listen(port, '127.0.0.1');
  process.once('SIGTERM', () => {
    server.close();
    server.closeAllConnections();
  });
  return server;
}
