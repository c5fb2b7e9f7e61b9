/**
 * Every bound of Chorus, with its unit and what happens at it. A queue, buffer, batch or message without an entry here
 * is a bug. Each area has its own heading.
 */

// ---- Data -----------------------------------------------------------------------------------------------------------

/** Longest key. A longer one: `ERR key is too long`, nothing is written. */
export const keyBytesMax = 64 * 1024;
/** Longest value. A longer one: Redis's protocol or string-size error, nothing is written. */
export const valueBytesMax = 16 * 1024 * 1024;
/** Bytes one EXEC may write. Beyond: EXECABORT, nothing is written. */
export const execBytesMax = 16 * 1024 * 1024;

// ---- Replication ----------------------------------------------------------------------------------------------------

/** Longest frame. The origin seals before it; a receiver refuses a longer one and closes the link. */
export const frameBytesMax = 40 * 1024 * 1024;
/** An open frame beyond this is sealed before the next command, so frames stay small and links fair. */
export const frameBytesSoft = 64 * 1024;
/**
 * Frames are joined to link messages of about this many bytes. A message is applied in one go, so it is how long the
 * receiver's clients may wait: some 700 writes of 64 bytes, about 5 ms.
 */
export const framesMessageBytes = 64 * 1024;
/** Longest link message: one frame with its envelope. Longer: the link is closed. */
export const linkMessageBytesMax = frameBytesMax + 64 * 1024;
/** Frames that wait for their causes, per link. Beyond: dropped, and fetched again from the sender's log. */
export const waitingFramesMax = 4096;
export const waitingBytesMax = 64 * 1024 * 1024;
/** Bytes of log asked for at once while a link catches up. More: fewer turns; less: shorter pauses for others. */
export const catchUpBatchBytes = 256 * 1024;
/** Bytes of cells per transfer message: about 2 ms of encoding. */
export const sliceBytes = 256 * 1024;
/** Bytes of cells per checkpoint slice: about 1 ms of encoding, a shard of 1,000 cells. One cell may be longer. */
export const checkpointSliceBytes = 128 * 1024;
/** Bytes of slices that are written as one batch, with one sync: under 1 ms of copying. More: fewer syncs. */
export const checkpointWriteBytes = 512 * 1024;
/** Facts kept per peer until they count: the oldest and the newest ones. */
export const factsPerPeerMax = 4;
/** Conflict journal: entries and bytes. Beyond: the oldest go, and are counted. */
export const conflictsMaxDefault = 10_000;
export const conflictBytesMax = 64 * 1024 * 1024;
/** Keys a DIFF lists. Beyond: the list is cut and says so. */
export const diffKeysMax = 1000;

// ---- TCP port: requests ---------------------------------------------------------------------------------------------

/** Arguments of one command. More: Redis's `invalid multibulk length`, the connection closes. */
export const argumentsMax = 1024 * 1024;
/** Counted for each argument besides its bytes: about what a string and its place in the array take. */
export const argumentOverheadBytes = 16;
/** One command in all, arguments and overhead. More: protocol error, the connection closes. */
export const commandBytesMax = 20 * 1024 * 1024 + argumentsMax * argumentOverheadBytes;
/** One inline (plain text) line. Longer: `too big inline request`, the connection closes. */
export const inlineBytesMax = 64 * 1024;
/** Before authentication: arguments, bytes of one, bytes of a line. More: Redis's `unauthenticated ...`, closes. */
export const unauthenticatedArgumentsMax = 10;
export const unauthenticatedBulkBytesMax = 16 * 1024;
export const unauthenticatedInlineBytesMax = 16 * 1024;

// ---- TCP port: replies ----------------------------------------------------------------------------------------------

/** Replies one connection may have waiting (Redis's hard output limit). More: the connection closes at once. */
export const replyBytesMax = 64 * 1024 * 1024;
/** Waiting replies beyond this for `replySoftMs`: the connection closes. Below it a slow reader is only paused. */
export const replyBytesSoft = 16 * 1024 * 1024;
export const replySoftMs = 30_000;
/**
 * The same for a connection that is sent messages or monitors (Redis's client-output-buffer-limit pubsub): more than the
 * first, or more than the second for so long: the connection closes. Being only paused would keep it from nothing.
 */
export const pushBytesMax = 32 * 1024 * 1024;
export const pushBytesSoft = 8 * 1024 * 1024;
export const pushSoftMs = 60_000;
/** The same before authentication: closes at once. */
export const unauthenticatedReplyBytesMax = 64 * 1024;

// ---- TCP port: connections ------------------------------------------------------------------------------------------

/** Connections at a time. More: `ERR max number of clients reached`, closed. */
export const connectionsMax = 10_000;
/** Of these, connections that have yet to authenticate. More: the same. */
export const unauthenticatedConnectionsMax = 1000;
/** Time for the PROXY header of a connection from a trusted balancer. Later, or too long: closed. */
export const proxyHeaderMsMax = 3000;
/** Time to authenticate. Later: closed. */
export const authenticateMs = 10_000;
/** Bytes of one read, and of the socket's write buffer before it asks us to wait. */
export const socketBufferBytes = 64 * 1024;
/** Commands read but not run (a lock, a slow reader, a budget). More: the socket is not read until they ran. */
export const queuedInputBytesMax = 128 * 1024;
/** What one connection may do in one turn; then the others come first. Commands, milliseconds, bytes of replies. */
export const turnCommandsMax = 1000;
export const turnMs = 2;
export const turnReplyBytes = 1024 * 1024;
/** Commands per turn of a connection that has yet to authenticate. */
export const unauthenticatedTurnCommandsMax = 16;
/** Replies made but held back until they are durable. More: no further commands of this connection until some went. */
export const heldReplyBytesMax = replyBytesSoft;
/** After the last reply of a closing connection: time for the client to read it and close. Then it is cut. */
export const closeLingerMs = 1000;
/** A client that has closed its sending side gets this long to be answered and to read. Then it is cut. */
export const halfClosedMs = 60_000;
/** Longest wait for running commands and their replies when the port closes. Then connections are cut. */
export const portCloseMs = 5000;
/** Idle connections are probed by TCP after this long, so that a vanished client is found. */
export const keepAliveMs = 60_000;

if (frameBytesMax < execBytesMax + valueBytesMax + keyBytesMax) throw new Error("a frame must hold one whole EXEC");

// ---- Links between peers --------------------------------------------------------------------------------------------

/** Peers in one cluster. More: the configuration is refused (a hello names them all and must stay small). */
export const peersMax = 64;
/** Longest message before authentication. Longer: refused with BAD_MESSAGE, the socket is closed. */
export const handshakeMessageBytesMax = 4 * 1024;
/** Bytes, and reads, of an unauthenticated socket, all told. Beyond: destroyed, whatever length a frame claims. */
export const handshakeBytesMax = 8 * 1024;
export const handshakeChunksMax = 1024;
/** Time for the whole handshake. Beyond: the socket is closed. */
export const handshakeTimeoutMs = 3000;
/** Unauthenticated sockets, in all and of one address. Beyond: HTTP 503, closed. */
export const unauthenticatedMax = 64;
export const unauthenticatedPerAddressMax = 16;
/** Failed authentications an address may make before it must wait. Then: HTTP 429 until its back-off is over. */
export const authFailuresFree = 5;
/** Addresses whose failures are remembered. Beyond: the oldest is forgotten. */
export const authAddressesMax = 1024;
/** Queue of a link: above high onLinkWritable will be called once it is below low; senders stop above high. */
export const linkQueueHighBytes = 4 * 1024 * 1024;
export const linkQueueLowBytes = 1024 * 1024;
/** A turn of the event loop that has lasted so long reads no further messages: one read of 64 KiB takes some 2 ms. */
export const linkTurnMs = 1;
/** Beyond this the link is closed; the replica goes on from its log. */
export const linkQueueBytesMax = 64 * 1024 * 1024;
/** Fragments of one link message; we send one. More: the link is closed. */
export const linkFragmentsMax = 16;
/** Reads that one link message may arrive in: the largest one in segments of 512 bytes. More: the link is closed. */
export const linkChunksMax = Math.ceil(linkMessageBytesMax / 512);

if (linkQueueBytesMax < linkQueueHighBytes + linkMessageBytesMax)
  throw new Error("a full link queue has room for a message");
if (peersMax * 35 + 1024 > handshakeMessageBytesMax) throw new Error("a hello must hold the names of all peers");

// ---- HTTP -----------------------------------------------------------------------------------------------------------

/** Open connections of the HTTP port, links and client WebSockets among them. Beyond: closed at once. */
export const httpConnectionsMax = 5120;
/** Headers of a request, its URL among them: bytes (beyond: HTTP 431) and count (the rest is ignored). */
export const httpHeaderBytesMax = 16 * 1024;
export const httpHeadersMax = 64;
/** Time for the headers, for the whole request, and between two requests. Beyond: HTTP 408 or closed. */
export const httpHeadersTimeoutMs = 5000;
export const httpRequestTimeoutMs = 30_000;
export const httpKeepAliveTimeoutMs = 5000;
/** How long a server that stops answers on connections kept alive, telling each to end, before it closes those left. */
export const httpDrainMs = 200;
/** Who is refused while its body comes is read so long, that it sees the answer. Then it is cut. */
export const httpLingerMs = 1000;
/** Bodies of all requests that are being read. Beyond: HTTP 503 TOO_MANY. One body: `valueBytesMax`, beyond HTTP 413. */
export const httpBodiesBytesMax = 256 * 1024 * 1024;
/** Requests of one HTTP port that wait for an answer. More: HTTP 503 TOO_MANY. */
export const httpCallsMax = 10_000;
/**
 * Requests that were sent behind others on their connections and wait for their turn, of all connections. More: the
 * connection that sent one more is cut, since node reads on while the first is answered, without a bound of its own.
 */
export const httpPipelinedMax = 10_000;
/** A peer's answer to a request. Later, as when --acks waits for peers that are gone: HTTP 504, the outcome is unknown. */
export const httpAnswerMs = 30_000;
/** How long a request waits until the peer has what its session saw. Then: HTTP 503 STALE. */
export const httpStaleAfterMs = 5000;
/** Longest session token given out; it travels in a header. A read that saw more keeps the token it came with. */
export const sessionTokenBytesMax = 3 * 1024;
/** A browser keeps its session for so long after its last write: far longer than replication takes. */
export const sessionCookieSeconds = 60;
/** Keys of one page of `GET /kv`: unless asked, and at most asked for. A page may hold a few more. */
export const listKeysDefault = 100;
export const listKeysMax = 1000;
/** How long one page looks for keys of a rare prefix. Then it ends early, with a cursor. */
export const listPageMs = 200;
if (httpBodiesBytesMax < 4 * valueBytesMax) throw new Error("some of the longest values must be read at once");
if (commandBytesMax < valueBytesMax + keyBytesMax) throw new Error("one command must hold the longest value");

// ---- Commands -------------------------------------------------------------------------------------------------------

/** Steps of matching one key against a glob pattern: some milliseconds. Beyond: the command answers an error. */
export const globStepsMax = 500_000;
/** Longest pattern of KEYS, SCAN and the like. Longer: an error. */
export const patternBytesMax = keyBytesMax;
/** Keys one SCAN call looks at, whatever COUNT asks for. Beyond: the call ends early, with a cursor to go on from. */
export const scanCountMax = 10_000;
/** Time KEYS takes before it lets the event loop turn, and SCAN before it ends early. */
export const keysSliceMs = 2;
/** Commands queued after MULTI, and their bytes. Beyond: an error, and EXEC answers EXECABORT. */
export const queuedCommandsMax = 128 * 1024;
export const queuedCommandBytesMax = 32 * 1024 * 1024;
/** Keys one connection may WATCH. Beyond: an error. */
export const watchedKeysMax = 10_000;
/** Keys that FLUSHALL deletes inside MULTI. More: EXECABORT, nothing is written. */
export const flushInExecKeysMax = 10_000;
/** Longest name of a client or its library. Longer: an error. */
export const clientNameBytesMax = 1024;
/** Cells of the table LCS fills, of 4 bytes: Redis's own bound, `proto-max-bulk-len`. More: Redis's error. */
export const lcsCellsMax = valueBytesMax / 4;

/** Channels and patterns of one connection, and their bytes. Beyond: SUBSCRIBE answers an error. */
export const subscriptionsMax = 100_000;
export const subscriptionBytesMax = 16 * 1024 * 1024;
/** Of a command MONITOR shows: bytes of an argument, and arguments. Beyond: cut, with what was left out. */
export const monitorArgumentBytesMax = 4096;
export const monitorArgumentsMax = 128;

/** Of a command SLOWLOG shows: bytes of an argument, and arguments (Redis's own). Beyond: cut, with what was left out. */
export const slowLogArgumentBytesMax = 128;
export const slowLogArgumentsMax = 32;
/** Entries SLOWLOG keeps at most, whatever `slowlog-max-len` asks for: 40 MB of the longest. Beyond: the oldest go. */
export const slowLogEntriesMax = 10_000;
/** Samples LATENCY keeps of each event (Redis's own). Beyond: the oldest go. */
export const latencySamplesMax = 160;
/** Kinds of error replies counted by their code. Beyond: under `other`. */
export const errorCodesMax = 64;
/** A call with a longer third word is always timed: copying it takes long. */
export const briefArgumentBytesMax = 16 * 1024;

// ---- Storage --------------------------------------------------------------------------------------------------------

/** Longest log record: a frame with its envelope. `append` refuses a longer one; a longer claim in a file is damage. */
export const logRecordBytesMax = 64 * 1024 * 1024;
/** Longest note of a log segment (an encoded version vector). `roll` refuses a longer one; in a file it is damage. */
export const segmentNoteBytesMax = 16 * 1024 * 1024;
/** A log segment this long is followed by a new one. More: fewer files; less: the log is trimmed in finer steps. */
export const segmentBytesDefault = 16 * 1024 * 1024;
/** Bytes of records handed out at once while the log is replayed at a start. */
export const replayBatchBytes = 1024 * 1024;
/** Bytes and entries of the checkpoint handed out at once: bounds the pause per batch and the memory held by it. */
export const checkpointBatchBytes = 256 * 1024;
export const checkpointBatchEntries = 1000;
/** Less free space than this at a start is warned of. */
export const diskFreeBytesLow = 512 * 1024 * 1024;

if (logRecordBytesMax < frameBytesMax) throw new Error("a log record must hold one whole frame");

// ---- Backup -----------------------------------------------------------------------------------------------------------

/** Backups a peer streams at a time. More: HTTP 503. */
export const backupsMax = 2;
/** Bytes of cells per slice: under 1 ms of encoding and hashing, with a pause behind it. */
export const backupSliceBytes = 64 * 1024;
/** Unsent bytes of one backup: above, it waits until its reader has read. */
export const backupQueueBytesMax = 1024 * 1024;
/** A reader that takes nothing for so long is cut: until then it holds the log back, up to its retention. */
export const backupStallMs = 60_000;
/** Longest record of a backup file: a frame, or a cell, with its envelope. A longer claim is damage. */
export const backupRecordBytesMax = 64 * 1024 * 1024;
/** Cells that a restore writes to the checkpoint at once, with one sync. */
export const restoreBatchBytes = 4 * 1024 * 1024;

/** `chorus export`: keys, and bytes of values, asked for at once. A longer value goes alone. */
export const exportBatchKeys = 500;
export const exportBatchBytes = 1024 * 1024;
/** Strong keys, of 64 KiB at most, one operation each. */
export const exportStrongAtOnce = 64;
/** `chorus import`: entries, and bytes, of one MSET; its atomic step should stay small for the peers' clients. */
export const importBatchKeys = 100;
export const importBatchBytes = 32 * 1024;
/** Sent and not answered. More: nothing more is read meanwhile. */
export const importBatchesInFlightMax = 256;
export const importInFlightBytesMax = 8 * 1024 * 1024;
/** Longest line: the longest key and value as text with an escape for every character. Longer: the line is refused. */
export const importLineBytesMax = 2 * (valueBytesMax + keyBytesMax) + 64 * 1024;
/** Keys asked of a Redis per round trip. */
export const redisScanCount = 500;
/** A Redis that says nothing for so long is given up. */
export const redisSilenceMs = 30_000;

if (backupRecordBytesMax < frameBytesMax + 64 * 1024) throw new Error("a backup's record must hold one whole frame");

// ---- Command line and cluster script --------------------------------------------------------------------------------

/** A client password. Outside: the peer does not start. */
export const passwordBytesMin = 8;
export const passwordBytesMax = 1024;
/** Peers that one `npm start` runs, named a to z. More: refused. */
export const clusterPeersMax = 26;
/** What a peer may take to stop cleanly. Then the process ends with exit code 1; its parent waits a little longer. */
export const peerCloseMsMax = 30_000;
export const clusterStopMsMax = peerCloseMsMax + 5000;
/** A whole answer to the command line's `GET /status`: bytes and time. Beyond: the peer counts as unreachable. */
export const statusBytesMax = 4 * 1024 * 1024;
export const statusMsMax = 2000;
/** One order on the cluster's control socket, and the wait for its answer (a clean stop comes first). */
export const controlLineBytesMax = 4096;
export const controlAnswerMsMax = clusterStopMsMax + 25_000;
/** A peer's log file of `npm start` beyond this is set aside as `.log.1` at its next start. */
export const peerLogFileBytesMax = 16 * 1024 * 1024;
if (pushBytesSoft >= pushBytesMax || pushBytesMax > replyBytesMax)
  throw new Error("pushes are held tighter than replies");
if (replyBytesSoft >= replyBytesMax) throw new Error("the soft output limit must be below the hard one");
if (replyBytesMax < 2 * valueBytesMax) throw new Error("a client must be able to read the longest value");
if (unauthenticatedConnectionsMax >= connectionsMax) throw new Error("strangers must leave room for clients");

// ---- The client WebSocket and the feed of changes -------------------------------------------------------------------

/** Longest position or watch token: a version vector as text. Longer: BAD_POSITION. */
export const positionBytesMax = 64 * 1024;
/** Records of log read at once for a watch that catches up. */
export const feedBatchBytes = 256 * 1024;
/** Streams of GET /watch at a time. More: HTTP 503. */
export const watchStreamsMax = 256;
/** Unsent bytes of one of them: above, it stops, and goes on from the log once it has read. */
export const watchStreamBytesMax = 1024 * 1024;
/** One that takes nothing for so long is cut. */
export const watchStallMs = 60_000;
/** A comment, so that proxies and readers know that the stream lives. */
export const watchBeatMs = 15_000;
/** Unsent bytes of one subscriber: above, its watch stops and goes on from the log once it has read (`lagging`). */
export const feedQueueBytesMax = 4 * 1024 * 1024;

// ---- The client WebSocket ---------------------------------------------------------------------------------------------

/** Client WebSockets at a time. More: HTTP 503. The HTTP port has room for links and requests beside them. */
export const clientSocketsMax = 4096;
/** Of these, such as have not said hello yet. More: HTTP 503. `authenticateMs` later they are closed. */
export const unauthenticatedClientSocketsMax = 256;
/** Longest message before hello: it may carry a position. Longer: BAD_MESSAGE. */
export const clientHelloBytesMax = positionBytesMax + 16 * 1024;
/** All bytes of a socket before its hello. Beyond: destroyed, whatever length a frame claims. */
export const clientHelloSocketBytesMax = 2 * clientHelloBytesMax;
/** Longest message: a SET of the longest value, in base64 or as text with an escape for every character. BAD_MESSAGE. */
export const clientMessageBytesMax = 2 * (valueBytesMax + keyBytesMax) + 64 * 1024;
/** A message beyond this is not even taken in: the WebSocket is closed with 1009. */
export const clientMessageBytesHard = clientMessageBytesMax + 1024 * 1024;
/** Fragments of one message; browsers make them of 64 KiB and less. More: the WebSocket is closed with 1008. */
export const clientFragmentsMax = 16 * 1024;
/** Reads that one message may arrive in: the largest one in segments of 512 bytes. More: closed with 1008. */
export const clientChunksMax = Math.ceil(clientMessageBytesHard / 512);
/** Subscriptions of one client WebSocket. More: TOO_MANY. */
export const clientSubscriptionsMax = 64;
/** JSON of conflicts in one message; a longer conflict goes alone. */
export const conflictsMessageBytes = 256 * 1024;
/** Conflicts that came while a subscriber did not read, beyond those of the journal. More: it is sent the journal anew. */
export const pendingConflictsMax = 1000;
/** How long commands wait for the position of hello, unless it says. Then: STALE. */
export const staleAfterMsDefault = 5000;
/** A client WebSocket that said nothing for so long is pinged; silent for longer, it is cut. */
export const clientPingMs = 10_000;
export const clientSilentMs = 30_000;
/** After our close frame: time for the client's. Then it is cut. */
export const clientCloseMs = 2000;

if (clientSocketsMax + 1024 > httpConnectionsMax) throw new Error("client WebSockets must leave room for links");
if (clientMessageBytesMax < 1.5 * valueBytesMax) throw new Error("one message must hold the longest value in base64");

// ---- The TypeScript client --------------------------------------------------------------------------------------------

/** Longest message a client takes from a peer: a reply of `replyBytesMax`, and room. Longer: the connection ends. */
export const clientReceivedBytesMax = 2 * replyBytesMax;
/** Commands sent and not answered. More wait in the client, where a failover needs no second sending. */
export const clientCommandsInFlightMax = 1000;
/** Their bytes, one command aside: what a peer reads before it stops reading, and as much again. */
export const clientInFlightBytesMax = 2 * queuedInputBytesMax;
/** Calls of one client that wait, sent or not, and their bytes. More: TOO_MANY. */
export const clientPendingCallsMax = 100_000;
export const clientPendingBytesMax = 128 * 1024 * 1024;
/** Changes, conflicts and the like that nobody has pulled yet, per subscription: beyond, it is cancelled until they are. */
export const clientFeedBytesMax = 1024 * 1024;
/** Conflicts that a watcher of conflicts has been given, by id: more than any journal of default size. Beyond: given again. */
export const clientConflictsKnownMax = 4 * conflictsMaxDefault;

// ---- The terminal UI ------------------------------------------------------------------------------------------------

/** Seconds of ops/s kept for its chart. Beyond: the oldest go. */
export const tuiHistorySecondsMax = 120;
/** Keys, and their bytes, loaded into its list. Then a filter must narrow it. */
export const tuiLoadedKeysMax = 100_000;
export const tuiLoadedKeyBytesMax = 32 * 1024 * 1024;
/** Keys one "load more" brings, about. */
export const tuiPageKeys = 500;
/** Bytes of a value that it asks for, shows and edits. */
export const tuiPreviewBytesMax = 64 * 1024;
/** Changes a second asked for; the peer leaves the others out and counts them. */
export const tuiFeedPerSecondMax = 100;
/** Changes kept, and bytes of their keys. Beyond: the oldest go. */
export const tuiFeedChangesMax = 1000;
export const tuiFeedKeyBytesMax = 4 * 1024 * 1024;
/** Conflicts kept, and bytes of each of their values. Beyond: the oldest go, values are cut; the peer has all. */
export const tuiConflictsMax = 1000;
export const tuiConflictValueBytesMax = 4096;
/** Lines of replies kept, and lines of one reply. Beyond: the oldest go, the reply is cut and says so. */
export const tuiConsoleLinesMax = 2000;
export const tuiConsoleReplyLinesMax = 500;
/** Lines of history, and characters of one. Beyond: the oldest go, a longer line is not remembered. */
export const tuiConsoleHistoryMax = 200;
export const tuiConsoleHistoryLineMax = 4096;
/** Longest line a person may type or paste: 64 KiB as escapes of four characters. More is not taken. */
export const tuiEditorCharsMax = 256 * 1024;
/** Keys a bulk delete removes per command. */
export const tuiBulkDeleteBatchKeys = 500;

// ---- The gateway ------------------------------------------------------------------------------------------------------

/** Peers a gateway goes to, named and told of. More: the configuration is refused, or those told of are left out. */
export const gatewayPeersMax = peersMax;
/** Memory of the read cache unless the settings say otherwise. Beyond: what was not read for longest goes. */
export const cacheBytesDefault = 64 * 1024 * 1024;
/** Counted for each cached key besides its bytes: entry, its place in two lists, and what the routes make of it. */
export const cacheEntryOverheadBytes = 600;
/** Longest value that is cached. A longer one is asked for each time. */
export const cachedValueBytesMax = 1024 * 1024;
/** Keys changed lately that are remembered, so that a read begun before is not cached. Beyond: remembered for less long. */
export const recentChangesMax = 100_000;
/** Calls of a gateway under way at one peer, and their bytes. More wait; what waits for longer than its time: TIMEOUT. */
export const gatewayInFlightMax = 1000;
export const gatewayInFlightBytesMax = 2 * queuedInputBytesMax;
/** Calls that wait in a gateway for a peer, and their bytes. More: TOO_MANY. */
export const gatewayPendingCallsMax = 20_000;
export const gatewayPendingBytesMax = 64 * 1024 * 1024;
/** TCP connections carried at a time. More: closed at once. */
export const gatewayConnectionsMax = 10_000;
/** Bytes of one read of a carried connection, and unsent ones at which its other side is no longer read. */
export const gatewayBufferBytes = 64 * 1024;
/** What is kept for reading from each carried connection's peer, to begin with; a full read makes it more, up to the above. */
export const gatewayReadBytesMin = 4 * 1024;
/** A carried connection waits so long for a peer that takes it. Then it is closed. */
export const gatewayConnectMsMax = 5000;
/** How long a gateway looks for a peer to go on with a watch at. Then the stream ends; its reader comes back with its id. */
export const gatewayWatchGapMs = 15_000;
/** What a gateway may take to stop beside `--drain`. Then the process ends with exit code 1. */
export const gatewayCloseMsMax = 10_000;
/** What `--drain` may ask for. */
export const drainMsMax = 600_000;

// ---- Strong keys (registers) ----------------------------------------------------------------------------------------

/** Longest value of a strong key: each write carries it whole to every peer. Longer: refused, nothing is written. */
export const registerValueBytesMax = 64 * 1024;
/** Prefixes of strong keys, and bytes of one. */
export const strongPrefixesMax = 16;
export const strongPrefixBytesMax = 64;
/** Waiting operations of one key that go into one round. More wait for the next; each has its own version. */
export const operationsPerRoundMax = 63;
/** Operation ids a register remembers, and the last rounds that changed it. Beyond: the oldest go; see docs/STRONG.md. */
export const operationIdsKept = 32;
export const registerRoundsKept = 16;
/** Bytes of one operation id. Longer: refused. */
export const operationIdBytesMax = 64;
/** An answer kept for a retry. A longer one is not kept: a retry by another peer learns that it took effect, no more. */
export const keptReplyBytesMax = 1024;
/** Locks one register remembers the highest fencing token of, and bytes of their names. More: the write is refused. */
export const fencesPerRegisterMax = 8;
export const fenceLockBytesMax = 256;
/** A whole register as bytes. Longer ones of a peer are refused with their message. */
export const registerBytesMax = 128 * 1024;
/** Ballot counters stop here: times `operationsPerRoundMax + 1` they are versions, which must stay exact. */
export const ballotCounterMax = 2 ** 47 - 1;
/** A counter further above all that this peer has seen is no counter but damage: refused. */
export const ballotJumpMax = 2 ** 40;
/** Operations of clients that wait at one peer, and their bytes. More: refused as BUSY, certainly not done. */
export const operationsWaitingMax = 20_000;
export const operationsWaitingBytesMax = 64 * 1024 * 1024;
/** Keys an acceptor has only promised. More: they are forgotten together, and its floor rises above them. */
export const promisesOnlyMax = 10_000;
/** Keys whose next round a proposer was promised with the last. More: such keys need one round trip more. */
export const promisesCachedMax = 20_000;
/** Rounds a peer makes at a time to sweep deleted keys and to end leases. More of them wait their turn. */
export const sweepsAtOnceMax = 32;
/** Keys in one answer to a peer that is being readmitted. */
export const registerKeysPerPage = 500;
/** Bytes after which register messages go as one. A single message may be longer. */
export const registerMessageBytes = 64 * 1024;

if ((ballotCounterMax + 1) * (operationsPerRoundMax + 1) - 1 > Number.MAX_SAFE_INTEGER)
  throw new Error("versions must be exact");
if (
  registerBytesMax <
  registerValueBytesMax +
    operationIdsKept * (operationIdBytesMax + keptReplyBytesMax + 32) +
    fencesPerRegisterMax * (fenceLockBytesMax + 16) +
    registerRoundsKept * 128
) {
  throw new Error("a register must hold the longest value and all it remembers");
}
