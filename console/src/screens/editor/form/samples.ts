import type { UiSchema } from "@rjsf/utils";
import { useMemo } from "react";
import { useStore } from "zustand";
import type { components } from "../../../api/schema";
import { ancestorsOf } from "../connections";
import { useDraft, useEditor, useOneSelected } from "../editor-context";
import { inputNode, readInput } from "../flow-tests";
import { knownOutput } from "../test-results";

export type ExpressionKind = components["schemas"]["ExpressionKind"];
type ExpressionFunction = components["schemas"]["FunctionOut"];

/** What an expression can refer to. */
export interface Samples {
  /** The nodes that end before. */
  nodes: readonly string[];
  /** Their outputs as far as they are known: of the test data, pinned, or found by a test. */
  values: Record<string, unknown>;
  functions: readonly ExpressionFunction[];
}

/** Return what the fields of a control hold, by the name that the gateway uses for it. */
export function kindOf(uiSchema: UiSchema | undefined): ExpressionKind {
  return String(uiSchema?.["ui:field"]).startsWith("template") ? "template" : "expression";
}

/** Return what expressions of the selected node can refer to. */
export function useSamples(): Samples {
  const { answer, session } = useEditor();
  const { functions } = answer;
  const draft = useDraft();
  const id = useOneSelected()?.id;
  const { text, pins, results } = useStore(session.tests.store);
  return useMemo(() => {
    const nodes = id === undefined ? [] : ancestorsOf(draft, id);
    const input = inputNode(draft)?.id;
    const given = text.trim() === "" ? { value: undefined, error: null } : readInput(text);
    const values: Record<string, unknown> = {};
    for (const node of nodes) {
      const isGiven = node === input && given.error === null;
      const value = pins.get(node) ?? (isGiven ? given.value : undefined) ?? knownOutput(results.get(node));
      if (value !== undefined) values[node] = value;
    }
    return { nodes, values, functions };
  }, [draft, id, functions, text, pins, results]);
}
