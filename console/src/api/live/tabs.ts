import { applyItems, applyReset } from "./apply";
import { Feed } from "./feed";
import { type Connection, type LiveItem, useLive } from "./state";

const NAME = "slipstream-feed";
const SIGN_MILLISECONDS = 60_000;
/** After so long without a visible tab the stream is closed. */
const HIDDEN_MILLISECONDS = 300_000;

/** What tabs tell each other. */
type Message =
  | { kind: "connection"; connection: Connection; lastEventId: string }
  | { kind: "items"; items: LiveItem[]; lastEventId: string }
  | { kind: "reset"; lastEventId: string }
  /** A tab is seen by the user. */
  | { kind: "visible" }
  /** A tab has opened, and asks how things are. */
  | { kind: "hello" };

/**
 * Follow the changes of the user's resources until the returned function is called.
 *
 * All tabs of a browser share one stream: a browser opens six connections to a host, all tabs together. The tab
 * that holds the lock has it and passes messages on. Another one takes over when that tab is closed.
 */
export function followChanges(): () => void {
  const tab = new Tab();
  return () => tab.close();
}

class Tab {
  private readonly channel = new BroadcastChannel(NAME);
  private readonly closing = new AbortController();
  private readonly signs = setInterval(() => this.giveSign(), SIGN_MILLISECONDS);
  private feed: Feed | null = null;
  private lastEventId = "";
  private lastVisible = Date.now();
  private release: () => void = () => undefined;

  constructor() {
    this.channel.onmessage = ({ data }: MessageEvent<Message>) => this.receive(data);
    document.addEventListener("visibilitychange", () => this.giveSign(), { signal: this.closing.signal });
    this.send({ kind: "hello" });
    // Without https, and not on this machine, a browser has no locks: each tab then has its own stream.
    if (navigator.locks === undefined) this.lead();
    else
      navigator.locks
        .request(NAME, { signal: this.closing.signal }, () => {
          this.lead();
          return new Promise<void>((resolve) => {
            this.release = resolve;
          });
        })
        .catch(() => undefined); // closed before its turn
  }

  close(): void {
    this.closing.abort();
    clearInterval(this.signs);
    this.feed?.end();
    this.feed = null;
    this.channel.close();
    this.release();
  }

  private lead(): void {
    if (this.closing.signal.aborted) return;
    this.feed = new Feed(this.lastEventId, {
      onConnection: (connection) =>
        this.tell({ kind: "connection", connection, lastEventId: this.lastEventId }),
      onItems: (items, lastEventId) => this.tell({ kind: "items", items, lastEventId }),
      onReset: (lastEventId) => this.tell({ kind: "reset", lastEventId }),
    });
    this.lastVisible = Date.now();
    this.feed.open();
  }

  private receive(message: Message): void {
    if (message.kind === "visible") this.noteVisible();
    else if (message.kind === "hello") this.greet();
    else if (navigator.locks !== undefined) this.apply(message);
  }

  private apply(message: Exclude<Message, { kind: "visible" | "hello" }>): void {
    this.lastEventId = message.lastEventId;
    if (message.kind === "connection") useLive.setState({ connection: message.connection });
    else if (message.kind === "items") applyItems(message.items);
    else applyReset();
  }

  /** Apply a message here and in the other tabs. */
  private tell(message: Exclude<Message, { kind: "visible" | "hello" }>): void {
    this.apply(message);
    this.send(message);
  }

  private send(message: Message): void {
    if (!this.closing.signal.aborted) this.channel.postMessage(message);
  }

  private greet(): void {
    if (!this.feed) return;
    const { connection } = useLive.getState();
    this.send({ kind: "connection", connection, lastEventId: this.lastEventId });
  }

  private giveSign(): void {
    if (document.visibilityState === "visible") {
      this.noteVisible();
      this.send({ kind: "visible" });
    } else if (this.feed && Date.now() - this.lastVisible > HIDDEN_MILLISECONDS) {
      this.feed.close();
      this.tell({ kind: "connection", connection: { state: "asleep" }, lastEventId: this.lastEventId });
    }
  }

  private noteVisible(): void {
    this.lastVisible = Date.now();
    this.feed?.open();
  }
}
