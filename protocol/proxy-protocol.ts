/**
 * The PROXY protocol, versions 1 and 2 (https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt): what a balancer
 * writes before the first byte of a carried connection, so that the server knows who the client is.
 *
 * Only TCP over IPv4 and IPv6; any other family, and `LOCAL` (the balancer's own health check), name nobody: then the
 * address is that of the socket. Extensions behind the addresses of version 2 (TLVs) are skipped.
 */

export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

/** Longest header: version 1 is one line, version 2 a short prefix and what it announces. Longer: refused. */
const v1BytesMax = 107;
const v2BytesMax = 16 + 512;
const v2Signature = "\r\n\r\n\0\r\nQUIT\n";

/** Latin1. `to` is where the client meant to go: the balancer's own address. */
export const encodeProxyHeader = (version: "v1" | "v2", from: Endpoint, to: Endpoint): string => {
  const source = ipBytes(from.address);
  const target = ipBytes(to.address);
  if (source === undefined || target === undefined || source.length !== target.length)
    return version === "v1" ? "PROXY UNKNOWN\r\n" : `${v2Signature}\x20\x00\0\0`;
  if (version === "v1") {
    const family = source.length === 4 ? "TCP4" : "TCP6";
    return `PROXY ${family} ${plain(from.address)} ${plain(to.address)} ${from.port} ${to.port}\r\n`;
  }
  const body = [...source, ...target, from.port >> 8, from.port & 255, to.port >> 8, to.port & 255];
  const family = source.length === 4 ? 0x11 : 0x21;
  return `${v2Signature}${String.fromCharCode(0x21, family, 0, body.length, ...body)}`;
};

export type ParsedProxyHeader =
  /** More bytes are needed. */
  | { readonly kind: "partial" }
  | { readonly kind: "bad"; readonly why: string }
  /** `from` undefined: the header names nobody. The rest of the bytes are the client's. */
  | { readonly kind: "whole"; readonly bytes: number; readonly from: Endpoint | undefined };

/** `received`: all bytes of the connection so far, latin1. */
export const parseProxyHeader = (received: string): ParsedProxyHeader => {
  if (received.startsWith("PROXY ".slice(0, received.length))) return parseV1(received);
  if (received.startsWith(v2Signature.slice(0, received.length))) return parseV2(received);
  return { kind: "bad", why: "no PROXY header" };
};

const parseV1 = (received: string): ParsedProxyHeader => {
  const end = received.indexOf("\r\n");
  if (end < 0 && received.length < v1BytesMax) return { kind: "partial" };
  if (end < 0 || end + 2 > v1BytesMax) return { kind: "bad", why: "PROXY line too long" };
  const bytes = end + 2;
  const [, family, from = "", , port = ""] = received.slice(0, end).split(" ");
  if (family === "UNKNOWN") return { kind: "whole", bytes, from: undefined };
  const length = ipBytes(from)?.length;
  if ((family !== "TCP4" || length !== 4) && (family !== "TCP6" || length !== 16))
    return { kind: "bad", why: "PROXY line without a TCP address" };
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535) return { kind: "bad", why: "PROXY line without a port" };
  return { kind: "whole", bytes, from: { address: from, port: Number(port) } };
};

const parseV2 = (received: string): ParsedProxyHeader => {
  if (received.length < 16) return { kind: "partial" };
  const command = received.charCodeAt(12);
  const family = received.charCodeAt(13);
  const bytes = 16 + received.charCodeAt(14) * 256 + received.charCodeAt(15);
  if (bytes > v2BytesMax) return { kind: "bad", why: `PROXY header of ${bytes} bytes` };
  if (command !== 0x20 && command !== 0x21) return { kind: "bad", why: "PROXY header of an unknown version" };
  if (received.length < bytes) return { kind: "partial" };
  const length = family === 0x11 ? 4 : family === 0x21 ? 16 : 0;
  if (command === 0x20 || length === 0) return { kind: "whole", bytes, from: undefined };
  if (bytes < 16 + 2 * length + 4) return { kind: "bad", why: "PROXY header too short for its addresses" };
  const at = (offset: number): number => received.charCodeAt(16 + offset);
  const address =
    length === 4
      ? [0, 1, 2, 3].map(at).join(".")
      : Array.from({ length: 8 }, (_, index) => (at(2 * index) * 256 + at(2 * index + 1)).toString(16)).join(":");
  return { kind: "whole", bytes, from: { address, port: at(2 * length) * 256 + at(2 * length + 1) } };
};

/** `::ffff:10.0.0.1` is an IPv4 client of a socket that takes both. */
const plain = (address: string): string => address.replace(/^::ffff:(?=\d+\.)/i, "").replace(/%.*$/, "");

/** Undefined: not an IP address. */
const ipBytes = (text: string): readonly number[] | undefined => {
  const address = plain(text);
  if (/^\d{1,3}(\.\d{1,3}){3}$/.test(address)) {
    const bytes = address.split(".").map(Number);
    return bytes.every((byte) => byte < 256) ? bytes : undefined;
  }
  const halves = address.split("::");
  if (halves.length > 2 || !address.includes(":")) return undefined;
  const groupsOf = (half: string | undefined): string[] => (half === undefined || half === "" ? [] : half.split(":"));
  const [before, behind] = [groupsOf(halves[0]), groupsOf(halves[1])];
  const missing = 8 - before.length - behind.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  const groups = [...before, ...Array.from({ length: missing }, () => "0"), ...behind];
  if (groups.some((group) => !/^[0-9a-f]{1,4}$/i.test(group))) return undefined;
  return groups.flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 255]);
};
