import { watchCalls } from "../../api/live/calls";
import { deploymentTexts } from "../../strings/deployments";
import { saveKeyTexts } from "../../strings/secrets";
import { CodeBlock } from "../../ui/copy";
import { SecretDialog } from "../../ui/secret-dialog";
import { useExamples } from "./examples";
import { withKey } from "./masked-key";

interface SaveKeyDialogProps {
  /** A deployment that the key opens, to call it at once. */
  deployment?: { id: string } | undefined;
  apiKey: string;
  /** The secret of a webhook that was made with the key. */
  webhookSecret?: string | null;
  onDone: () => void;
}

const CALL_LINES = 4;

/** Shows a key this once, with a call of its deployment. */
export function SaveKeyDialog({ deployment, apiKey, webhookSecret, onDone }: SaveKeyDialogProps) {
  const { title, text, leaveTitle, leaveText, stay } = saveKeyTexts;
  return (
    <SecretDialog
      title={title}
      text={text}
      question={{ title: leaveTitle, text: leaveText, stay }}
      onDone={onDone}
    >
      <CodeBlock label={saveKeyTexts.key} code={apiKey} copyLabel={saveKeyTexts.copyKey} />
      {deployment ? <Call deploymentId={deployment.id} apiKey={apiKey} /> : null}
      <CodeBlock
        label={saveKeyTexts.env}
        code={[
          `SLIPSTREAM_API_KEY=${apiKey}`,
          ...(webhookSecret ? [`SLIPSTREAM_WEBHOOK_SECRET=${webhookSecret}`] : []),
        ].join("\n")}
        copyLabel={saveKeyTexts.copyLine}
      />
      {webhookSecret ? (
        <CodeBlock
          label={deploymentTexts.deploy.secret}
          code={webhookSecret}
          copyLabel={deploymentTexts.deploy.copySecret}
        />
      ) : null}
    </SecretDialog>
  );
}

function Call({ deploymentId, apiKey }: { deploymentId: string; apiKey: string }) {
  const examples = useExamples(deploymentId, "curl");
  const call = examples.data?.items[0]?.code;
  if (examples.isPending)
    return (
      // As high as the call: the buttons below it do not move away from a pointer.
      <div inert aria-busy>
        <CodeBlock label={saveKeyTexts.curl} code={"\n".repeat(CALL_LINES - 1)} />
      </div>
    );
  if (call === undefined) return null;
  return (
    <CodeBlock
      label={saveKeyTexts.curl}
      code={withKey(call, apiKey)}
      copyLabel={saveKeyTexts.copyCurl}
      // Not what this dialog is for: the page after it says whether it waits.
      onCopy={() => void watchCalls(deploymentId).catch(() => undefined)}
    />
  );
}
