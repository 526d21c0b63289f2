import type { UseQueryResult } from "@tanstack/react-query";
import { hooks } from "../../api/client";
import { firstStepTexts } from "../../strings/first-steps";
import { Choice } from "../../ui/choice";
import { Loaded } from "../../ui/loading";
import { shownTensor } from "./model-flow";
import styles from "./new-flow.module.css";

interface Named {
  name: string;
  latest: number;
}

interface ModelChoiceProps {
  query: UseQueryResult<{ items: readonly Named[] }, unknown>;
  value: string | null;
  onChange: (model: string) => void;
}

export function ModelChoice({ query, value, onChange }: ModelChoiceProps) {
  return (
    <Loaded query={query} rows={2}>
      {({ items }) => (
        <div className={styles.models}>
          <Choice
            label={firstStepTexts.newFlow.model}
            columns
            value={value}
            onChange={onChange}
            options={items.map(({ name, latest }) => ({ value: name, label: name, hint: `v${latest}` }))}
          />
        </div>
      )}
    </Loaded>
  );
}

/** What a model takes and returns. */
export function Signature({ model }: { model: string }) {
  const version = hooks.useQuery("get", "/node/models/{name}/versions/{version}/", {
    params: { path: { name: model, version: "latest" } },
  });
  return (
    <Loaded query={version} rows={2}>
      {({ inputs, outputs }) => (
        <dl className={styles.signature}>
          <dt>{firstStepTexts.newFlow.inputs}</dt>
          {inputs.map((tensor) => (
            <dd key={tensor.name}>
              <code>{shownTensor(tensor)}</code>
            </dd>
          ))}
          <dt>{firstStepTexts.newFlow.outputs}</dt>
          {outputs.map((tensor) => (
            <dd key={tensor.name}>
              <code>{shownTensor(tensor)}</code>
            </dd>
          ))}
        </dl>
      )}
    </Loaded>
  );
}
