import { useDeferredValue, useMemo } from "react";
import { create } from "zustand";
import { type JsonObject, stringifyJson } from "../../formats/lossless-json";

interface Tries {
  tries: Readonly<Record<string, JsonObject>>;
  keep: (deploymentId: string, input: JsonObject) => void;
  forget: (deploymentId: string) => void;
}

/** What was entered in Try it, by deployment, until the page is loaded again. */
export const useTries = create<Tries>((set) => ({
  tries: {},
  keep: (id, input) => set(({ tries }) => ({ tries: { ...tries, [id]: input } })),
  forget: (id) => set(({ tries: { [id]: _, ...tries } }) => ({ tries })),
}));

/** The JSON of what was entered last; null: nothing but the test data. Typing does not wait for it. */
export function useTried(deploymentId: string): string | null {
  const input = useDeferredValue(useTries(({ tries }) => tries[deploymentId]));
  return useMemo(() => (input ? stringifyJson(input) : null), [input]);
}
