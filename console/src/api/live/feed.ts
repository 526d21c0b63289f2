import { loadSession } from "../client";
import { useConnection } from "../connection";
import { sessionAgain, useSession } from "../session";
import { type Connection, type LiveItem, TOPICS } from "./state";

/** Seconds before a connection is tried again: they double up to the last one. */
const DELAYS_SECONDS = [1, 2, 4, 8, 15] as const;

interface FeedEvents {
  onConnection: (connection: Connection) => void;
  /** `lastEventId` is where another tab goes on. */
  onItems: (items: LiveItem[], lastEventId: string) => void;
  /** Changes may have been missed. */
  onReset: (lastEventId: string) => void;
}

/** The browser's stream of changes. It connects again by itself, after what it has received. */
export class Feed {
  private source: EventSource | null = null;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private failures = 0;
  private isOpen = false;
  private readonly forget = useConnection.subscribe(({ awaySince }, before) => {
    if (before.awaySince !== null && awaySince === null) this.gatewayIsBack();
  });

  constructor(
    private lastEventId: string,
    private readonly events: FeedEvents,
  ) {}

  open(): void {
    if (this.isOpen) return;
    this.isOpen = true;
    this.failures = 0;
    this.connect();
  }

  /** Stop for good. */
  end(): void {
    this.close();
    this.forget();
  }

  close(): void {
    this.isOpen = false;
    clearTimeout(this.timer);
    this.source?.close();
    this.source = null;
  }

  private connect(): void {
    this.events.onConnection({ state: "connecting" });
    const query = new URLSearchParams({ topics: TOPICS.join(",") });
    if (this.lastEventId) query.set("after", this.lastEventId);
    const source = new EventSource(`/node/events/?${query}`);
    this.source = source;
    const connected = (event: MessageEvent) => {
      this.failures = 0;
      this.lastEventId = event.lastEventId;
      this.events.onConnection({ state: "live" });
    };
    source.addEventListener("ready", connected);
    source.addEventListener("reset", (event) => {
      connected(event);
      this.events.onReset(this.lastEventId);
    });
    source.addEventListener("changes", (event) => {
      this.lastEventId = event.lastEventId;
      const { items } = JSON.parse(event.data) as { items: LiveItem[] };
      this.events.onItems(items, this.lastEventId);
    });
    source.onerror = () => {
      source.close();
      if (this.source !== source) return;
      this.source = null;
      this.connectLater();
    };
  }

  /** The browser would try again by itself, but says neither when nor why it has failed. */
  private connectLater(): void {
    const seconds = DELAYS_SECONDS[Math.min(this.failures, DELAYS_SECONDS.length - 1)] ?? 1;
    this.failures += 1;
    this.events.onConnection({ state: "reconnecting", nextTry: Date.now() + seconds * 1000 });
    this.timer = setTimeout(() => void this.connectAgain(), seconds * 1000);
  }

  private async connectAgain(): Promise<void> {
    const before = useSession.getState().session?.user.id;
    try {
      const session = await loadSession();
      if (session === null) await sessionAgain();
      else if (session.user.id !== before) return window.location.reload();
    } catch {
      // The gateway is away: `loadSession` has said so.
    }
    if (this.isOpen && this.source === null) this.connect();
  }

  private gatewayIsBack(): void {
    if (!this.isOpen || this.source !== null) return;
    clearTimeout(this.timer);
    this.failures = 0; // it may answer 503 for a moment more
    this.connect();
  }
}
