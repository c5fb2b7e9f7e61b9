/**
 * Mutants: the sources with one rule got wrong, in a directory of their own, simulated until a seed notices. dist/ must be
 * up to date.
 *
 * A simulation that cannot tell a broken core from a whole one is worth nothing, so every mutant must be killed.
 */
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Mutant } from "./mutants.ts";
import { runWorker } from "./spawn.ts";
import type { Failure } from "./worker.ts";

/** What the simulation is made of; of the tests, what scripts/sim needs of them. */
const compiledPaths = [
  ...["protocol", "server/replica", "server/registers", "server/storage", "scripts/lincheck", "scripts/sim"],
  ...["tests/support/script-runner.js", "tests/support/script-world.js"],
];
const scriptMsMax = 60_000;
/** Run within a core's share of 20 minutes for all of them; most die in their first second. */
export const mutantRunsMax = 20_000;

interface Script {
  readonly script: string;
  readonly what: string;
}

export type Verdict =
  | { readonly killed: true; readonly by: Failure | Script; readonly runs: number; readonly seconds: number }
  | { readonly killed: false; readonly why: string; readonly runs: number; readonly seconds: number };

/** The directory that holds package.json, whether this runs compiled or not. */
const findRoot = (): string => {
  for (let at = dirname(fileURLToPath(import.meta.url)); ; at = dirname(at)) {
    if (readdirSync(at).includes("package.json") && readdirSync(at).includes("node_modules")) return at;
    if (dirname(at) === at) throw new Error("no package.json above this file");
  }
};

/** The changed files of a mutant. Throws when it no longer fits the sources. */
export const patch = ({ name, edits }: Mutant, root = findRoot()): Map<string, string> => {
  const changed = new Map<string, string>();
  for (const { file, find, replace } of edits) {
    const parts = (changed.get(file) ?? readFileSync(join(root, file), "utf8")).split(find);
    if (parts.length !== 2) {
      throw new Error(`mutant ${name} is stale: ${parts.length - 1} places in ${file} read\n${find}`);
    }
    changed.set(file, parts.join(replace));
  }
  return changed;
};

type Transpile = (source: string) => string;

/** typescript is a development dependency: it is loaded only for mutants. */
const loadTranspiler = async (): Promise<Transpile> => {
  const { default: ts } = await import("typescript");
  const compilerOptions = {
    target: ts.ScriptTarget.ES2023,
    module: ts.ModuleKind.ESNext,
    verbatimModuleSyntax: true,
    rewriteRelativeImportExtensions: true,
  };
  return (source) => ts.transpileModule(source, { compilerOptions }).outputText;
};

export class MutantLab {
  readonly #root: string;
  readonly #transpile: Transpile;
  readonly #directory: string;

  private constructor(root: string, transpile: Transpile, directory: string) {
    this.#root = root;
    this.#transpile = transpile;
    this.#directory = directory;
  }

  /** dist/ is the sources as they are: only what a mutant changes is compiled here. */
  static async open(): Promise<MutantLab> {
    const lab = new MutantLab(findRoot(), await loadTranspiler(), mkdtempSync(join(tmpdir(), "chorus-mutants-")));
    const whole = join(lab.#directory, "whole");
    for (const path of compiledPaths) {
      cpSync(join(lab.#root, "dist", path), join(whole, path), {
        recursive: true,
        filter: (from) => !/\.(d\.ts|map)$/.test(from),
      });
    }
    writeFileSync(join(whole, "package.json"), '{ "type": "module" }\n');
    symlinkSync(join(lab.#root, "node_modules"), join(lab.#directory, "node_modules"));
    return lab;
  }

  close(): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }

  make(mutant: Mutant): string {
    const to = join(this.#directory, mutant.name);
    cpSync(join(this.#directory, "whole"), to, { recursive: true });
    for (const [file, source] of patch(mutant, this.#root)) {
      writeFileSync(join(to, file.replace(/\.ts$/, ".js")), this.#transpile(source));
    }
    return to;
  }

  async test(mutant: Mutant, limits: { readonly runsMax: number; readonly secondsMax: number }): Promise<Verdict> {
    const directory = this.make(mutant);
    const startedMs = performance.now();
    if (mutant.script !== undefined) {
      const verdict = this.#runScript(directory, mutant.script);
      rmSync(directory, { recursive: true, force: true });
      return { ...verdict, seconds: (performance.now() - startedMs) / 1000 };
    }
    let runs = 0;
    let by: Failure | undefined;
    const { finished, hung, stderr } = await runWorker({
      command: [join(directory, "scripts/sim/worker.js")],
      first: mutant.seed ?? 1,
      count: limits.runsMax,
      peers: mutant.peers ?? 0,
      failuresMax: 1,
      secondsMax: limits.secondsMax,
      registers: mutant.registers === true,
      onReport: (report) => {
        runs += report.done;
        by ??= report.failures[0];
      },
    });
    rmSync(directory, { recursive: true, force: true });
    const seconds = (performance.now() - startedMs) / 1000;
    if (by !== undefined) return { killed: true, by, runs, seconds };
    if (hung)
      return { killed: true, by: { seed: (mutant.seed ?? 1) + runs, what: "the run never ends" }, runs, seconds };
    if (!finished) throw new Error(`mutant ${mutant.name} does not run: ${stderr}`);
    return { killed: false, why: `${runs} runs saw nothing`, runs, seconds };
  }

  #runScript(directory: string, script: string): Verdict {
    const path = join(this.#root, "tests/scripts", script);
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [join(directory, "scripts/sim/script-worker.js"), path],
      { encoding: "utf8", timeout: scriptMsMax },
    );
    if (status === 0) return { killed: false, why: `${script} saw nothing`, runs: 1, seconds: 0 };
    if (stdout === "") throw new Error(`the script ${script} does not run: ${stderr}`);
    return { killed: true, by: { script, what: stdout.split("\n", 1)[0] ?? "" }, runs: 1, seconds: 0 };
  }
}
