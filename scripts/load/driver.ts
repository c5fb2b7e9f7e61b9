/**
 * How one client of the load talks to the store: a connection (or a few), in one of three protocols.
 *
 * It goes on at another target as the users of that protocol would, and sends nothing twice that they would not. It never
 * throws and makes no promise per op: ends are events.
 */
import type { Op, OpEnd } from "./operation.ts";
import type { Targets } from "./targets.ts";

export interface DriverEvents {
  readonly onEnd: (op: Op, end: OpEnd) => void;
  /** It takes more now. */
  readonly onRoom: () => void;
  /** It goes on at another target, or has got a connection back: `host:port`. */
  readonly onConnected?: (address: string) => void;
  /** HTTP: what a cache on the way said. */
  readonly onCache?: (words: string) => void;
}

export interface Driver {
  /** Ops it takes now; 0 while it is not connected. */
  readonly room: number;
  /** Handed over and not ended. */
  readonly outstanding: number;
  /** Why it is not connected; undefined while it is. */
  readonly trouble: string | undefined;
  send(op: Op): void;
  /** Nothing need have left before this. */
  flush(): void;
  /** Gives up what takes too long. About ten times a second. */
  tick(nowMs: number): void;
  /** What is outstanding ends as unknown. */
  close(): void;
}

export interface DriverOptions {
  readonly targets: Targets;
  /** Which target is the first. */
  readonly startAt: number;
  /** Ops outstanding at a time. */
  readonly pipeline: number;
  /** Of an op, from when it was sent. */
  readonly timeoutMs: number;
  /** HTTP: sends back the session token it was given, so that it reads its own writes. */
  readonly session: boolean;
  /** Chance, for pauses. */
  readonly random: () => number;
}

/** Refusals of a peer that another may not share: whoever hears one goes elsewhere. */
export const elsewhereCodes: ReadonlySet<string> = new Set(["LOADING", "CLOCKSKEW", "MISCONF", "NOREPLICAS"]);

/** Between two rounds over all targets none of which took a connection. */
const pauseMsMin = 20;
const pauseMsMax = 500;

/** The pause before the `failures`-th try in a row; none while there is a target not yet tried. */
export const reconnectPauseMs = (failures: number, targetsCount: number, random: () => number): number => {
  if (failures === 0) return 0;
  const rounds = Math.floor(failures / targetsCount);
  if (rounds === 0) return 0;
  return Math.min(pauseMsMax, pauseMsMin * 2 ** Math.min(10, rounds - 1)) * (0.5 + random() / 2);
};
