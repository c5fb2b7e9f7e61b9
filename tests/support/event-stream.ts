/** A reader of server-sent events over node:http, with the headers and the pauses that a test wants. */
import { get, type IncomingMessage } from "node:http";

export interface StreamEvent {
  readonly event: string;
  readonly id: string;
  readonly data: Record<string, unknown>;
}

export interface EventStream {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly events: readonly StreamEvent[];
  /** As EventSource remembers it. */
  lastEventId(): string;
  /** All that came, as it came. */
  text(): string;
  isEnded(): boolean;
  pause(): void;
  resume(): void;
  close(): void;
}

export const openEventStream = (
  port: number,
  path: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<EventStream> =>
  new Promise((resolve, reject) => {
    const asked = get({ host: "127.0.0.1", port, path, headers, agent: false }, (response) => {
      const events: StreamEvent[] = [];
      let [text, rest, lastId, ended] = ["", "", "", false];
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        text += chunk;
        const blocks = (rest + chunk).split("\n\n");
        rest = blocks.pop() ?? "";
        for (const block of blocks) {
          const fields = new Map(
            block.split("\n").map((line) => {
              const colonAt = line.indexOf(":");
              return [line.slice(0, colonAt), line.slice(colonAt + 1).trim()] as const;
            }),
          );
          lastId = fields.get("id") ?? lastId;
          const data = fields.get("data");
          if (data === undefined) continue;
          events.push({
            event: fields.get("event") ?? "message",
            id: lastId,
            data: JSON.parse(data) as StreamEvent["data"],
          });
        }
      });
      response.on("close", () => {
        ended = true;
      });
      response.on("error", () => {});
      resolve({
        status: response.statusCode ?? 0,
        headers: response.headers,
        events,
        lastEventId: () => lastId,
        text: () => text,
        isEnded: () => ended,
        pause: () => void response.pause(),
        resume: () => void response.resume(),
        close: () => void asked.destroy(),
      });
    });
    asked.on("error", reject);
  });
