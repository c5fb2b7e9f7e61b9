/** The TypeScript client over `/client`, as a program would use it: it fails over, and repeats what it may, by itself. */
import { ChorusError, type Client, connect } from "../../protocol/client.ts";
import { hostPortToText } from "../../server/settings.ts";
import type { Driver, DriverEvents, DriverOptions } from "./driver.ts";
import { answered, answeredNothing, type Op, type OpEnd } from "./operation.ts";

/** The client is given up on and made anew when nobody answers for so long; it tries all the time until then. */
const connectMsMax = 60_000;

export class SocketDriver implements Driver {
  readonly #options: DriverOptions;
  readonly #events: DriverEvents;
  readonly #closing = new AbortController();
  #client: Client | undefined;
  #trouble: string | undefined = "not connected yet";
  outstanding = 0;

  constructor(options: DriverOptions, events: DriverEvents) {
    this.#options = options;
    this.#events = events;
    this.#connect().catch((error: unknown) => {
      this.#trouble = error instanceof Error ? error.message : String(error);
    });
  }

  async #connect(): Promise<void> {
    const { targets, startAt } = this.#options;
    const all = targets.addresses.map((address) => `ws://${hostPortToText(address)}`);
    const first = startAt % all.length;
    while (!this.#closing.signal.aborted) {
      try {
        this.#client = await connect([...all.slice(first), ...all.slice(0, first)], {
          ...(targets.password === undefined ? {} : { password: targets.password }),
          timeoutMs: connectMsMax,
          signal: this.#closing.signal,
          onState: (state) => {
            this.#trouble = state.kind === "connecting" ? state.why : undefined;
            if (state.kind === "connected") this.#events.onConnected?.(state.url);
          },
        });
        this.#trouble = undefined;
        this.#events.onRoom();
        return;
      } catch (error) {
        this.#trouble = error instanceof Error ? error.message : String(error);
        // What time does not cure is seen as ops that are never sent.
        if (error instanceof ChorusError && (error.code === "WRONGPASS" || error.code === "NOAUTH")) return;
      }
    }
  }

  get room(): number {
    return this.#client === undefined ? 0 : this.#options.pipeline - this.outstanding;
  }

  get trouble(): string | undefined {
    return this.#trouble;
  }

  send(op: Op): void {
    const client = this.#client;
    if (client === undefined) return;
    this.outstanding++;
    this.#ask(client, op).then(
      (end) => this.#onEnd(op, end),
      (error: unknown) => this.#onEnd(op, failureOf(error)),
    );
  }

  async #ask(client: Client, { kind, key, value }: Op): Promise<OpEnd> {
    const { timeoutMs } = this.#options;
    switch (kind) {
      case "get":
        return (await client.get(key, { timeoutMs })) === null ? answeredNothing : answered;
      case "set":
        await client.set(key, value, { timeoutMs });
        return answered;
      case "incr":
        await client.incr(key, { timeoutMs });
        return answered;
      case "del":
        await client.delete(key, { timeoutMs });
        return answered;
    }
  }

  #onEnd(op: Op, end: OpEnd): void {
    this.outstanding--;
    this.#events.onEnd(op, end);
    this.#events.onRoom();
  }

  flush(): void {}
  tick(): void {}

  close(): void {
    this.#closing.abort();
    this.#client?.close().catch(() => undefined);
  }
}

const failureOf = (error: unknown): OpEnd => {
  if (!(error instanceof ChorusError)) throw error;
  // Only a connection that ended says that it happened before or never.
  const isOver = error.code === "CONNECTION_LOST";
  const outcome = error.outcome === "not-applied" ? error.outcome : isOver ? "unknown" : "late";
  return { ok: false, code: error.code, outcome };
};
