import { describe, expect, it } from "vitest";
import { type RunSummary, unfinishedPages } from "./run-pages";

const AT = "2026-01-02T03:04:05.678901Z";

function run(flow_run_id: string, finished_at: string | null): RunSummary {
  return { flow_run_id, finished_at, created_at: AT } as RunSummary;
}

describe("the pages of older runs that are read again", () => {
  const first = [run("a", null), run("b", AT)];
  const second = [run("c", AT)];
  const third = [run("d", AT), run("e", null)];
  const pages = [first, second, third].map((items) => ({ items, next_cursor: null }));
  const list = { pages, pageParams: [null, "after b", "after c"] };

  it("are those with unfinished runs that the head does not have", () => {
    expect(unfinishedPages(list, first)).toEqual([{ cursor: "after c" }]);
    expect(unfinishedPages(list, [...first, ...third])).toEqual([]);
  });

  it("begin with the first run that was shown, when newer ones have taken its place", () => {
    const starts = [{ to: "2026-01-02T03:04:05.679Z" }, { cursor: "after c" }];
    expect(unfinishedPages(list, [run("new", null)])).toEqual(starts);
  });
});
