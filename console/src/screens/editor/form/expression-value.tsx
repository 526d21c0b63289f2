import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { api } from "../../../api/client";
import { stringifyJson } from "../../../formats/lossless-json";
import { editorTexts } from "../../../strings/editor";
import fieldStyles from "../../../ui/field.module.css";
import { errorMessage } from "../../../ui/notice";
import { useDebounced } from "../../../ui/use-debounced";
import styles from "./form.module.css";
import type { ExpressionKind, Samples } from "./samples";

const EVALUATE_AFTER_MILLISECONDS = 250;
const MAX_SHOWN = 300;

interface ExpressionValueProps {
  expression: string;
  kind: ExpressionKind;
  samples: Samples;
}

/** The value of an expression with what is known of the nodes before. */
export function ExpressionValue({ expression, kind, samples }: ExpressionValueProps) {
  const settled = useDebounced(expression, EVALUATE_AFTER_MILLISECONDS);
  const isUnknown = samples.nodes.some((id) => !(id in samples.values) && mentions(settled, id));
  const values = useMentioned(settled, samples.values);
  const check = useQuery({
    queryKey: ["expression", kind, settled, values],
    queryFn: async ({ signal }) => {
      const body = { expression: settled, kind, values };
      const { data } = await api.POST("/node/expressions/check/", {
        body,
        signal,
        bodySerializer: (exact) => stringifyJson(exact),
      });
      if (!data) throw new Error("an answer without a body");
      return data;
    },
    enabled: !isUnknown,
    placeholderData: keepPreviousData,
    gcTime: 0,
  });
  if (isUnknown) return <p className={fieldStyles.hint}>{editorTexts.expression.noData}</p>;
  if (check.error) return <p className={fieldStyles.error}>{errorMessage(check.error)}</p>;
  if (!check.data) return null;
  const isOfEarlier = check.isPlaceholderData || settled !== expression;
  return (
    <p className={check.data.ok ? styles.value : fieldStyles.error} aria-busy={isOfEarlier}>
      {check.data.error ? check.data.error.message : editorTexts.expression.value(shown(check.data.value))}
    </p>
  );
}

/** Only what the expression reads is sent: outputs may be large. */
function useMentioned(expression: string, values: Record<string, unknown>): Record<string, unknown> {
  return useMemo(
    () => Object.fromEntries(Object.entries(values).filter(([id]) => mentions(expression, id))),
    [expression, values],
  );
}

function mentions(expression: string, id: string): boolean {
  return new RegExp(`\\b${id}\\b`).test(expression);
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? "null";
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
}
