import { readFile } from "node:fs/promises";
import type { Plugin } from "vite";

/**
 * Put a small script that sets the theme in front of everything else, so that the first paint has its colours.
 *
 * It is a file of its own, with a hashed name: the Content-Security-Policy forbids inline scripts, and a module
 * would run after the first paint.
 */
export function firstPaintTheme(path: string): Plugin {
  let reference = "";
  return {
    name: "first-paint-theme",
    async buildStart() {
      if (this.environment.config.command === "build") {
        const source = (await readFile(path, "utf8")).replace(/^\s*\/\/.*\n/gm, "").replace(/\n\s*/g, "");
        reference = this.emitFile({ type: "asset", name: "theme.js", source });
      }
    },
    transformIndexHtml: {
      order: "post",
      handler(_html, context) {
        const file = reference && context.bundle ? fileOf(context.bundle) : path;
        return [{ tag: "script", attrs: { src: `/console/${file}` }, injectTo: "head-prepend" }];
      },
    },
  };
}

function fileOf(bundle: Record<string, { fileName: string; names?: string[] }>): string {
  const found = Object.values(bundle).find((file) => file.names?.includes("theme.js"));
  if (!found) throw new Error("theme.js is not in the bundle");
  return found.fileName;
}
