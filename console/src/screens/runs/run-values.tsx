import { Tabs } from "@base-ui/react/tabs";
import { hooks } from "../../api/client";
import { curlCommand } from "../../formats/curl";
import { t } from "../../strings";
import { deploymentTexts } from "../../strings/deployments";
import { runTexts } from "../../strings/runs";
import { CodeBlock } from "../../ui/copy";
import { JsonView } from "../../ui/json-view";
import tabs from "../../ui/tabs.module.css";
import type { RunDocument } from "./run-queries";
import styles from "./runs.module.css";

const words = runTexts.runs.one;
const VIEWS = ["input", "output", "json", "curl"] as const;

/** What the run was given and gave, all of it, and the call that does the same again. */
export function RunValues({ document }: { document: RunDocument }) {
  const { input, output, whole, facts } = document;
  const id = facts.flow_run_id;
  const isFast = facts.execution_mode === "fast";
  return (
    <Tabs.Root defaultValue={facts.error ? "input" : "output"} className={styles.values}>
      <Tabs.List className={tabs.tabs} aria-label={words.values}>
        {VIEWS.filter((view) => view !== "curl" || !facts.test).map((view) => (
          <Tabs.Tab key={view} value={view} className={tabs.tab}>
            {words[view]}
          </Tabs.Tab>
        ))}
      </Tabs.List>
      <Tabs.Panel value="input">
        {input === null ? (
          <p>{isFast ? words.noInput : t.common.unknown}</p>
        ) : (
          <JsonView label={words.input} value={input} filename={`run-${id}-input.json`} />
        )}
      </Tabs.Panel>
      <Tabs.Panel value="output">
        {output === null ? (
          <p>{words.noOutput}</p>
        ) : (
          <JsonView label={words.output} value={output} filename={`run-${id}-output.json`} />
        )}
      </Tabs.Panel>
      <Tabs.Panel value="json">
        <JsonView label={words.json} value={whole} filename={`run-${id}.json`} />
      </Tabs.Panel>
      <Tabs.Panel value="curl">
        {input === null ? <p>{isFast ? words.noInput : t.common.unknown}</p> : <Curl document={document} />}
      </Tabs.Panel>
    </Tabs.Root>
  );
}

function Curl({ document: { facts, input } }: { document: RunDocument }) {
  const path = { deployment_id: facts.deployment_id };
  const deployment = hooks.useQuery("get", "/node/deployments/{deployment_id}/", { params: { path } });
  const trigger = deployment.data?.trigger_path ?? `/node/deployment-trigger/${facts.deployment_id}/`;
  const url = `${window.location.origin}${trigger}`;
  return (
    <CodeBlock
      label={words.curlLabel}
      code={curlCommand({ url, key: deploymentTexts.deploy.yourKey, body: { input_data: input } })}
    />
  );
}
