import { create } from "zustand";

export type Overlay = "palette" | "shortcuts";

/** What lies over the page because the user has asked for it. */
export const useOverlay = create<{ open: Overlay | null }>(() => ({ open: null }));

export function openOverlay(open: Overlay): void {
  useOverlay.setState({ open });
}

export function closeOverlay(): void {
  useOverlay.setState({ open: null });
}
