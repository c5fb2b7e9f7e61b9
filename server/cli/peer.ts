/**
 * `chorus peer`: one peer as a process, from its ready line to its exit code.
 *
 * SIGINT, SIGTERM, SIGHUP, and the death of a parent with an IPC channel ask for a clean stop (exit 0); a second signal
 * ends at once (exit 1). What goes wrong at the start is one line (exit 1); what goes wrong later is logged with its
 * stack and ends the process (exit 1): a peer whose memory may be ahead of its disk must not go on.
 */
import { peerCloseMsMax } from "../../protocol/limits.ts";
import type { LoadedConfig, PeerConfig } from "../config.ts";
import type { RunningPeer, RunPeer } from "../running-peer.ts";
import { failureText } from "./failure.ts";
import { collectWithoutHelpers, heapIsSet, runAgainWithHeap } from "./heap.ts";
import { type PeerMessage, readyLine } from "./peer-messages.ts";
import { onStopSignals } from "./signals.ts";

export type { RunningPeer } from "../running-peer.ts";

/** Does not return: the process ends with the peer. */
export const runPeerProcess = async ({ config }: LoadedConfig, runPeer: RunPeer): Promise<void> => {
  if (!heapIsSet(config.heapMb)) process.exit(await runAgainWithHeap(config.heapMb));
  collectWithoutHelpers();

  const name = `peer ${config.name}`;
  const exitWith = (code: number, message?: string): never => {
    if (message !== undefined) {
      process.stderr.write(`chorus: ${message}\n`);
      tellParent({ type: "failed", message });
    }
    process.exit(code);
  };
  process.on("uncaughtException", (error) => {
    // Dynamic, since it costs a start nothing then; if even this fails, the line below is still written.
    import("../logger.ts")
      .then(({ createLogger }) => createLogger(config).fatal({ err: error }, "uncaught exception"))
      .finally(() => exitWith(1, `${name} stopped: ${failureText(error)}`))
      .catch(() => undefined);
  });

  let peer: RunningPeer | undefined;
  let stopAsked = false;
  const stop = (): void => {
    stopAsked = true;
    if (peer === undefined) return;
    setTimeout(() => exitWith(1, `${name} did not stop within ${peerCloseMsMax / 1000} s`), peerCloseMsMax).unref();
    peer.close().then(
      () => exitWith(0),
      (error: unknown) => exitWith(1, `${name} did not stop cleanly: ${failureText(error)}`),
    );
  };
  onStopSignals(stop, () => exitWith(1, `${name} stopped at once by a second signal`));
  if (process.channel !== undefined) process.on("disconnect", stop);

  try {
    peer = await runPeer(config);
  } catch (error) {
    return exitWith(1, `${name}: ${startFailureText(error, config)}`);
  }
  const { tcpPort, httpPort } = peer;
  process.stdout.write(`${readyLine({ name: config.name, bind: config.bind, tcpPort, httpPort, pid: process.pid })}\n`);
  tellParent({ type: "ready", tcpPort, httpPort });
  if (stopAsked) return stop();

  const { code, reason } = await peer.stopped;
  // After close() the branch above ends the process; here the peer stopped by itself.
  if (!stopAsked) exitWith(code, code === 0 ? undefined : `${name} stopped: ${reason}`);
};

const tellParent = (message: PeerMessage): void => {
  if (process.connected) process.send?.(message);
};

const startFailureText = (error: unknown, config: PeerConfig): string => {
  const { code, port } = error as { readonly code?: unknown; readonly port?: unknown };
  if (code === "EADDRINUSE") return `port ${port} is taken on ${config.bind}; choose another with --tcp or --http`;
  if (code === "EACCES" && port !== undefined) return `port ${port} needs more rights than this user has`;
  if (code === "EADDRNOTAVAIL") return `this machine has no address ${config.bind} to bind`;
  return failureText(error);
};

/** The command: server/peer.ts is loaded only now, so that help and mistakes are quick. */
export const peerCommand = async (loaded: LoadedConfig): Promise<void> => {
  const { runPeer } = await import("../peer.ts");
  await runPeerProcess(loaded, runPeer);
};
