import t from 'tap';
import {
  EnvironmentError,
  type SpecTracing,
  withTracingEnvironment,
} from '../../../runtime/resources/tracing-environment.ts';

const spec = (otel: Partial<SpecTracing['otel']> = {}, samplingRate = ''): SpecTracing => ({
  samplingRate,
  stdout: false,
  zipkinEndpoint: '',
  otel: {
    endpointAddress: '',
    protocol: '',
    isSecure: undefined,
    headers: undefined,
    timeoutMs: undefined,
    ...otel,
  },
});
const complete = (given: SpecTracing, env: Record<string, string>) => {
  const { samplingRate, otel } = withTracingEnvironment(given, env);
  return { samplingRate, ...otel };
};

t.test('without variables the specification stands, with its defaults', (t) => {
  t.strictSame(complete(spec(), {}), {
    samplingRate: '',
    endpointAddress: '',
    protocol: '',
    isSecure: true,
    headers: {},
    timeoutMs: 10_000,
  });
  t.end();
});

t.test('an endpoint of the environment samples everything', (t) => {
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4317', OTEL_EXPORTER_OTLP_INSECURE: 'true' };
  t.match(complete(spec(), env), {
    samplingRate: '1',
    endpointAddress: 'collector:4317',
    protocol: 'grpc',
    isSecure: false,
  });
  t.match(complete(spec({}, '0.5'), { OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4317' }), {
    samplingRate: '0.5',
    isSecure: true,
  });
  t.end();
});

t.test('the general endpoint is a base, that of traces the address itself', (t) => {
  const http = { OTEL_EXPORTER_OTLP_PROTOCOL: 'http/protobuf' };
  t.match(complete(spec(), { ...http, OTEL_EXPORTER_OTLP_ENDPOINT: 'http://c:4318/base/' }), {
    endpointAddress: 'c:4318',
    protocol: 'http',
    isSecure: false,
    path: '/base/v1/traces',
  });
  t.match(
    complete(spec(), {
      ...http,
      OTEL_EXPORTER_OTLP_ENDPOINT: 'http://other',
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'https://c/custom',
    }),
    { endpointAddress: 'c', isSecure: true, path: '/custom' },
  );
  t.end();
});

t.test('the specification goes first, member by member', (t) => {
  const env = {
    OTEL_EXPORTER_OTLP_ENDPOINT: 'http://env:1',
    OTEL_EXPORTER_OTLP_TRACES_HEADERS: 'x-env=1',
    OTEL_EXPORTER_OTLP_TIMEOUT: '5000',
  };
  const given = { endpointAddress: 'spec:2', protocol: 'grpc', headers: { 'x-spec': '2' }, timeoutMs: 7 };
  t.match(complete(spec(given), env), { ...given, isSecure: true, samplingRate: '' });
  t.match(complete(spec({ endpointAddress: 'spec:2' }), env), {
    endpointAddress: 'spec:2',
    headers: { 'x-env': '1' },
    timeoutMs: 5000,
  });
  t.end();
});

t.test('headers are decoded, certificates and compression taken over', (t) => {
  t.match(
    complete(spec(), {
      OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20abc=, x-b = 2',
      OTEL_EXPORTER_OTLP_CERTIFICATE: '/ca.pem',
      OTEL_EXPORTER_OTLP_COMPRESSION: 'gzip',
    }),
    { headers: { authorization: 'Bearer abc=', 'x-b': '2' }, caFile: '/ca.pem', gzip: true },
  );
  t.end();
});

t.test('a variable that cannot be read is named', (t) => {
  for (const [variable, value] of [
    ['OTEL_EXPORTER_OTLP_HEADERS', 'no-equals'],
    ['OTEL_EXPORTER_OTLP_TRACES_HEADERS', 'a=%zz'],
    ['OTEL_EXPORTER_OTLP_TIMEOUT', '5s'],
  ] as const) {
    try {
      complete(spec(), { [variable]: value });
      t.fail(variable);
    } catch (error) {
      t.ok(error instanceof EnvironmentError && error.variable === variable, variable);
    }
  }
  t.end();
});
