import { Play } from "lucide-react";
import type { components } from "../../api/schema";
import { isObject, parseJson } from "../../formats/lossless-json";
import { codeTexts } from "../../strings/code";
import { Button } from "../../ui/button";
import { ErrorNotice } from "../../ui/notice";
import { CallAnswer } from "./call-answer";
import styles from "./deployment.module.css";
import { useExpectedInput } from "./expected-input";
import { useCall } from "./use-call";

interface RunThisProps {
  deployment: components["schemas"]["DeploymentOut"];
  /** The version that the code calls. */
  version: number;
  /** The input that the code sends, as JSON; null: the test data. */
  tried: string | null;
}

/** Sends the call that the code makes, and shows its answer with its times. */
export function RunThis({ deployment, version, tried }: RunThisProps) {
  const calling = useCall(deployment, version === deployment.version ? undefined : version);
  const expected = useExpectedInput({ id: deployment.id, version });
  const { call } = calling;
  const input = tried === null ? expected.data?.example : parseJson(tried);
  const send = () => {
    if (isObject(input)) call.mutate(input);
  };
  return (
    <>
      <div className={styles.send}>
        <Button disabled={call.isPending || !isObject(input)} onClick={send}>
          <Play size={14} aria-hidden />
          {codeTexts.code.runThis}
        </Button>
        {call.isPending ? <Button onClick={calling.stop}>{codeTexts.try.stop}</Button> : null}
        <span className={styles.hint}>{codeTexts.try.session}</span>
      </div>
      {tried === null && expected.error ? <ErrorNotice error={expected.error} /> : null}
      <CallAnswer deployment={deployment} calling={calling} />
    </>
  );
}
