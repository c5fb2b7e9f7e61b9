/** The TCP port's bounds, gathered so that tests can use small ones. What happens at each: protocol/limits.ts. */
import * as bounds from "../../protocol/limits.ts";

export const tcpLimits = {
  connectionsMax: bounds.connectionsMax,
  unauthenticatedConnectionsMax: bounds.unauthenticatedConnectionsMax,
  authenticateMs: bounds.authenticateMs,
  queuedInputBytesMax: bounds.queuedInputBytesMax,
  turnCommandsMax: bounds.turnCommandsMax,
  turnMs: bounds.turnMs,
  turnReplyBytes: bounds.turnReplyBytes,
  unauthenticatedTurnCommandsMax: bounds.unauthenticatedTurnCommandsMax,
  heldReplyBytesMax: bounds.heldReplyBytesMax,
  replyBytesMax: bounds.replyBytesMax,
  replyBytesSoft: bounds.replyBytesSoft,
  replySoftMs: bounds.replySoftMs,
  pushBytesMax: bounds.pushBytesMax,
  pushBytesSoft: bounds.pushBytesSoft,
  pushSoftMs: bounds.pushSoftMs,
  unauthenticatedReplyBytesMax: bounds.unauthenticatedReplyBytesMax,
  closeLingerMs: bounds.closeLingerMs,
  halfClosedMs: bounds.halfClosedMs,
} as const satisfies Readonly<Record<string, number>>;

export type TcpLimits = { readonly [Name in keyof typeof tcpLimits]: number };
