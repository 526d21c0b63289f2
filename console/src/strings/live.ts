/** Texts of live updates: the indicator in the header, and the calls of a watched deployment. */
export const liveTexts = {
  on: "Live",
  connecting: "Connecting",
  reconnecting: (seconds: number) => `Reconnecting in ${seconds} s`,
  paused: "Paused",
  pause: "Pause live updates",
  resume: "Resume live updates",
};

export const calls = {
  title: "Calls from your terminal",
  idle: "Copy the call, and this page shows when it arrives.",
  waiting: "Waiting for your first call: paste it, and replace the stars with your key.",
  waitingNext: "Waiting for the next call",
  succeeded: "Your first call was answered.",
  from: (client: string, address: string) => (address ? `${client} from ${address}` : client),
  stages: {
    net: "net",
    auth: "auth",
    parse: "parse",
    queue: "queue",
    boot: "boot",
    infer: "infer",
    run: "run",
    serialise: "serialise",
    write: "write",
    other: "other",
  } as Record<string, string>,
  total: (time: string) => `${time} server`,
  split: "Where the time went",
  copySplit: "Copy the times as text",
};
