/**
 * How soon a server is back: after kill -9, after a clean stop, and after it missed a write of every key.
 *
 * Clocks run from the spawn of the process, so node's own start is in them. "Back" is a GET of a loaded key answered
 * with its value; for a peer that missed writes, the first moment at which all peers report equal digests at equal
 * version vectors (Redis, which has no digests: equal replication offsets).
 */
import { type BenchRun, finallyStop, type Runner, Samples, seconds, startBoth } from "./bench-run.ts";
import { ChorusServer } from "./chorus-system.ts";
import { keyFor, writeKeys } from "./dataset.ts";
import type { FigureName, Measurement } from "./figures.ts";
import { checkpointMsMax } from "./memory.ts";
import { checkServers, type System, serverAt, settled, untilReads } from "./servers.ts";
import { say, until } from "./wait.ts";

const backMsMax = 180_000;

const load = async ({ options }: BenchRun, systems: readonly System[], generation: number): Promise<void> => {
  for (const system of systems) {
    const { tcpPort } = serverAt(system, 0);
    await writeKeys(tcpPort, { count: options.keys, generation, what: system.name });
    await settled(system);
  }
};

export const measureRestart: Runner = async (run) => {
  const { options, wanted } = run;
  const { systems } = await startBoth(run, 3);
  return finallyStop(systems, async () => {
    await load(run, systems, 0);
    if (!options.quick) for (const system of systems) await system.checkpointed(checkpointMsMax);
    const measurements: Measurement[] = [];
    const kinds = [
      ["restart-crash", "SIGKILL"],
      ["restart-clean", "SIGTERM"],
    ] as const satisfies readonly (readonly [FigureName, NodeJS.Signals])[];
    for (const [name, signal] of kinds) {
      if (!wanted.has(name)) continue;
      const samples = new Samples();
      const readySeconds: number[] = [];
      for (let round = 1; round <= options.heavyRounds; round++) {
        const words: string[] = [];
        for (const system of systems) {
          for (const other of systems) await settled(other);
          const { readsSeconds, readyzSeconds } = await restart(system, signal);
          samples.add(system, readsSeconds);
          if (readyzSeconds !== undefined) readySeconds.push(readyzSeconds);
          words.push(`${system.name} ${readsSeconds.toFixed(2)} s`);
        }
        say(`${name} ${round}/${options.heavyRounds}: ${words.join("  ")}`);
      }
      const notes = [
        `${options.keys.toLocaleString("en")} keys; /readyz of Chorus after ${readySeconds.map((s) => s.toFixed(2)).join(", ")} s`,
      ];
      if (options.quick) notes.push("--quick: no checkpoint was waited for, so the log is replayed");
      measurements.push({ name, ...samples, notes });
    }
    return measurements;
  });
};

const restart = async (
  system: System,
  signal: "SIGKILL" | "SIGTERM",
): Promise<{ readonly readsSeconds: number; readonly readyzSeconds: number | undefined }> => {
  const server = serverAt(system, 0);
  await server.end(signal);
  const spawnedMs = performance.now();
  server.spawn();
  const readyz = async (): Promise<number | undefined> => {
    if (!(server instanceof ChorusServer)) return undefined;
    const patience = { timeoutMs: backMsMax, intervalMs: 20, check: () => checkServers(system) };
    await until(`peer ${server.name} ready`, () => server.isReady(), patience);
    return seconds(spawnedMs);
  };
  const reads = async (): Promise<number> => {
    await untilReads(system, server, keyFor(0), backMsMax);
    return seconds(spawnedMs);
  };
  const [readyzSeconds, readsSeconds] = await Promise.all([readyz(), reads()]);
  return { readsSeconds, readyzSeconds };
};

export const measureReturn: Runner = async (run) => {
  const { options } = run;
  const { systems } = await startBoth(run, 3);
  return finallyStop(systems, async () => {
    await load(run, systems, 0);
    const samples = new Samples();
    for (let round = 1; round <= options.heavyRounds; round++) {
      const words: string[] = [];
      for (const system of systems) {
        for (const other of systems) await settled(other);
        const server = serverAt(system, 2);
        await server.end("SIGKILL");
        const { tcpPort } = serverAt(system, 0);
        await writeKeys(tcpPort, { count: options.keys, generation: round, what: system.name });
        const spawnedMs = performance.now();
        server.spawn();
        await until(`${system.name} identical again`, () => system.isIdentical(), {
          timeoutMs: backMsMax,
          intervalMs: 50,
          check: () => checkServers(system),
        });
        const took = seconds(spawnedMs);
        samples.add(system, took);
        words.push(`${system.name} ${took.toFixed(2)} s`);
      }
      say(`return ${round}/${options.heavyRounds}: ${words.join("  ")}`);
    }
    return [
      {
        name: "return",
        ...samples,
        notes: [
          `${options.keys.toLocaleString("en")} writes missed, one of each key; Redis's replica then usually needs a full resynchronisation`,
        ],
      },
    ];
  });
};
