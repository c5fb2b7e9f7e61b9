/** The bounds of `/client`, gathered so that tests can use small ones. What happens at each: protocol/limits.ts. */
import * as bounds from "../../protocol/limits.ts";

export const clientSocketLimits = {
  socketsMax: bounds.clientSocketsMax,
  unauthenticatedSocketsMax: bounds.unauthenticatedClientSocketsMax,
  helloMs: bounds.authenticateMs,
  helloBytesMax: bounds.clientHelloBytesMax,
  helloSocketBytesMax: bounds.clientHelloSocketBytesMax,
  messageBytesMax: bounds.clientMessageBytesMax,
  queuedInputBytesMax: bounds.queuedInputBytesMax,
  turnCommandsMax: bounds.turnCommandsMax,
  unauthenticatedTurnCommandsMax: bounds.unauthenticatedTurnCommandsMax,
  turnMs: bounds.turnMs,
  turnReplyBytes: bounds.turnReplyBytes,
  heldReplyBytesMax: bounds.heldReplyBytesMax,
  replyBytesMax: bounds.replyBytesMax,
  replyBytesSoft: bounds.replyBytesSoft,
  replySoftMs: bounds.replySoftMs,
  feedQueueBytesMax: bounds.feedQueueBytesMax,
  subscriptionsMax: bounds.clientSubscriptionsMax,
  staleAfterMs: bounds.staleAfterMsDefault,
  pingMs: bounds.clientPingMs,
  silentMs: bounds.clientSilentMs,
  closeMs: bounds.clientCloseMs,
} as const satisfies Readonly<Record<string, number>>;

export type ClientSocketLimits = { readonly [Name in keyof typeof clientSocketLimits]: number };
