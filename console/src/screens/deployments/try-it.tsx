import { getRouteApi, Link, useLocation } from "@tanstack/react-router";
import { Play } from "lucide-react";
import { type FormEvent, type KeyboardEvent, useEffect, useMemo, useState } from "react";
import { hooks } from "../../api/client";
import type { components } from "../../api/schema";
import { curlCommand } from "../../formats/curl";
import { isObject, type JsonObject } from "../../formats/lossless-json";
import { useBodyLimit } from "../../inputs/body-limit";
import { inputOfFragment, useInput } from "../../inputs/input";
import { BodyFacts, type CallShape, InputEditor, useBody } from "../../inputs/input-editor";
import { RefusalContext, refusalOf } from "../../inputs/refusal";
import { codeTexts } from "../../strings/code";
import { deploymentTexts } from "../../strings/deployments";
import { Button } from "../../ui/button";
import { CodeBlock } from "../../ui/copy";
import { Field } from "../../ui/field";
import { Loaded } from "../../ui/loading";
import { Select } from "../../ui/select";
import { CallAnswer } from "./call-answer";
import styles from "./deployment.module.css";
import { type Example, useExamples } from "./examples";
import { useExpectedInput } from "./expected-input";
import { useFilled } from "./filled-example";
import { LANGUAGES, type Language } from "./languages";
import { useTried, useTries } from "./tries";
import { useCall } from "./use-call";

type Deployment = components["schemas"]["DeploymentOut"];

const route = getRouteApi("/app/deployments/$deploymentId");

export function TryItTab() {
  const { deploymentId } = route.useParams();
  const deployment = hooks.useQuery("get", "/node/deployments/{deployment_id}/", {
    params: { path: { deployment_id: deploymentId } },
  });
  return <Loaded query={deployment}>{(loaded) => <WithExample deployment={loaded} />}</Loaded>;
}

function WithExample({ deployment }: { deployment: Deployment }) {
  const expected = useExpectedInput(deployment);
  const hash = useLocation({ select: ({ hash }) => hash });
  return (
    <Loaded query={expected} rows={6}>
      {({ schema, example }) => (
        // Another fragment is another input.
        <TryIt
          key={`${deployment.id} ${hash}`}
          deployment={deployment}
          schema={schema}
          example={example}
          initial={inputOfFragment(`#${hash}`) ?? useTries.getState().tries[deployment.id] ?? example}
        />
      )}
    </Loaded>
  );
}

interface TryItProps {
  deployment: Deployment;
  schema: JsonObject | null;
  /** The test data. */
  example: JsonObject;
  initial: JsonObject;
}

function TryIt({ deployment, schema, example, initial }: TryItProps) {
  const { id } = deployment;
  const input = useInput(initial);
  const isExample = input.value === example;
  useEffect(() => {
    const { keep, forget } = useTries.getState();
    if (isExample) forget(id);
    else keep(id, input.value);
  }, [id, isExample, input.value]);
  const shape = useMemo(() => callShapeOf(deployment), [deployment]);
  const limit = useBodyLimit();
  const body = useBody(input, shape, limit);
  const calling = useCall(deployment);
  const { call } = calling;
  const send = (event: FormEvent | KeyboardEvent) => {
    event.preventDefault();
    if (body.problem === null && !call.isPending) call.mutate(input.value);
  };
  const refusal = useMemo(
    () => (call.variables ? refusalOf(call.error, "input_data", call.variables) : null),
    [call.error, call.variables],
  );
  return (
    <div className={styles.try}>
      <form onSubmit={send} className={styles.stack}>
        <RefusalContext value={refusal}>
          <InputEditor
            input={input}
            schema={schema}
            call={shape}
            jsonLabel={codeTexts.try.input}
            hint={codeTexts.try.byTest}
            limit={limit}
            onSend={send}
          />
        </RefusalContext>
        <BodyFacts input={input} body={body} />
        <div className={styles.send}>
          <Button type="submit" look="primary" disabled={body.problem !== null || call.isPending}>
            <Play size={14} aria-hidden />
            {codeTexts.try.send}
          </Button>
          {call.isPending ? <Button onClick={calling.stop}>{codeTexts.try.stop}</Button> : null}
          {isExample ? null : (
            <Button look="quiet" onClick={() => input.setAt([], example)}>
              {codeTexts.try.testAgain}
            </Button>
          )}
          <span className={styles.hint}>{codeTexts.try.session}</span>
        </div>
      </form>
      <CallAnswer deployment={deployment} calling={calling} />
      <CallAsCode deploymentId={id} />
    </div>
  );
}

function callShapeOf({ trigger_url: url }: Deployment): CallShape {
  return {
    bodyOf: (value) => ({ input_data: value }),
    inputOf: (body) => (isObject(body) && isObject(body["input_data"]) ? body["input_data"] : null),
    expected: codeTexts.try.expected,
    command: (body) => curlCommand({ url, key: deploymentTexts.deploy.yourKey, body }),
  };
}

/** The code of the call, which follows what is typed. */
function CallAsCode({ deploymentId }: { deploymentId: string }) {
  const [language, setLanguage] = useState<Language>("curl");
  const examples = useExamples(deploymentId, language);
  return (
    <section className={styles.asCode} aria-label={codeTexts.try.asCode}>
      <Field label={codeTexts.try.language}>
        <Select
          value={language}
          options={LANGUAGES.map((value) => ({
            value,
            label: codeTexts.code.languageNames[value] ?? value,
          }))}
          onChange={setLanguage}
        />
      </Field>
      <Loaded query={examples} rows={4}>
        {({ items: [example], absent }) =>
          example ? <TriedCode deploymentId={deploymentId} example={example} /> : <p>{absent[0]?.reason}</p>
        }
      </Loaded>
      <Link
        to="/deployments/$deploymentId/code"
        params={{ deploymentId }}
        search={{ language, data: "tried" }}
      >
        {codeTexts.try.allCode}
      </Link>
    </section>
  );
}

function TriedCode({ deploymentId, example }: { deploymentId: string; example: Example }) {
  const { code, tokens } = useFilled(example, useTried(deploymentId));
  return <CodeBlock label={example.title} code={code} tokens={tokens} />;
}
