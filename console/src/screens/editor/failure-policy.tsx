import { useState } from "react";
import { editorTexts } from "../../strings/editor";
import { Checkbox, Choice } from "../../ui/choice";
import { Field } from "../../ui/field";
import type { Config, FlowNode } from "../flows/flow-nodes";
import type { Problem } from "./check";
import { useEditor } from "./editor-context";
import type { Members } from "./edits";
import { ConfigForm } from "./form/config-form";
import { JsonInput } from "./form/json-input";
import styles from "./node-panel.module.css";

type Policy = "fail" | "continue" | "fallback";

interface FailurePolicyProps {
  node: FlowNode;
  problems: readonly Problem[];
  onChange: (members: Members) => void;
}

/** Whether a node is tried again when it fails, and what happens after the last attempt. */
export function FailurePolicy({ node, problems, onChange }: FailurePolicyProps) {
  const { answer, session } = useEditor();
  const { retry: schema } = answer.policies;
  const { retry, on_error: onError } = node as { retry?: Config; on_error?: unknown };
  const policy = policyOf(onError);
  // Only at first: it would close around the box that was just unticked.
  const [opens] = useState(retry !== undefined || policy !== "fail");
  return (
    <details className={styles.more} open={opens}>
      <summary>{editorTexts.panel.onError}</summary>
      <div>
        <Checkbox
          label={editorTexts.panel.retry}
          checked={retry !== undefined}
          reason={session.isReadOnly ? editorTexts.readOnlyReason : undefined}
          onChange={(isOn) => onChange({ retry: isOn ? { attempts: 3 } : undefined })}
        />
        {retry === undefined ? null : (
          <ConfigForm
            id={`${node.id}-retry`}
            schema={schema}
            value={retry}
            problems={problems}
            path="retry"
            node={node}
            onChange={(changed) => onChange({ retry: changed })}
          />
        )}
        <Choice
          label={editorTexts.panel.afterwards}
          value={policy}
          onChange={(chosen) => onChange({ on_error: POLICIES[chosen] })}
          options={(["fail", "continue", "fallback"] as const).map((value) => ({
            value,
            label: editorTexts.panel.policies[value]?.[0] ?? value,
            hint: editorTexts.panel.policies[value]?.[1],
            disabled: session.isReadOnly,
          }))}
        />
        {policy === "fallback" ? (
          <Field label={editorTexts.panel.fallback}>
            <JsonInput
              id={`${node.id}-fallback`}
              value={(onError as { fallback: unknown }).fallback}
              onChange={(fallback) => onChange({ on_error: { fallback: fallback ?? null } })}
            />
          </Field>
        ) : null}
      </div>
    </details>
  );
}

const POLICIES = { fail: undefined, continue: "continue", fallback: { fallback: null } } as const;

function policyOf(onError: unknown): Policy {
  if (onError === "continue") return "continue";
  return typeof onError === "object" && onError !== null ? "fallback" : "fail";
}
