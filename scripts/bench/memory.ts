/**
 * Bytes of resident memory per key: one peer alone beside one redis-server alone, each fresh, each loaded by the same
 * client in the same way. What is counted is the growth from empty to loaded, once it has stopped moving and, for Chorus,
 * after the first checkpoint of all keys: an operator sees that memory too.
 */
import { type BenchRun, finallyStop, type Runner, Samples, startBoth } from "./bench-run.ts";
import { writeKeys } from "./dataset.ts";
import { residentBytes, type System, serverAt, settled, settledResidentBytes } from "./servers.ts";
import { say } from "./wait.ts";

/** A checkpoint begins at the latest a minute after the one before. */
export const checkpointMsMax = 150_000;

export const measureMemory: Runner = async (run) => {
  const { options } = run;
  const samples = new Samples();
  const notes: string[] = [];
  for (let round = 1; round <= options.heavyRounds; round++) {
    const { systems } = await startBoth(run, 1);
    const words: string[] = [];
    await finallyStop(systems, async () => {
      for (const system of systems) {
        const { bytesPerKey, emptyBytes, loadedBytes } = await memoryOf(run, system);
        samples.add(system, bytesPerKey);
        words.push(`${system.name} ${bytesPerKey.toFixed(1)} B/key`);
        notes.push(`${system.name}, round ${round}: ${mebibytes(emptyBytes)} empty, ${mebibytes(loadedBytes)} loaded`);
      }
    });
    say(`memory ${round}/${options.heavyRounds}: ${words.join("  ")}`);
  }
  notes.unshift(
    `${options.keys.toLocaleString("en")} keys of 16 bytes, values of 64 bytes, resident memory of one process`,
  );
  if (options.quick) notes.push("--quick: no checkpoint was waited for");
  return [{ name: "memory", ...samples, notes }];
};

const memoryOf = async (
  { options }: BenchRun,
  system: System,
): Promise<{ readonly bytesPerKey: number; readonly emptyBytes: number; readonly loadedBytes: number }> => {
  const server = serverAt(system, 0);
  await settled(system);
  const emptyBytes = await settledResidentBytes(server);
  await writeKeys(server.tcpPort, { count: options.keys, generation: 0, what: system.name });
  const afterLoadBytes = residentBytes(server);
  if (!options.quick) await system.checkpointed(checkpointMsMax);
  await settled(system);
  const loadedBytes = await settledResidentBytes(server);
  say(
    `  ${system.name}: ${mebibytes(emptyBytes)} empty, ${mebibytes(afterLoadBytes)} right after the load, ${mebibytes(loadedBytes)} settled`,
  );
  return { bytesPerKey: (loadedBytes - emptyBytes) / options.keys, emptyBytes, loadedBytes };
};

const mebibytes = (bytes: number): string => `${(bytes / 1024 ** 2).toFixed(0)} MiB`;
