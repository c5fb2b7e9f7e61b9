/**
 * When do all servers hold what was just written? A marker, written through the same server after the load, says it:
 * both systems apply one server's writes in order everywhere, so whoever shows the marker holds all before it.
 */
import { RespConnection } from "./resp-connection.ts";
import type { System } from "./servers.ts";

const markerMsMax = 60_000;
const markerKey = (writer: number): string => `bench:marker:${writer}`;

export class Markers {
  readonly #system: System;
  readonly #connections: readonly RespConnection[];
  #number = 0;

  private constructor(system: System, connections: readonly RespConnection[]) {
    this.#system = system;
    this.#connections = connections;
  }

  static async open(system: System): Promise<Markers> {
    return new Markers(system, await Promise.all(system.servers.map(({ tcpPort }) => RespConnection.open(tcpPort))));
  }

  /** Writes a marker at each writer and resolves, with performance.now(), when every server shows all of them. */
  async shownAtAll(writers: readonly number[]): Promise<number> {
    const token = String(++this.#number);
    await Promise.all(writers.map((writer) => this.#connections[writer]?.call("SET", markerKey(writer), token)));
    const deadlineMs = performance.now() + markerMsMax;
    const shown = this.#connections.map(async (connection, server) => {
      for (const writer of writers) {
        while ((await connection.call("GET", markerKey(writer))) !== token) {
          if (performance.now() < deadlineMs) continue;
          const name = this.#system.servers[server]?.name;
          throw new Error(`${this.#system.name} ${name}: the last write is not there after ${markerMsMax / 1000} s`);
        }
      }
    });
    await Promise.all(shown);
    return performance.now();
  }

  close(): void {
    for (const connection of this.#connections) connection.close();
  }
}
