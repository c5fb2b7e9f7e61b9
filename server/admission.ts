/**
 * What this peer refuses now, and why: told to clients as the error line of a command, to load balancers as a failed check,
 * to people as an alarm.
 *
 * The facts (clock, disk, links, memory, the phase of life) are looked at by `judge`, often; a command only looks at the
 * field that came out. What follows from the facts is in pure functions below.
 */
import { diskFreeBytesLow } from "../protocol/limits.ts";
import type { PeerConfig } from "./config.ts";
import type { HealthCheck } from "./http.ts";
import { linkFaultOf } from "./link-faults.ts";
import type { LinkFaults, PeerLinks } from "./links/index.ts";
import type { Logger } from "./logger.ts";
import { judgeClock, type Replica, stampToMs } from "./replica/index.ts";
import type { StrongKeys } from "./strong/strong-keys.ts";
import { strongAlarms } from "./strong/strong-reports.ts";

type ClockVerdict = ReturnType<typeof judgeClock>;

/** Error lines; undefined where nothing is refused. */
export interface Refusals {
  readonly reads: string | undefined;
  readonly writes: string | undefined;
  /** Writes of strong keys: instead of `writes`. */
  readonly strongWrites: string | undefined;
  /** Beside these, for those that make the map larger. */
  readonly growth: string | undefined;
}

export interface AdmissionParts {
  readonly config: PeerConfig;
  readonly replica: Replica;
  readonly strong: Pick<StrongKeys, "bytes" | "standing" | "quorum" | "answering">;
  readonly faults: LinkFaults;
  readonly logger: Logger;
  readonly wallMs: () => number;
  /** Undefined while there are none: the peer is starting, or takes another incarnation. */
  readonly links: () => PeerLinks | undefined;
}

export class Admission {
  readonly #parts: AdmissionParts;
  #isLoaded = false;
  #isDraining = false;
  #isDiskLow = false;
  #clock: ClockVerdict = { state: "ok" };
  refusals: Refusals = {
    reads: undefined,
    writes: undefined,
    strongWrites: undefined,
    growth: undefined,
  };

  constructor(parts: AdmissionParts) {
    this.#parts = parts;
  }

  /** The data is read and the ports are open. */
  get isLoaded(): boolean {
    return this.#isLoaded;
  }

  get clockState(): ClockVerdict["state"] {
    return this.#clock.state;
  }

  onLoaded(): void {
    this.#isLoaded = true;
    this.judge();
  }

  onDraining(): void {
    this.#isDraining = true;
    if (this.#isLoaded) this.judge();
  }

  onDiskFree(freeBytes: number): void {
    const isLow = freeBytes < diskFreeBytesLow;
    if (isLow === this.#isDiskLow) return;
    this.#isDiskLow = isLow;
    const { logger } = this.#parts;
    if (isLow) logger.error("the disk is nearly full: writes are refused until there is room again");
    else logger.info("the disk has room again: writes are taken");
    this.judge();
  }

  judge(): void {
    const { config, replica, strong } = this.#parts;
    this.#judgeClock();
    const { state } = replica;
    this.refusals = refusalsOf({
      isGated: state.gated,
      isDraining: this.#isDraining,
      clock: this.#clock,
      isDiskLow: this.#isDiskLow,
      hasAckers: linksUp(replica) >= config.acks,
      isMemoryFull: config.memoryBytesMax > 0 && state.map.bytes + strong.bytes > config.memoryBytesMax,
    });
  }

  #judgeClock(): void {
    const { config, replica, links, logger, wallMs } = this.#parts;
    const before = this.#clock.state;
    this.#clock = judgeClock({
      offsetsMs: (links()?.status() ?? []).flatMap(({ peer, clockOffsetMs, state }) =>
        state === "up" && clockOffsetMs !== undefined ? [{ peer, offsetMs: clockOffsetMs }] : [],
      ),
      peersCount: config.peers.length,
      aheadMs: stampToMs(replica.state.clock.last) - wallMs(),
      skewMaxMs: config.clockSkewMsMax,
    });
    if (this.#clock.state === before) return;
    if (this.#clock.state === "ok") logger.info("clocks agree again");
    else if (this.#clock.state === "refusing") logger.error(`writes are refused: ${this.#clock.why}`);
    else logger.warn(this.#clock.why);
  }

  /** All must be ok for this peer to be sent clients. */
  checks(): readonly HealthCheck[] {
    const { gated } = this.#parts.replica.state;
    const clock = this.#clock;
    return [
      { name: "loading", ok: this.#isLoaded, detail: "reading its data" },
      { name: "gate", ok: !gated, detail: "its disk was empty or rolled back: catching up with another peer" },
      { name: "draining", ok: !this.#isDraining, detail: "stopping" },
      { name: "clock", ok: clock.state !== "refusing", detail: clock.state === "ok" ? "" : clock.why },
      { name: "disk", ok: !this.#isDiskLow, detail: "nearly full" },
    ];
  }

  alarms(): readonly string[] {
    const { config, replica, strong, faults } = this.#parts;
    const alarms: string[] = [];
    if (this.#clock.state !== "ok") alarms.push(this.#clock.why);
    if (this.#isDiskLow) alarms.push("the disk is nearly full");
    for (const [origin, aheadMs] of replica.pausedOrigins()) {
      alarms.push(`writes of ${replica.state.origins.id(origin)} wait: stamped ${Math.round(aheadMs)} ms ahead`);
    }
    for (const { name } of config.peers) {
      const cut = faults.cutOf(name);
      if (cut !== undefined) alarms.push(`the link to ${name} is cut by FAULT LINK (${linkFaultOf(cut)})`);
    }
    for (const link of replica.links()) {
      if (link.digestMismatches > 1) alarms.push(`digest differs from ${link.peer}'s at equal version vectors`);
    }
    if (this.#isLoaded) alarms.push(...strongAlarms(strong, config.peers.length));
    return alarms;
  }
}

/** Links over which both sides know where the other stands. */
export const linksUp = (replica: Replica): number => {
  let up = 0;
  for (const link of replica.links()) if (link.ready) up++;
  return up;
};

interface Facts {
  readonly isGated: boolean;
  readonly isDraining: boolean;
  readonly clock: ClockVerdict;
  readonly isDiskLow: boolean;
  /** As many peers as `--acks` asks for could hold a write. */
  readonly hasAckers: boolean;
  readonly isMemoryFull: boolean;
}

const refusalsOf = (facts: Facts): Refusals => ({
  reads: facts.isGated
    ? "LOADING this peer's disk was empty or rolled back; it answers once it has caught up with another peer"
    : undefined,
  writes: writesRefusal(facts),
  strongWrites: facts.isDraining ? stopping : facts.isDiskLow ? diskFull : undefined,
  growth: facts.isMemoryFull ? "OOM command not allowed when used memory > 'maxmemory'." : undefined,
});

const stopping = "LOADING this peer is stopping";
const diskFull = "MISCONF the disk of this peer is nearly full; it takes no writes until there is room";

/** The first reason that holds: what lasts longest comes first. */
const writesRefusal = ({ isDraining, clock, isDiskLow, hasAckers }: Facts): string | undefined => {
  if (isDraining) return stopping;
  if (clock.state === "refusing") return `CLOCKSKEW ${clock.why}`;
  if (isDiskLow) return diskFull;
  if (!hasAckers) return "NOREPLICAS Not enough good replicas to write.";
  return undefined;
};
