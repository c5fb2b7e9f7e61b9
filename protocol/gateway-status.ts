/**
 * What `GET /status` of a gateway answers: itself, and of each peer the last report it got. The status page (`/`) shows
 * it, as it shows the report of one peer; it tells them apart by `gateway`.
 */
import type { StatusReport } from "./status.ts";

export const gatewayStatusFormat = 1;

export interface GatewayStatus {
  readonly format: typeof gatewayStatusFormat;
  readonly gateway: {
    readonly version: string;
    readonly pid: number;
    readonly uptimeSeconds: number;
    readonly httpPort: number;
    /** 0: it balances no TCP. */
    readonly tcpPort: number;
    readonly requestsPerSecond: number;
    /** TCP connections carried now. */
    readonly tcpConnections: number;
    /** The peer that writes go to now; null: spread, or none is there. */
    readonly writesTo: string | null;
    /** null: there is no cache. */
    readonly cache: {
      readonly entries: number;
      readonly bytes: number;
      readonly bytesMax: number;
      readonly hits: number;
      readonly misses: number;
      readonly bypasses: number;
      /** The feed that keeps it coherent is up; else it is bypassed. */
      readonly trusted: boolean;
    } | null;
  };
  /** Takes reads and writes. */
  readonly ready: boolean;
  /** Why it is not, each a phrase for a person. */
  readonly reasons: readonly string[];
  readonly peers: readonly {
    readonly name: string;
    /** `host:port` of its HTTP port. */
    readonly address: string;
    /** `up` takes requests; else one word such as `down`, `behind`, `slow-start`, `open` (its circuit breaker). */
    readonly state: string;
    /** Why it is not up; empty when it is. */
    readonly why: string;
    /** As it said last; null when it never did, or is down. */
    readonly status: StatusReport | null;
  }[];
}
