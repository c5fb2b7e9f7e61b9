/**
 * The clients of the strong figures: either system's, behind one interface, so that one loop drives both with the same
 * clock. A client of Chorus is a connection. etcd's clients may share one to each server, as those of one gRPC channel do,
 * which costs etcd about half as much processor time as a connection for each.
 */
import { valueBytes } from "./dataset.ts";
import { EtcdConnection, putRequest, rangeRequest } from "./etcd-connection.ts";
import { ErrorReply, encodeCommand, RespConnection } from "./resp-connection.ts";
import { type System, serverAt } from "./servers.ts";

type OnDone = (failure?: Error) => void;

export interface StrongClient {
  /** Index of the server it talks to. */
  readonly server: number;
  set(key: string, value: string, onDone: OnDone): void;
  /** A key without a value is a failure. */
  get(key: string, onDone: OnDone): void;
}

export interface StrongClients {
  readonly clients: readonly StrongClient[];
  close(): void;
}

/** `count` clients, dealt out to the servers of the given indexes in turn. `ownConnections`: of etcd's clients too. */
export const openClients = async (
  system: System,
  servers: readonly number[],
  count: number,
  ownConnections = false,
): Promise<StrongClients> => {
  const opened: { close(): void }[] = [];
  const keep = async <Connection extends { close(): void }>(opening: Promise<Connection>): Promise<Connection> => {
    const connection = await opening;
    opened.push(connection);
    return connection;
  };
  const close = (): void => {
    for (const connection of opened) connection.close();
  };
  try {
    const clients: StrongClient[] = [];
    const shared = new Map<number, EtcdClient>();
    for (let i = 0; i < count; i++) {
      const server = servers[i % servers.length] ?? 0;
      const port = serverAt(system, server).tcpPort;
      if (system.name === "chorus") {
        clients.push(new ChorusClient(server, await keep(RespConnection.open(port))));
        continue;
      }
      const other = ownConnections ? undefined : shared.get(server);
      const client = other ?? (await openEtcdClient(server, port, keep));
      shared.set(server, client);
      clients.push(client);
    }
    return { clients, close };
  } catch (error) {
    close();
    throw error;
  }
};

class ChorusClient implements StrongClient {
  readonly server: number;
  readonly #connection: RespConnection;

  constructor(server: number, connection: RespConnection) {
    this.server = server;
    this.#connection = connection;
  }

  set(key: string, value: string, onDone: OnDone): void {
    this.#send(encodeCommand("SET", key, value), onDone);
  }

  get(key: string, onDone: OnDone): void {
    this.#send(encodeCommand("GET", key), onDone);
  }

  #send(command: string, onDone: OnDone): void {
    let refusal: Error | undefined;
    this.#connection.send(
      command,
      1,
      (failure) => onDone(failure ?? refusal),
      (reply) => {
        if (reply instanceof ErrorReply) refusal = new Error(reply.text);
        else if (reply === null) refusal = new Error("no value");
      },
    );
  }
}

class EtcdClient implements StrongClient {
  readonly server: number;
  readonly #puts: EtcdConnection;
  readonly #ranges: EtcdConnection;

  constructor(server: number, puts: EtcdConnection, ranges: EtcdConnection) {
    this.server = server;
    this.#puts = puts;
    this.#ranges = ranges;
  }

  set(key: string, value: string, onDone: OnDone): void {
    this.#puts.call(putRequest(key, value), onDone);
  }

  get(key: string, onDone: OnDone): void {
    this.#ranges.call(rangeRequest(key), (failure, messageBytes) =>
      onDone(failure ?? (messageBytes < valueBytes ? new Error("no value") : undefined)),
    );
  }
}

const openEtcdClient = async (
  server: number,
  port: number,
  keep: (opening: Promise<EtcdConnection>) => Promise<EtcdConnection>,
): Promise<EtcdClient> =>
  new EtcdClient(server, await keep(EtcdConnection.open(port, "Put")), await keep(EtcdConnection.open(port, "Range")));
