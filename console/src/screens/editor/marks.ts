import { useMemo } from "react";
import { useStore } from "zustand";
import { duration } from "../../formats/formats";
import { editorTexts } from "../../strings/editor";
import type { State } from "../../ui/status";
import { isUnfinished } from "../runs/run-status";
import type { Problem } from "./check";
import type { Draft } from "./draft";
import { useDraft, useEditor } from "./editor-context";
import type { TestRun } from "./flow-tests";
import { groupedBy } from "./grouped";
import { runningNodes } from "./test-plan";
import type { NodeResult } from "./test-results";

interface Line {
  state: State;
  text: string;
  /** Also what the shape says. */
  spoken: string;
}

/** What is shown of a node's state. */
export interface Mark {
  lines: readonly Line[];
  tone: "bad" | "warn" | "run" | undefined;
  /** All lines, for screen readers. */
  text: string;
}

const MAX_ERROR = 120;

/** Return the marks of nodes, by id: their problems, and what the last test found. */
export function useMarks(): ReadonlyMap<string, Mark> {
  const { check, session } = useEditor();
  const draft = useDraft();
  const { pins, results, run } = useStore(session.tests.store);
  const { problems } = check;
  const last = useMemo(() => new Map<string, Mark>(), []);
  return useMemo(() => {
    const byNode = groupedBy(problems, (problem) => problem.node_id);
    const running = runningOf(draft, run, results);
    const marks = new Map<string, Mark>();
    for (const { id } of draft.nodes) {
      const found = byNode.get(id) ?? [];
      const isWaiting = run !== null && isUnfinished(run.status) && run.planned.has(id);
      const tested = pins.has(id)
        ? line("paused", editorTexts.test.pinnedNode)
        : running.has(id)
          ? line("running", editorTexts.test.running)
          : (resultLine(results.get(id)) ?? (isWaiting ? line("pending", editorTexts.test.waiting) : null));
      const lines = [...problemLines(found), ...(tested ? [tested] : [])];
      if (lines.length === 0) continue;
      const mark = { lines, tone: toneOf(found, tested), text: lines.map(({ spoken }) => spoken).join(", ") };
      // What has not changed stays the same object: its card is not drawn again.
      const before = last.get(id);
      marks.set(id, before?.text === mark.text && before.tone === mark.tone ? before : mark);
    }
    last.clear();
    for (const [id, mark] of marks) last.set(id, mark);
    return marks;
  }, [problems, draft, pins, results, run, last]);
}

function line(state: State, text: string, spoken = text): Line {
  return { state, text, spoken };
}

function problemLines(found: readonly Problem[]): Line[] {
  return found.length ? [line("failed", editorTexts.problemsOf(found.length))] : [];
}

function resultLine(result: NodeResult | undefined): Line | null {
  if (!result) return null;
  const took = result.seconds === null ? "" : duration(result.seconds);
  switch (result.status) {
    case "completed":
      return line("completed", took || editorTexts.test.completed, editorTexts.test.completedIn(took));
    case "failed": {
      const reason = result.error?.message ?? "";
      return line("failed", editorTexts.test.failedWith(reason.slice(0, MAX_ERROR)));
    }
    case "skipped":
      return line("cancelled", editorTexts.test.skipped);
    default:
      return line("cancelled", editorTexts.test.cancelled);
  }
}

function toneOf(found: readonly Problem[], tested: Line | null): Mark["tone"] {
  if (found.some(({ severity }) => severity === "error") || tested?.state === "failed") return "bad";
  if (found.length > 0) return "warn";
  return tested?.state === "running" ? "run" : undefined;
}

function runningOf(
  draft: Draft,
  run: TestRun | null,
  results: ReadonlyMap<string, NodeResult>,
): ReadonlySet<string> {
  if (run?.status !== "running") return new Set();
  return runningNodes(draft, run.planned, (id) => results.get(id)?.runId === run.id);
}
