/** A change of the feed as the JSON of a WireChange (protocol/client-messages.ts), without an object in between. */
import type { Change } from "../feed/change.ts";
import { stampToMs } from "../replica/index.ts";
import { latin1ToJson } from "./client-socket-bytes.ts";

export const changeToJson = (change: Change, withValue: boolean): string => {
  const { type, key, value, expiresAtMs, origin, seq, stamp } = change;
  const shown = withValue && value !== undefined ? `,"value":${latin1ToJson(value)}` : "";
  const expiry = expiresAtMs > 0 ? `,"expiresAtMs":${expiresAtMs}` : "";
  const head = `{"type":"${type}","key":${latin1ToJson(key)}${shown}${expiry}`;
  return `${head},"origin":"${origin}","seq":${seq},"stamp":${stamp},"stampMs":${stampToMs(stamp)}}`;
};
