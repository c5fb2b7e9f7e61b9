/**
 * What one link knows of the time between its two ends: round trip, the other's clock, and for how long it was silent.
 * No sockets and no clock in here; the link says what time it is.
 *
 * Bytes of the two control messages (all first bytes from 0xF0 are the links' own; smaller ones are the replica's):
 *
 *     F0 | sequence u32 | wall ms f64     ping: the sender's clock
 *     F1 | sequence u32 | wall ms f64     pong: the sequence of the ping it answers, the answerer's clock
 *
 * Integers and doubles are little-endian, as everywhere in Chorus. Wall ms are unix milliseconds.
 */

/** First byte of a message: from here on it is for the links, below for the replica. */
export const controlByteMin = 0xf0;
const pingByte = 0xf0;
const pongByte = 0xf1;
const controlBytes = 13;

export type ControlMessage = { readonly type: "ping" | "pong"; readonly sequence: number; readonly wallMs: number };

export const encodeControl = (message: ControlMessage): Buffer => {
  const bytes = Buffer.alloc(controlBytes);
  bytes[0] = message.type === "ping" ? pingByte : pongByte;
  bytes.writeUInt32LE(message.sequence, 1);
  bytes.writeDoubleLE(message.wallMs, 5);
  return bytes;
};

/** Undefined for anything but a well-formed ping or pong. */
export const decodeControl = (bytes: Uint8Array): ControlMessage | undefined => {
  if (bytes.length !== controlBytes || (bytes[0] !== pingByte && bytes[0] !== pongByte)) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const wallMs = view.getFloat64(5, true);
  if (!Number.isFinite(wallMs)) return undefined;
  return { type: bytes[0] === pingByte ? "ping" : "pong", sequence: view.getUint32(1, true), wallMs };
};

interface Sample {
  readonly rttMs: number;
  readonly offsetMs: number;
}

/** Samples of the clock that are kept; the one with the shortest round trip speaks. */
const samplesMax = 8;
/** Wall clocks are read in whole milliseconds, at both ends. */
const clockGrainMs = 2;
/** Pings of which the answer is still awaited. Beyond: the oldest is forgotten and a late answer ignored. */
const pendingMax = 64;

export interface HeartbeatOptions {
  readonly intervalMs: number;
  /** Silent for so long: dead. */
  readonly deadAfterMs: number;
}

export class Heartbeat {
  readonly #options: HeartbeatOptions;
  readonly #sentAtMs = new Map<number, number>();
  #samples: Sample[] = [];
  #sequence = 0;
  #rttMs: number | undefined;
  #bytesHeard = 0;
  #silentMs = 0;
  #tickedAtMs: number;

  constructor(options: HeartbeatOptions, monotonicMs: number) {
    this.#options = options;
    this.#tickedAtMs = monotonicMs;
  }

  /** Smoothed as TCP does it (RFC 6298). */
  get rttMs(): number | undefined {
    return this.#rttMs;
  }

  /** Their clock minus ours. The sample of the shortest round trip errs least: by at most half of it. */
  get clockOffsetMs(): number | undefined {
    let best: Sample | undefined;
    for (const sample of this.#samples) if (best === undefined || sample.rttMs <= best.rttMs) best = sample;
    return best?.offsetMs;
  }

  get silentMs(): number {
    return this.#silentMs;
  }

  ping(now: { readonly monotonicMs: number; readonly wallMs: number }): ControlMessage {
    this.#sequence = (this.#sequence + 1) >>> 0;
    this.#sentAtMs.set(this.#sequence, now.monotonicMs);
    for (const sequence of this.#sentAtMs.keys()) {
      if (this.#sentAtMs.size <= pendingMax) break;
      this.#sentAtMs.delete(sequence);
    }
    return { type: "ping", sequence: this.#sequence, wallMs: now.wallMs };
  }

  /** An answer to no ping of ours, or a second one, changes nothing. */
  onPong(pong: ControlMessage, now: { readonly monotonicMs: number; readonly wallMs: number }): void {
    const sentAtMs = this.#sentAtMs.get(pong.sequence);
    if (sentAtMs === undefined) return;
    this.#sentAtMs.delete(pong.sequence);
    const rttMs = Math.max(0, now.monotonicMs - sentAtMs);
    this.#rttMs = this.#rttMs === undefined ? rttMs : this.#rttMs + (rttMs - this.#rttMs) / 8;
    const sample = { rttMs, offsetMs: pong.wallMs - (now.wallMs - rttMs / 2) };
    // Two samples that cannot both be right mean that a clock was set: what was measured before is of no use.
    const known = this.clockOffsetMs;
    const contradicts = this.#samples.some(
      (s) => Math.abs(s.offsetMs - sample.offsetMs) > (s.rttMs + rttMs) / 2 + clockGrainMs,
    );
    if (known !== undefined && contradicts) this.#samples = [];
    this.#samples.push(sample);
    if (this.#samples.length > samplesMax) this.#samples.shift();
  }

  /**
   * Called every interval with the count of bytes heard so far. True: the link is dead.
   *
   * Any byte counts as life, since a pong may stand behind megabytes of frames. A tick that comes late (this process
   * was stopped, or busy) counts as two intervals at most: while we did not listen, nobody was silent.
   */
  tick(monotonicMs: number, bytesHeard: number): boolean {
    const elapsedMs = Math.min(monotonicMs - this.#tickedAtMs, 2 * this.#options.intervalMs);
    this.#tickedAtMs = monotonicMs;
    this.#silentMs = bytesHeard === this.#bytesHeard ? this.#silentMs + elapsedMs : 0;
    this.#bytesHeard = bytesHeard;
    return this.#silentMs >= this.#options.deadAfterMs;
  }
}
