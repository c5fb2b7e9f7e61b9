/** FAULT: breaks something on purpose, at peers started with --fault-links only. */
import type { LinkFault } from "../../protocol/status.ts";
import type { Handler, Handlers } from "./context.ts";
import { quoted, syntaxError } from "./errors.ts";
import { containerHelp } from "./help.ts";

const directions: ReadonlyMap<string, Exclude<LinkFault, "none">> = new Map([
  ["SEND", "send"],
  ["RECEIVE", "receive"],
  ["BOTH", "both"],
]);

const link: Handler = (session, words, { host }) => {
  const { reply } = session;
  const action = words[2].toUpperCase();
  const peer = words[3];
  const what = directions.get(words[4]?.toUpperCase() ?? "BOTH");
  const lists = action === "LIST" && words.length === 3;
  const changes = (action === "CUT" || action === "HEAL") && words.length > 3 && words.length <= 5;
  if (what === undefined || !(lists || changes)) {
    reply.error(syntaxError);
  } else if (host.linkFaults === undefined) {
    reply.error("ERR FAULT is for peers started with --fault-links, which this one was not");
  } else if (lists) {
    const faults = host.linkFaults.list();
    reply.map(faults.size);
    for (const [name, fault] of faults) {
      reply.bulk(name);
      reply.bulk(fault);
    }
  } else if (action === "CUT" ? host.linkFaults.cut(peer, what) : host.linkFaults.heal(peer, what)) {
    reply.simple("OK");
  } else {
    reply.error(`ERR no other peer ${quoted(peer)} in this cluster`);
  }
};

export const faultHandlers: Handlers = { "fault|link": link, "fault|help": containerHelp("fault") };
