/** The version a bundle was built as, its writer's file; the Dapr release whose behaviour it has. */

declare const SKERRY_VERSION: string | undefined;
declare const SKERRY_WRITER: string | undefined;

export const skerryVersion: string = typeof SKERRY_VERSION === 'undefined' ? '0.1.0-dev' : SKERRY_VERSION;

/** The database writer's entry, beside the program's. */
export const writerFile: string = typeof SKERRY_WRITER === 'undefined' ? './writer.ts' : SKERRY_WRITER;

/** What `daprd --version` and the metadata API show: tools compare it with Dapr releases. */
export const daprVersion = '1.18.3';
