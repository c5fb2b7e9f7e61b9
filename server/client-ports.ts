/**
 * The ways in for clients, opened and closed together: TCP, the client WebSocket, keys over HTTP, watches, backups. All run
 * commands by one executor in one turn, and a session's id is its own whichever way it came.
 */
import { portCloseMs } from "../protocol/limits.ts";
import { originId } from "../protocol/words.ts";
import { BackupStreams } from "./backup/backup-streams.ts";
import type { Executor } from "./commands/execute.ts";
import { stopListening } from "./commands/pubsub.ts";
import type { Session } from "./commands/session.ts";
import type { PeerConfig } from "./config.ts";
import type { ConflictFeed } from "./feed/conflict-feed.ts";
import type { ReplicaFeed } from "./feed/replica-feed.ts";
import type { PeerHost } from "./host.ts";
import type { Logger } from "./logger.ts";
import type { Welcome } from "./ports/client-socket-owner.ts";
import { ClientSocketPort } from "./ports/client-socket-port.ts";
import { TcpPort } from "./ports/tcp.ts";
import { WatchStreams } from "./ports/watch-stream.ts";
import type { Replica } from "./replica/index.ts";
import { addressTest } from "./settings.ts";
import type { SliceGate } from "./slice-gate.ts";
import type { Log } from "./storage/storage.ts";
import type { TurnLoop } from "./turn-loop.ts";
import { PeerBackend } from "./web/peer-backend.ts";

export interface ClientPortsParts {
  readonly config: PeerConfig;
  readonly version: string;
  readonly replica: Replica;
  readonly log: Log;
  readonly loop: TurnLoop;
  readonly gate: SliceGate;
  readonly feed: ReplicaFeed;
  readonly conflicts: ConflictFeed;
  readonly host: PeerHost;
  readonly executor: Executor;
  readonly logger: Logger;
  readonly wallMs: () => number;
  readonly status: () => unknown;
  readonly welcome: () => Welcome;
  /** The log cannot be read, or a bug: the peer stops. */
  readonly onFailure: (error: unknown) => void;
}

export class ClientPorts {
  readonly tcp: TcpPort;
  readonly sockets: ClientSocketPort;
  readonly web: PeerBackend;
  readonly watches: WatchStreams;
  readonly backups: BackupStreams;
  #lastSessionId = 0;

  constructor(parts: ClientPortsParts) {
    const { config, version, replica, log, loop, gate, feed, conflicts, host, executor, logger, onFailure } = parts;
    const nextSessionId = (): number => ++this.#lastSessionId;
    const readRefusal = (): string | undefined => host.readRefusal();
    const { checkPassword } = host;
    this.tcp = new TcpPort({
      host: config.bind,
      port: config.tcpPort,
      execute: executor,
      turn: loop,
      requiresAuthentication: config.password !== undefined,
      ...(config.proxies.length === 0 ? {} : { isTrustedProxy: addressTest(config.proxies) }),
      nextSessionId,
      onSessionClosed: (session) => stopListening(session, host),
    });
    this.watches = new WatchStreams({ feed, readRefusal, checkPassword });
    this.web = new PeerBackend({
      execute: executor,
      turn: loop,
      feed,
      run: () => originId(config.name, replica.state.incarnation),
      nextSessionId,
    });
    this.backups = new BackupStreams({
      replica,
      log,
      begin: () => loop.begin(),
      flush: () => loop.flush(),
      pass: (pauseMs) => gate.pass(pauseMs),
      wallMs: parts.wallMs,
      header: () => ({ cluster: config.clusterId, peer: config.name, version }),
      readRefusal,
      checkPassword,
      onEvent: (words, facts) => logger.info(facts, words),
      onFailure,
    });
    this.sockets = new ClientSocketPort({
      execute: executor,
      turn: loop,
      feed,
      conflicts,
      status: parts.status,
      readRefusal,
      checkPassword,
      welcome: parts.welcome,
      nextSessionId,
    });
  }

  get connectionCount(): number {
    return this.tcp.connectionCount + this.sockets.connectionCount;
  }

  *sessions(): Iterable<Session> {
    yield* this.tcp.sessions();
    yield* this.sockets.sessions();
  }

  session(id: number): (Session & { kill(): void }) | undefined {
    return this.tcp.session(id) ?? this.sockets.session(id);
  }

  /** Only TCP has a socket of its own to open; the others are reached over the peer's HTTP port. */
  open(): Promise<void> {
    return this.tcp.open();
  }

  /** Commands under way are answered; streams that go on for ever end at once. */
  async close(): Promise<void> {
    this.watches.close();
    await this.backups.close();
    await Promise.all([this.tcp.close(), this.sockets.close(), this.web.close(portCloseMs)]);
  }

  /** The start failed: nobody is waited for, and what fails besides is not told. */
  async abandon(): Promise<void> {
    await this.tcp.close(0).catch(() => undefined);
    this.watches.close();
    await this.backups.close();
    await this.sockets.close(0).catch(() => undefined);
  }
}
