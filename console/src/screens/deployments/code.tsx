import { useMutation } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { hooks } from "../../api/client";
import { watchCalls } from "../../api/live/calls";
import { codeTexts } from "../../strings/code";
import { Button } from "../../ui/button";
import { CodeBlock } from "../../ui/copy";
import { download } from "../../ui/download";
import { Field } from "../../ui/field";
import { Loaded } from "../../ui/loading";
import { ErrorNotice, Notice } from "../../ui/notice";
import { filterOptions, Select } from "../../ui/select";
import { Tab, Tabs } from "../../ui/tabs";
import type { CodeChoices } from "./code-choices";
import styles from "./deployment.module.css";
import { type Example, useExamples } from "./examples";
import { ExportMenu } from "./export-menu";
import { inCode, MAX_FILLED, useFilled } from "./filled-example";
import { GenerateKey } from "./generate-key";
import { LANGUAGES } from "./languages";
import { RunThis } from "./run-this";
import { useTried } from "./tries";
import { WatchedCalls } from "./watched-calls";

const route = getRouteApi("/app/deployments/$deploymentId/code");
const words = codeTexts.code;
/** The newest ones that can be chosen. */
const MAX_VERSIONS = 50;

export function CodeTab() {
  const { deploymentId } = route.useParams();
  const { language = "curl", variant, data, key, retry, version } = route.useSearch();
  const tried = useTried(deploymentId);
  const examples = useExamples(deploymentId, language, {
    ...(key ? { key } : {}),
    ...(retry === undefined ? {} : { retry }),
    ...(version ? { version } : {}),
  });
  const deployment = hooks.useQuery("get", "/node/deployments/{deployment_id}/", {
    params: { path: { deployment_id: deploymentId } },
  });
  const watch = useMutation({ mutationFn: () => watchCalls(deploymentId) });
  return (
    <div className={styles.stack}>
      <Tabs label={codeTexts.code.languages}>
        {LANGUAGES.map((one) => (
          <Tab
            key={one}
            from="/deployments/$deploymentId/code"
            to="."
            search={(search) => ({ ...search, language: one })}
            {...(one === language ? { "aria-current": "page" } : {})}
          >
            {codeTexts.code.languageNames[one]}
          </Tab>
        ))}
      </Tabs>
      <Choices deploymentId={deploymentId} />
      <Loaded query={examples} rows={8}>
        {({ items, absent, input_file }) => {
          const shown = items.find((item) => item.variant === variant) ?? items[0];
          return (
            <>
              {items.length > 1 ? <Variants items={items} shown={shown} /> : null}
              {shown && shown.variant !== "webhook" ? (
                <Data tried={tried} isTried={data === "tried"} />
              ) : null}
              {shown ? (
                <Shown
                  example={shown}
                  tried={data === "tried" ? tried : null}
                  file={input_file}
                  onCopy={watch.mutate}
                />
              ) : null}
              {shown?.variant === "wait" && language !== "grpc_python" && deployment.data ? (
                <RunThis
                  key={`${deploymentId} ${version}`}
                  deployment={deployment.data}
                  version={version ?? deployment.data.version}
                  tried={data === "tried" && input_file === null ? inCode(tried) : null}
                />
              ) : null}
              {absent.map((one) => (
                <p key={one.variant} className={styles.hint}>
                  {codeTexts.code.absent(codeTexts.code.variantNames[one.variant] ?? one.variant)}{" "}
                  <WithCode text={one.reason} />
                </p>
              ))}
            </>
          );
        }}
      </Loaded>
      {watch.error ? <ErrorNotice error={watch.error} /> : null}
      <WatchedCalls deploymentId={deploymentId} />
      <div className={styles.bar}>
        <ExportMenu deploymentId={deploymentId} />
      </div>
    </div>
  );
}

/** Where the key comes from, which version, and whether it tries again. */
function Choices({ deploymentId }: { deploymentId: string }) {
  const { key, retry, version } = route.useSearch();
  const navigate = route.useNavigate();
  const deployment = hooks.useQuery("get", "/node/deployments/{deployment_id}/", {
    params: { path: { deployment_id: deploymentId } },
  });
  const choose = (choices: CodeChoices, without: keyof CodeChoices) =>
    void navigate({ search: ({ [without]: _, ...search }) => ({ ...search, ...choices }), replace: true });
  const { newest_version: newest = 1, version: live = 1 } = deployment.data ?? {};
  return (
    <div className={styles.begin}>
      <Field label={words.key}>
        <Select
          value={key ?? "masked"}
          options={(["masked", "environment"] as const).map((value) => ({ value, label: words.keys[value] }))}
          onChange={(value) => choose(value === "environment" ? { key: value } : {}, "key")}
        />
      </Field>
      <Field label={words.version}>
        <Select
          value={String(version ?? "")}
          options={filterOptions(
            words.live(live),
            Array.from({ length: Math.min(newest, MAX_VERSIONS) }, (_, at) => String(newest - at)).map(
              (number) => [number, words.versionOf(number)] as const,
            ),
          )}
          onChange={(value) => choose(value === "" ? {} : { version: Number(value) }, "version")}
        />
      </Field>
      <Field label={words.retry}>
        <Select
          value={String(retry ?? "")}
          options={filterOptions(words.retryUsual, [
            ["true", words.retryOf.true],
            ["false", words.retryOf.false],
          ])}
          onChange={(value) => choose(value === "" ? {} : { retry: value === "true" }, "retry")}
        />
      </Field>
      <GenerateKey deploymentId={deploymentId} />
    </div>
  );
}

function Variants({ items, shown }: { items: readonly Example[]; shown: Example | undefined }) {
  return (
    <nav className={styles.variants} aria-label={codeTexts.code.variants}>
      {items.map(({ language, variant }) => (
        <Link
          key={variant}
          from="/deployments/$deploymentId/code"
          to="."
          search={(search) => ({ ...search, language, variant })}
          className={styles.variant}
          {...(variant === shown?.variant ? { "aria-current": "page" } : {})}
        >
          {codeTexts.code.variantNames[variant]}
        </Link>
      ))}
    </nav>
  );
}

/** Whose input the code sends. */
function Data({ tried, isTried }: { tried: string | null; isTried: boolean }) {
  if (tried === null) return <p className={styles.hint}>{codeTexts.code.dataHint}</p>;
  return (
    <nav className={styles.variants} aria-label={codeTexts.code.data}>
      <span className={styles.dataLabel}>{codeTexts.code.data}</span>
      {(["test", "tried"] as const).map((one) => (
        <Link
          key={one}
          from="/deployments/$deploymentId/code"
          to="."
          search={({ data: _, ...search }) => (one === "tried" ? { ...search, data: one } : search)}
          className={styles.variant}
          activeOptions={{ exact: true }}
          {...((one === "tried") === isTried ? { "aria-current": "page" } : { "aria-current": undefined })}
        >
          {codeTexts.code.dataOf[one]}
        </Link>
      ))}
    </nav>
  );
}

/** A sentence of the gateway, in which backticks enclose code. */
function WithCode({ text }: { text: string }) {
  const parts = text.split("`").map((part, at) => ({ part, at, isCode: at % 2 === 1 }));
  return parts.map(({ part, at, isCode }) => (isCode ? <code key={at}>{part}</code> : part));
}

interface ShownProps {
  example: Example;
  /** `input_data` in place of the test data, as JSON. */
  tried: string | null;
  /** The file that the code reads its body from. */
  file: { name: string; content: string } | null;
  onCopy: () => void;
}

function Shown({ example, tried, file, onCopy }: ShownProps) {
  const { filename, install, notes, run, title } = example;
  const { code, tokens } = useFilled(example, tried);
  return (
    <>
      {notes.length ? (
        <ul className={styles.notes}>
          {notes.map((note) => (
            <li key={note}>
              <WithCode text={note} />
            </li>
          ))}
        </ul>
      ) : null}
      {tried !== null && file !== null && example.variant !== "webhook" ? (
        <Notice kind="info">{codeTexts.code.readsFile(file.name)}</Notice>
      ) : tried !== null && tried.length > MAX_FILLED ? (
        <Notice kind="info">{codeTexts.code.tooLong}</Notice>
      ) : null}
      <CodeBlock label={`${title} · ${filename}`} code={code} tokens={tokens} onCopy={onCopy} />
      {install ? <CodeBlock label={codeTexts.code.install} code={install} /> : null}
      <CodeBlock label={codeTexts.code.run} code={run} />
      {file !== null && example.variant !== "webhook" ? (
        <div>
          <Button onClick={() => download(file.content, file.name)}>
            {codeTexts.code.download(file.name)}
          </Button>
        </div>
      ) : null}
    </>
  );
}
