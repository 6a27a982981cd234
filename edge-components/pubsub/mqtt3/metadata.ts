/** Metadata items of `pubsub.mqtt3` (components reference, 2.1). */

import { z } from 'zod';
import { flag, integer, metadataSchema, text } from '../../../runtime/contracts/metadata.ts';

export const metadata = metadataSchema({
  url: z.string({ error: 'missing url' }).min(1, 'missing url'),
  /** MQTT client id; empty means the app id. */
  consumerID: text(''),
  qos: integer(1, 0, 2),
  retain: flag(false),
  cleanSession: flag(false),
  caCert: text(''),
  clientCert: text(''),
  clientKey: text(''),
});

export type Mqtt3PubSubMetadata = z.output<typeof metadata.schema>;
