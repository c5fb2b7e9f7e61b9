/**
 * A peer or a gateway as a process, from its ready line to its exit code.
 *
 * SIGINT, SIGTERM, SIGHUP, and the death of a parent with an IPC channel ask for a clean stop (exit 0); a second signal
 * ends at once (exit 1). What goes wrong at the start is one line (exit 1); what goes wrong later is logged with its
 * stack and ends the process (exit 1): a peer whose memory may be ahead of its disk must not go on.
 */
import type { createLogger } from "../logger.ts";
import { failureText } from "./failure.ts";
import { type PeerMessage, readyLine } from "./peer-messages.ts";
import { onStopSignals } from "./signals.ts";

export interface Service {
  readonly tcpPort: number;
  readonly httpPort: number;
  /** Twice is fine. */
  close(): Promise<void>;
  /** Resolves when it has ended, of its own accord or by close(). */
  readonly stopped: Promise<{ readonly code: number; readonly reason: string }>;
}

export interface ServiceOptions {
  /** `peer b`, `gateway`: begins what is said of it. */
  readonly what: string;
  readonly bind: string;
  readonly logging: Parameters<typeof createLogger>[0];
  /** What a clean stop may take. Then the process ends with exit code 1. */
  readonly closeMsMax: number;
  readonly start: () => Promise<Service>;
}

/** Does not return: the process ends with the service. */
export const runServiceProcess = async (options: ServiceOptions): Promise<void> => {
  const { what, bind, logging, closeMsMax } = options;
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
      .then(({ createLogger }) => createLogger(logging).fatal({ err: error }, "uncaught exception"))
      .finally(() => exitWith(1, `${what} stopped: ${failureText(error)}`))
      .catch(() => undefined);
  });

  let service: Service | undefined;
  let stopAsked = false;
  const stop = (): void => {
    stopAsked = true;
    if (service === undefined) return;
    setTimeout(() => exitWith(1, `${what} did not stop within ${closeMsMax / 1000} s`), closeMsMax).unref();
    service.close().then(
      () => exitWith(0),
      (error: unknown) => exitWith(1, `${what} did not stop cleanly: ${failureText(error)}`),
    );
  };
  onStopSignals(stop, () => exitWith(1, `${what} stopped at once by a second signal`));
  if (process.channel !== undefined) process.on("disconnect", stop);

  try {
    service = await options.start();
  } catch (error) {
    return exitWith(1, `${what}: ${startFailureText(error, bind)}`);
  }
  const { tcpPort, httpPort } = service;
  process.stdout.write(`${readyLine({ what, bind, tcpPort, httpPort, pid: process.pid })}\n`);
  tellParent({ type: "ready", tcpPort, httpPort });
  if (stopAsked) return stop();

  const { code, reason } = await service.stopped;
  // After close() the branch above ends the process; here the service stopped by itself.
  if (!stopAsked) exitWith(code, code === 0 ? undefined : `${what} stopped: ${reason}`);
};

const tellParent = (message: PeerMessage): void => {
  if (process.connected) process.send?.(message);
};

const startFailureText = (error: unknown, bind: string): string => {
  const { code, port } = error as { readonly code?: unknown; readonly port?: unknown };
  if (code === "EADDRINUSE") return `port ${port} is taken on ${bind}; choose another with --tcp or --http`;
  if (code === "EACCES" && port !== undefined) return `port ${port} needs more rights than this user has`;
  if (code === "EADDRNOTAVAIL") return `this machine has no address ${bind} to bind`;
  return failureText(error);
};
