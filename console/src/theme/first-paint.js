// Runs before the first paint; everything else about themes is in theme.ts.
try {
  const theme = localStorage.getItem("slipstream.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {}
