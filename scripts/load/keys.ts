/**
 * Names of keys, and values that tell which write they are of.
 *
 * A value is the serial of its write in base 36, a dot, and filling up to the size asked for. One client writes a key, so
 * key and serial name one write.
 */
export interface KeySpace {
  /** Ends in a colon. */
  readonly prefix: string;
  readonly keyOf: (index: number) => string;
  readonly counterOf: (index: number) => string;
  readonly valueFor: (serial: number) => string;
}

/** A serial of ten digits in base 36 and the dot: at that many writes a client has been at it for years. */
export const valueBytesMin = 11;

export const keySpace = (prefix: string, valueBytes: number): KeySpace => {
  const filling = "x".repeat(valueBytes);
  return {
    prefix,
    keyOf: (index) => `${prefix}k:${index}`,
    counterOf: (index) => `${prefix}c:${index}`,
    valueFor: (serial) => {
      const head = `${serial.toString(36)}.`;
      return head + filling.slice(head.length);
    },
  };
};

/** Undefined when the value is none of ours. */
export const serialOf = (value: string): number | undefined => {
  const digits = /^([0-9a-z]{1,10})\./.exec(value)?.[1];
  return digits === undefined ? undefined : Number.parseInt(digits, 36);
};
