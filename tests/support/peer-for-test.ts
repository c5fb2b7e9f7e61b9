/**
 * A peer on a free TCP port, for tests with real clients.
 *
 * For now the commands over a fake map behind the real port. To try the clients against whole peers, only
 * `startPeerForTest` has to change: the tests know nothing but its address and `stop`.
 */

import { makeExecutor } from "../../server/commands/execute.ts";
import { TcpPort } from "../../server/ports/tcp.ts";
import type { Releasable, Turn } from "../../server/turn.ts";
import { FakeHost } from "./fake-host.ts";

export interface PeerForTest {
  readonly host: string;
  readonly port: number;
  readonly password: string | undefined;
  stop(): Promise<void>;
}

/** Ends a turn in the event loop's next phase, with nothing to wait for on a disk. */
class MemoryTurn implements Turn {
  readonly blocked: Promise<void> | undefined = undefined;
  #finished = new Set<Releasable>();

  nowMs(): number {
    return Date.now();
  }

  finish(connection: Releasable): void {
    if (this.#finished.size === 0) setImmediate(() => this.#end());
    this.#finished.add(connection);
  }

  #end(): void {
    const finished = this.#finished;
    this.#finished = new Set();
    for (const connection of finished) connection.release(connection.takeOutput());
  }
}

/** A host whose connections are those of the port. */
class HostWithPort extends FakeHost {
  port: TcpPort | undefined;
  override sessions(): ReturnType<TcpPort["sessions"]> {
    return this.port?.sessions() ?? [];
  }
  override session(id: number): ReturnType<TcpPort["session"]> {
    return this.port?.session(id);
  }
  override kill(session: Parameters<FakeHost["kill"]>[0]): void {
    this.port?.session(session.id)?.kill();
  }
}

export const startPeerForTest = async (options: { readonly password?: string } = {}): Promise<PeerForTest> => {
  const { password } = options;
  const host = new HostWithPort();
  if (password !== undefined) host.checkPassword = (user, given) => user === "default" && given === password;
  let sessionsMade = 0;
  const port = new TcpPort({
    host: "127.0.0.1",
    port: 0,
    execute: makeExecutor(host),
    turn: new MemoryTurn(),
    requiresAuthentication: password !== undefined,
    nextSessionId: () => {
      sessionsMade += 1;
      return sessionsMade;
    },
  });
  host.port = port;
  await port.open();
  return { host: "127.0.0.1", port: port.port, password, stop: () => port.close(1000) };
};
