/** Server-sent events out of a response's body, as the HTML standard describes them. */

export interface ServerEvent {
  /** The last id the stream gave, also before this event: where to go on. */
  readonly id: string;
  readonly event: string;
  readonly data: string;
}

export async function* readEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<ServerEvent, void, undefined> {
  const decoder = new TextDecoder();
  let text = "";
  let id = "";
  let event = "";
  let data: string[] = [];
  for await (const chunk of body) {
    text += decoder.decode(chunk, { stream: true });
    const lines = text.split("\n");
    text = lines.pop() ?? "";
    for (const line of lines) {
      if (line === "") {
        // An id alone is none of the events, but it is worth keeping.
        yield { id, event: data.length > 0 ? event || "message" : "id", data: data.join("\n") };
        event = "";
        data = [];
        continue;
      }
      const colonAt = line.indexOf(":");
      const [field, value] = [line.slice(0, colonAt), line.slice(colonAt + 1).replace(/^ /, "")];
      if (field === "id") id = value;
      else if (field === "event") event = value;
      else if (field === "data") data.push(value);
    }
  }
}
