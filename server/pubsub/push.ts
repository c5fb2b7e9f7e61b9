/**
 * What a connection is sent without having asked for it just now: a message of a channel, a line of MONITOR.
 *
 * The same text goes to many, so it is written once per dialect and shared. In RESP3 a message is a push (`>`), which a
 * client tells from replies; in RESP2 and in plain text it is an array.
 */
import { PlainWriter } from "../../protocol/text.ts";

export type Dialect = 0 | 2 | 3;

/** Something whole: the text may stand between any two replies. */
export interface PushText {
  text(dialect: Dialect): string;
}

/** The port's side of a connection that takes pushes. */
export interface PushTarget {
  /** Behind the reply of the command that runs on this connection, if one runs. Never throws; a slow reader is cut. */
  push(text: PushText): void;
  /** As the reply, or a part of it, of the command that runs on this connection. */
  answer(text: PushText): void;
}

type Item = string | number | null;

/** `subscribe`, `message` and their like. */
export class PubSubMessage implements PushText {
  readonly #items: readonly Item[];
  #plain: string | undefined;
  #resp2: string | undefined;
  #resp3: string | undefined;

  constructor(...items: readonly Item[]) {
    this.#items = items;
  }

  text(dialect: Dialect): string {
    switch (dialect) {
      case 0:
        this.#plain ??= plainOf(this.#items);
        return this.#plain;
      case 2:
        this.#resp2 ??= respOf(this.#items, "*", "$-1\r\n");
        return this.#resp2;
      case 3:
        this.#resp3 ??= respOf(this.#items, ">", "_\r\n");
        return this.#resp3;
    }
  }
}

const respOf = (items: readonly Item[], mark: string, nil: string): string => {
  let text = `${mark}${items.length}\r\n`;
  for (const item of items) {
    if (item === null) text += nil;
    else if (typeof item === "number") text += `:${item}\r\n`;
    else text += `$${item.length}\r\n${item}\r\n`;
  }
  return text;
};

const plainOf = (items: readonly Item[]): string => {
  const writer = new PlainWriter();
  writer.array(items.length);
  for (const item of items) {
    if (item === null) writer.nil();
    else if (typeof item === "number") writer.integer(item);
    else writer.bulk(item);
  }
  return writer.take();
};
