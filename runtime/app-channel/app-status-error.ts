/** The app answered a binding event with a failure; its status is what `matching` lists of a retry policy look at. */

import type { StatusCarrier } from '../contracts/resiliency.ts';

export class AppStatusError extends Error implements StatusCarrier {
  override readonly name = 'AppStatusError';
  readonly httpStatus?: number;
  readonly grpcCode?: number;
  constructor(message: string, status: StatusCarrier, options?: ErrorOptions) {
    super(message, options);
    if (status.httpStatus !== undefined) this.httpStatus = status.httpStatus;
    if (status.grpcCode !== undefined) this.grpcCode = status.grpcCode;
  }
}
