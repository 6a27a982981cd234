// So much of a Redis server as a `configuration.redis` of daprd needs: values to get, and news of changed keys to those who
// subscribe to their keyspace channel (RESP 2). Where no Redis is installed, daprd has a configuration store all the same.

import { createServer, type Server, type Socket } from 'node:net';

export interface SmallRedis {
  /** Sets a value, as `value||version`, and tells the subscribers of its key. */
  set(key: string, value: string): void;
  close(): void;
}

const text = (value: string): string => `$${Buffer.byteLength(value)}\r\n${value}\r\n`;
const list = (items: readonly string[]): string => `*${items.length}\r\n${items.join('')}`;

export async function startSmallRedis(port: number): Promise<SmallRedis> {
  const values = new Map<string, string>();
  const channels = new Map<string, Set<Socket>>();

  const subscribe = (socket: Socket, names: readonly string[]): string =>
    names
      .map((name, index) => {
        const listeners = channels.get(name) ?? new Set();
        channels.set(name, listeners.add(socket));
        return list([text('subscribe'), text(name), `:${index + 1}\r\n`]);
      })
      .join('');
  const answer = (socket: Socket, [command = '', ...args]: readonly string[]): string => {
    switch (command.toUpperCase()) {
      case 'PING':
        return '+PONG\r\n';
      case 'INFO':
        return text('# Replication\r\nrole:master\r\nconnected_slaves:0\r\n');
      case 'GET': {
        const value = values.get(args[0] ?? '');
        return value === undefined ? '$-1\r\n' : text(value);
      }
      case 'CLIENT':
      case 'SELECT':
        return '+OK\r\n';
      case 'SUBSCRIBE':
        return subscribe(socket, args);
      default:
        return `-ERR unknown command '${command}'\r\n`;
    }
  };

  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    let rest = '';
    socket.on('data', (chunk: Buffer) => {
      rest += chunk.toString();
      for (;;) {
        const parsed = readCommand(rest);
        if (parsed === undefined) return;
        rest = rest.slice(parsed.length);
        socket.write(answer(socket, parsed.words));
      }
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      sockets.delete(socket);
      for (const listeners of channels.values()) listeners.delete(socket);
    });
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    set: (key, value) => {
      values.set(key, value);
      const channel = `__keyspace@0__:${key}`;
      for (const socket of channels.get(channel) ?? [])
        socket.write(list([text('message'), text(channel), text('set')]));
    },
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

/** The first command of what came, an array of short texts; undefined while it is not whole. */
function readCommand(
  data: string,
): { readonly words: readonly string[]; readonly length: number } | undefined {
  const head = /^\*(\d+)\r\n/.exec(data);
  if (head === null) return undefined;
  const words: string[] = [];
  let at = head[0].length;
  for (let left = Number(head[1]); left > 0; left -= 1) {
    const size = /^\$(\d+)\r\n/.exec(data.slice(at));
    if (size === null) return undefined;
    at += size[0].length;
    const end = at + Number(size[1]);
    if (data.length < end + 2) return undefined;
    words.push(data.slice(at, end));
    at = end + 2;
  }
  return { words, length: at };
}
