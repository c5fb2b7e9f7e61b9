/** What varies from history to history of strong keys: each seed draws its own rates, so that rare mixtures come up. */
import type { Random } from "../random.ts";

export interface RegisterParams {
  readonly peers: number;
  readonly clients: number;
  readonly lockClients: number;
  readonly keys: readonly string[];
  /** Operations of all clients together. */
  readonly operations: number;
  readonly steps: number;
  /** Mean length of a step. */
  readonly stepMs: number;
  readonly loss: number;
  readonly duplicates: number;
  /** Messages that come long after. */
  readonly late: number;
  /** Messages arrive in any order, not only links late. */
  readonly reorders: boolean;
  /** Messages that a peer reads per step. */
  readonly deliveries: number;
  readonly syncRate: number;
  readonly crashRate: number;
  readonly restartRate: number;
  readonly pauseRate: number;
  readonly cutRate: number;
  readonly diskLossRate: number;
  readonly deadlineMs: number;
  /** After so long a client tries again elsewhere, if it may. */
  readonly patienceMs: number;
  readonly hasLeases: boolean;
  readonly ttlMs: number;
  readonly deletes: boolean;
  /** Deletes beside those that any mixture has. */
  readonly deleteShare: number;
  readonly deadKeptMs: number;
  readonly choresMs: number;
  readonly ceilingStep: number;
  readonly operationIds: number;
  /** A client stays with its peer. */
  readonly loyal: boolean;
}

export const drawRegisterParams = (seed: number, random: Random, peersGiven: number): RegisterParams => {
  const stepMs = random.pick([0.5, 2, 6]);
  const deadlineMs = Math.max(random.pick([60, 200, 600]), 30 * stepMs);
  const peers = peersGiven > 0 ? peersGiven : seed % 4 === 0 ? 5 : 3;
  const calm = random.chance(0.25);
  // Without operation ids a dead key may be purged at once: then purges race with all that is still under way.
  const purges = seed % 5 < 2;
  return {
    peers,
    clients: 2 + random.int(3),
    lockClients: seed % 3 === 0 ? 2 : 0,
    keys: random.pick([["k"], ["k"], ["k", "n"]]),
    operations: 10 + random.int(25),
    steps: 500 + random.int(700),
    stepMs,
    loss: calm ? 0 : random.pick([0, 0.02, 0.1]),
    duplicates: random.pick([0, 0.1, 0.3]),
    reorders: random.chance(0.6),
    deliveries: random.pick([1, 2, 6]),
    syncRate: random.pick([0.15, 0.5, 1]),
    crashRate: calm ? 0 : random.pick([0, 0.002, 0.008]),
    restartRate: random.pick([0.02, 0.2]),
    pauseRate: calm ? 0 : random.pick([0, 0.003]),
    cutRate: calm ? 0 : random.pick([0, 0.004, 0.01]),
    diskLossRate: seed % 2 === 0 ? random.pick([0, 0.004]) : 0,
    deadlineMs,
    patienceMs: random.pick([0.2, 0.5, 2]) * deadlineMs,
    hasLeases: random.chance(0.4),
    ttlMs: random.pick([60, 200, 500]),
    deletes: purges || random.chance(0.7),
    deleteShare: purges ? 0.25 : 0,
    late: random.pick([0, 0.01, 0.05]),
    deadKeptMs: purges ? random.pick([1, 20]) : random.pick([2, 4]) * deadlineMs,
    choresMs: random.pick([5, 40, 250]),
    ceilingStep: [2, 8, 60, 5000][(seed >> 2) % 4] ?? 2,
    operationIds: purges ? 0 : random.pick([0, 0.5, 1]),
    loyal: random.chance(0.3),
  };
};
