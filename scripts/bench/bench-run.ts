/** What every figure's runner is given. */
import { ChorusSystem } from "./chorus-system.ts";
import type { FigureName, Measurement } from "./figures.ts";
import type { Options } from "./options.ts";
import { RedisSystem } from "./redis-system.ts";
import type { System } from "./servers.ts";
import type { Stage } from "./stage.ts";
import { say } from "./wait.ts";

export interface BenchRun {
  readonly stage: Stage;
  readonly options: Options;
  readonly wanted: ReadonlySet<FigureName>;
  readonly hasRedis: boolean;
  readonly hasEtcd: boolean;
}

export type Runner = (run: BenchRun) => Promise<readonly Measurement[]>;

/** Both systems, Chorus first; they take turns in this order. */
export const startBoth = async (
  { stage, hasRedis }: BenchRun,
  count: number,
): Promise<{ readonly chorus: ChorusSystem; readonly systems: readonly System[] }> => {
  say(`starting ${count} ${count === 1 ? "peer" : "peers"}${hasRedis ? `, and ${count} of redis-server` : ""}`);
  const chorus = await ChorusSystem.start(stage, { count });
  return { chorus, systems: hasRedis ? [chorus, await RedisSystem.start(stage, { count })] : [chorus] };
};

/** Stops them whatever happened, so that the next figure has the machine for itself. */
export const finallyStop = async <Result>(systems: readonly System[], work: () => Promise<Result>): Promise<Result> => {
  try {
    return await work();
  } finally {
    for (const system of systems) await system.stop();
  }
};

/** Samples of Chorus and of the system beside it, round by round. */
export class Samples {
  readonly chorus: number[] = [];
  readonly beside: number[] = [];

  of(name: System["name"]): readonly number[] {
    return name === "chorus" ? this.chorus : this.beside;
  }

  add(system: System, sample: number): void {
    this[system.name === "chorus" ? "chorus" : "beside"].push(sample);
  }
}

export const seconds = (sinceMs: number): number => (performance.now() - sinceMs) / 1000;
