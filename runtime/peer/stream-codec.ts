/**
 * The messages of `CallLocal` and `CallLocalStream`, written and read field by field: every invocation between sidecars passes here
 * four times, and a generic codec costs a tenth of such a call. Field numbers are those of Dapr's
 * `internals/v1/service_invocation.proto`, `status.proto` and `common/v1/common.proto`; a test holds both codecs
 * against each other. Unknown fields are skipped.
 */

import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import type { Codec } from '../contracts/grpc-wire/service.ts';
import type { WireMap } from './wire-headers.ts';

/** `InternalInvokeRequest` without `actor`. */
export interface WireRequest {
  ver: number;
  metadata: WireMap;
  message?:
    | {
        method: string;
        contentType: string;
        data: WireAny;
        httpExtension?: { verb: number; querystring: string } | undefined;
      }
    | undefined;
}

/** `InternalInvokeResponse`; `details` are encoded `google.protobuf.Any`. */
export interface WireResponse {
  status?: { code: number; message: string; details: Uint8Array[] } | undefined;
  headers: WireMap;
  trailers: WireMap;
  message?: { contentType: string; data: WireAny } | undefined;
}

/** `google.protobuf.Any`. */
export interface WireAny {
  typeUrl: string;
  value: Uint8Array;
}

export interface WirePayload {
  data: Uint8Array;
  seq: number;
}

export interface RequestChunk {
  request?: WireRequest | undefined;
  payload?: WirePayload | undefined;
}

export interface ResponseChunk {
  response?: WireResponse | undefined;
  payload?: WirePayload | undefined;
}

const NOTHING = new Uint8Array(0);
/** The key of a length-delimited field. */
const bytesKey = (field: number): number => (field << 3) | WireType.LengthDelimited;
const varintKey = (field: number): number => (field << 3) | WireType.Varint;
const FIELD_1 = bytesKey(1);
const FIELD_2 = bytesKey(2);
const FIELD_3 = bytesKey(3);
const FIELD_4 = bytesKey(4);
const NUMBER_1 = varintKey(1);
const NUMBER_2 = varintKey(2);

/** One writer for all messages: it keeps its memory from one to the next. A failure leaves half a message in it. */
let shared = new BinaryWriter();

function written(write: (writer: BinaryWriter) => void): Uint8Array {
  const writer = shared;
  try {
    write(writer);
  } catch (error) {
    shared = new BinaryWriter();
    throw error;
  }
  return writer.finish();
}

export const requestChunks: Codec<RequestChunk> = {
  encode: ({ request, payload }) => {
    return written((writer) => {
      if (request !== undefined) {
        writer.uint32(FIELD_1).fork();
        writeRequest(writer, request);
        writer.join();
      }
      writePayload(writer, payload);
    });
  },
  decode: (bytes) => {
    const chunk: RequestChunk = {};
    readFields(new BinaryReader(bytes), bytes.byteLength, (reader, key) => {
      if (key === FIELD_1) chunk.request = readRequest(reader, endOfMessage(reader), chunk.request);
      else if (key === FIELD_2) chunk.payload = readPayload(reader);
      else return false;
      return true;
    });
    return chunk;
  },
};

export const responseChunks: Codec<ResponseChunk> = {
  encode: ({ response, payload }) => {
    return written((writer) => {
      if (response !== undefined) {
        writer.uint32(FIELD_1).fork();
        writeResponse(writer, response);
        writer.join();
      }
      writePayload(writer, payload);
    });
  },
  decode: (bytes) => {
    const chunk: ResponseChunk = {};
    readFields(new BinaryReader(bytes), bytes.byteLength, (reader, key) => {
      if (key === FIELD_1) chunk.response = readResponse(reader, endOfMessage(reader), chunk.response);
      else if (key === FIELD_2) chunk.payload = readPayload(reader);
      else return false;
      return true;
    });
    return chunk;
  },
};

/** `InternalInvokeRequest` by itself, for `CallLocal`. */
export const wholeRequests: Codec<WireRequest> = {
  encode: (request) => written((writer) => writeRequest(writer, request)),
  decode: (bytes) => readRequest(new BinaryReader(bytes), bytes.byteLength, undefined),
};

/** `InternalInvokeResponse` by itself, for `CallLocal`. */
export const wholeResponses: Codec<WireResponse> = {
  encode: (response) => written((writer) => writeResponse(writer, response)),
  decode: (bytes) => readResponse(new BinaryReader(bytes), bytes.byteLength, undefined),
};

function writeRequest(writer: BinaryWriter, { ver, metadata, message }: WireRequest): void {
  if (ver !== 0) writer.uint32(NUMBER_1).int32(ver);
  writeMap(writer, FIELD_2, metadata);
  if (message === undefined) return;
  const { method, data, contentType, httpExtension } = message;
  writer.uint32(FIELD_3).fork();
  writeText(writer, FIELD_1, method);
  writeAny(writer, FIELD_2, data);
  writeText(writer, FIELD_3, contentType);
  if (httpExtension !== undefined) {
    writer.uint32(FIELD_4).fork();
    if (httpExtension.verb !== 0) writer.uint32(NUMBER_1).int32(httpExtension.verb);
    writeText(writer, FIELD_2, httpExtension.querystring);
    writer.join();
  }
  writer.join();
}

function writeResponse(writer: BinaryWriter, { status, headers, trailers, message }: WireResponse): void {
  if (status !== undefined) {
    writer.uint32(FIELD_1).fork();
    if (status.code !== 0) writer.uint32(NUMBER_1).int32(status.code);
    writeText(writer, FIELD_2, status.message);
    for (const detail of status.details) writer.uint32(FIELD_3).bytes(detail);
    writer.join();
  }
  writeMap(writer, FIELD_2, headers);
  writeMap(writer, FIELD_3, trailers);
  if (message === undefined) return;
  writer.uint32(FIELD_4).fork();
  writeAny(writer, FIELD_1, message.data);
  writeText(writer, FIELD_2, message.contentType);
  writer.join();
}

/** `map<string, ListStringValue>`: an entry is a message of key (1) and value (2). */
function writeMap(writer: BinaryWriter, field: number, map: WireMap): void {
  for (const name in map) {
    writer.uint32(field).fork();
    writer.uint32(FIELD_1).string(name);
    writer.uint32(FIELD_2).fork();
    for (const value of map[name]?.values ?? []) writer.uint32(FIELD_1).string(value);
    writer.join();
    writer.join();
  }
}

function writeAny(writer: BinaryWriter, field: number, { typeUrl, value }: WireAny): void {
  writer.uint32(field).fork();
  writeText(writer, FIELD_1, typeUrl);
  if (value.byteLength > 0) writer.uint32(FIELD_2).bytes(value);
  writer.join();
}

function writeText(writer: BinaryWriter, field: number, text: string): void {
  if (text !== '') writer.uint32(field).string(text);
}

function writePayload(writer: BinaryWriter, payload: WirePayload | undefined): void {
  if (payload === undefined) return;
  writer.uint32(FIELD_2).fork();
  if (payload.data.byteLength > 0) writer.uint32(FIELD_1).bytes(payload.data);
  if (payload.seq !== 0) writer.uint32(NUMBER_2).uint64(payload.seq);
  writer.join();
}

/** Hands each field to `take`, which returns false for one it does not know. */
function readFields(
  reader: BinaryReader,
  end: number,
  take: (reader: BinaryReader, key: number) => boolean,
): void {
  while (reader.pos < end) {
    const start = reader.pos;
    const key = reader.uint32();
    if (take(reader, key)) continue;
    reader.pos = start;
    const [field, type] = reader.tag();
    reader.skip(type, field);
  }
  if (reader.pos > end) throw new RangeError('a field ends after its message');
}

function endOfMessage(reader: BinaryReader): number {
  const length = reader.uint32();
  const end = reader.pos + length;
  if (end > reader.len) throw new RangeError('premature EOF');
  return end;
}

function readRequest(reader: BinaryReader, end: number, earlier: WireRequest | undefined): WireRequest {
  const request: WireRequest = earlier ?? { ver: 0, metadata: {} };
  readFields(reader, end, (reader, key) => {
    if (key === FIELD_2) readEntry(reader, request.metadata);
    else if (key === FIELD_3) request.message = readInvoke(reader, request.message);
    else if (key === NUMBER_1) request.ver = reader.int32();
    else return false;
    return true;
  });
  return request;
}

function readInvoke(reader: BinaryReader, earlier: WireRequest['message']): WireRequest['message'] {
  const message: NonNullable<WireRequest['message']> = earlier ?? {
    method: '',
    contentType: '',
    data: { typeUrl: '', value: NOTHING },
  };
  readFields(reader, endOfMessage(reader), (reader, key) => {
    if (key === FIELD_1) message.method = reader.string();
    else if (key === FIELD_2) message.data = readAny(reader);
    else if (key === FIELD_3) message.contentType = reader.string();
    else if (key === FIELD_4) message.httpExtension = readExtension(reader);
    else return false;
    return true;
  });
  return message;
}

function readExtension(reader: BinaryReader): { verb: number; querystring: string } {
  const extension = { verb: 0, querystring: '' };
  readFields(reader, endOfMessage(reader), (reader, key) => {
    if (key === NUMBER_1) extension.verb = reader.int32();
    else if (key === FIELD_2) extension.querystring = reader.string();
    else return false;
    return true;
  });
  return extension;
}

function readResponse(reader: BinaryReader, end: number, earlier: WireResponse | undefined): WireResponse {
  const response: WireResponse = earlier ?? { headers: {}, trailers: {} };
  readFields(reader, end, (reader, key) => {
    if (key === FIELD_1) response.status = readStatus(reader);
    else if (key === FIELD_2) readEntry(reader, response.headers);
    else if (key === FIELD_3) readEntry(reader, response.trailers);
    else if (key === FIELD_4) response.message = readAnswer(reader);
    else return false;
    return true;
  });
  return response;
}

function readStatus(reader: BinaryReader): NonNullable<WireResponse['status']> {
  const status = { code: 0, message: '', details: [] as Uint8Array[] };
  readFields(reader, endOfMessage(reader), (reader, key) => {
    if (key === NUMBER_1) status.code = reader.int32();
    else if (key === FIELD_2) status.message = reader.string();
    else if (key === FIELD_3) status.details.push(reader.bytes());
    else return false;
    return true;
  });
  return status;
}

function readAnswer(reader: BinaryReader): NonNullable<WireResponse['message']> {
  const message = { contentType: '', data: { typeUrl: '', value: NOTHING } as WireAny };
  readFields(reader, endOfMessage(reader), (reader, key) => {
    if (key === FIELD_1) message.data = readAny(reader);
    else if (key === FIELD_2) message.contentType = reader.string();
    else return false;
    return true;
  });
  return message;
}

function readAny(reader: BinaryReader): WireAny {
  const any: WireAny = { typeUrl: '', value: NOTHING };
  readFields(reader, endOfMessage(reader), (reader, key) => {
    if (key === FIELD_1) any.typeUrl = reader.string();
    else if (key === FIELD_2) any.value = reader.bytes();
    else return false;
    return true;
  });
  return any;
}

function readEntry(reader: BinaryReader, map: WireMap): void {
  let name = '';
  let values: string[] = [];
  readFields(reader, endOfMessage(reader), (reader, key) => {
    if (key === FIELD_1) name = reader.string();
    else if (key === FIELD_2) values = readValues(reader, values);
    else return false;
    return true;
  });
  // A name such as `__proto__` is a name like any other.
  if (name in map && !Object.hasOwn(map, name)) Object.defineProperty(map, name, ownValue({ values }));
  else map[name] = { values };
}

const ownValue = <T>(value: T): PropertyDescriptor => ({
  value,
  writable: true,
  enumerable: true,
  configurable: true,
});

function readValues(reader: BinaryReader, values: string[]): string[] {
  readFields(reader, endOfMessage(reader), (reader, key) => {
    if (key !== FIELD_1) return false;
    values.push(reader.string());
    return true;
  });
  return values;
}

function readPayload(reader: BinaryReader): WirePayload {
  const payload: WirePayload = { data: NOTHING, seq: 0 };
  readFields(reader, endOfMessage(reader), (reader, key) => {
    if (key === FIELD_1) payload.data = reader.bytes();
    else if (key === NUMBER_2) payload.seq = Number(reader.uint64());
    else return false;
    return true;
  });
  return payload;
}
