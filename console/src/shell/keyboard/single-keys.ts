import { create } from "zustand";

const STORED = "slipstream.single-keys";
const OFF = "off";

interface SingleKeys {
  /** Whether keys without Ctrl or ⌘ are shortcuts. */
  isOn: boolean;
  set: (isOn: boolean) => void;
}

/** A choice of this browser (WCAG 2.1.4). */
export const useSingleKeys = create<SingleKeys>((set) => ({
  isOn: localStorage.getItem(STORED) !== OFF,
  set: (isOn) => {
    if (isOn) localStorage.removeItem(STORED);
    else localStorage.setItem(STORED, OFF);
    set({ isOn });
  },
}));
