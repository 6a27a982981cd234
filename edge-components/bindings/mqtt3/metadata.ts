/** Metadata items of `bindings.mqtt3` (components reference, 3.1). */

import { z } from 'zod';
import { flag, integer, metadataSchema, text } from '../../../runtime/contracts/metadata.ts';

const required = (name: string): z.ZodType<string> =>
  z.string({ error: `missing ${name}` }).min(1, `missing ${name}`);

export const metadata = metadataSchema({
  url: required('url'),
  topic: required('topic'),
  /** MQTT client ids are `<consumerID>-producer` and `<consumerID>-consumer`. */
  consumerID: required('consumerID'),
  retain: flag(false),
  cleanSession: flag(false),
  /** Repetitions 5 s apart after a failed event; -1 without end. Later ones come every 30 s. */
  backOffMaxRetries: integer(0, -1),
  /** Accepted for old files and without effect: bindings use QoS 1. */
  qos: text(''),
  caCert: text(''),
  clientCert: text(''),
  clientKey: text(''),
});

export type Mqtt3BindingMetadata = z.output<typeof metadata.schema>;
