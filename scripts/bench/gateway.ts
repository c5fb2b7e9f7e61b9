/**
 * What a gateway costs: a cached GET over HTTP beside a bare node:http server that answers the same bytes (wrk), and Redis
 * clients carried by it beside the same clients at a peer (redis-benchmark). Both sides take turns in every round.
 */
import { spawn, spawnSync } from "node:child_process";
import { join } from "node:path";
import { finallyStop, type Runner } from "./bench-run.ts";
import { ChorusSystem, projectRoot } from "./chorus-system.ts";
import { keyFor, writeKeys } from "./dataset.ts";
import type { FigureName, Measurement } from "./figures.ts";
import { runLoad } from "./load.ts";
import { serverAt, settled } from "./servers.ts";
import type { Stage } from "./stage.ts";
import { say, until } from "./wait.ts";

export const gatewayNames: readonly FigureName[] = ["gateway-http", "gateway-tcp", "gateway-hit-p99"];

const connections = 50;
const warmUpSeconds = 1;
const gatewayMsMax = 20_000;

export const measureGateway: Runner = async ({ stage, options, wanted }) => {
  say("starting 3 peers and a gateway");
  const chorus = await ChorusSystem.start(stage, { count: 3, gateway: true });
  return finallyStop([chorus], async () => {
    const { gateway } = chorus;
    if (gateway === undefined) throw new Error("a gateway was asked for");
    const peer = serverAt(chorus, 0);
    await writeKeys(peer.tcpPort, { count: options.keyspace, generation: 0, what: "chorus" });
    await settled(chorus);
    const measurements: Measurement[] = [];
    if (wanted.has("gateway-http") || wanted.has("gateway-hit-p99")) {
      if (!hasWrk()) {
        for (const name of ["gateway-http", "gateway-hit-p99"] as const)
          if (wanted.has(name))
            measurements.push({ name, chorus: [], beside: [], notes: [], failure: "wrk is not installed" });
      } else measurements.push(...(await measureHttp(stage, chorus, options)));
    }
    if (wanted.has("gateway-tcp")) measurements.push(await measureTcp(stage, chorus, options));
    return measurements.filter(({ name }) => wanted.has(name));
  });
};

interface Length {
  readonly rounds: number;
  readonly seconds: number;
  readonly requests: number | undefined;
  readonly keyspace: number;
}

// ---- HTTP -----------------------------------------------------------------------------------------------------------------

const hasWrk = (): boolean => spawnSync("wrk", ["--version"], { encoding: "utf8" }).error === undefined;

const measureHttp = async (
  stage: Stage,
  { gateway, servers, host }: ChorusSystem,
  { rounds, seconds }: Length,
): Promise<readonly Measurement[]> => {
  const [peer] = servers;
  if (gateway === undefined || peer === undefined) throw new Error("a gateway and a peer were asked for");
  const path = `/kv/${keyFor(0)}`;
  const url = `http://${host}:${gateway.httpPort}${path}`;
  let answer = await fetch(url);
  // The cache shows the bytes of all that follow.
  await until(
    "a cached value",
    async () => {
      answer = await fetch(url);
      return answer.headers.get("x-cache") === "hit";
    },
    { timeoutMs: gatewayMsMax },
  );
  const body = Buffer.from(await answer.arrayBuffer()).toString("latin1");
  const own = new Set(["date", "connection", "keep-alive"]);
  const same = [...answer.headers].filter(([name]) => !own.has(name));
  const bare = await startBare(stage, [body, ...same.flat()]);
  try {
    const rates: { readonly gateway: number[]; readonly bare: number[] } = { gateway: [], bare: [] };
    const p99s: { readonly gateway: number[]; readonly peer: number[] } = { gateway: [], peer: [] };
    const run = (port: number, length = seconds) => runWrk(stage, `http://${host}:${port}${path}`, length);
    for (const port of [gateway.httpPort, bare.port, peer.httpPort]) await run(port, warmUpSeconds);
    for (let round = 1; round <= rounds; round++) {
      const [ofGateway, ofBare, ofPeer] = [await run(gateway.httpPort), await run(bare.port), await run(peer.httpPort)];
      rates.gateway.push(ofGateway.perSecond);
      rates.bare.push(ofBare.perSecond);
      p99s.gateway.push(ofGateway.p99Ms);
      p99s.peer.push(ofPeer.p99Ms);
      say(
        `gateway-http ${round}/${rounds}: gateway ${Math.round(ofGateway.perSecond)}/s, p99 ${ofGateway.p99Ms} ms; ` +
          `bare ${Math.round(ofBare.perSecond)}/s, p99 ${ofBare.p99Ms} ms; peer ${Math.round(ofPeer.perSecond)}/s, p99 ${ofPeer.p99Ms} ms`,
      );
    }
    const how = `wrk, one thread, ${connections} connections, ${seconds} s a run, a value of ${body.length} bytes`;
    return [
      {
        name: "gateway-http",
        chorus: rates.gateway,
        beside: rates.bare,
        notes: [`beside it: a bare node:http server that answers the same bytes; ${how}`],
      },
      {
        name: "gateway-hit-p99",
        chorus: p99s.gateway,
        beside: p99s.peer,
        notes: [`beside it: the same GETs at a peer's own HTTP port; ${how}`],
      },
    ];
  } finally {
    bare.stop();
  }
};

const startBare = async (
  stage: Stage,
  given: readonly string[],
): Promise<{ readonly port: number; readonly stop: () => void }> => {
  const child = spawn(process.execPath, [join(projectRoot, "dist/scripts/bench/bare-server.js"), ...given], {
    stdio: ["ignore", "pipe", "inherit"],
    detached: true,
  });
  const { pid } = child;
  if (pid !== undefined) stage.began(pid);
  const port = await new Promise<number>((resolve, reject) => {
    child.stdout.setEncoding("utf8").once("data", (text: string) => resolve(Number(text)));
    child.on("error", reject);
    child.on("exit", (code) => reject(new Error(`the bare server ended with ${code}`)));
  });
  return {
    port,
    stop: () => {
      child.kill("SIGKILL");
      if (pid !== undefined) stage.ended(pid);
    },
  };
};

interface WrkResult {
  readonly perSecond: number;
  readonly p99Ms: number;
}

const runWrk = (stage: Stage, url: string, seconds: number): Promise<WrkResult> =>
  new Promise((resolve, reject) => {
    const child = spawn("wrk", ["-t1", `-c${connections}`, `-d${seconds}s`, "--latency", url], {
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    const { pid } = child;
    if (pid !== undefined) stage.began(pid);
    const deadline = setTimeout(() => child.kill("SIGKILL"), seconds * 1000 + gatewayMsMax);
    let out = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      out += text;
    });
    child.on("error", reject);
    child.on("close", () => {
      clearTimeout(deadline);
      if (pid !== undefined) stage.ended(pid);
      const result = parseWrk(out);
      if (typeof result === "string") reject(new Error(`wrk ${url}: ${result}`));
      else resolve(result);
    });
  });

/** What wrk prints with --latency; a text says what is wrong with it. */
export const parseWrk = (text: string): WrkResult | string => {
  const perSecond = Number(/^Requests\/sec:\s+([\d.]+)$/m.exec(text)?.[1] ?? Number.NaN);
  const [, amount = "", unit = ""] = /^\s+99%\s+([\d.]+)(us|ms|s)$/m.exec(text) ?? [];
  const errors = /^\s+(Non-2xx.*|Socket errors:.*)$/m.exec(text)?.[1];
  if (errors !== undefined) return errors;
  const p99Ms = Number(amount) * ({ us: 0.001, ms: 1, s: 1000 }[unit] ?? Number.NaN);
  if (amount === "" || !Number.isFinite(perSecond) || !Number.isFinite(p99Ms)) return "no result";
  return { perSecond, p99Ms };
};

// ---- TCP ------------------------------------------------------------------------------------------------------------------

const measureTcp = async (
  stage: Stage,
  chorus: ChorusSystem,
  { rounds, seconds, requests, keyspace }: Length,
): Promise<Measurement> => {
  const { gateway } = chorus;
  if (gateway === undefined) throw new Error("a gateway was asked for");
  const direct = serverAt(chorus, 0);
  const run = async (command: "get" | "set", port: number, count: number): Promise<number> => {
    const result = await runLoad(stage, { command, port, connections, pipeline: 16, requests: count, keyspace });
    await settled(chorus);
    return result.requests / result.seconds;
  };
  const samples: Record<"get" | "set", { readonly gateway: number[]; readonly direct: number[] }> = {
    get: { gateway: [], direct: [] },
    set: { gateway: [], direct: [] },
  };
  for (const command of ["get", "set"] as const) {
    const perSecond = await run(command, direct.tcpPort, 100_000);
    // Each peer as warm as the one that is measured alone: the gateway goes to them all.
    for (const other of chorus.servers.slice(1)) await run(command, other.tcpPort, 100_000);
    await run(command, gateway.tcpPort, 100_000);
    const count = requests ?? Math.max(1000, Math.round((perSecond * seconds) / 1000) * 1000);
    for (let round = 1; round <= rounds; round++) {
      const carried = await run(command, gateway.tcpPort, count);
      const straight = await run(command, direct.tcpPort, count);
      samples[command].gateway.push(carried);
      samples[command].direct.push(straight);
      say(
        `gateway-tcp ${command} ${round}/${rounds}: gateway ${Math.round(carried)}/s, direct ${Math.round(straight)}/s, ratio ${(carried / straight).toFixed(2)}`,
      );
    }
  }
  const middle = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;
  const sets = middle(samples.set.gateway) / middle(samples.set.direct);
  return {
    name: "gateway-tcp",
    chorus: samples.get.gateway,
    beside: samples.get.direct,
    notes: [
      `beside it: the same load at one peer; redis-benchmark, ${connections} connections, pipeline 16, GET. ` +
        `The gateway spreads it over three peers, on the same cores. SET alike: ratio ${sets.toFixed(2)}`,
    ],
  };
};
