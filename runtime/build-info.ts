/** The version a bundle was built as; the Dapr release whose behaviour it has. */

declare const SKERRY_VERSION: string | undefined;

export const skerryVersion: string = typeof SKERRY_VERSION === 'undefined' ? '0.1.0-dev' : SKERRY_VERSION;

/** What `daprd --version` and the metadata API show: tools compare it with Dapr releases. */
export const daprVersion = '1.18.3';
