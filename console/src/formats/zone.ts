import { create } from "zustand";

export const ZONES = ["local", "utc"] as const;
export type Zone = (typeof ZONES)[number];

const STORED = "slipstream.zone";

interface ZoneState {
  zone: Zone;
  choose: (zone: Zone) => void;
}

/** The zone of all times that are shown: this browser's, or UTC, as logs and other people have them. */
export const useZone = create<ZoneState>((set) => ({
  zone: stored(),
  choose: (zone) => {
    if (zone === "utc") localStorage.setItem(STORED, zone);
    else localStorage.removeItem(STORED);
    set({ zone });
  },
}));

export function isUtc(): boolean {
  return useZone.getState().zone === "utc";
}

function stored(): Zone {
  return globalThis.localStorage?.getItem(STORED) === "utc" ? "utc" : "local";
}
