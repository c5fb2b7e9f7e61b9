/** Keys of the checkpoint: byte order, prefixes, and the one key that is not the replica's. */

/** Names the format. Sorts before any key the replica makes. */
export const formatKey = Buffer.from("\0format", "latin1");

export const assertNotFormatKey = (key: Uint8Array): void => {
  if (key.length === 0) throw new RangeError("a checkpoint key must not be empty");
  if (key[0] === 0 && formatKey.equals(key)) throw new RangeError("the checkpoint key \\0format is reserved");
};

/** The least key above all that start with the prefix; undefined: there is none. */
export const prefixEnd = (prefix: Uint8Array): Uint8Array | undefined => {
  let length = prefix.length;
  while (length > 0 && prefix[length - 1] === 0xff) length -= 1;
  if (length === 0) return undefined;
  const end = Uint8Array.prototype.slice.call(prefix, 0, length);
  end[length - 1] = (end[length - 1] as number) + 1;
  return end;
};
