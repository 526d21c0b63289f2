/** Texts of the frame of all pages of a session. */
export const connectionTexts = {
  away: (since: string) => `The gateway has not answered since ${since}.`,
  cached: "You see what was loaded before; changes wait until it is back.",
  next: (seconds: number) => `Next try in ${seconds} s`,
  trying: "Trying now",
  now: "Try now",
  notUpToDate: (message: string) =>
    `What you see may be out of date, it could not be loaded again: ${message}`,
};

export const navigationTexts = {
  label: "Main",
  open: "Open navigation",
  build: "Build",
  run: "Run",
  operate: "Operate",
  settings: "Settings",
  flows: "Flows",
  models: "Models",
  system: "System",
  deployments: "Deployments",
  runs: "Runs",
  usage: "Usage",
  keys: "API keys",
  webhooks: "Webhooks",
  profile: "Profile",
  sessions: "Sessions",
  users: "Users",
  audit: "Audit log",
  account: "Account",
  logOut: "Log out",
  theme: "Theme",
  themes: { system: "As the system", light: "Light", dark: "Dark" },
  zone: "Times",
  zones: { local: "Local time", utc: "UTC" },
  breadcrumbs: "Breadcrumbs",
  modelVersion: (name: string, number: number) => `${name} v${number}`,
};
