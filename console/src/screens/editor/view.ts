import { create } from "zustand";

type View = "graph" | "list";

const NARROW = "(max-width: 767px)";

/** How the graph is shown: on narrow screens first as a list. */
export const useView = create<{ view: View; choose: (view: View) => void }>((set) => ({
  view: window.matchMedia(NARROW).matches ? "list" : "graph",
  choose: (view) => set({ view }),
}));
