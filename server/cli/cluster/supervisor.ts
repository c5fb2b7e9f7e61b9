/**
 * `npm start`: N peers on this machine and a gateway, each its own process, all stopped when this one is.
 *
 * It restarts nothing by itself. A peer that dies stays dead until somebody says `start`: this is the place to see what
 * the others do meanwhile. Either all peers come up or none stays.
 */
import { setTimeout as delay } from "node:timers/promises";
import { clusterStopMsMax, statusMsMax } from "../../../protocol/limits.ts";
import { parseStatus } from "../../../protocol/status.ts";
import { hostPortToText } from "../../settings.ts";
import { CommandFailure, failureText } from "../failure.ts";
import { httpGet } from "../http-get.ts";
import { onStopSignals } from "../signals.ts";
import { visible } from "../table.ts";
import {
  type ClusterAction,
  type ClusterRecord,
  type Control,
  type ControlAnswer,
  type ControlRequest,
  openControl,
  refuseRunningCluster,
  writeClusterRecord,
} from "./control.ts";
import { type PeerEnd, type PeerProcess, startPeerProcess } from "./peer-process.ts";
import {
  type ClusterOptions,
  type ClusterPlan,
  gatewayName,
  type PlannedPeer,
  type PlannedProcess,
  planCluster,
} from "./plan.ts";

export interface SupervisorOptions extends ClusterOptions {
  /** What starts a peer, after `node`: its flags, the script, `peer`. */
  readonly peerCommand: readonly string[];
  /** The same of a gateway. */
  readonly gatewayCommand: readonly string[];
  /** How a person orders things here: `npm run cluster --` or `chorus cluster`. */
  readonly clusterCommand: string;
  readonly statusCommand: string;
  readonly tuiCommand: string;
}

type PeerState =
  | { readonly kind: "starting"; readonly process: PeerProcess }
  | { readonly kind: "running"; readonly process: PeerProcess }
  | { readonly kind: "paused"; readonly process: PeerProcess }
  /** Its end is our doing: nobody needs to be told. */
  | { readonly kind: "ending"; readonly process: PeerProcess }
  | { readonly kind: "down" };

interface Managed<Planned extends PlannedProcess = PlannedProcess> {
  readonly planned: Planned;
  state: PeerState;
}
type ManagedPeer = Managed<PlannedPeer>;

const readyAskIntervalMs = 50;
/** After this long without being ready, what it waits for is said; and again each so often. */
const patienceMs = 10_000;

const say = (text: string): void => {
  process.stdout.write(`${text}\n`);
};

/** Resolves with the exit code when all is stopped again. */
export const runCluster = async (options: SupervisorOptions): Promise<number> => {
  await refuseRunningCluster(options.directory);
  const plan = await planCluster(options);
  const peers = plan.peers.map((planned): ManagedPeer => ({ planned, state: { kind: "down" } }));
  const gateway: Managed | undefined =
    typeof plan.gateway === "object" ? { planned: plan.gateway, state: { kind: "down" } } : undefined;
  /** In the order of starting; the gateway is stopped first. */
  const all: readonly Managed[] = gateway === undefined ? peers : [...peers, gateway];
  const startedAt = new Date().toISOString();
  let control: Control | undefined;

  const record = (): void => {
    if (control === undefined) return;
    writeClusterRecord(plan.directory, {
      format: 1,
      pid: process.pid,
      startedAt,
      controlSocket: control.socketPath,
      options: { count: peers.length, bootstrap: plan.bootstrap, heapMb: plan.heapMb },
      peers: peers.map(({ planned: { name, tcpPort, httpPort, dataDirectory, logFile }, state }) => ({
        name,
        state: state.kind,
        pid: state.kind === "down" ? null : state.process.pid,
        host: plan.host,
        tcpPort,
        httpPort,
        dataDirectory,
        logFile,
      })),
      ...(gateway === undefined ? {} : { gateway: recordOf(plan.host, gateway) }),
    });
  };

  const setState = (peer: Managed, state: PeerState): void => {
    peer.state = state;
    record();
  };

  /** Resolves when it serves; rejects, with its last words, when it ended before. */
  const startPeer = async (peer: Managed, bootstrap: boolean): Promise<void> => {
    const running = startPeerProcess(peer.planned, {
      command:
        peer === gateway ? options.gatewayCommand : [`--max-old-space-size=${plan.heapMb}`, ...options.peerCommand],
      env: plan.env,
      extraArguments: bootstrap ? ["--bootstrap"] : [],
    });
    setState(peer, { kind: "starting", process: running });
    running.ended.then((end) => onEnd(peer, end)).catch((error: unknown) => say(failureText(error)));
    const serving = await running.serving;
    if (serving === undefined) {
      const end = await running.ended;
      throw new CommandFailure(`${labelOf(peer)} did not start: ${endToText(end)}`);
    }
    // An order may have come first; it stands.
    if (peer.state.kind === "starting") setState(peer, { kind: "running", process: running });
  };

  const onEnd = (peer: Managed, end: PeerEnd): void => {
    const was = peer.state.kind;
    setState(peer, { kind: "down" });
    if (was === "ending" || was === "starting") return;
    const { name } = peer.planned;
    const what = end.code === 0 ? "ended by itself (exit code 0)" : `died: ${endToText(end)}`;
    say(`${labelOf(peer)} ${what}; start it again with: ${options.clusterCommand} start ${name}${dataHint(plan)}`);
  };

  /** True when it ended in time by itself. */
  const endPeer = async (peer: Managed, signal: "SIGTERM" | "SIGKILL"): Promise<boolean> => {
    if (peer.state.kind === "down") return true;
    const { process: running } = peer.state;
    setState(peer, { kind: "ending", process: running });
    running.signal(signal);
    // A stopped process hears nothing else until it goes on.
    running.signal("SIGCONT");
    const inTime = await Promise.race([
      running.ended.then((end) => signal === "SIGKILL" || end.code === 0),
      delay(clusterStopMsMax, false, { ref: false }),
    ]);
    if (!inTime && (peer.state as PeerState).kind !== "down") {
      running.signal("SIGKILL");
      await running.ended;
    }
    return inTime;
  };

  const onOrder: Record<ClusterAction, (peer: Managed) => Promise<string>> = {
    stop: async (peer) => {
      if (peer.state.kind === "down") throw new CommandFailure("is not running");
      if (!(await endPeer(peer, "SIGTERM"))) throw new CommandFailure("did not stop cleanly; see its log");
      return "stopped";
    },
    kill: async (peer) => {
      if (peer.state.kind === "down") throw new CommandFailure("is not running");
      await endPeer(peer, "SIGKILL");
      return "killed (SIGKILL)";
    },
    start: async (peer) => {
      if (peer.state.kind !== "down")
        throw new CommandFailure(`is ${peer.state.kind} already, pid ${peer.state.process.pid}`);
      await startPeer(peer, false);
      return `started, ${addressesOf(plan, peer)}`;
    },
    pause: async (peer) => {
      if (peer.state.kind !== "running") throw new CommandFailure(`is ${peer.state.kind}, not running`);
      peer.state.process.signal("SIGSTOP");
      setState(peer, { kind: "paused", process: peer.state.process });
      return "paused (SIGSTOP)";
    },
    resume: async (peer) => {
      if (peer.state.kind !== "paused") throw new CommandFailure(`is ${peer.state.kind}, not paused`);
      peer.state.process.signal("SIGCONT");
      setState(peer, { kind: "running", process: peer.state.process });
      return "running again (SIGCONT)";
    },
  };

  let stopping = false;
  const onRequest = async ({ action, peer: name }: ControlRequest): Promise<ControlAnswer> => {
    const peer = all.find(({ planned }) => planned.name === name);
    if (stopping) return { ok: false, message: "the cluster is stopping" };
    if (peer === undefined)
      return {
        ok: false,
        message: `there is no peer ${visible(name)}; there are ${all.map(({ planned }) => planned.name).join(", ")}`,
      };
    try {
      const message = `${labelOf(peer)} ${await onOrder[action](peer)}`;
      say(message);
      return { ok: true, message };
    } catch (error) {
      const words = failureText(error);
      const label = labelOf(peer);
      return { ok: false, message: words.startsWith(`${label} `) ? words : `${label} ${words}` };
    }
  };

  let stopAsked: () => void = () => undefined;
  const stopWanted = new Promise<"stop">((resolve) => {
    stopAsked = () => resolve("stop");
  });
  onStopSignals(stopAsked, () => {
    for (const { state } of all) if (state.kind !== "down") state.process.signal("SIGKILL");
    control?.close();
    process.exit(1);
  });

  const stopAll = async (): Promise<string[]> => {
    stopping = true;
    // The gateway first: what it still has to answer it asks the peers.
    const gatewayCleanly = gateway === undefined || (await endPeer(gateway, "SIGTERM"));
    const cleanly = await Promise.all(peers.map((peer) => endPeer(peer, "SIGTERM")));
    control?.close();
    const unclean = peers.filter((_, index) => !cleanly[index]).map(({ planned }) => planned.name);
    return gatewayCleanly ? unclean : [gatewayName, ...unclean];
  };

  try {
    control = await openControl(plan.directory, onRequest);
    record();
    const started = Promise.all(all.map((peer) => startPeer(peer, plan.bootstrap && peer !== gateway)));
    const up = await Promise.race([started.then(() => "up" as const), stopWanted]);
    if (up === "up") {
      for (const peer of peers)
        say(`peer ${peer.planned.name}  ${addressesOf(plan, peer)}  data ${peer.planned.dataDirectory}`);
      if (gateway !== undefined) say(`gateway  ${addressesOf(plan, gateway)}`);
      else if (typeof plan.gateway === "string") say(`no gateway: ${plan.gateway}`);
      const ready = allReady(plan, all, () => stopping);
      if ((await Promise.race([ready.then(() => "up" as const), stopWanted])) === "up")
        say(readyText(plan, { peers, gateway }, options));
      await stopWanted;
    } else started.catch(() => undefined); // Stopped while starting: how that ends is seen below.
  } catch (error) {
    await stopAll();
    throw error;
  }
  say("stopping");
  const unclean = await stopAll();
  say(
    unclean.length === 0 ? "stopped" : `stopped, but not cleanly: ${unclean.join(", ")}; see ${plan.directory}/*.log`,
  );
  return unclean.length === 0 ? 0 : 1;
};

const endToText = ({ code, signal, lastWords }: PeerEnd): string => {
  if (signal !== null) return `signal ${signal}`;
  return lastWords === "" ? `exit code ${code}` : visible(lastWords);
};

const labelOf = ({ planned: { name } }: Managed): string => (name === gatewayName ? name : `peer ${name}`);

const recordOf = (host: string, { planned, state }: Managed): NonNullable<ClusterRecord["gateway"]> => {
  const { tcpPort, httpPort, logFile } = planned;
  const pid = state.kind === "down" ? null : state.process.pid;
  return { state: state.kind, pid, host, tcpPort, httpPort, logFile };
};

const addressesOf = (plan: ClusterPlan, { planned, state }: Managed): string => {
  const address = (port: number): string => hostPortToText({ host: plan.host, port });
  const pid = state.kind === "down" ? "-" : state.process.pid;
  return `pid ${pid}  tcp ${address(planned.tcpPort)}  http ${address(planned.httpPort)}`;
};

/** Resolves when each peer that runs takes reads and writes. What is waited for is said now and then. */
const allReady = async (plan: ClusterPlan, peers: readonly Managed[], given: () => boolean): Promise<void> => {
  let saidAtMs = performance.now();
  for (const peer of peers) {
    while (!given() && peer.state.kind !== "down" && peer.state.kind !== "paused") {
      const at = { host: plan.host, port: peer.planned.httpPort };
      const isReady = await httpGet(at, "/readyz", statusMsMax).then(
        ({ statusCode }) => statusCode === 200,
        () => false,
      );
      if (isReady) break;
      if (performance.now() - saidAtMs > patienceMs) {
        saidAtMs = performance.now();
        say(`waiting for ${labelOf(peer)}: ${await reasonsOf(at)}`);
      }
      await delay(readyAskIntervalMs);
    }
  }
};

const reasonsOf = async (at: { host: string; port: number }): Promise<string> => {
  try {
    const parsed = parseStatus(JSON.parse((await httpGet(at, "/status", statusMsMax)).body));
    return parsed.ok ? visible(parsed.status.reasons.join("; ")) : parsed.why;
  } catch (error) {
    return failureText(error);
  }
};

const directoryDefault = "data";
const dataHint = ({ directory }: ClusterPlan): string => (directory === directoryDefault ? "" : ` --data ${directory}`);

const readyText = (
  plan: ClusterPlan,
  { peers, gateway }: { readonly peers: readonly ManagedPeer[]; readonly gateway: Managed | undefined },
  { clusterCommand, statusCommand, tuiCommand }: SupervisorOptions,
): string => {
  const [first, second = first] = plan.peers;
  const last = plan.peers.at(-1);
  const list = plan.peers.map(({ httpPort }) => hostPortToText({ host: plan.host, port: httpPort })).join(",");
  const front = gateway?.state.kind === "running" ? gateway.planned : undefined;
  const things: [string, string][] = [
    ...(front === undefined ? [] : gatewayThings(plan.host, front)),
    [`nc ${plan.host} ${first?.tcpPort}`, "SET a 10, then GET a, then DELETE a"],
    [
      `redis-cli ${plan.host === "127.0.0.1" ? "" : `-h ${plan.host} `}-p ${second?.tcpPort}`,
      "the same map, at another peer",
    ],
    [`${tuiCommand}${dataHint(plan)}`.replace(/ --$/, ""), "all of it, live, in another terminal"],
    [`${statusCommand} --peers ${list}`, ""],
    [`${clusterCommand} kill ${last?.name}${dataHint(plan)}`, `then start ${last?.name}; also stop, pause, resume`],
  ];
  const width = Math.max(...things.filter(([, note]) => note !== "").map(([command]) => command.length));
  const lines = things.map(([command, note]) =>
    `  ${command.padEnd(width)}${note === "" ? "" : `  # ${note}`}`.trimEnd(),
  );
  const up = peers.filter(({ state }) => state.kind === "running").length;
  const who =
    up === peers.length ? `${up} ${up === 1 ? "peer takes" : "peers take"}` : `${up} of ${peers.length} peers take`;
  const head = `ready: ${who} reads and writes. Try:`;
  return [head, ...lines, `  Ctrl-C stops all; the peers' logs are ${plan.directory}/*.log`].join("\n");
};

const gatewayThings = (host: string, { httpPort, tcpPort }: PlannedProcess): [string, string][] => {
  const http = `http://${hostPortToText({ host: host === "127.0.0.1" ? "localhost" : host, port: httpPort })}`;
  return [
    [`curl "${http}/set?key=username&value=ada"`, 'through the gateway; then "/get?key=username"'],
    [`redis-cli ${host === "127.0.0.1" ? "" : `-h ${host} `}-p ${tcpPort}`, "through the gateway: any peer that is up"],
  ];
};
