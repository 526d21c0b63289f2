import type { Plugin, Rollup } from "vite";
import { brotli } from "./compressed-assets.ts";

interface Budget {
  page: string;
  /** Ends of the paths of what the page loads in addition to the entry. */
  modules: readonly string[];
  /** Of script, compressed by brotli. */
  kilobytes: number;
}

/** Fail the build if a page loads more script than its budget. */
export function scriptBudget(budgets: readonly Budget[]): Plugin {
  return {
    name: "script-budget",
    apply: "build",
    // Not `generateBundle`: only then has the entry its list of what each screen loads.
    writeBundle(_options, bundle) {
      const chunks = Object.values(bundle).filter((file) => file.type === "chunk");
      const entries = chunks.filter((chunk) => chunk.isEntry);
      const sizes = new Map(chunks.map((chunk) => [chunk, brotli(chunk.code).length]));
      for (const { page, modules, kilobytes } of budgets) {
        const own = modules.map((module) => chunkOf(module, chunks));
        const loaded = closure([...entries, ...own], bundle);
        const size = loaded.reduce((sum, chunk) => sum + (sizes.get(chunk) ?? 0), 0) / 1000;
        const line = `${page}: ${size.toFixed(1)} kB in ${loaded.length} scripts, at most ${kilobytes} kB`;
        if (size > kilobytes) this.error(line);
        this.environment.logger.info(line);
      }
    },
  };
}

function chunkOf(module: string, chunks: Rollup.OutputChunk[]): Rollup.OutputChunk {
  const found = chunks.find((chunk) => chunk.moduleIds.some((id) => id.endsWith(module)));
  if (!found) throw new Error(`${module} is in no chunk: correct the budgets in vite.config.ts`);
  return found;
}

/** Return the chunks with all that they import, each once. */
function closure(start: Rollup.OutputChunk[], bundle: Rollup.OutputBundle): Rollup.OutputChunk[] {
  const found = new Set<Rollup.OutputChunk>();
  const waiting = [...start];
  for (let chunk = waiting.pop(); chunk; chunk = waiting.pop()) {
    if (found.has(chunk)) continue;
    found.add(chunk);
    for (const name of chunk.imports) {
      const imported = bundle[name];
      if (imported?.type === "chunk") waiting.push(imported);
    }
  }
  return [...found];
}
