import { createServer, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import type { ConfigurationResource } from '../../../runtime/contracts/resource.ts';
import { systemClock } from '../../../runtime/platform/system-clock.ts';
import { createExporters, type Exporters } from '../../../runtime/telemetry/exporters.ts';
import { decodeOtlp } from '../../support/otlp-decode.ts';
import { recordingLogger } from '../../support/recording-logger.ts';
import { CA_CERT, SERVER_CERT, SERVER_KEY } from '../../support/test-certificates.ts';
import { startCollector } from '../../support/trace-collector.ts';
import { finishedSpan } from './finished-span.ts';

type Otel = ConfigurationResource['tracing']['otel'];

const rig = async (
  over: Partial<Otel>,
  tracing: Partial<ConfigurationResource['tracing']> = {},
): Promise<{ exporters: Exporters; log: ReturnType<typeof recordingLogger>; dropped: () => number }> => {
  const log = recordingLogger();
  let dropped = 0;
  const otel = { endpointAddress: '', protocol: '', isSecure: true, headers: {}, timeoutMs: 2000, ...over };
  const exporters = await createExporters({
    tracing: { samplingRate: '1', stdout: false, zipkinEndpoint: '', otel, ...tracing },
    appId: 'app',
    env: {},
    clock: systemClock(),
    log,
    metrics: {
      count: (_name, _labels, amount = 1) => {
        dropped += amount;
      },
    },
  });
  return { exporters, log, dropped: () => dropped };
};

const secure = async (t: Test) => {
  const collector = await startCollector(t, { cert: SERVER_CERT, key: SERVER_KEY });
  return { collector, caFile: join(t.testdir({ 'ca.pem': CA_CERT }), 'ca.pem') };
};

t.test('a secure collector is verified by the given authority, over gRPC and HTTP', async (t) => {
  const { collector, caFile } = await secure(t);
  const grpc = await rig({ endpointAddress: `127.0.0.1:${collector.grpcPort}`, protocol: 'grpc', caFile });
  grpc.exporters.add(finishedSpan({ name: 'by gRPC' }));
  await grpc.exporters.close(2000);
  const http = await rig({
    endpointAddress: `127.0.0.1:${collector.httpPort}`,
    protocol: 'http',
    gzip: true,
    caFile,
  });
  http.exporters.add(finishedSpan({ name: 'by HTTP' }));
  await http.exporters.close(2000);
  t.equal(collector.exports[1]?.headers['content-encoding'], 'gzip');
  const bodies = collector.exports.map(({ path, body }) => (path === 'grpc' ? body : gunzipSync(body)));
  t.strictSame(
    bodies.flatMap((body) => decodeOtlp(body)).map(({ name }) => name),
    ['by gRPC', 'by HTTP'],
  );
});

t.test('batches are compressed over gRPC, too', async (t) => {
  const received: { encoding: unknown; frame: Buffer }[] = [];
  const server = createServer();
  server.on('stream', (stream: ServerHttp2Stream, head) => {
    const parts: Buffer[] = [];
    stream.on('data', (part: Buffer) => parts.push(part));
    stream.on('end', () => {
      received.push({ encoding: head['grpc-encoding'], frame: Buffer.concat(parts) });
      stream.respond(
        { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '0' },
        { endStream: true },
      );
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const { exporters } = await rig({
    endpointAddress: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    protocol: 'grpc',
    isSecure: false,
    gzip: true,
  });
  exporters.add(finishedSpan({ name: 'small' }));
  await exporters.close(2000);
  const [{ encoding, frame } = { encoding: undefined, frame: Buffer.alloc(0) }] = received;
  t.equal(encoding, 'gzip');
  t.equal(frame[0], 1, 'the flag of a compressed message');
  t.equal(frame.readUInt32BE(1), frame.byteLength - 5);
  t.strictSame(
    decodeOtlp(gunzipSync(frame.subarray(5))).map(({ name }) => name),
    ['small'],
  );
});

t.test('a collector that nobody vouches for gets nothing', async (t) => {
  const { collector } = await secure(t);
  const { exporters, log, dropped } = await rig({
    endpointAddress: `127.0.0.1:${collector.grpcPort}`,
    protocol: 'grpc',
  });
  exporters.add(finishedSpan());
  await exporters.close(2000);
  t.equal(collector.exports.length, 0);
  t.equal(dropped(), 1);
  t.match(log.lines[0]?.message, /certificate|verify/);
});

t.test('what a collector refuses is told with its words', async (t) => {
  const collector = await startCollector(t);
  collector.answer = () => ({ status: 400 });
  const { exporters, log, dropped } = await rig(
    {},
    { zipkinEndpoint: `http://127.0.0.1:${collector.httpPort}/api/v2/spans` },
  );
  exporters.add(finishedSpan());
  await exporters.close(2000);
  t.match(log.lines[0]?.message, /traces do not reach Zipkin at 127\.0\.0\.1:\d+: status 400/);
  t.equal(dropped(), 1);
  t.equal(collector.exports.length, 1);
});

t.test('certificates that cannot be read stop the start', async (t) => {
  const otel = { endpointAddress: 'localhost', protocol: 'grpc', caFile: '/nowhere/ca.pem' };
  await t.rejects(rig(otel), { message: /certificate of the OTLP exporter cannot be read/ });
  await t.rejects(rig({ endpointAddress: 'a b', protocol: 'http' }), { message: /expected host:port/ });
});
