import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";

/** TypeScript takes any member of a CSS module: a class that does not exist would be no class at all. */

const files = readdirSync("src", { recursive: true, encoding: "utf8" }).map((path) => join("src", path));
const sheets = new Map(
  files.filter((path) => path.endsWith(".module.css")).map((path) => [path, classesIn(read(path))]),
);
const uses = files.filter((path) => /\.tsx?$/.test(path)).flatMap(usesIn);

function read(path: string): string {
  return readFileSync(path, "utf8");
}

/** The classes that a style sheet gives names of its own. */
function classesIn(sheet: string): Set<string> {
  const own = sheet.replace(/\/\*.*?\*\//gs, "").replace(/:global\([^)]*\)/g, "");
  return new Set([...own.matchAll(/\.([a-zA-Z][\w-]*)/g)].map(([, name = ""]) => name));
}

/** The members of style sheets that a module names; `styles[look]` may be any. */
function usesIn(path: string): { path: string; sheet: string; names: string[]; isAny: boolean }[] {
  const code = read(path);
  const imports = code.matchAll(/import (\w+) from "([^"]+\.module\.css)"/g);
  return [...imports].map(([, name = "", from = ""]) => ({
    path,
    sheet: join(dirname(path), from),
    names: [...code.replace(/"[^"\n]*"/g, "").matchAll(new RegExp(`\\b${name}\\.(\\w+)`, "g"))].map(
      ([, each = ""]) => each,
    ),
    isAny: code.includes(`${name}[`),
  }));
}

describe("CSS modules", () => {
  it("have the classes that are used", () => {
    const missing = uses.flatMap(({ path, sheet, names }) =>
      names.filter((name) => !sheets.get(sheet)?.has(name)).map((name) => `${path}: ${name}`),
    );
    expect(missing).toEqual([]);
  });

  it("have no class that is not used", () => {
    const unused = [...sheets].flatMap(([sheet, names]) => {
      const all = uses.filter((use) => use.sheet === sheet);
      const used = new Set(all.flatMap((use) => use.names));
      return all.some((use) => use.isAny)
        ? []
        : [...names].filter((name) => !used.has(name)).map((name) => `${sheet}: ${name}`);
    });
    expect(unused).toEqual([]);
  });
});
