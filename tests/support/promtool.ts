/** promtool, of Prometheus (Debian: `prometheus`): judges what we show, as those who read it will. */
import { spawnSync } from "node:child_process";
import { missingProgram } from "./redis-process.ts";

/** For `{ skip }`: false, or why. */
export const skipWithoutPromtool = missingProgram("promtool") ?? false;

export const promtool = (
  given: readonly string[],
  options: { readonly input?: string; readonly cwd?: string } = {},
): { readonly code: number | null; readonly text: string } => {
  const { status, stdout, stderr, error } = spawnSync("promtool", given, {
    ...(options.input === undefined ? {} : { input: options.input }),
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    encoding: "utf8",
    timeout: 30_000,
  });
  if (error !== undefined) throw error;
  return { code: status, text: `${stdout}${stderr}` };
};
