import { create } from "zustand";

export const THEMES = ["system", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

/** Also read by first-paint.js. */
const STORED = "slipstream.theme";

interface ThemeState {
  theme: Theme;
  choose: (theme: Theme) => void;
}

export const useTheme = create<ThemeState>((set) => ({
  theme: stored(),
  choose: (theme) => {
    if (theme === "system") {
      localStorage.removeItem(STORED);
      delete document.documentElement.dataset["theme"];
    } else {
      localStorage.setItem(STORED, theme);
      document.documentElement.dataset["theme"] = theme;
    }
    set({ theme });
  },
}));

function stored(): Theme {
  const value = localStorage.getItem(STORED);
  return value === "light" || value === "dark" ? value : "system";
}
