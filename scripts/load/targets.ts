/** `--targets`: where the load goes, and by which protocol. One kind of target per run. */
import { type HostPort, hostPortToText, parseHostPort } from "../../server/settings.ts";

export type Protocol = "resp" | "ws" | "http";

export interface Targets {
  readonly protocol: Protocol;
  readonly addresses: readonly HostPort[];
  /** `redis://:secret@...`: of all targets. */
  readonly password: string | undefined;
}

const schemes: Readonly<Record<string, Protocol>> = { "redis:": "resp", "ws:": "ws", "http:": "http" };

/** A string says what is wrong. */
export const parseTargets = (text: string): Targets | string => {
  const parsed: { protocol: Protocol; address: HostPort; password: string | undefined }[] = [];
  for (const part of text.split(",").map((word) => word.trim())) {
    if (part === "") continue;
    const target = part.includes("://") ? parseUrl(part) : parsePlain(part);
    if (typeof target === "string") return target;
    parsed.push(target);
  }
  const [first] = parsed;
  if (first === undefined) return "no target named";
  if (parsed.some(({ protocol }) => protocol !== first.protocol)) return "all targets of a run speak one protocol";
  if (parsed.some(({ password }) => password !== first.password)) return "all targets of a run have one password";
  return { protocol: first.protocol, addresses: parsed.map(({ address }) => address), password: first.password };
};

const parsePlain = (text: string) => {
  const address = parseHostPort(text);
  return address === undefined
    ? `expected host:port, redis://, ws:// or http://, got "${text}"`
    : { protocol: "resp" as const, address, password: undefined };
};

const parseUrl = (text: string) => {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const protocol = schemes[url?.protocol ?? ""];
  if (url === undefined || protocol === undefined) return `expected redis://, ws:// or http://, got "${text}"`;
  const portOf: Record<Protocol, number> = { resp: 6379, ws: 80, http: 80 };
  const port = url.port === "" ? portOf[protocol] : Number(url.port);
  const address = { host: url.hostname.replace(/^\[|\]$/g, ""), port };
  return { protocol, address, password: url.password === "" ? undefined : decodeURIComponent(url.password) };
};

export const targetsToText = ({ protocol, addresses }: Targets): string => {
  const scheme = { resp: "redis", ws: "ws", http: "http" }[protocol];
  return addresses.map((address) => `${scheme}://${hostPortToText(address)}`).join(",");
};
