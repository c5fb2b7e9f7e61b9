/**
 * A TCP relay whose directions can be cut apart from each other, as a network that drops packets one way.
 *
 * A cut direction is no longer read: nothing is lost from the middle of a stream, its bytes and its end come late or
 * never, and the sender's socket fills up, all as when TCP retransmits in vain.
 */
import { connect, createServer, type Server, type Socket } from "node:net";

export type Direction = "to-target" | "from-target";

interface Relay {
  readonly client: Socket;
  readonly target: Socket;
}

export class TcpProxy {
  readonly #server: Server;
  readonly #relays = new Set<Relay>();
  readonly #cut = new Set<Direction>();

  private constructor(targetPort: number) {
    this.#server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (client) => {
      const target = connect({ port: targetPort, host: "127.0.0.1", allowHalfOpen: true });
      const relay = { client, target };
      this.#relays.add(relay);
      this.#carry(relay, "to-target");
      this.#carry(relay, "from-target");
      target.pause();
      target.once("connect", () => this.#flow(relay));
      for (const socket of [client, target]) {
        socket.setNoDelay(true);
        socket.on("error", () => socket.destroy());
        socket.on("close", () => {
          client.destroy();
          target.destroy();
          this.#relays.delete(relay);
        });
      }
    });
  }

  static open(targetPort: number, listenPort: number): Promise<TcpProxy> {
    const proxy = new TcpProxy(targetPort);
    return new Promise((resolve, reject) => {
      proxy.#server.once("error", reject);
      proxy.#server.listen(listenPort, "127.0.0.1", () => resolve(proxy));
    });
  }

  cut(direction: Direction): void {
    this.#cut.add(direction);
    for (const relay of this.#relays) this.#flow(relay);
  }

  heal(): void {
    this.#cut.clear();
    for (const relay of this.#relays) this.#flow(relay);
  }

  close(): void {
    this.#server.close();
    for (const { client, target } of this.#relays) {
      client.destroy();
      target.destroy();
    }
  }

  #source(relay: Relay, direction: Direction): Socket {
    return direction === "to-target" ? relay.client : relay.target;
  }

  #carry(relay: Relay, direction: Direction): void {
    const from = this.#source(relay, direction);
    const to = direction === "to-target" ? relay.target : relay.client;
    from.on("data", (chunk: Buffer) => {
      if (!to.write(chunk)) from.pause();
    });
    to.on("drain", () => {
      if (!this.#cut.has(direction)) from.resume();
    });
    from.on("end", () => to.end());
  }

  #flow(relay: Relay): void {
    for (const direction of ["to-target", "from-target"] as const) {
      const source = this.#source(relay, direction);
      if (this.#cut.has(direction)) source.pause();
      else if (!relay.target.connecting) source.resume();
    }
  }
}
