import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";
import { compressedAssets } from "./build/compressed-assets.ts";
import { firstPaintTheme } from "./build/first-paint-theme.ts";
import { scriptBudget } from "./build/script-budget.ts";
import { unstableTests } from "./build/unstable-tests.ts";

/** The gateway that `npm run dev` sends requests of the API to. */
const gateway = process.env["SLIPSTREAM_URL"] ?? "http://127.0.0.1:8080";

export default defineConfig({
  base: "/console/",
  html: { cspNonce: "__SLIPSTREAM_NONCE__" },
  plugins: [
    react(),
    firstPaintTheme("src/theme/first-paint.js"),
    scriptBudget([
      { page: "log-in", modules: ["screens/account/login.tsx"], kilobytes: 115 },
      { page: "invitation", modules: ["screens/account/invite.tsx"], kilobytes: 115 },
      { page: "API keys", modules: ["shell/shell.tsx", "screens/keys/screens.ts"], kilobytes: 240 },
      { page: "webhooks", modules: ["shell/shell.tsx", "screens/webhooks/screens.ts"], kilobytes: 240 },
      { page: "settings", modules: ["shell/shell.tsx", "screens/settings.ts"], kilobytes: 240 },
      { page: "flows list", modules: ["shell/shell.tsx", "screens/flows/flow-list.tsx"], kilobytes: 240 },
      {
        page: "history of a flow",
        modules: ["shell/shell.tsx", "screens/history/history.tsx"],
        kilobytes: 310,
      },
      {
        page: "Create Deployment",
        modules: [
          "shell/shell.tsx",
          "screens/deployments/rocket.tsx",
          "screens/deployments/new-deployment.tsx",
        ],
        kilobytes: 240,
      },
      {
        page: "Try it",
        modules: ["shell/shell.tsx", "screens/deployments/deployment.tsx", "screens/deployments/try-it.tsx"],
        kilobytes: 240,
      },
      {
        page: "usage with charts",
        modules: ["shell/shell.tsx", "screens/usage/deployment-usage.tsx", "ui/chart.tsx"],
        kilobytes: 265,
      },
      { page: "runs list", modules: ["shell/shell.tsx", "screens/runs/run-list.tsx"], kilobytes: 240 },
      { page: "run", modules: ["shell/shell.tsx", "screens/runs/run.tsx"], kilobytes: 240 },
      { page: "models list", modules: ["shell/shell.tsx", "screens/models/model-list.tsx"], kilobytes: 240 },
      { page: "model", modules: ["shell/shell.tsx", "screens/models/model-version.tsx"], kilobytes: 240 },
      { page: "server", modules: ["shell/shell.tsx", "screens/servers/server.tsx"], kilobytes: 240 },
      { page: "system", modules: ["shell/shell.tsx", "screens/system/system.tsx"], kilobytes: 240 },
      { page: "flow editor", modules: ["shell/shell.tsx", "screens/editor/editor.tsx"], kilobytes: 310 },
      {
        page: "flow editor with a node panel",
        modules: [
          "shell/shell.tsx",
          "screens/editor/editor.tsx",
          "screens/editor/node-panel.tsx",
          "screens/editor/form/code-editor.tsx",
        ],
        kilobytes: 450,
      },
    ]),
    compressedAssets(),
  ],
  build: {
    target: ["chrome123", "edge123", "firefox128", "safari17.5"],
    // The Content-Security-Policy has no data: for fonts, and every file is served by its hashed name.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // One style sheet, and few scripts: without groups the first page needs 43 of them.
    cssCodeSplit: false,
    rolldownOptions: {
      output: {
        codeSplitting: {
          groups: [
            {
              name: "start",
              test: /src\/(main|screens\/account\/(account-page|login-form))\.tsx$/,
              priority: 4,
            },
            { name: "frame", test: /src\/(shell\/shell|screens\/flows\/flow-list)\.tsx$/, priority: 3 },
            // Apart from what the flow editor needs, too.
            {
              name: "deployments",
              test: /src\/(screens|strings)\/(deployments|first-steps)/,
              minShareCount: 4,
              priority: 2,
            },
            { name: "screens", minShareCount: 4, priority: 1 },
          ],
        },
      },
    },
    reportCompressedSize: false,
  },
  server: {
    proxy: Object.fromEntries(
      ["/node", "/openapi.json", "/docs", "/problems", "/livez"].map((path) => [path, { target: gateway }]),
    ),
  },
  test: {
    include: ["src/**/*.test.ts"],
    environment: "node",
    retry: 1,
    reporters: ["default", unstableTests()],
  },
});
