/**
 * Messages of channels on their way to another peer (PUBLISH): link message kind 19. They are no part of replication: the
 * shell takes them before the replica sees them, they are sent at most once and never logged.
 *
 *     19 | n × (string channel, string message)
 *
 * to the end of the message; strings as in bytes.ts, a varint length and that many bytes.
 */
import { ByteReader, ByteWriter } from "./bytes.ts";
import { keyBytesMax, valueBytesMax } from "./limits.ts";

/** First byte. link-messages.ts has 1 to 18. */
export const publishedKind = 19;

export interface Published {
  readonly channel: string;
  readonly message: string;
}

export const encodePublished = (all: readonly Published[]): Buffer => {
  const bytes = all.reduce((sum, { channel, message }) => sum + channel.length + message.length + 8, 1);
  const out = new ByteWriter(bytes);
  out.u8(publishedKind);
  for (const { channel, message } of all) {
    out.string(channel);
    out.string(message);
  }
  return out.take();
};

/** Throws DecodeFault for anything but one such message. */
export const decodePublished = (bytes: Uint8Array): readonly Published[] => {
  const input = new ByteReader(bytes);
  input.u8();
  const all: Published[] = [];
  while (input.left > 0) all.push({ channel: input.string(keyBytesMax), message: input.string(valueBytesMax) });
  return all;
};
