/**
 * `chorus inspect DIR`: what a stopped peer's directory holds, read without changing a byte of it.
 *
 * The report is plain data; inspect-text.ts prints it. Keys and values are latin1 strings, one character a byte.
 */
import { usageFailure } from "./failure.ts";

export interface InspectReport {
  readonly format: 1;
  readonly directory: string;
  readonly peer: {
    readonly name: string;
    readonly cluster: string;
    /** Of its last run. */
    readonly incarnation: string;
  };
  readonly gated: boolean;
  readonly versionVector: Readonly<Record<string, number>>;
  readonly checkpoint: { readonly lsn: number; readonly cells: number; readonly bytes: number };
  readonly log: {
    readonly firstLsn: number;
    readonly nextLsn: number;
    readonly bytes: number;
    readonly segments: readonly {
      readonly file: string;
      readonly firstLsn: number;
      readonly records: number;
      readonly bytes: number;
    }[];
    /** What recovery would cut or refuse; empty when all records are whole. */
    readonly damage: readonly string[];
  };
  readonly keys: { readonly live: number; readonly tombstones: number; readonly expired: number };
  readonly conflicts: number;
  /** Cells in byte order of their keys, as many as were asked for. */
  readonly cells: readonly InspectCell[];
  /** There are more cells than these. */
  readonly truncated: boolean;
}

export interface InspectCell {
  readonly key: string;
  readonly state: "live" | "deleted" | "expired";
  /** undefined: deleted. */
  readonly value: string | undefined;
  readonly dot: string;
  /** Unix ms of the write's stamp. */
  readonly stampMs: number;
  /** Unix ms; 0 for none. */
  readonly expiresAtMs: number;
}

export interface InspectQuery {
  /** Only keys that start with this; empty for all. */
  readonly prefix: string;
  readonly cellsMax: number;
}

/** Rejects with a CommandFailure: no such directory, in use by a running peer, damaged. */
export const loadInspectReport = (directory: string, _query: InspectQuery): Promise<InspectReport> =>
  Promise.reject(usageFailure(`${directory}: reading data directories is not in this build`));
