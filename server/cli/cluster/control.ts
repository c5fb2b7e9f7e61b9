/**
 * How `chorus cluster stop b` reaches the running `npm start`: a unix socket, one JSON line asked, one answered. The
 * cluster stays the parent of its peers, whoever gives the orders.
 *
 * `DIR/cluster.json` says where the socket is and what runs; it is there as long as the cluster is. Whoever answers on
 * the socket owns the directory.
 */
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve as resolvePath } from "node:path";
import { controlAnswerMsMax, controlLineBytesMax } from "../../../protocol/limits.ts";
import { CommandFailure, failureText } from "../failure.ts";

export const clusterActions = ["stop", "kill", "start", "pause", "resume"] as const;
export type ClusterAction = (typeof clusterActions)[number];

export interface ControlRequest {
  readonly action: ClusterAction;
  readonly peer: string;
}

export interface ControlAnswer {
  readonly ok: boolean;
  readonly message: string;
}

/** DIR/cluster.json. */
export interface ClusterRecord {
  readonly format: 1;
  readonly pid: number;
  readonly startedAt: string;
  readonly controlSocket: string;
  readonly options: { readonly count: number; readonly bootstrap: boolean; readonly heapMb: number };
  readonly peers: readonly {
    readonly name: string;
    readonly state: string;
    readonly pid: number | null;
    readonly host: string;
    readonly tcpPort: number;
    readonly httpPort: number;
    readonly dataDirectory: string;
    readonly logFile: string;
  }[];
  readonly gateway?: {
    readonly state: string;
    readonly pid: number | null;
    readonly host: string;
    readonly tcpPort: number;
    readonly httpPort: number;
    readonly logFile: string;
  };
}

const recordFile = (directory: string): string => join(directory, "cluster.json");
/** What a unix socket's path may have, less the closing zero: 108 on Linux, 104 elsewhere. */
const socketPathBytesMax = 103;

/** The record of the cluster that runs (or ran, and was killed) in the directory. */
export const loadClusterRecord = (directory: string): ClusterRecord | undefined => {
  try {
    const record = JSON.parse(readFileSync(recordFile(directory), "utf8")) as Partial<ClusterRecord> | null;
    const whole = record?.format === 1 && typeof record.controlSocket === "string" && Array.isArray(record.peers);
    return whole ? (record as ClusterRecord) : undefined;
  } catch {
    return undefined;
  }
};

export const writeClusterRecord = (directory: string, record: ClusterRecord): void => {
  const file = recordFile(directory);
  writeFileSync(`${file}.new`, `${JSON.stringify(record, undefined, 2)}\n`);
  renameSync(`${file}.new`, file);
};

/** Throws when a cluster answers in this directory. */
export const refuseRunningCluster = async (directory: string): Promise<void> => {
  const record = loadClusterRecord(directory);
  if (record === undefined || !(await answers(record.controlSocket))) return;
  throw new CommandFailure(
    `a cluster already runs in ${directory} (pid ${record.pid}); stop it with Ctrl-C or kill ${record.pid}, or choose another --data`,
  );
};

const answers = (socketPath: string): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(socketPath);
    socket.on("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });

export interface Control {
  readonly socketPath: string;
  close(): void;
}

/** Listens for orders. Each is answered when it is done. */
export const openControl = async (
  directory: string,
  onRequest: (request: ControlRequest) => Promise<ControlAnswer>,
): Promise<Control> => {
  const near = resolvePath(directory, "control.sock");
  const isLong = Buffer.byteLength(near) > socketPathBytesMax;
  const socketPath = isLong ? join(mkdtempSync(join(tmpdir(), "chorus-")), "control.sock") : near;
  rmSync(socketPath, { force: true });

  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    let text = "";
    socket.setEncoding("utf8");
    socket.on("data", (chunk: string) => {
      text += chunk;
      if (text.length > controlLineBytesMax) socket.destroy();
      const end = text.indexOf("\n");
      if (end < 0) return;
      const request = parseRequest(text.slice(0, end));
      text = "";
      const answer: Promise<ControlAnswer> =
        request === undefined ? Promise.resolve({ ok: false, message: "not an order" }) : onRequest(request);
      answer
        .catch((error: unknown): ControlAnswer => ({ ok: false, message: failureText(error) }))
        .then((done) => socket.end(`${JSON.stringify(done)}\n`))
        .catch(() => socket.destroy());
    });
  });
  // For its owner alone from the first moment on: whoever can write to it can stop peers.
  const mask = process.umask(0o177);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", (error) => reject(new CommandFailure(`control socket ${socketPath}: ${error.message}`)));
      server.listen(socketPath, resolve);
    });
  } finally {
    process.umask(mask);
  }
  return {
    socketPath,
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
      rmSync(socketPath, { force: true });
      if (isLong) rmSync(dirname(socketPath), { recursive: true, force: true });
      rmSync(recordFile(directory), { force: true });
    },
  };
};

const parseRequest = (line: string): ControlRequest | undefined => {
  try {
    const { action, peer } = JSON.parse(line) as Record<string, unknown>;
    const known = clusterActions.find((name) => name === action);
    return known !== undefined && typeof peer === "string" ? { action: known, peer } : undefined;
  } catch {
    return undefined;
  }
};

/** Gives one order to the cluster of a directory; rejects with a CommandFailure when there is none, or it refuses. */
export const orderCluster = (directory: string, request: ControlRequest): Promise<string> => {
  const none = `no cluster runs in ${directory}; start one with npm start, or name its directory with --data`;
  const record = loadClusterRecord(directory);
  if (record === undefined) return Promise.reject(new CommandFailure(none));
  return new Promise((resolve, reject) => {
    const socket = connect(record.controlSocket);
    let text = "";
    socket.setEncoding("utf8");
    socket.setTimeout(controlAnswerMsMax, () =>
      socket.destroy(new Error(`no answer within ${controlAnswerMsMax / 1000} s`)),
    );
    socket.on("connect", () => socket.write(`${JSON.stringify(request)}\n`));
    socket.on("data", (chunk: string) => {
      text += chunk;
    });
    socket.on("error", (error: NodeJS.ErrnoException) => {
      const isGone = error.code === "ECONNREFUSED" || error.code === "ENOENT";
      reject(new CommandFailure(isGone ? none : `the cluster in ${directory}: ${error.message}`));
    });
    socket.on("end", () => {
      try {
        const answer = JSON.parse(text) as ControlAnswer;
        if (answer.ok) resolve(answer.message);
        else reject(new CommandFailure(answer.message));
      } catch {
        reject(new CommandFailure(`the cluster in ${directory} ended before it answered`));
      }
    });
  });
};
